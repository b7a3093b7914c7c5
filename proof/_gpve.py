"""What the proofs share: named steps, a private corner of the host, a server in it, and clients that know nothing of gpve's code.

A proof runs in namespaces of its own for network, processes and mounts: its bridge has the name that it likes, and whatever it
leaves behind dies with it, however it ends. Python 3.9+, standard library only.
"""
import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

NODE = "pve"
BRIDGE = "vmbr0"
USER = "root@pam"
PASSWORD = "proof-of-gpve-1"

# Twenty times what these take on an idle machine: a proof must not fail because others are busy.
START_S = 60
TASK_S = 120
BOOT_S = 240

_INSIDE = "GPVE_PROOF_INSIDE"
# Process 1 of the namespace: a shell that waits also reaps what a killed server leaves to it. /sys is the namespace's own, for the
# counters of its interfaces.
_FIRST = """mount -t sysfs sys /sys && mount -t cgroup2 cgroup2 /sys/fs/cgroup; "$@" & wait $!"""


# ---------------------------------------------------------------- steps
class Steps:
    """Prints PASS, FAIL or SKIP per step; `end` exits with what that comes to."""

    def __init__(self, proof):
        self.proof, self.failed = proof, 0

    def passed(self, name):
        print("PASS %s: %s" % (self.proof, name), flush=True)

    def fail(self, name, why):
        self.failed += 1
        print("FAIL %s: %s: %s" % (self.proof, name, " ".join(str(why).split())[:800]), flush=True)

    def skip(self, name, why):
        print("SKIP %s: %s: %s" % (self.proof, name, why), flush=True)

    @contextlib.contextmanager
    def step(self, name, needed=False):
        """One named step. If it is `needed` by what follows, its failure ends the proof."""
        try:
            yield
        except Exception as e:  # every failure of a step is its verdict
            if os.environ.get("GPVE_PROOF_TRACE"):
                traceback.print_exc()
            self.fail(name, "%s: %s" % (type(e).__name__, e))
            if needed:
                raise Ended() from e
        else:
            self.passed(name)

    def end(self):
        sys.exit(1 if self.failed else 0)


class Ended(Exception):
    """A step failed that everything after it needs."""


def run_proof(name, prove, needs=()):
    """Runs `prove(steps)` in namespaces of its own, or says why it cannot."""
    steps = Steps(name)
    for variable in ("GPVE_BIN",) + tuple(needs):
        if not os.path.exists(os.environ.get(variable, "")):
            steps.skip("all", "%s names nothing that is there: run it by 'cargo xtask test'" % variable)
            steps.end()
    if not os.environ.get(_INSIDE):
        _isolate(steps)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    _open_tun()
    try:
        prove(steps)
    except Ended:
        pass
    except Exception as e:
        traceback.print_exc()
        steps.fail("ran to its end", "%s: %s" % (type(e).__name__, e))
    steps.end()


def _isolate(steps):
    unshare = ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "--"]
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if os.geteuid() != 0 or subprocess.run(unshare + ["true"], capture_output=True).returncode != 0:
        steps.skip("all", "needs root and the right to make namespaces: run it as root, in a container with --privileged")
        steps.end()
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", unshare + ["sh", "-c", _FIRST, "sh", sys.executable, "-u"] + sys.argv)


def _open_tun():
    """Guests open /dev/net/tun as another user, as udev lets them; a container's own is root's. Ours is seen in this namespace only."""
    tun = "/dev/net/tun"
    if os.path.exists(tun) and not os.stat(tun).st_mode & 0o006:
        own = os.path.join(tempfile.mkdtemp(prefix="gpve-tun-", dir="/dev"), "tun")
        os.mknod(own, 0o666 | stat.S_IFCHR, os.stat(tun).st_rdev)
        os.chmod(own, 0o666)
        subprocess.run(["mount", "--bind", own, tun], check=True)
        shutil.rmtree(os.path.dirname(own))


def until(what, ready, timeout_s):
    """Waits until `ready()` is true and gives its value."""
    end, pause, last = time.monotonic() + timeout_s, 0.02, None
    while time.monotonic() < end:
        last = ready()
        if last:
            return last
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
    raise TimeoutError("%s did not happen within %d s" % (what, timeout_s))


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


# ---------------------------------------------------------------- server
class Server:
    """A server of its own with an empty store; `with` removes everything it made."""

    def __init__(self, simulated=False, bridge=BRIDGE):
        self.simulated, self.bridge, self.process = simulated, bridge, None
        self.base = tempfile.mkdtemp(prefix="gpve-")
        # Guests run as another user: they must reach their sockets and disks below this directory.
        os.chmod(self.base, 0o755)
        self.data, self.runtime, self.storage = (os.path.join(self.base, d) for d in ("data", "run", "local"))
        self.log = os.path.join(self.base, "server.log")
        self.port = None

    def __enter__(self):
        try:
            if not self.simulated:
                subprocess.run(["ip", "link", "add", self.bridge, "type", "bridge"], check=True)
                subprocess.run(["ip", "link", "set", self.bridge, "up"], check=True)
                os.makedirs(self.storage)
            password = os.path.join(self.base, "password")
            with open(password, "w") as f:
                f.write(PASSWORD + "\n")
            command = [os.environ["GPVE_BIN"], "server", "init", "--data-dir", self.data, "--password-file", password]
            done = subprocess.run(command, capture_output=True, text=True, timeout=START_S)
            expect(done.returncode == 0, "init: %s" % (done.stderr or done.stdout))
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None or os.environ.get("GPVE_PROOF_TRACE"):
            self.show_log()
        self.close()

    def start(self):
        """Starts the server and waits until it listens; on the port of before, if there was one."""
        listen = "127.0.0.1:%d" % (self.port or 0)
        command = [os.environ["GPVE_BIN"], "server", "run", "--data-dir", self.data, "--listen", listen, "--node", NODE, "--guest-user", "nobody",
                   "--runtime-dir", self.runtime, "--local-storage", self.storage] + ["--sim"] * self.simulated
        # Tens of thousands of lines, one for each answer, would hide what matters.
        quiet = dict(os.environ, GPVE_LOG=os.environ.get("GPVE_LOG", "info,gpve::access=warn"))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=quiet, stdin=subprocess.DEVNULL)
        timer = threading.Timer(START_S, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            self.process.wait()
            raise RuntimeError("the server did not start: %s" % self.log_tail())
        self.port = urllib.parse.urlsplit(json.loads(line)["listening"][0]).port

    def kill(self):
        """Kill -9: nothing gets to clean up."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError("the server did not stop within %d s of SIGTERM" % START_S)

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        for pid in self.guests():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until("the end of all guests", lambda: not self.guests(), START_S)
        if not self.simulated:
            subprocess.run(["ip", "link", "del", self.bridge], capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)

    def api(self, session=None):
        return Api(self.port, session)

    def url(self):
        return "https://127.0.0.1:%d" % self.port

    def guests(self):
        """Process ids of this server's QEMUs."""
        return [pid for pid, words in processes() if "qemu-system" in words[0] and any(self.runtime in w for w in words)]

    def log_tail(self, lines=15):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def show_log(self):
        print("--- last of the server's log\n%s---" % self.log_tail(40), flush=True)

    def dump(self):
        """What guests may leave on the host: interfaces, processes, files, control groups, and what the API lists."""
        files = []
        for root in (self.storage, self.runtime, os.path.join(self.data)):
            for where, directories, names in os.walk(root):
                files += [os.path.join(where, n) for n in directories + names]
        # The stores and what `init` made are the server's own; the directories of the storage appear when they are needed.
        own = re.compile(r"%s/(pki|storage|\w+\.db)|%s/[a-z]+$" % (re.escape(self.data), re.escape(self.storage)))
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
        groups = [w for w, _, _ in os.walk("/sys/fs/cgroup") if re.search(r"gpve|vm-\d", w)]
        api = self.api().login()
        return {
            "links": sorted(line.split(":")[1].strip() for line in links.splitlines()),
            "processes": sorted(self.guests()),
            "files": sorted(f for f in files if not own.search(f)),
            "groups": sorted(g for g in groups if re.search(r"\d+(\.scope)?$", g)),
            "guests": sorted(g["vmid"] for g in api.get("/cluster/resources", type="vm")),
            "volumes": sorted(v["volid"] for v in api.get("/nodes/%s/storage/local/content" % NODE)),
            "running tasks": sorted(t["upid"] for t in api.get("/nodes/%s/tasks" % NODE, source="active")),
        }


def processes():
    """[(pid, [words of its command line])]; no zombies, which have none."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().decode(errors="replace").split("\0")
            if words[0]:
                found.append((int(pid), words))
    return found


def differences(before, after):
    """[what] that `after` has more or less than `before`."""
    out = []
    for key in before:
        more, less = [x for x in after[key] if x not in before[key]], [x for x in before[key] if x not in after[key]]
        out += ["%s: %s" % (key, ", ".join(map(str, more)))] * bool(more) + ["%s gone: %s" % (key, ", ".join(map(str, less)))] * bool(less)
    return out


# ---------------------------------------------------------------- clients
class ApiError(Exception):
    def __init__(self, status, reason, errors=None):
        super().__init__("%s %s %s" % (status, reason, errors or ""))
        self.status, self.reason, self.errors = status, reason, errors


class Api:
    """Proxmox VE's API over one connection; one thread each."""

    def __init__(self, port, session=None):
        self.port, self.session, self.connection = port, session or {}, None

    def login(self, user=USER, password=PASSWORD):
        data = self.call("POST", "/access/ticket", username=user, password=password)
        self.session = {"Cookie": "PVEAuthCookie=" + urllib.parse.quote(data["ticket"]), "CSRFPreventionToken": data["CSRFPreventionToken"]}
        return self

    def call(self, method, path, **form):
        text = urllib.parse.urlencode({k.rstrip("_"): v for k, v in form.items()}, doseq=True)
        target, body = "/api2/json" + path, None
        headers = dict(self.session)
        if method in ("GET", "DELETE"):
            target += "?" + text if text else ""
        else:
            body, headers["Content-Type"] = text, "application/x-www-form-urlencoded"
        return self._send(method, target, body, headers)["data"]

    def native(self, path):
        """A document of the native API."""
        return self._send("GET", "/api/v1" + path, None, self.session)

    def _send(self, method, target, body, headers):
        if self.connection is None:
            self.connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=TASK_S, context=ssl._create_unverified_context())
        try:
            self.connection.request(method, target, body, headers)
            answer = self.connection.getresponse()
            raw = answer.read()
        except Exception:
            self.connection.close()
            self.connection = None
            raise
        if answer.status >= 400:
            errors = None
            with contextlib.suppress(ValueError):
                errors = json.loads(raw).get("errors")
            raise ApiError(answer.status, answer.reason, errors)
        return json.loads(raw)

    def get(self, path, **form):
        return self.call("GET", path, **form)

    def vm(self, method, vmid, path="", **form):
        return self.call(method, "/nodes/%s/qemu/%s%s" % (NODE, vmid, path), **form)

    def task(self, upid, timeout_s=TASK_S):
        """Waits for the task and gives how it ended."""
        path = "/nodes/%s/tasks/%s/status" % (NODE, urllib.parse.quote(upid, safe=""))

        def ended():
            status = self.get(path)
            return status.get("exitstatus", "?") if status["status"] == "stopped" else None
        return until("the end of %s" % upid, ended, timeout_s)

    def done(self, upid, timeout_s=TASK_S):
        """Waits for the task, which must end well."""
        how = self.task(upid, timeout_s)
        expect(how == "OK" or how.startswith("WARNINGS"), "%s ended: %s" % (upid, how))


class Console:
    """A guest's serial port over the native API's WebSocket."""

    def __init__(self, server, session, name, timeout_s=30):
        raw = socket.create_connection(("127.0.0.1", server.port), timeout_s)
        self.socket = ssl._create_unverified_context().wrap_socket(raw, server_hostname="127.0.0.1")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /api/v1/namespaces/default/virtualmachines/%s/console HTTP/1.1" % name, "Host: 127.0.0.1:%d" % server.port,
                 "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key]
        lines += ["%s: %s" % kv for kv in session.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.received, self.text = b"", ""
        while b"\r\n\r\n" not in self.received:
            self._receive()
        head, self.received = self.received.split(b"\r\n\r\n", 1)
        text = head.decode("latin-1")
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        expect(text.startswith("HTTP/1.1 101") and accept in text, "no console: %s" % text.splitlines()[0])

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def write(self, text):
        payload, mask = text.encode(), os.urandom(4)
        expect(len(payload) < 126, "a line of a console is short")
        self.socket.sendall(bytes([0x82, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def _receive(self):
        piece = self.socket.recv(65536)
        expect(piece, "the console closed; it said: %s" % self.text[-300:])
        self.received += piece

    def _take_frames(self):
        """Moves whole frames from what was received to the text; servers do not mask them."""
        while len(self.received) >= 2:
            kind, length, head = self.received[0] & 15, self.received[1] & 127, 2
            if length > 125:
                head = 4 if length == 126 else 10
                length = int.from_bytes(self.received[2:head], "big")
            if len(self.received) < head + length:
                return
            payload, self.received = self.received[head:head + length], self.received[head + length:]
            expect(kind != 8, "the console was closed; it said: %s" % self.text[-300:])
            self.text += payload.decode(errors="replace") if kind in (0, 1, 2) else ""

    def until(self, pattern, timeout_s=BOOT_S):
        """Reads until `pattern` came and gives its match; what was read is used up."""
        end = time.monotonic() + timeout_s
        self._take_frames()
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            left = end - time.monotonic()
            self.socket.settimeout(max(left, 0.01))
            try:
                self._receive()
                self._take_frames()
            except (TimeoutError, socket.timeout):
                raise TimeoutError("%r did not come within %d s; the console said: %s" % (pattern, timeout_s, self.text[-300:])) from None

    def ask(self, command, pattern, timeout_s=60):
        """Types a command and waits for its answer; again if the guest's shell was not there yet."""
        end = time.monotonic() + timeout_s
        while True:
            self.write(command + "\n")
            try:
                return self.until(pattern, min(15, max(end - time.monotonic(), 1)))
            except TimeoutError:
                if time.monotonic() > end:
                    raise
