"""Places to test in: a simulated node in this process, a simulated server, and a node with real QEMU.

Each test prints `PASS name`, `FAIL name` or `SKIP name: why`, as the proofs do.
"""

import os
import pathlib
import shutil
import signal
import sys
import tempfile
from typing import Any, Iterator

import gpve
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "proof"))
import _gpve  # type: ignore[import-not-found]  # noqa: E402

USER, PASSWORD = _gpve.USER, _gpve.PASSWORD
# Far more than anything takes on an idle machine.
PATIENCE_S = 120


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name = report.nodeid.split("::", 1)[-1]
    if report.failed:
        print("FAIL %s (%s)" % (name, report.when))
    elif report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        print("SKIP %s: %s" % (name, reason.replace("Skipped: ", "", 1)))
    elif report.when == "call":
        print("PASS %s" % name)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> "tuple[str, str, str]":
    """No dots between the lines."""
    counted = report.when == "call" or not report.passed
    return report.outcome if counted else "", "", ""


@pytest.fixture
def directory() -> Iterator[str]:
    """A short path, which guests' users can reach; guests in it end with the test."""
    path = tempfile.mkdtemp(prefix="gpve-")
    os.chmod(path, 0o755)
    yield path
    for pid, words in _gpve.processes():
        if "qemu-system" in words[0] and any(path in word for word in words):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(path)


@pytest.fixture
def node(directory: str) -> Iterator[gpve.Node]:
    with gpve.Node(directory, simulated=True) as node:
        yield node


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    if "GPVE_BIN" not in os.environ:
        pytest.skip("GPVE_BIN names no server program")
    with _gpve.Server(simulated=True) as server:
        yield server


@pytest.fixture(scope="session")
def token(server: Any) -> str:
    api = server.api().login()
    made = api.call("POST", "/access/users/%s/token/python" % USER, privsep=0)
    api.connection.close()
    return "%s=%s" % (made["full-tokenid"], made["value"])


@pytest.fixture
def client(server: Any, token: str) -> gpve.Client:
    return gpve.Client(server.url(), token, ca_file=os.path.join(server.data, "pki", "ca.crt"))


@pytest.fixture(params=["node", "client"])
def place(request: pytest.FixtureRequest) -> Iterator["gpve.Node | gpve.Client"]:
    """A node and a server: everything must be the same."""
    place = request.getfixturevalue(request.param)
    yield place
    for vm in place.list_sync():
        vm.delete_sync(force=True)


@pytest.fixture
def machines(place: "gpve.Node | gpve.Client") -> gpve.VirtualMachines:
    return place.virtual_machines()


def small(name: str, **labels: str) -> "dict[str, Any]":
    """A machine with a disk, to be made."""
    disk = {"name": "scsi0", "source": {"new": {"storage": "local", "size": "64Mi"}}}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"memory": {"size": "64Mi"}, "disks": [disk], "serials": {"0": "socket"}}}
