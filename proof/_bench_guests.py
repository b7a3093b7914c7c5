"""Create, start and stop of a 64 MiB q35 guest through the server, and bare QEMU in turns. Prints JSON lines for `cargo xtask bench`, which
also have the keys (`peer`, `what`, `min_ms`) by which other managers' figures are set beside them.

    GPVE_BIN=target/release/gpve python3 proof/_bench_guests.py
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

import _gpve as gpve

RUNS = 15
QEMU = ["qemu-system-x86_64", "-M", "q35,accel=tcg,usb=off", "-m", "64", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none", "-S"]
GUEST = {"machine": "q35", "memory": 64, "cores": 1, "vga": "none", "kvm": 0}
VMID = 100
GOALS = {"start_to_running": 1.3, "stop": 2.0}


def timed(times, what, act):
    begin = time.perf_counter()
    act()
    times.setdefault(what, []).append((time.perf_counter() - begin) * 1000)


class Bare:
    """Nothing but QEMU and QMP, with these devices."""

    def __init__(self, directory, devices=()):
        self.path = os.path.join(directory, "qmp")
        self.command = QEMU + list(devices)

    def start(self):
        self.process = subprocess.Popen(self.command + ["-qmp", "unix:%s,server=on,wait=off" % self.path], stdout=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        while self.socket.connect_ex(self.path):
            gpve.expect(self.process.poll() is None, "QEMU ended")
            time.sleep(0.0005)
        self.lines = self.socket.makefile("r")
        self.lines.readline()
        for command in ("qmp_capabilities", "cont"):
            self.ask(command)
        gpve.expect(self.ask("query-status")["status"] == "running", "it does not run")

    def ask(self, command):
        self.socket.sendall(b'{"execute":"%s"}\n' % command.encode())
        for text in self.lines:
            answer = json.loads(text)
            if "event" not in answer:
                return answer["return"]
        raise EOFError(command)

    def stop(self):
        self.socket.sendall(b'{"execute":"quit"}\n')
        self.process.wait()
        self.lines.close()
        self.socket.close()


class Ours:
    """The same through Proxmox VE's API, each call followed to its task's end by one request that the server answers then: a client that polls
    takes a processor from what it measures."""

    def __init__(self, api):
        self.api = api

    def follow(self, upid):
        task = self.api.native("/tasks/%s?waitSeconds=30" % upid.replace(":", "%3A"))
        gpve.expect(task["phase"] == "Succeeded", task)

    def create(self):
        self.follow(self.api.call("POST", "/nodes/%s/qemu" % gpve.NODE, vmid=VMID, name="bench", **GUEST))

    def start(self):
        self.follow(self.api.vm("POST", VMID, "/status/start"))

    def stop(self):
        self.follow(self.api.vm("POST", VMID, "/status/stop"))

    def delete(self):
        self.follow(self.api.vm("DELETE", VMID))

    def devices(self):
        """The switches by which the running guest got its devices."""
        pid = self.api.get("/nodes/%s/qemu/%d/status/current" % (gpve.NODE, VMID))["pid"]
        with open("/proc/%d/cmdline" % pid) as file:
            switches = file.read().split("\0")
        pairs = zip(switches, switches[1:])
        return [word for pair in pairs if pair[0] == "-device" for word in pair]


def report(who, times):
    for what, values in times.items():
        values.sort()
        figures = {"n": len(values), "min_ms": round(values[0], 2), "p50_ms": round(values[len(values) // 2], 2)}
        print(json.dumps({"bench": "guests", "who": "%s, %s" % (who, what), "peer": who, "what": what, **figures}), flush=True)


def measure(server, directory):
    bare, ours = Bare(directory), Ours(server.api().login())
    bare_times, equal_times, our_times = {}, {}, {}
    ours.create()
    ours.start()  # The first start proves whether KVM works here; it is remembered.
    equal = Bare(directory, ours.devices())
    ours.stop()
    ours.delete()
    for _ in range(RUNS):
        timed(bare_times, "start_to_running", bare.start)
        timed(bare_times, "stop", bare.stop)
        timed(equal_times, "start_to_running", equal.start)
        timed(equal_times, "stop", equal.stop)
        timed(our_times, "create", ours.create)
        timed(our_times, "start_to_running", ours.start)
        timed(our_times, "stop", ours.stop)
        timed(our_times, "delete", ours.delete)
    report("qemu", bare_times)
    report("qemu with the same devices", equal_times)
    report("gpve", our_times)
    for what, goal in GOALS.items():
        took = min(our_times[what]) + (min(our_times["create"]) if what == "start_to_running" else 0)
        ratio = took / min(bare_times[what])
        name = "create + start" if what == "start_to_running" else what
        print(json.dumps({"bench": "guests", "who": "%s, ratio of the least times" % name, "value": ratio, "goal": goal, "met": ratio <= goal}))
        print(json.dumps({"bench": "guests", "who": "%s, ratio to QEMU with the same devices" % name, "value": took / min(equal_times[what])}))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print(json.dumps({"bench": "guests", "skip": "only root can make the server's bridge"}))
    else:
        with gpve.Server(bridge="gpvebench0") as the_server, tempfile.TemporaryDirectory() as the_directory:
            measure(the_server, the_directory)
