"""Virtual machines on QEMU: on this machine without a server (`Node`), or on a server (`Client`). Both give the same objects.

Whatever waits has two faces: a coroutine, and the same with `_sync` that blocks.

    with gpve.Node("/var/lib/mine", simulated=True) as node:
        machines = node.virtual_machines()
        web = machines.create_sync({"metadata": {"name": "web"}, "spec": {"memory": {"size": "256Mi"}}})
        web.start_sync(progress=print)
"""

from ._display import VirtualMachineList
from ._errors import (
    AlreadyExists,
    Cancelled,
    Conflict,
    Error,
    Internal,
    InvalidInput,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    ResourceExhausted,
    Stuck,
    Timeout,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from ._gpve import Client, Console, Job, Node, Progress, Storage, VirtualMachine, VirtualMachines, Watch, WatchEvent, version

__version__ = version()

__all__ = [
    "AlreadyExists",
    "Cancelled",
    "Client",
    "Conflict",
    "Console",
    "Error",
    "Internal",
    "InvalidInput",
    "Job",
    "Node",
    "NotFound",
    "PermissionDenied",
    "PreconditionFailed",
    "Progress",
    "ResourceExhausted",
    "Storage",
    "Stuck",
    "Timeout",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "VirtualMachine",
    "VirtualMachineList",
    "VirtualMachines",
    "Watch",
    "WatchEvent",
    "version",
]
