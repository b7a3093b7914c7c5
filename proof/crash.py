"""kill -9 of the server: guests live on and are found again, and what was half done leaves nothing on the host.

GPVE_CRASH_ROUNDS (25) and GPVE_CRASH_SEED (of the clock) set how long and how.
"""
import contextlib
import http.client
import os
import random
import shutil
import threading
import time

import _gpve as gpve

ROUNDS = int(os.environ.get("GPVE_CRASH_ROUNDS", "25"))
SEED = int(os.environ.get("GPVE_CRASH_SEED") or time.time())
GUESTS = 5
WORKERS = 2
# Long enough for the slowest saga, so that kills hit every step of all of them and also the time between.
LONGEST_ROUND_S = 1.5
SETTLE_S = 60
# The guest with a system in it; the other four have nothing to boot, so that they take no time of the processor.
BOOTED = 101

CREATE = {"memory": 64, "kvm": 0, "cores": 1, "net0": "virtio,bridge=" + gpve.BRIDGE, "scsihw": "virtio-scsi-pci", "serial0": "socket"}
LOST = (OSError, http.client.HTTPException)


def settled(server):
    """Nothing runs any more: what a crash interrupted is finished or undone."""
    api = server.api().login()
    gpve.until("the end of all tasks", lambda: not api.get("/nodes/%s/tasks" % gpve.NODE, source="active"), SETTLE_S)
    return api


def pids(api):
    return {g["vmid"]: g["pid"] for g in api.get("/nodes/%s/qemu" % gpve.NODE) if g.get("pid")}


def restart(server):
    server.kill()
    server.start()


# ---------------------------------------------------------------- guests outlive the server
def adoption(steps, server):
    api = server.api().login()
    before = server.dump()
    with steps.step("five guests run", needed=True):
        os.makedirs(server.storage + "/import", exist_ok=True)
        shutil.copy(os.environ["GPVE_GUEST"] + "/guest.raw", server.storage + "/import/guest.raw")
        disk = {"scsi0": "local:0,import-from=local:import/guest.raw", "memory": 256, "agent": 1}
        for vmid in range(BOOTED, BOOTED + GUESTS):
            own = disk if vmid == BOOTED else {"scsi0": "local:1"}
            api.done(api.call("POST", "/nodes/%s/qemu" % gpve.NODE, **dict(CREATE, vmid=vmid, name="crash-%d" % vmid, start=1, **own)))
        # They are started by tasks of their own.
        gpve.until("the start of all guests", lambda: len(pids(api)) == GUESTS, gpve.TASK_S)
    with contextlib.closing(gpve.Console(server, api.session, BOOTED)) as console:
        console.until("gpve-guest up")
        boot = console.ask("gpve-info", r"uptime=(\d+).*boot=([0-9a-f-]{36})")
    ran = {v: api.vm("GET", v, "/status/current")["uptime"] for v in pids(api)}
    old = pids(api)
    restart(server)
    api = settled(server)
    with steps.step("a server that was killed finds its five guests, the same processes"):
        gpve.expect(pids(api) == old, "%s instead of %s" % (pids(api), old))
        gpve.expect(sorted(old.values()) == sorted(server.guests()), "processes: %s" % server.guests())
    with steps.step("uptimes go on"):
        now = {v: api.vm("GET", v, "/status/current")["uptime"] for v in old}
        gpve.expect(all(now[v] >= ran[v] for v in ran), "%s after %s" % (now, ran))
    with steps.step("the guest inside noticed nothing, and its console works"):
        with contextlib.closing(gpve.Console(server, api.session, BOOTED)) as console:
            again = console.ask("gpve-info", r"uptime=(\d+).*boot=([0-9a-f-]{36})")
        gpve.expect(again[2] == boot[2] and int(again[1]) >= int(boot[1]), "%s after %s" % (again[0], boot[0]))
    with steps.step("the guest agent answers the new server"):
        gpve.until("an answer of the agent", lambda: pings(api), 60)
    with steps.step("found guests stop and go without a trace"):
        for vmid in old:
            api.done(api.vm("POST", vmid, "/status/stop"))
            api.done(api.vm("DELETE", vmid, purge=1))
        os.remove(server.storage + "/import/guest.raw")
        left = gpve.differences(before, server.dump())
        gpve.expect(not left, "; ".join(left))


def pings(api):
    try:
        api.vm("POST", BOOTED, "/agent/ping")
        return True
    except gpve.ApiError:
        return False


# ---------------------------------------------------------------- at any moment
class Worker(threading.Thread):
    """Does what comes to its mind until its server is gone; remembers the tasks that it was told of."""

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.server, self.random, self.upids, self.error = server, random.Random(seed), [], None

    def run(self):
        try:
            api = self.server.api().login()
            while True:
                with contextlib.suppress(gpve.ApiError):  # a refusal is an answer: the other worker was faster
                    upid = self.act(api)
                    self.upids.append(upid)
                    if self.random.random() < 0.7:
                        api.task(upid)
        except LOST:
            pass
        except Exception as e:
            self.error = e

    def act(self, api):
        guests = api.get("/nodes/%s/qemu" % gpve.NODE)
        if len(guests) < 2:
            vmid = api.get("/cluster/nextid")
            return api.call("POST", "/nodes/%s/qemu" % gpve.NODE, **dict(CREATE, vmid=vmid, scsi0="local:0.1,format=qcow2"))
        guest = self.random.choice(guests)
        vmid, runs = guest["vmid"], guest["status"] == "running"
        if len(guests) < 5 and self.random.random() < 0.4:
            return api.vm("POST", vmid, "/clone", newid=api.get("/cluster/nextid"), full=1)
        if not runs and self.random.random() < 0.5:
            return api.vm("DELETE", vmid)
        return api.vm("POST", vmid, "/status/" + ("stop" if runs else "start"))


def random_kills(steps, server):
    chance = random.Random(SEED)
    before, upids, broken = server.dump(), [], []
    with steps.step("%d kills at random moments, seed %d" % (ROUNDS, SEED), needed=True):
        for _ in range(ROUNDS):
            workers = [Worker(server, chance.random()) for _ in range(WORKERS)]
            for w in workers:
                w.start()
            time.sleep(chance.uniform(0.05, LONGEST_ROUND_S))
            restart(server)
            for w in workers:
                w.join(gpve.TASK_S)
                upids += w.upids
                broken += [w.error] * bool(w.error)
            api = settled(server)
        gpve.expect(not broken, broken)
    with steps.step("every task that was told of has an end (%d tasks)" % len(upids)):
        open_ones = [u for u in upids if not api.task(u, 5)]
        gpve.expect(not open_ones, open_ones[:5])
    with steps.step("no guest is locked after them"):
        locked = [g["vmid"] for g in api.get("/nodes/%s/qemu" % gpve.NODE) if g.get("lock")]
        gpve.expect(not locked, locked)
    with steps.step("the API's guests are the host's"):
        gpve.expect(sorted(pids(api).values()) == sorted(server.guests()), "%s, but processes %s" % (pids(api), server.guests()))
    with steps.step("everything can be removed, and nothing is left on the host"):
        for guest in api.get("/nodes/%s/qemu" % gpve.NODE):
            if guest["status"] == "running":
                api.done(api.vm("POST", guest["vmid"], "/status/stop"))
            api.done(api.vm("DELETE", guest["vmid"], purge=1))
        left = gpve.differences(before, server.dump())
        gpve.expect(not left, "; ".join(left))


def prove(steps):
    with gpve.Server() as server:
        try:
            adoption(steps, server)
            random_kills(steps, server)
        finally:
            if steps.failed:
                server.show_log()


if __name__ == "__main__":
    gpve.run_proof("crash", prove, needs=["GPVE_GUEST"])
