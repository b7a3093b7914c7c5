"""This server's lines for the program that measures other managers: the same 64 MiB q35 guest, the same list of 1,000 guests with state.
Prints JSON lines with `peer` and `what`, whose names are those of libvirt's lines.

    GPVE_BIN=target/release/gpve python3 proof/_bench_peers.py [RUNS]
"""
import json
import os
import sys
import time

import _bench_guests as guests
import _gpve as gpve

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
DEFINED, FIRST, LISTS = 1000, 1000, 10


def line(what, **figures):
    print(json.dumps({"peer": "gpve", "what": what, **figures}), flush=True)


def cpu_ms(pid):
    """CPU time of the server and of the QEMUs that it reaped."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return sum(int(n) for n in fields[11:15]) * 1000 / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid) as f:
        rows = (row.split() for row in f if row.startswith(("Rss:", "Pss:")))
        return {"%s_kib" % row[0][:3].lower(): int(row[1]) for row in rows}


def times(samples):
    samples = sorted(samples)
    return {"n": len(samples), "min_ms": round(samples[0], 2), "p50_ms": round(samples[len(samples) // 2], 2)}


def lives(server, ours):
    steps = {"define": ours.create, "start_to_running": ours.start, "stop": ours.stop, "undefine": ours.delete}
    for step in steps.values():  # The first start proves whether KVM works here; it is remembered.
        step()
    taken, cpu = {}, cpu_ms(server.process.pid)
    for _ in range(RUNS):
        for what, step in steps.items():
            guests.timed(taken, what, step)
    cpu = (cpu_ms(server.process.pid) - cpu) / RUNS
    for what, samples in taken.items():
        line(what, **times(samples))
    line("create_to_running", **times([a + b for a, b in zip(taken["define"], taken["start_to_running"])]))
    line("cpu_per_start_stop", n=RUNS, cpu_ms=round(cpu, 1))


def listing(server, api):
    begin = time.perf_counter()
    for n in range(DEFINED):
        api.call("POST", "/nodes/%s/qemu" % gpve.NODE, vmid=FIRST + n, name="l%d" % n, **guests.GUEST)
    line("define_%d" % DEFINED, each_ms=round(time.perf_counter() - begin, 3))
    taken = {}
    for _ in range(LISTS):
        guests.timed(taken, "list", lambda: gpve.expect(len(api.get("/cluster/resources", type="vm")) == DEFINED, "some are not listed"))
    line("list_all_stats_%d" % DEFINED, **times(taken["list"]))
    line("daemon_memory_%d_defined" % DEFINED, **memory_kib(server.process.pid))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP gpve: only root can make the server's bridge")
    else:
        with gpve.Server(bridge="gpvebench0") as the_server:
            the_api = the_server.api().login()
            lives(the_server, guests.Ours(the_api))
            listing(the_server, the_api)
