"""The server with thousands of simulated guests: creates, lists and reads per second, and memory. Prints JSON lines for `cargo xtask bench`.

    GPVE_BIN=target/release/gpve python3 proof/_bench_server.py [GUESTS]

Reads are counted and timed by wrk, because a Python client is slower than the server.
"""
import json
import multiprocessing
import re
import shutil
import subprocess
import sys
import time

import _gpve as gpve

GUESTS = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
MEMORY_AT = min(1000, GUESTS)
CLIENTS = 8
LISTS = 100
READ_S = 5
GOALS = {"list p99": 20, "reads": 10000, "memory": 60}
FIRST = 100


def line(who, **figures):
    print(json.dumps({"bench": "server, %d simulated guests" % GUESTS, "who": who, **figures}), flush=True)


def create(job):
    port, session, ids = job
    api = gpve.Api(port, session)
    for vmid in ids:
        api.call("POST", "/nodes/%s/qemu" % gpve.NODE, vmid=vmid, name="bench%d" % vmid, memory=64, cores=1)


def create_all(server, session, first, count):
    """Creates per second."""
    jobs = [(server.port, session, range(first + n, first + count, CLIENTS)) for n in range(CLIENTS)]
    begin = time.perf_counter()
    with multiprocessing.Pool(CLIENTS) as pool:
        pool.map(create, jobs)
    return count / (time.perf_counter() - begin)


def memory_mib(server):
    with open("/proc/%d/status" % server.process.pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) / 1024


def milliseconds(times, part):
    return sorted(times)[min(len(times) - 1, int(len(times) * part))] * 1000


def lists(api, guests):
    """Seconds of each list of all guests with their state, parsed."""
    times = []
    for _ in range(LISTS):
        begin = time.perf_counter()
        found = api.get("/cluster/resources", type="vm")
        times.append(time.perf_counter() - begin)
    gpve.expect(len(found) == guests, "%d guests are listed, not %d" % (len(found), guests))
    return times


def wrk(server, session, path, connections):
    """What wrk printed of reading one path for a few seconds; `None` where it is not installed."""
    if not shutil.which("wrk"):
        return None
    headers = [word for name, value in session.items() for word in ("-H", "%s: %s" % (name, value))]
    load = ["-t", "1", "-c", str(connections), "-d", "%ds" % READ_S, "--latency", "--timeout", "10s"]
    done = subprocess.run(["wrk", *load, *headers, "%s/api2/json%s" % (server.url(), path)], capture_output=True, text=True, check=True)
    gpve.expect("Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout)
    return done.stdout


def reads_per_second(printed):
    return float(re.search(r"Requests/sec:\s+([\d.]+)", printed).group(1))


def latency_ms(printed, part):
    value, unit = re.search(r"%s%%\s+([\d.]+)(us|ms|s)\b" % part, printed).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def measure(server):
    api = server.api().login()
    line("memory, no guests", value=memory_mib(server), unit="MiB")
    rate = create_all(server, api.session, FIRST, MEMORY_AT)
    memory = memory_mib(server)
    line("memory, %d guests defined" % MEMORY_AT, value=memory, unit="MiB", goal=GOALS["memory"], met=memory <= GOALS["memory"])
    line("list of %d with state, least" % MEMORY_AT, value=min(lists(api, MEMORY_AT)) * 1000, unit="ms")
    if GUESTS > MEMORY_AT:
        rate = create_all(server, api.session, FIRST + MEMORY_AT, GUESTS - MEMORY_AT)
    line("create, %d clients" % CLIENTS, value=rate, unit="1/s")
    # A create's task ends after its call returned.
    gpve.until("the end of all tasks", lambda: not api.get("/nodes/%s/tasks" % gpve.NODE, source="active", limit=1), gpve.TASK_S)
    line("list of all, read and parsed by a Python client, p50", value=milliseconds(lists(api, GUESTS), 0.5), unit="ms")
    lists_printed = wrk(server, api.session, "/cluster/resources?type=vm", 1)
    if lists_printed is None:
        print("wrk is not installed: reads are not counted", file=sys.stderr)
        return
    p99 = latency_ms(lists_printed, 99)
    line("list of all, p50", value=latency_ms(lists_printed, 50), unit="ms")
    line("list of all, p99", value=p99, unit="ms", goal=GOALS["list p99"], met=p99 <= GOALS["list p99"])
    reads = reads_per_second(wrk(server, api.session, "/nodes/%s/qemu/%d/status/current" % (gpve.NODE, FIRST), 16))
    line("reads of one guest's status, 16 connections", value=reads, unit="1/s", goal=GOALS["reads"], met=reads >= GOALS["reads"])
    line("memory, %d guests defined" % GUESTS, value=memory_mib(server), unit="MiB")


if __name__ == "__main__":
    with gpve.Server(simulated=True) as the_server:
        measure(the_server)
