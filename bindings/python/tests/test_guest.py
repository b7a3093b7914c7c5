"""A real machine: QEMU, a disk, a console."""

import os

import gpve
import pytest
from conftest import PATIENCE_S


def test_a_real_machine_boots_outlives_its_node_and_goes(directory: str) -> None:
    guest = os.environ.get("GPVE_GUEST")
    if not guest:
        pytest.skip("GPVE_GUEST names no guest image")
    kernel = {
        "kernel": os.path.join(guest, "vmlinuz"),
        "initrd": os.path.join(guest, "initrd"),
        "cmdline": "console=ttyS0 no_timer_check tsc_early_khz=1000000 lpj=4000000 quiet panic=-1",
    }
    disk = {"name": "scsi0", "source": {"new": {"storage": "local", "size": "64Mi"}}}
    spec = {"memory": {"size": "128Mi"}, "disks": [disk], "serials": {"0": "socket"}, "kernel": kernel}
    node = gpve.Node(directory)
    with node:
        web = node.virtual_machines().create_sync({"metadata": {"name": "web"}, "spec": spec})
        web.start_sync()
        with web.console() as console:
            console.read_until_sync("gpve-guest up", timeout_s=PATIENCE_S)
        started = web.status["startTime"]
    with node:
        web = node.virtual_machines().get_sync("web")
        assert (web.phase, web.status["startTime"]) == ("Running", started)
        web.delete_sync(force=True)
        assert node.virtual_machines().list_sync() == []
