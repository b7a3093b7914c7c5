"""The life of a guest, driven by gpvectl alone, with real QEMU."""
import contextlib
import json
import os
import select
import shutil
import subprocess

import _gpve as gpve

UP = r"gpve-guest up uptime="


class Ctl:
    """gpvectl with a session of its own."""

    def __init__(self, server):
        self.server = server
        subprocess.run([os.environ["GPVE_BIN"], "link", server.base], check=True, capture_output=True)
        self.program = os.path.join(server.base, "gpvectl")
        self.environment = dict(os.environ, GPVE_CREDENTIALS=os.path.join(server.base, "session"), HOME=server.base)
        address = ["--server", server.url(), "--ca-file", os.path.join(server.data, "pki/ca.crt")]
        self(*address, "login", "--password-file", os.path.join(server.base, "password"))

    def run(self, *words, stdin=None):
        return subprocess.run([self.program, *words], env=self.environment, input=stdin, capture_output=True, text=True, timeout=gpve.TASK_S)

    def __call__(self, *words, stdin=None):
        done = self.run(*words, stdin=stdin)
        gpve.expect(done.returncode == 0, "gpvectl %s: %d %s" % (" ".join(words), done.returncode, done.stderr or done.stdout))
        return done.stdout

    def show(self, name):
        return json.loads(self("vm", "show", name, "-o", "json"))

    def phase(self, name):
        return self.show(name)["status"]["phase"]


class Terminal(gpve.Console):
    """`gpvectl vm console`, its output read as text."""

    def __init__(self, ctl, name):
        words = [ctl.program, "vm", "console", name]
        self.process = subprocess.Popen(words, env=ctl.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.text, self.patience = "", 1
        self.socket = self

    def settimeout(self, seconds):
        self.patience = seconds

    def _receive(self):
        if not select.select([self.process.stdout], [], [], self.patience)[0]:
            raise TimeoutError()
        piece = os.read(self.process.stdout.fileno(), 65536)
        gpve.expect(piece, "the console ended; it said: %s" % self.text[-300:])
        self.text += piece.decode(errors="replace")

    def _take_frames(self):
        pass

    def write(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def console(ctl, name):
    return contextlib.closing(Terminal(ctl, name))


def life(steps, ctl, server):
    with steps.step("vm create, vm list", needed=True):
        ctl("vm", "create", "one", "--cpu", "1", "--memory", "256Mi", "--disk", "size=1Gi,storage=local,format=qcow2", "--network", "bridge=" + gpve.BRIDGE,
            "--agent", "--cdrom", "local:iso/guest.iso")
        gpve.expect("one" in ctl("vm", "list"), ctl("vm", "list"))
    with steps.step("vm start, vm console proves that it booted", needed=True):
        ctl("vm", "start", "one")
        with console(ctl, "one") as terminal:
            terminal.until(UP)
            terminal.ask("gpve-put mark before", "gpve-put: mark written")
    with steps.step("vm pause, vm resume"):
        ctl("vm", "pause", "one")
        gpve.expect(ctl.phase("one") == "Paused", ctl.phase("one"))
        ctl("vm", "resume", "one")
        gpve.expect(ctl.phase("one") == "Running", ctl.phase("one"))
    with steps.step("vm resize: the guest sees the new size"):
        ctl("vm", "resize", "one", "scsi0", "+1Gi")
        with console(ctl, "one") as terminal:
            terminal.ask("gpve-info", r"disks=\S*sda:%d" % (2 << 30))
    with steps.step("vm snapshot create, rollback: what was written after it is gone"):
        ctl("vm", "snapshot", "create", "one", "first")
        gpve.expect("first" in ctl("vm", "snapshot", "list", "one"), ctl("vm", "snapshot", "list", "one"))
        with console(ctl, "one") as terminal:
            terminal.ask("gpve-put mark after", "gpve-put: mark written")
        ctl("vm", "snapshot", "rollback", "one", "first")
        with contextlib.suppress(AssertionError):
            ctl("vm", "start", "one")
        with console(ctl, "one") as terminal:
            terminal.until(UP)
            terminal.ask("gpve-get mark", "gpve-get: before")
        ctl("vm", "snapshot", "delete", "one", "first")
    with steps.step("apply: more processors, in effect after vm reboot"):
        wanted = {"apiVersion": "gpve.io/v1", "kind": "VirtualMachine", "metadata": {"name": "one"}, "spec": {"cpu": {"cores": 2}}}
        ctl("apply", "-f", "-", stdin=json.dumps(wanted))
        ctl("vm", "reboot", "one")
        with console(ctl, "one") as terminal:
            terminal.until(UP)
            terminal.ask("gpve-info", "cpus=2 ")
    with steps.step("vm shutdown"):
        ctl("vm", "shutdown", "one", "--timeout", "100")
        gpve.until("the end of the guest", lambda: ctl.phase("one") == "Stopped", 10)
    with steps.step("vm clone: a full one boots with the disk's content"):
        ctl("vm", "clone", "one", "two", "--full")
        ctl("vm", "start", "two")
        with console(ctl, "two") as terminal:
            terminal.until(UP)
            terminal.ask("gpve-get mark", "gpve-get: before")
        ctl("vm", "stop", "two")
    with steps.step("task list, task log"):
        tasks = json.loads(ctl("task", "list", "-o", "json"))
        tasks = tasks.get("items", tasks) if isinstance(tasks, dict) else tasks
        gpve.expect(tasks, "no tasks")
        upid = next(v for v in tasks[0].values() if str(v).startswith("UPID:"))
        gpve.expect("Succeeded" in ctl("task", "log", upid), ctl("task", "log", upid))
    with steps.step("errors: what is missing has its own exit code and says so"):
        done = ctl.run("vm", "show", "nobody")
        gpve.expect(done.returncode not in (0, 1, 2, 101) and "nobody" in done.stderr, "%d %s" % (done.returncode, done.stderr))
    with steps.step("vm delete, of a running one by force"):
        ctl("vm", "start", "one")
        ctl("vm", "delete", "one", "--force")
        ctl("vm", "delete", "two")


def prove(steps):
    shown = subprocess.run([os.environ["GPVE_BIN"], "ctl", "--help"], capture_output=True)
    if shown.returncode != 0:
        steps.skip("all", "this program has no gpvectl")
        return
    with gpve.Server() as server:
        try:
            os.makedirs(server.storage + "/template/iso", exist_ok=True)
            shutil.copy(os.environ["GPVE_GUEST"] + "/guest.iso", server.storage + "/template/iso/guest.iso")
            with steps.step("login", needed=True):
                ctl = Ctl(server)
            before = server.dump()
            with contextlib.suppress(gpve.Ended):
                life(steps, ctl, server)
            with steps.step("nothing is left on the host"):
                left = gpve.differences(before, server.dump())
                gpve.expect(not left, "; ".join(left))
        finally:
            if steps.failed:
                server.show_log()


if __name__ == "__main__":
    gpve.run_proof("gpvectl", prove, needs=["GPVE_GUEST"])
