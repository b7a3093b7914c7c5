#!/usr/bin/env python3
"""The Debian package's life on a host with systemd: install, upgrade under a running guest, crash, remove, purge.

GPVE_DEB names the package; without it `cargo xtask package` makes one of the program that GPVE_BIN names. The host is a Debian 12 in namespaces of its own over a tree that
debootstrap makes once, under $XDG_CACHE_HOME/gpve/debian; what the test changes is in memory. QEMU in it is real, without KVM.
"""
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.join(ROOT, "proof"))
import _gpve as gpve  # noqa: E402

RELEASE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
# Part of the tree's name: a change makes a new one.
TREE = "host-1"
DATA = "/var/lib/gpve"
INSTALL_S = 600
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}


def missing():
    """What this test needs and does not have."""
    if not any(os.path.exists(os.environ.get(name, "")) for name in ("GPVE_DEB", "GPVE_BIN")):
        return "neither GPVE_DEB nor GPVE_BIN names anything that is there"
    if os.geteuid() != 0:
        return "it needs root"
    for program in ("debootstrap", "unshare", "nsenter", "dpkg-deb"):
        if not shutil.which(program):
            return "there is no %s" % program
    new = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "true"]
    if subprocess.run(new, capture_output=True).returncode != 0:
        return "namespaces cannot be made here"
    return None


def tree():
    """A Debian with systemd and QEMU 10, made once."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gpve/debian")
    made = os.path.join(cache, TREE)
    if os.path.isdir(made):
        return made
    os.makedirs(cache, exist_ok=True)
    work = tempfile.mkdtemp(prefix=TREE + "-", dir=cache)
    try:
        os.chmod(work, 0o755)
        run(["debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,ca-certificates", RELEASE, work, MIRROR])
        with open(os.path.join(work, "etc/apt/sources.list"), "a") as f:
            f.write("deb %s %s-backports main\n" % (MIRROR, RELEASE))
        # Services are not started while there is no systemd.
        install = "apt-get update -q && apt-get install -y -q --no-install-recommends -t %s-backports qemu-system-x86 qemu-utils" % RELEASE
        install += " && apt-get install -y -q --no-install-recommends iproute2 && apt-get clean"
        mounted = ["unshare", "--mount", "--pid", "--fork", "--mount-proc=" + os.path.join(work, "proc"), "chroot", work]
        run(mounted + ["sh", "-c", install], env=ENVIRONMENT)
        os.rename(work, made)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return made


def run(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=INSTALL_S, **more)
    gpve.expect(done.returncode == 0, "%s: %d %s" % (" ".join(command), done.returncode, done.stdout[-1500:]))
    return done.stdout


class Host:
    """A small host with systemd; all that it was is gone when it ends."""

    def __enter__(self):
        lower = tree()
        self.base = tempfile.mkdtemp(prefix="gpve-package-")
        try:
            run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", self.base])
            upper, work, self.root = (os.path.join(self.base, name) for name in ("upper", "work", "root"))
            for directory in (upper, work, self.root):
                os.mkdir(directory)
            run(["mount", "-t", "overlay", "-o", "lowerdir=%s,upperdir=%s,workdir=%s" % (lower, upper, work), "overlay", self.root])
            new = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
            self.log = open(os.path.join(self.base, "console"), "w+")
            self.outside = subprocess.Popen(new + ["sh", os.path.join(HERE, "container.sh"), self.root],
                                            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
            self.first = int(gpve.until("process 1", self._child, gpve.START_S))
            gpve.until("systemd", lambda: self.try_("systemctl", "is-system-running")[1].strip() in ("running", "degraded"), gpve.START_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if hasattr(self, "outside"):
            self.outside.kill()
            self.outside.wait()
            self.log.close()
        for mounted in (getattr(self, "root", None), self.base):
            if mounted:
                subprocess.run(["umount", "-l", mounted], capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)

    def _child(self):
        if self.outside.poll() is not None:
            self.log.seek(0)
            raise RuntimeError("the host ended: %s" % self.log.read()[-800:])
        with open("/proc/%d/task/%d/children" % (self.outside.pid, self.outside.pid)) as f:
            return f.read().strip()

    def try_(self, *command, stdin=None):
        """(status, all that it said) of a command in there."""
        inside = ["nsenter", "--target", str(self.first), "--all", "--wd=/", "--"]
        done = subprocess.run(inside + list(command), env=ENVIRONMENT, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=INSTALL_S)
        return done.returncode, done.stdout

    def __call__(self, *command, stdin=None):
        status, said = self.try_(*command, stdin=stdin)
        gpve.expect(status == 0, "%s: %d %s" % (" ".join(command), status, said))
        return said

    def give(self, path):
        """Puts a file into its /root."""
        shutil.copy(path, os.path.join("/proc/%d/root/root" % self.first, os.path.basename(path)))
        return "/root/" + os.path.basename(path)

    def exists(self, path):
        return os.path.lexists("/proc/%d/root%s" % (self.first, path))

    def main_pid(self):
        return int(self("systemctl", "show", "--value", "-p", "MainPID", "gpve-server"))

    def is_active(self):
        return self.try_("systemctl", "is-active", "gpve-server")[0] == 0

    def guest(self):
        """Process id of the one guest, or None."""
        found = []
        for pid in self("ls", "/proc").split():
            if pid.isdigit():
                words = self.try_("cat", "/proc/%s/cmdline" % pid)[1]
                if "qemu-system" in words.split("\0")[0]:
                    found.append(int(pid))
        gpve.expect(len(found) < 2, "guests: %s" % found)
        return found[0] if found else None

    def log_in(self):
        said = self("cat", DATA + "/initial-login")
        password = re.search(r"^password +(\S+)", said, re.M).group(1)
        words = ("gpvectl", "--server", "https://localhost:8006", "--ca-file", DATA + "/pki/ca.crt", "login", "--password-file", "-")
        # Once: a service that has started listens.
        self(*words, stdin=password + "\n")

    def phase(self):
        status, said = self.try_("gpvectl", "vm", "show", "one", "-o", "json")
        found = re.search(r'"phase": *"(\w+)"', said)
        return found.group(1) if status == 0 and found else said

    def journal(self):
        return self.try_("journalctl", "--no-pager", "-n", "40", "-o", "cat", "-u", "gpve-server")[1]


def given():
    """The package that is tested."""
    if os.environ.get("GPVE_DEB"):
        return os.environ["GPVE_DEB"]
    made = subprocess.run(["cargo", "xtask", "package"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return made.stdout.split()[-1]


def newer(package, directory):
    """The same package under a higher version."""
    unpacked = os.path.join(directory, "unpacked")
    run(["dpkg-deb", "-R", package, unpacked])
    control = os.path.join(unpacked, "DEBIAN/control")
    with open(control) as f:
        text = f.read()
    with open(control, "w") as f:
        f.write(re.sub(r"^Version: (.*)$", r"Version: \1+next", text, flags=re.M))
    upgrade = os.path.join(directory, "next.deb")
    run(["dpkg-deb", "-Znone", "--root-owner-group", "-b", unpacked, upgrade])
    return upgrade


def installed(steps, host, package):
    with steps.step("install: it is enabled, runs, and says where the login is", needed=True):
        said = host("dpkg", "-i", package)
        gpve.expect(DATA + "/initial-login" in said and "password " not in said, said)
        gpve.expect(host.is_active(), "it is not active")
        host("systemctl", "is-enabled", "gpve-server")
        host.log_in()
    with steps.step("restart: ends when the new server listens, not before"):
        for service in ("server", "agent"):
            gpve.expect(host("systemctl", "show", "--value", "-p", "Type", "gpve-" + service).strip() == "notify", service)
        host("systemctl", "restart", "gpve-server")
        host("gpvectl", "vm", "list")
    with steps.step("install: what is secret is root's alone"):
        for path, mode in (("/initial-login", "600"), ("/server.db", "600"), ("/node.db", "600"), ("/pki", "700")):
            gpve.expect(host("stat", "-c", "%a %U", DATA + path).split() == [mode, "root"], path + ": " + host("stat", "-c", "%a %U", DATA + path))
    with steps.step("install: units are without fault, manual pages and completions are there"):
        units = ["/usr/lib/systemd/system/gpve-%s.service" % name for name in ("server", "agent")]
        gpve.expect("gpve" not in host("systemd-analyze", "verify", "--man=no", *units), "systemd-analyze complains")
        for path in ("man/man8/gpve-server.8.gz", "man/man1/gpvectl-vm-create.1.gz", "bash-completion/completions/gpvectl", "doc/gpve/sbom.cdx.json"):
            gpve.expect(host.exists("/usr/share/" + path), path)
    with steps.step("the unit's confinement lets a guest with a disk and a bridge run, as the user gpve", needed=True):
        host("ip", "link", "add", gpve.BRIDGE, "type", "bridge")
        host("ip", "link", "set", gpve.BRIDGE, "up")
        host("gpvectl", "vm", "create", "one", "--memory", "64Mi", "--network", "bridge=" + gpve.BRIDGE, "--disk", "size=64Mi,storage=local",
             "--start")
        gpve.until("a running guest", lambda: host.phase() == "Running", gpve.START_S)
        gpve.expect(host("stat", "-c", "%U %G", "/proc/%d" % host.guest()).split() == ["gpve", "kvm"], "it runs as another user")


def upgraded(steps, host, package, guest):
    with steps.step("upgrade: the server is a new process, the guest is the same one, the changed configuration stays"):
        host("sh", "-c", "echo '# mine' >>/etc/gpve/server.yaml")
        before = host.main_pid()
        host("dpkg", "-i", package)
        gpve.expect(host.main_pid() not in (0, before), "the server was not restarted")
        host.log_in()
        gpve.expect((host.guest(), host.phase()) == (guest, "Running"), "%s, not %s; %s" % (host.guest(), guest, host.phase()))
        gpve.expect("# mine" in host("cat", "/etc/gpve/server.yaml"), "the configuration was overwritten")
    with steps.step("crash: systemd starts it again, the guest is the same one"):
        before = host.main_pid()
        host("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "gpve-server")
        gpve.until("a new server", lambda: host.main_pid() not in (0, before) and host.is_active(), gpve.START_S)
        host.log_in()
        gpve.expect((host.guest(), host.phase()) == (guest, "Running"), "%s, not %s; %s" % (host.guest(), guest, host.phase()))


def removed(steps, host, package, guest):
    with steps.step("remove: the server ends, the guest runs on, and that is said"):
        said = host("dpkg", "-r", "gpve")
        gpve.expect("1 guests keep running" in said, said)
        gpve.expect(host.guest() == guest, "the guest ended")
        gpve.expect(not host.is_active() and not host.exists("/usr/bin/gpve"), "the server is there")
    with steps.step("purge: refused while a guest runs"):
        status, said = host.try_("dpkg", "-P", "gpve")
        gpve.expect(status != 0 and "purge again" in said, "%d %s" % (status, said))
        gpve.expect(host.exists(DATA + "/server.db") and host.guest() == guest, "something was taken away")
    with steps.step("install again: the guest is taken up with its process and can be deleted"):
        host("dpkg", "-i", package)
        host.log_in()
        gpve.expect((host.guest(), host.phase()) == (guest, "Running"), "%s, not %s; %s" % (host.guest(), guest, host.phase()))
        host("gpvectl", "vm", "delete", "one", "--force")
        gpve.expect(host.guest() is None, "the guest runs on")
    with steps.step("purge: nothing is left"):
        host("dpkg", "-P", "gpve")
        left = [p for p in (DATA, "/etc/gpve", "/run/gpve", "/usr/bin/gpve", "/usr/bin/gpvectl") if host.exists(p)]
        left += host("find", "/etc/systemd", "/var/lib/systemd/deb-systemd-helper-enabled", "-name", "gpve*").split()
        gpve.expect(not left, "left: %s" % left)


def main():
    steps = gpve.Steps("package")
    why = missing()
    if why:
        steps.skip("all", why)
        steps.end()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    original = given()
    with contextlib.suppress(gpve.Ended), Host() as host, tempfile.TemporaryDirectory(prefix="gpve-deb-") as directory:
        try:
            package = host.give(original)
            upgrade = host.give(newer(original, directory))
            installed(steps, host, package)
            guest = host.guest()
            upgraded(steps, host, upgrade, guest)
            removed(steps, host, upgrade, guest)
        finally:
            if steps.failed:
                print(host.journal())
    steps.end()


if __name__ == "__main__":
    main()
