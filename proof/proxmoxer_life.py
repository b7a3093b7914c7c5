"""The life of a guest, driven by an unmodified proxmoxer from PyPI, with real QEMU."""
import contextlib
import os
import shutil

import _gpve as gpve

try:
    import urllib3
    from proxmoxer import ProxmoxAPI
    from proxmoxer.tools import Tasks
except ImportError:
    ProxmoxAPI = None

IMAGE = "local:import/guest.raw"
GUEST = {"memory": 256, "cores": 1, "kvm": 0, "agent": 1, "scsihw": "virtio-scsi-pci", "serial0": "socket", "boot": "order=scsi0",
         "net0": "virtio,bridge=" + gpve.BRIDGE, "scsi0": "local:0,import-from=%s,format=qcow2" % IMAGE}
UP = r"gpve-guest up uptime="


class Life:
    """One guest after the other, through one client."""

    def __init__(self, server, proxmox):
        self.server, self.proxmox, self.node = server, proxmox, proxmox.nodes(gpve.NODE)
        # The console is not proxmoxer's: it speaks no WebSocket.
        self.session = server.api().login().session

    def task(self, upid):
        """Waits as the library does."""
        status = Tasks.blocking_status(self.proxmox, upid, timeout=gpve.TASK_S, polling_interval=0.2)
        gpve.expect(status is not None, "%s has no end" % upid)
        gpve.expect(status["exitstatus"] == "OK" and status["status"] == "stopped", "%s ended: %s" % (upid, status["exitstatus"]))
        log = Tasks.decode_log(self.node.tasks(upid).log.get())
        gpve.expect("TASK OK" in log, "the log of %s: %s" % (upid, log))

    def vm(self, vmid):
        return self.node.qemu(vmid)

    def create(self, **options):
        vmid = int(self.proxmox.cluster.nextid.get())
        self.task(self.node.qemu.post(vmid=vmid, **dict(GUEST, **options)))
        return vmid

    def status(self, vmid):
        return self.vm(vmid).status.current.get()["status"]

    def start(self, vmid):
        self.task(self.vm(vmid).status.start.post())

    def stop(self, vmid):
        self.task(self.vm(vmid).status.stop.post())

    @contextlib.contextmanager
    def console(self, vmid):
        with contextlib.closing(gpve.Console(self.server, self.session, vmid)) as console:
            yield console

    def boots(self, vmid):
        self.start(vmid)
        with self.console(vmid) as console:
            console.until(UP)

    def delete(self, vmid):
        if self.status(vmid) == "running":
            self.stop(vmid)
        self.task(self.vm(vmid).delete(purge=1))

    def agent_answers(self, vmid):
        def answers():
            with contextlib.suppress(Exception):
                return self.vm(vmid).agent.ping.post()
        gpve.until("an answer of the agent", answers, 120)


def short_life(steps, life, by):
    """What every client does first, and the way out."""
    with steps.step("%s: nextid, create" % by, needed=True):
        vmid = life.create(name="short")
    with steps.step("%s: start, the console proves that it booted" % by):
        life.boots(vmid)
    with steps.step("%s: shutdown by the guest" % by):
        life.task(life.vm(vmid).status.shutdown.post(timeout=100))
        gpve.expect(life.status(vmid) == "stopped", life.status(vmid))
    with steps.step("%s: delete with purge" % by):
        life.delete(vmid)
        gpve.expect(vmid not in [g["vmid"] for g in life.proxmox.cluster.resources.get(type="vm")], "it is still listed")


def agent(steps, life, vmid):
    with steps.step("agent: ping"):
        life.agent_answers(vmid)
    with steps.step("agent: get-osinfo"):
        info = life.vm(vmid).agent("get-osinfo").get()["result"]
        gpve.expect(info["kernel-release"], info)
    with steps.step("agent: network-get-interfaces"):
        found = life.vm(vmid).agent("network-get-interfaces").get()["result"]
        mac = life.vm(vmid).config.get()["net0"].split("=")[1].split(",")[0]
        gpve.expect(mac.lower() in [i.get("hardware-address") for i in found], found)
    with steps.step("agent: exec, exec-status"):
        pid = life.vm(vmid).agent("exec").post(command=["/bin/busybox", "echo", "from the guest"])["pid"]
        asked = lambda: life.vm(vmid).agent("exec-status").get(pid=pid)
        done = gpve.until("the command's end", lambda: (lambda s: s if s["exited"] else None)(asked()), 60)
        gpve.expect(done["exitcode"] == 0 and done["out-data"] == "from the guest\n", done)


def change(steps, life, vmid):
    with steps.step("config: a disk plugged into the running guest is there"):
        life.vm(vmid).config.put(scsi1="local:1,format=qcow2")
        gpve.expect("scsi1" in life.vm(vmid).config.get(), life.vm(vmid).config.get())
        with life.console(vmid) as console:
            console.ask("gpve-info", r"disks=\S*sdb:%d" % (1 << 30))
    # The guest's kernel may swap the names of two disks when it boots: from here on it has one.
    with steps.step("config: the disk is unplugged, and removed for good"):
        life.vm(vmid).config.put(delete="scsi1")
        gpve.expect("scsi1" not in life.vm(vmid).config.get() and "unused0" in life.vm(vmid).config.get(), life.vm(vmid).config.get())
        with life.console(vmid) as console:
            gpve.until("the end of sdb", lambda: "sdb" not in console.ask("gpve-info", r"disks=(\S+)")[1], 60)
        life.vm(vmid).config.put(delete="unused0")
        gpve.expect("unused0" not in life.vm(vmid).config.get(), life.vm(vmid).config.get())
    with steps.step("config: a number of cores waits for the next start"):
        life.vm(vmid).config.put(cores=2)
        entry = next(e for e in life.vm(vmid).pending.get() if e["key"] == "cores")
        gpve.expect(entry["pending"] == 2, entry)
    with steps.step("resize: QEMU and the guest see the new size"):
        life.task(life.vm(vmid).resize.put(disk="scsi0", size="+64M"))
        gpve.expect("size=128M" in life.vm(vmid).config.get()["scsi0"], life.vm(vmid).config.get()["scsi0"])
        with life.console(vmid) as console:
            console.ask("gpve-info", r"disks=\S*sda:%d" % (128 << 20))
    with steps.step("reboot: what waited is in effect"):
        life.task(life.vm(vmid).status.reboot.post(timeout=100))
        with life.console(vmid) as console:
            console.until(UP)
            console.ask("gpve-info", r"cpus=2 ")
        gpve.expect(not [e for e in life.vm(vmid).pending.get() if "pending" in e], life.vm(vmid).pending.get())


def snapshots(steps, life, vmid):
    with steps.step("snapshot: taken of the running guest"):
        with life.console(vmid) as console:
            console.ask("gpve-put mark before", "gpve-put: mark written")
            life.task(life.vm(vmid).snapshot.post(snapname="one", description="before"))
            console.ask("gpve-put mark after", "gpve-put: mark written")
            console.ask("gpve-get mark", "gpve-get: after")
        names = [s["name"] for s in life.vm(vmid).snapshot.get()]
        gpve.expect(sorted(names) == ["current", "one"], names)
    with steps.step("rollback: what was written after the snapshot is gone"):
        life.task(life.vm(vmid).snapshot("one").rollback.post(start=1))
        with life.console(vmid) as console:
            console.until(UP)
            console.ask("gpve-get mark", "gpve-get: before")
    with steps.step("snapshot: deleted"):
        life.task(life.vm(vmid).snapshot("one").delete())
        gpve.expect([s["name"] for s in life.vm(vmid).snapshot.get()] == ["current"], life.vm(vmid).snapshot.get())


def clones(steps, life, vmid):
    full, linked = None, None
    with steps.step("clone: a full one boots with the disk's content", needed=True):
        full = int(life.proxmox.cluster.nextid.get())
        life.task(life.vm(vmid).clone.post(newid=full, name="full", full=1))
        life.boots(full)
        with life.console(full) as console:
            console.ask("gpve-get mark", "gpve-get: before")
        life.stop(full)
    with steps.step("template: a stopped guest becomes one and starts no more", needed=True):
        life.task(life.vm(full).template.post())
        gpve.expect(life.vm(full).config.get()["template"] == 1, life.vm(full).config.get())
        with contextlib.suppress(Exception):
            life.start(full)
        gpve.expect(life.status(full) == "stopped", "a template runs")
    with steps.step("clone: a linked one of the template boots and writes to itself alone"):
        linked = int(life.proxmox.cluster.nextid.get())
        life.task(life.vm(full).clone.post(newid=linked, name="linked"))
        gpve.expect("base-%d-disk" % full in life.vm(linked).config.get()["scsi0"], life.vm(linked).config.get()["scsi0"])
        life.boots(linked)
        with life.console(linked) as console:
            console.ask("gpve-get mark", "gpve-get: before")
            console.ask("gpve-put mark linked", "gpve-put: mark written")
    with steps.step("clones and template: deleted"):
        life.delete(linked)
        life.delete(full)


def long_life(steps, life):
    with steps.step("nextid, create: disk from an image, card on a bridge", needed=True):
        vmid = life.create(name="long")
        gpve.expect(life.vm(vmid).config.get()["scsi0"].startswith("local:%d/vm-%d-disk-0.qcow2" % (vmid, vmid)), life.vm(vmid).config.get())
    with steps.step("start: the console proves that it booted", needed=True):
        life.boots(vmid)
        gpve.expect(life.status(vmid) == "running", life.status(vmid))
    agent(steps, life, vmid)
    change(steps, life, vmid)
    snapshots(steps, life, vmid)
    with steps.step("shutdown: the guest powers itself off"):
        life.task(life.vm(vmid).status.shutdown.post(timeout=100))
        gpve.expect(life.status(vmid) == "stopped", life.status(vmid))
    try:
        clones(steps, life, vmid)
    except gpve.Ended:
        pass
    with steps.step("start and stop at once"):
        life.start(vmid)
        life.stop(vmid)
        gpve.expect(life.status(vmid) == "stopped", life.status(vmid))
    with steps.step("delete with purge: guest, disks and tap are gone"):
        life.delete(vmid)


def prove(steps):
    if ProxmoxAPI is None:
        steps.skip("all", "proxmoxer is not installed, PyPI was not reached: 'pip install -r proof/requirements.txt'")
        return
    urllib3.disable_warnings()
    with gpve.Server() as server:
        try:
            os.makedirs(server.storage + "/import", exist_ok=True)
            shutil.copy(os.environ["GPVE_GUEST"] + "/guest.raw", server.storage + "/import/guest.raw")
            before = server.dump()
            at = {"port": server.port, "user": gpve.USER, "verify_ssl": False, "timeout": 60}
            by_password = ProxmoxAPI("127.0.0.1", password=gpve.PASSWORD, **at)
            with steps.step("a token made by a ticket", needed=True):
                token = by_password.access.users(gpve.USER).token("proof").post(privsep=0)["value"]
            by_token = ProxmoxAPI("127.0.0.1", token_name="proof", token_value=token, **at)
            with contextlib.suppress(gpve.Ended):
                short_life(steps, Life(server, by_token), "by token")
            long_life(steps, Life(server, by_password))
            with steps.step("nothing is left on the host"):
                left = gpve.differences(before, server.dump())
                gpve.expect(not left, "; ".join(left))
        finally:
            if steps.failed:
                server.show_log()


if __name__ == "__main__":
    gpve.run_proof("proxmoxer", prove, needs=["GPVE_GUEST"])
