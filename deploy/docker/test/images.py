#!/usr/bin/env python3
"""The container files: linted, built, and the built server asked.

hadolint is taken from where this Python is, else from PATH. docker or podman builds everything where one works. Elsewhere buildah (root, no
daemon, no registry) builds all but the compilation: on a Debian that debootstrap makes once, under $XDG_CACHE_HOME/gpve/images, with the program that
GPVE_BIN names.
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
DOCKERFILE = os.path.join(ROOT, "deploy/docker/Dockerfile")
sys.path.insert(0, os.path.join(ROOT, "proof"))
import _gpve as gpve  # noqa: E402

MIRROR = "http://deb.debian.org/debian"
# A compilation may be among it.
BUILD_S = 3600
TAG = "localhost/gpve-test-"


def run(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BUILD_S, **more)
    gpve.expect(done.returncode == 0, "%s: %d %s" % (" ".join(command), done.returncode, done.stdout[-1500:]))
    return done.stdout


def works(*command):
    """Whether there is such a program and it does that."""
    return bool(shutil.which(command[0])) and subprocess.run(command, capture_output=True, timeout=gpve.START_S).returncode == 0


def lint(steps):
    own = os.path.join(os.path.dirname(sys.executable), "hadolint")
    hadolint = own if os.path.exists(own) else shutil.which("hadolint")
    if not hadolint:
        return steps.skip("lint", "there is no hadolint: proof/requirements.txt names a package that has it")
    with steps.step("lint: no remark"):
        run([hadolint, "--no-color", DOCKERFILE])


class Docker:
    """docker, or podman, which takes the same words: everything is built, the compilation too."""

    def __init__(self, program):
        self.program = program

    def build(self, stage):
        run([self.program, "build", "-q", "-f", DOCKERFILE, "--target", stage, "-t", TAG + stage, ROOT])

    def run(self, stage, *command):
        return run([self.program, "run", "--rm", TAG + stage, *command])

    def end(self):
        for stage in ("server", "agent"):
            subprocess.run([self.program, "rmi", "-f", TAG + stage], capture_output=True)


class Buildah:
    """The run-time stages, over a Debian of our own; what a step of the file made before is taken from the cache."""

    def __init__(self, context):
        self.cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gpve/images")
        self.context = context
        self.words = ["buildah", "--root", self.cache + "/store", "--runroot", os.path.join(context, "run")]
        self.containers = []
        shutil.copytree(os.path.join(ROOT, "deploy"), os.path.join(context, "source/deploy"))
        shutil.copy(os.environ["GPVE_BIN"], os.path.join(context, "source/gpve"))
        with open(DOCKERFILE) as f:
            text = f.read()
        self.base = re.search(r"^FROM (debian:\S+) AS base$", text, re.M).group(1)
        # The program is built already.
        built, count = re.subn(r"^FROM \S+ AS build\n(?:.*\n)*?(?=^FROM )", "FROM scratch AS build\nCOPY gpve /gpve\n\n", text, flags=re.M)
        gpve.expect(count == 1, "the file has no stage 'build'")
        self.file = os.path.join(context, "Dockerfile")
        with open(self.file, "w") as f:
            f.write(built)

    def make_base(self):
        """The image that a registry would give, made of packages."""
        name = "docker.io/library/" + self.base
        if subprocess.run(self.words + ["inspect", "--type", "image", name], capture_output=True).returncode == 0:
            return
        release = self.base.split(":")[1].split("-")[0]
        tree = os.path.join(self.context, "tree")
        run(["debootstrap", "--variant=minbase", release, tree, MIRROR])
        container = self.container("scratch")
        run(["cp", "-a", tree + "/.", run(self.words + ["mount", container]).strip()])
        run(self.words + ["commit", "-q", container, name])
        shutil.rmtree(tree)

    def container(self, image):
        self.containers.append(run(self.words + ["from", "--pull-never", image]).split()[-1])
        return self.containers[-1]

    def build(self, stage):
        self.make_base()
        run(self.words + ["bud", "-q", "--isolation", "chroot", "--pull-never", "--layers", "--target", stage, "-f", self.file, "-t", TAG + stage,
                          os.path.join(self.context, "source")])

    def run(self, stage, *command):
        return run(self.words + ["run", "--isolation", "chroot", self.container(TAG + stage), "--", *command])

    def end(self):
        for container in self.containers:
            subprocess.run(self.words + ["rm", container], capture_output=True)
        # Images of before, and what no step of the file of today leads to.
        subprocess.run(self.words + ["rmi", "--prune"], capture_output=True)


@contextlib.contextmanager
def builder(steps):
    """What builds here, or nothing."""
    missing = [program for program in ("buildah", "debootstrap") if not shutil.which(program)]
    program = next((name for name in ("docker", "podman") if works(name, "info")), None)
    with tempfile.TemporaryDirectory(prefix="gpve-images-") as context:
        if program:
            made = Docker(program)
        elif missing or os.geteuid() != 0 or not os.path.exists(os.environ.get("GPVE_BIN", "")):
            steps.skip("build", "neither docker nor podman works, and buildah needs root, debootstrap and the program that GPVE_BIN names")
            yield None
            return
        else:
            made = Buildah(context)
        try:
            yield made
        finally:
            made.end()


# In the container: a server over a host in memory answers by the login that its first start made, and ends when told.
ASK = """set -eu
serve --sim >/tmp/ready 2>/tmp/log &
server=$!
until [ -s /tmp/ready ]; do kill -0 $server || { cat /tmp/log; exit 1; }; sleep 0.1; done
sed -n 's/^password  *\\([^ ]*\\).*/\\1/p' /var/lib/gpve/initial-login |
    gpvectl --server https://localhost:8006 --ca-file /var/lib/gpve/pki/ca.crt login --password-file - >/dev/null
gpvectl vm create one --memory 64Mi
gpvectl vm list
kill $server
wait $server
"""


def prove(steps, images):
    with steps.step("the agent's image: its program, QEMU and the guests' user are there", needed=True):
        images.build("agent")
        said = images.run("agent", "sh", "-c", "gpve-agent --version; qemu-system-x86_64 --version; id -Gn gpve; cat /etc/gpve/agent.yaml")
        for word in ("gpve-agent", "emulator version 10", "kvm", "AgentConfiguration"):
            gpve.expect(word in said, "no '%s' in: %s" % (word, said))
    with steps.step("the server's image: it makes its data at the first start, listens, and makes a machine"):
        images.build("server")
        said = images.run("server", "sh", "-c", ASK)
        gpve.expect(re.search(r"\bone\b.*\bStopped\b", said), said)


def main():
    steps = gpve.Steps("images")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    lint(steps)
    with contextlib.suppress(gpve.Ended), builder(steps) as images:
        if images:
            prove(steps, images)
    steps.end()


if __name__ == "__main__":
    main()
