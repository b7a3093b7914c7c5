"""What a library must not do to the process that it is in: hang it, or end it."""

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import timeit
import weakref
from typing import List

import gpve
import pytest
from conftest import PATIENCE_S, small

# A shell's background job, and what it starts, ignores Ctrl-C.
WAIT = """
import gpve, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
with gpve.Node(sys.argv[1], simulated=True) as node:
    machines = node.virtual_machines()
    machines.create_sync({"metadata": {"name": "web"}, "spec": {"memory": {"size": "64Mi"}}})
    %s
"""


def child(directory: str, code: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-X", "dev", "-c", WAIT % code, directory]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: "subprocess.Popen[str]") -> str:
    """What it printed, within the time that anything may take."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert "panicked" not in err, err
    return "%d %s%s" % (process.returncode, out, err)


def test_ctrl_c_ends_a_blocking_wait(directory: str) -> None:
    process = child(directory, "print('waiting', flush=True); machines.wait_for_sync('web', 'Running')")
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in ended(process)
    assert process.returncode == -signal.SIGINT


def test_ctrl_c_ends_a_loop(directory: str) -> None:
    wait = "import asyncio; print('waiting', flush=True); asyncio.run(asyncio.wait_for(machines.wait_for('web', 'Running'), None))"
    process = child(directory, wait)
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in ended(process)


@pytest.mark.parametrize("call", ["machines.wait_for_sync('web', 'Running')", "asyncio.run(follow())"])
def test_the_interpreter_ends_while_a_thread_waits(directory: str, call: str) -> None:
    code = """
    import asyncio, threading
    begun = threading.Event()
    async def follow():
        async for _ in machines.watch(): begun.set()
    def wait():
        try:
            %s
        except gpve.Error as e:
            pass
    threading.Thread(target=wait, daemon=True).start()
    if "follow" in "%s": begun.wait()
    sys.exit(3)
""" % (call, call.replace('"', "'"))
    assert ended(child(directory, code.strip())).startswith("3 ")


def test_the_interpreter_ends_with_an_open_node(directory: str) -> None:
    process = child(directory, "pass\nnode = gpve.Node(sys.argv[1], simulated=True); node.open_sync(); machines = node.virtual_machines()")
    assert ended(process) == "0 "
    with gpve.Node(directory, simulated=True) as node:
        assert len(node.virtual_machines().list_sync()) == 1


def test_a_fork_is_told(directory: str) -> None:
    code = """
    import os
    pid = os.fork()
    if pid == 0:
        try:
            machines.list_sync()
        except gpve.PreconditionFailed as e:
            print(e.message)
        finally:
            sys.stdout.flush()
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    print(len(machines.list_sync()))
"""
    process = child(directory, code.strip())
    told = ended(process)
    assert told.startswith("0 this process was forked") and "spawn" in told and "\n1\n" in told


def test_a_fork_that_ends_like_a_program_does_not_hang(directory: str) -> None:
    code = "pass\nimport os\nnode = gpve.Node(sys.argv[1], simulated=True); node.open_sync()\nif os.fork() == 0: sys.exit(0)\nprint(os.wait()[1])"
    assert ended(child(directory, code)).startswith("0 0\n")


def test_other_threads_go_on_while_one_waits(node: gpve.Node) -> None:
    web = node.virtual_machines().create_sync(small("web"))
    seen: List[str] = []

    def wait() -> None:
        web.wait_for_sync("Running", timeout_s=PATIENCE_S)
        seen.append(web.phase)

    waiting = threading.Thread(target=wait)
    waiting.start()
    web.start_sync()
    waiting.join(PATIENCE_S)
    assert seen == ["Running"]


def test_a_coroutine_that_is_dropped_is_told_of(node: gpve.Node) -> None:
    with pytest.warns(RuntimeWarning, match="'list' was never awaited"):
        node.virtual_machines().list()  # type: ignore[unused-coroutine]


def test_an_abandoned_wait_is_collected(node: gpve.Node) -> None:
    watch = node.virtual_machines().watch()

    async def wait() -> object:
        return await watch.__anext__()

    event_loop = asyncio.new_event_loop()
    task = event_loop.create_task(wait())
    event_loop.run_until_complete(asyncio.sleep(0))
    gone = weakref.ref(task)
    setattr(task, "_log_destroy_pending", False)
    event_loop.close()
    del task, event_loop
    gc.collect()
    assert gone() is None


def test_a_call_costs_little(node: gpve.Node) -> None:
    """Printed for the record; the bounds are far above, because other programs run beside."""
    machines = node.virtual_machines()
    count = 100_000
    nothing = min(timeit.repeat("node.closed", globals={"node": node}, number=count, repeat=3)) / count * 1e6
    version = min(timeit.repeat(gpve.version, number=count, repeat=3)) / count * 1e6
    listing = min(timeit.repeat(machines.list_sync, number=200, repeat=3)) / 200 * 1e6
    print("\nnode.closed: %.2f us, gpve.version(): %.2f us, machines.list_sync(): %.0f us" % (nothing, version, listing))
    assert nothing < 10 and version < 10
