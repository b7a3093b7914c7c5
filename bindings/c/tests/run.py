#!/usr/bin/env python3
"""Builds the C and C++ tests, the examples and the bench against an installed libgpve, as a stranger would, and runs them: plainly, under
AddressSanitizer and under valgrind.

    run.py all PREFIX          the library is what stage.sh put there; GPVE_BIN is a server's program, GPVE_GUEST the guest image's directory
    run.py installed PREFIX    only what tells that it is well installed, by cargo cinstall: names, header, version, programs by pkg-config

Prints PASS, FAIL or SKIP per test. Python 3.9+, standard library only.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "proof"))
import _gpve as gpve  # noqa: E402

WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# Twenty times what these take on an idle machine, under valgrind.
PATIENCE_S = 600
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect"]
MODES = {
    "plain": ([], [], {}),
    "asan": (["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], [], {"ASAN_OPTIONS": "detect_leaks=1"}),
    "valgrind": (["-g"], VALGRIND, {"GPVE_C_VALGRIND": "1"}),
}


class Tests:
    def __init__(self, prefix, work):
        self.prefix, self.work, self.failed, self.by = prefix, work, 0, ""
        os.environ["PKG_CONFIG_PATH"] = str(prefix / "lib/pkgconfig")
        os.environ["LD_LIBRARY_PATH"] = str(prefix / "lib")

    def say(self, verdict, name, why=""):
        self.failed += verdict == "FAIL"
        print(" ".join([verdict, self.by + name + ":" * bool(why), " ".join(str(why).split())[:800]]).strip(), flush=True)

    def call(self, name, command, **more):
        """Whether the command succeeded; else why not."""
        try:
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=PATIENCE_S, **more)
        except (OSError, subprocess.TimeoutExpired) as e:
            self.say("FAIL", name, e)
            return None
        if done.returncode != 0:
            self.say("FAIL", name, "ended with %d: %s" % (done.returncode, (done.stderr or done.stdout)[-700:]))
            return None
        return done.stdout

    def flags(self, *what):
        return self.call("pkg-config", ["pkg-config", *what, "gpve"]).split()

    def build(self, mode, source):
        """The program, compiled without a warning; none if it does not compile."""
        program = self.work / ("%s-%s" % (mode, source.stem))
        compiler = ["g++", "-std=c++17"] if source.suffix == ".cpp" else ["gcc", "-std=c11"]
        command = compiler + WARNINGS + MODES[mode][0] + ["-pthread", "-o", program, source] + self.flags("--cflags", "--libs")
        return program if self.call("%s %s compiles" % (mode, source.name), command) is not None else None

    def run(self, mode, source, arguments=(), more=None):
        """Runs one test program in a directory of its own and hands on what it says."""
        program = self.build(mode, source)
        if program is None:
            return
        name = "%s %s" % (mode, source.stem)
        with directory() as own:
            words = [str(w) for w in MODES[mode][1] + [program] + [own if a == "DIR" else a for a in arguments]]
            environment = dict(os.environ, GPVE_C_MODE=name, **MODES[mode][2], **(more or {}))
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
            try:
                out, err = process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                err = "was stopped after %d s; %s" % (PATIENCE_S, err)
        if mode == "valgrind" and "(os error 38)" in out:
            self.say("SKIP", name, "this valgrind lacks a system call that the node needs (openat2): it takes a newer one")
            return
        print(out, end="", flush=True)
        told = len(re.findall(r"^FAIL ", out, re.M))
        self.failed += told
        if process.returncode != 0 and not told:
            self.say("FAIL", "%s ran to its end" % name, "%s: %s" % (process.returncode, err[-3000:]))
        elif mode != "plain" and not told:
            # Leaks and bad accesses are told at the end, by the exit code.
            self.say("PASS", "%s has no leak and no bad access" % name)


@contextlib.contextmanager
def directory():
    """An empty directory that guests of another user reach, gone afterwards with whatever runs in it."""
    path = tempfile.mkdtemp(prefix="gpve-c-")
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        for pid, words in gpve.processes():
            if "qemu-system" in words[0] and any(path in w for w in words):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(path, ignore_errors=True)


def exports(tests):
    """The library gives what the header says, and nothing else."""
    name = "exported functions are those of the header"
    told = tests.call(name, ["nm", "-D", "--defined-only", "--format=posix", tests.prefix / "lib/libgpve.so"])
    if told is None:
        return
    exported = {line.split()[0].split("@")[0] for line in told.splitlines()}
    declared = set(re.findall(r"\b(gpve_\w+)\(", re.sub(r"//.*", "", (tests.prefix / "include/gpve.h").read_text())))
    declared -= set(re.findall(r"\(\*(gpve_\w+)\)", (tests.prefix / "include/gpve.h").read_text()))
    wrong = sorted(exported ^ declared)
    tests.say("FAIL" if wrong else "PASS", name, ", ".join(wrong))


def examples(tests, server):
    """Both programs, by make and by cmake, through pkg-config alone."""
    sources = tests.work / "examples"
    shutil.copytree(HERE.parent / "examples", sources, ignore=shutil.ignore_patterns("embedded", "remote", "build"))
    built = {"make": [["make", "-s", "-C", sources]],
             "cmake": [["cmake", "-S", sources, "-B", sources / "build"], ["cmake", "--build", sources / "build"]]}
    for tool, commands in built.items():
        if shutil.which(tool) is None:
            tests.say("SKIP", "examples by %s" % tool, "%s is not installed" % tool)
            continue
        if any(tests.call("examples by %s" % tool, command) is None for command in commands):
            continue
        where = sources / "build" if tool == "cmake" else sources
        with directory() as own:
            expect_shown(tests, "%s embedded" % tool, where / "embedded", [own, "simulated"], sources / "embedded.c")
        if server:
            expect_shown(tests, "%s remote" % tool, where / "remote", [server["GPVE_URL"], server["GPVE_TOKEN"], server["GPVE_CA"]], sources / "remote.c")


def expect_shown(tests, name, program, arguments, source):
    """The program prints what the head of its source shows."""
    shown = [line[7:] for line in source.read_text().split("*/")[0].splitlines() if line.startswith(" *     ")][1:]
    out = tests.call("example by " + name, [program, *arguments])
    if out is not None:
        missing = [line for line in shown if line not in out.splitlines()]
        tests.say("FAIL" if missing else "PASS", "example by " + name, "does not print %s but %s" % (missing, out) if missing else "")


# What stands around a piece of a program in the guide.
AROUND = """#include <stdio.h>
#include <gpve.h>
void check(gpve_status status, gpve_error *error);
void piece(gpve_client *client, gpve_machines *machines, gpve_job *job, gpve_error *error, const char *ca_pem, gpve_progress on_progress, void *user_data);
void piece(gpve_client *client, gpve_machines *machines, gpve_job *job, gpve_error *error, const char *ca_pem, gpve_progress on_progress, void *user_data) {
(void)client, (void)machines, (void)job, (void)error, (void)ca_pem, (void)on_progress, (void)user_data;
%s}
"""


def guide(tests):
    """The code in docs/c.md compiles; what is a whole program runs."""
    text = (HERE.parents[2] / "docs/c.md").read_text()
    for number, code in enumerate(re.findall(r"```c\n(.*?)```", text, re.S), 1):
        name, source, program = "docs/c.md, code %d" % number, tests.work / ("guide%d.c" % number), tests.work / ("guide%d" % number)
        is_program = "int main(" in code
        with directory() as own:
            source.write_text(code.replace("/var/tmp/gpve-c", own) if is_program else AROUND % code)
            link = ["-o", program] if is_program else ["-fsyntax-only"]
            done = tests.call(name, ["gcc", "-std=c11", *WARNINGS, source, *link, *tests.flags("--cflags", "--libs")])
            if done is not None and is_program:
                done = tests.call(name, [program])
        if done is not None:
            tests.say("PASS", name)


def static(tests):
    """A program that needs no shared library of ours."""
    name, program = "a program with the static library", tests.work / "static"
    private = [flag for flag in tests.flags("--static", "--libs") if flag != "-lgpve"]
    command = ["gcc", "-std=c11", *WARNINGS, "-o", program, HERE.parent / "examples/embedded.c", *tests.flags("--cflags"), tests.prefix / "lib/libgpve.a", *private]
    if tests.call(name, command) is None:
        return
    with directory() as own:
        out = tests.call(name, [program, own, "simulated"], env={k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"})
    if out is not None:
        tests.say("PASS" if "hello is gone" in out else "FAIL", name, "" if "hello is gone" in out else out)


def bench(tests):
    """What calls cost that do nothing; printed, and checked against the goal, of which a busy machine takes twenty times."""
    program = tests.work / "noop"
    source = HERE.parent / "bench/noop.c"
    if tests.call("bench compiles", ["gcc", "-O2", "-std=c11", *WARNINGS, "-o", program, source, *tests.flags("--cflags", "--libs")]) is None:
        return
    with directory() as own:
        out = tests.call("bench", [program, own])
    if out is not None:
        print(out, end="")
        slow = [ns for ns in re.findall(r'"ns": (\d+)', out) if int(ns) > 20 * 2000]
        tests.say("FAIL" if slow else "PASS", "a call that does nothing is cheap", " ".join(slow))


@contextlib.contextmanager
def simulated_server(tests):
    """The environment of the server's tests; none where there is no server's program."""
    if not os.path.exists(os.environ.get("GPVE_BIN", "")):
        tests.say("SKIP", "server", "GPVE_BIN names no program of a server")
        yield None
        return
    with gpve.Server(simulated=True) as server:
        token = server.api().login().call("POST", "/access/users/%s/token/libgpve" % gpve.USER, privsep=0)
        yield {"GPVE_URL": server.url(), "GPVE_TOKEN": "%s=%s" % (token["full-tokenid"], token["value"]),
               "GPVE_CA": os.path.join(server.data, "pki/ca.crt"), "GPVE_USER": gpve.USER, "GPVE_PASSWORD": gpve.PASSWORD}


def run_all(tests):
    exports(tests)
    tests.run("plain", HERE / "header.cpp", ["DIR"])
    modes = [mode for mode in MODES if mode != "valgrind" or shutil.which("valgrind")]
    if "valgrind" not in modes:
        tests.say("SKIP", "valgrind", "it is not installed")
    guest = os.environ.get("GPVE_GUEST", "")
    if not os.path.isdir(guest):
        tests.say("SKIP", "qemu", "GPVE_GUEST names no guest image")
    with simulated_server(tests) as server:
        for mode in modes:
            tests.run(mode, HERE / "sim.c", ["DIR"])
            tests.run(mode, HERE / "errors.c", ["DIR"])
            if server:
                tests.run(mode, HERE / "server.c", more=server)
            if os.path.isdir(guest):
                tests.run(mode, HERE / "qemu.c", ["DIR", guest])
        examples(tests, server)
    guide(tests)
    static(tests)
    bench(tests)


def run_installed(tests):
    tests.by = "cinstalled: "
    exports(tests)
    ours, installed = (HERE.parent / "include/gpve.h").read_text(), (tests.prefix / "include/gpve.h").read_text()
    tests.say("FAIL" if ours != installed else "PASS", "the header is ours")
    told = tests.call("pkg-config", ["pkg-config", "--modversion", "gpve"])
    version = re.search(r'^version = "(.*)"', (HERE.parent / "Cargo.toml").read_text(), re.M).group(1)
    tests.say("PASS" if told and told.strip() == version else "FAIL", "the version is the library's", told or "")
    soname = tests.call("soname", ["objdump", "-p", tests.prefix / "lib/libgpve.so"]) or ""
    tests.say("PASS" if "libgpve.so." + version.rpartition(".")[0] + "\n" in soname else "FAIL", "the soname is that of the minor version")
    tests.run("plain", HERE / "header.cpp", ["DIR"])
    with simulated_server(tests) as server:
        examples(tests, server)
    static(tests)


def main():
    runs = {"all": run_all, "installed": run_installed}
    if len(sys.argv) != 3 or sys.argv[1] not in runs:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="gpve-c-build-") as work:
        tests = Tests(pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(work))
        runs[sys.argv[1]](tests)
    sys.exit(1 if tests.failed else 0)


if __name__ == "__main__":
    main()
