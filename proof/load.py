"""Many clients at once: no lock times out, no id is given twice, no task is lost.

50 clients against a simulated node and 8 against real QEMU, each for GPVE_LOAD_SECONDS (20; the long run takes 120).
"""
import os
import threading
import time

import _gpve as gpve

SECONDS = float(os.environ.get("GPVE_LOAD_SECONDS", "20"))
SIMULATED_CLIENTS, REAL_CLIENTS = 50, 8
# What a client in flight may still need when time is up.
GRACE_S = 120


class Client(threading.Thread):
    """Create, start, stop, delete, again and again, each task waited for; or started behind each other, to make them queue."""

    def __init__(self, server, number, end, cookie):
        super().__init__(daemon=True)
        self.server, self.number, self.end, self.cookie = server, number, end, cookie
        self.ids, self.upids, self.errors, self.rounds = [], [], [], 0

    def run(self):
        api = self.server.api(self.cookie)
        while time.monotonic() < self.end and len(self.errors) < 5:
            try:
                self.life(api, waits=self.rounds % 2 == 0)
                self.rounds += 1
            except Exception as e:
                self.errors.append("client %d: %s: %s" % (self.number, type(e).__name__, e))

    def life(self, api, waits):
        vmid = api.get("/cluster/nextid")
        self.ids.append(vmid)
        steps = [lambda: api.call("POST", "/nodes/%s/qemu" % gpve.NODE, vmid=vmid, memory=64, kvm=0, scsi0="local:0.1,format=qcow2", net0="virtio,bridge=" + gpve.BRIDGE),
                 lambda: api.vm("POST", vmid, "/status/start"), lambda: api.vm("POST", vmid, "/status/stop"), lambda: api.vm("DELETE", vmid)]
        upids = []
        # A guest that runs cannot be deleted: that request is refused at once, so stop is waited for in any case.
        for n, step in enumerate(steps):
            upids.append(step())
            self.upids.append(upids[-1])
            if waits or n >= 2:
                for upid in upids:
                    api.done(upid, GRACE_S)
                    self.check_log(api, upid)
                upids = []

    def check_log(self, api, upid):
        log = api.get("/nodes/%s/tasks/%s/log" % (gpve.NODE, upid), limit=500)
        gpve.expect(log and log[-1]["t"] == "TASK OK", "%s: %s" % (upid, log))


def load(steps, server, name, count):
    before = server.dump()
    cookie = server.api().login().session
    started = time.monotonic()
    clients = [Client(server, n, started + SECONDS, cookie) for n in range(count)]
    for c in clients:
        c.start()
    for c in clients:
        c.join(SECONDS + GRACE_S)
    took = time.monotonic() - started
    errors, upids, ids = ([x for c in clients for x in getattr(c, field)] for field in ("errors", "upids", "ids"))
    print("%s: %d clients made, started, stopped and deleted %d guests in %.0f s, %d tasks" % (name, count, sum(c.rounds for c in clients), took, len(upids)))
    with steps.step("%s: %d clients get no error, no lock times out" % (name, count)):
        gpve.expect(not any(c.is_alive() for c in clients), "%d clients still wait" % sum(c.is_alive() for c in clients))
        gpve.expect(not errors, "%d errors, such as %s" % (len(errors), errors[:3]))
        gpve.expect(all(c.rounds for c in clients), "some clients did not get through once")
    with steps.step("%s: no id was given to two" % name):
        # An id is free again once its guest is deleted; a second one with it was given too early only if both lived at a time, and then
        # its creation failed above. Ids that are leased but not used are different at any time.
        api = server.api(cookie)
        leased = []
        askers = [threading.Thread(target=lambda: leased.append(server.api(cookie).get("/cluster/nextid"))) for _ in range(count)]
        for a in askers:
            a.start()
        for a in askers:
            a.join()
        gpve.expect(len(set(leased)) == count, "%d different ids for %d clients" % (len(set(leased)), count))
    with steps.step("%s: every task has an end and a log" % name):
        gpve.expect(len(set(upids)) == len(upids), "a task's id was given twice")
        # Each client saw the end and the log of its tasks. The node keeps the last 5,000, newest first, and none of them is left behind.
        gpve.expect(not api.get("/nodes/%s/tasks" % gpve.NODE, source="active"), "some tasks still run")
        listed = {t["upid"]: t["status"] for t in api.get("/nodes/%s/tasks" % gpve.NODE, source="archive", limit=5000)}
        gpve.expect(len(listed) == min(len(upids), 5000), "%d tasks are listed of %d" % (len(listed), len(upids)))
        gpve.expect(not set(listed) - set(upids), "tasks that nobody asked for are listed")
        gpve.expect(set(listed.values()) == {"OK"}, "not all are OK")

    with steps.step("%s: nothing is left" % name):
        left = gpve.differences(before, server.dump())
        gpve.expect(not left, "; ".join(left))


def prove(steps):
    for name, simulated, count in (("simulated", True, SIMULATED_CLIENTS), ("QEMU", False, REAL_CLIENTS)):
        with gpve.Server(simulated=simulated) as server:
            failed = steps.failed
            load(steps, server, name, count)
            if steps.failed > failed:
                server.show_log()


if __name__ == "__main__":
    gpve.run_proof("load", prove)
