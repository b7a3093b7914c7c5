"""The wire, answer by answer, beside recorded answers of real Proxmox VE: the parts of set A that touch what this version has.

    GPVE_BIN=target/debug/gpve python3 proof/wire.py [--part NAME]... [--record] [--sim] [-v]

An answer counts for the score if it is of an endpoint that this version has (ENDPOINTS); the others are shown beside it.

The recordings and the programs that replay and compare them are no part of this repository: they lie in `tools/wire` beside the
directory that GPVE_PVE_DATA names. At least 80 % of the answers must pass; `--record` writes the rest into docs/wire.md.
"""
import argparse
import collections
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile

import _gpve as gpve

PARTS = ["paths", "ticket", "cluster", "node", "tasks", "storage", "vm-create", "vm-create-bad", "vm-config", "vm-status", "snapshot", "vm-agent"]
LEAST_PERCENT = 80
REPLAY_S = 420

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.environ.get("GPVE_PVE_DATA") or os.path.join(ROOT, "../shared/pve")
WIRE = os.path.normpath(os.path.join(DATA, "../tools/wire"))

# What this version has of the API, below /api2/json; `?` and what follows is cut off before.
ENDPOINTS = re.compile(r"""
    /version | /access | /access/ticket | /access/domains | /access/permissions | /access/users/[^/]+/token(/.*)?
    | /cluster | /cluster/(nextid|resources|status|tasks)
    | /nodes | /nodes/[^/]+ | /nodes/[^/]+/(version|status|storage|lxc)
    | /nodes/[^/]+/storage/[^/]+(/(status|content(/.*)?))?
    | /nodes/[^/]+/tasks(/.*)?
    | /nodes/[^/]+/qemu | /nodes/[^/]+/qemu/[^/]+(/(config|pending|feature|clone|template|resize|unlink|status(/\w+)?|snapshot(/.*)?|agent(/.*)?))?
    """, re.VERBOSE)

# Why an answer differs: the first pattern that is found in `id METHOD /path -- name` tells. By hand, from reading the differences.
REASONS = [
    (r"other guest's name", "refused: a volume in a guest's folder bears that guest's number"),
    (r"/upload|download-url", "uploads and downloads are not in this version"),
    (r"vm-create\.(013|014|019|020|022|023|026)", "needs an upload, which is not in this version"),
    (r"vm-config\.054|iso%2F", "needs an upload, which is not in this version"),
    (r" /storage\b", "storages are defined by the server's command line in this version"),
    (r"is disabled|storage2.*/(status|content)\b", "needs a second storage that is defined by the API, which is not in this version"),
    (r"/firewall", "the firewall is not in this version"),
    (r"/cluster/(options|log|config|ha)", "cluster options, log, membership and high availability are not in this version"),
    (r"rrddata", "histories of measurements are not in this version"),
    (r"/access/groups", "groups are not in this version"),
    (r"vncproxy|/monitor|sendkey", "screens, the monitor and keys are not in this version"),
    (r"too many cores", "refused at once: QEMU could not run so many"),
    (r"size 0", "refused: a disk without a sector cannot be used"),
    (r"/4242/status/start", "a guest that does not exist is refused at once, not by a task that fails"),
    (r"/tasks -- ", "the scenario makes a task fail by a lock that is set as an option; locks are set by tasks only here"),
    (r"_quoted}/log", "the scenario makes a task fail by a lock that is set as an option; locks are set by tasks only here"),
    (r"/status/current", "counters of single disks and of the balloon are not in this version; their sums are"),
    (r"/nodes/[^/]+/(dns|hosts|netstat|hardware|capabilities|network|config|execute|startall|disks|lxc|services|aplinfo|status)", "the node's own settings and its hardware are not in this version"),
]


def reason_of(found):
    subject = "%s %s -- %s" % (found["id"], found["do"], found.get("name") or "")
    return next((why for pattern, why in REASONS if re.search(pattern, subject)), "not looked into yet")


def options():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--part", action="append", help="only this part (repeatable)")
    a.add_argument("--record", action="store_true", help="write docs/wire.md")
    a.add_argument("--sim", action="store_true", help="against a simulated node: quick, not the proof")
    a.add_argument("--keep", help="leave recordings and differences in this directory")
    a.add_argument("-v", "--verbose", action="store_true", help="show every difference")
    return a.parse_args()


def replay(server, parts, recording):
    command = [sys.executable, os.path.join(WIRE, "replay.py"), "--url", server.url(), "--user", gpve.USER, "--node", gpve.NODE, "--storage", "local", "--storage2", "local",
               "--dir", os.path.join(server.base, "wire"), "--bridge", server.bridge, "--fast", "--anyway", "--task-timeout", "60", "--out", recording]
    command += [word for part in parts for word in ("--part", part)]
    # The password goes by the environment: command lines are for everybody to read.
    done = subprocess.run(command, env=dict(os.environ, WIRE_PASSWORD=gpve.PASSWORD), capture_output=True, text=True, timeout=REPLAY_S)
    print(done.stdout, end="")
    gpve.expect(done.returncode == 0, done.stderr or done.stdout)


def compare(parts, recording, verbose):
    """-> {part: (passed, total)}, [differing answers with their part]"""
    scores, differing = {}, []
    for part in parts:
        details = os.path.join(recording, part + ".differences.json")
        command = [sys.executable, os.path.join(WIRE, "compare.py"), recording, "--part", part, "--json", details, "-v"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        last = re.search(r"(\d+) passed, (\d+) failed, (\d+) skipped", done.stdout)
        gpve.expect(last, "compare.py: %s" % (done.stderr or done.stdout)[-500:])
        if verbose:
            print(done.stdout)
        passed, failed = int(last[1]), int(last[2])
        scores[part] = (passed, passed + failed)
        with open(details, encoding="utf8") as f:
            differing += [dict(d, part=part) for d in json.load(f)]
    return scores, differing


def ours(found):
    """Whether this version has the endpoint."""
    path = found["do"].split(" ", 1)[1].split("?")[0]
    return found["part"] == "paths" or bool(ENDPOINTS.fullmatch(path))


def scored(parts):
    """{part: answers that count}: as compare.py does, those that are neither set up nor without a level."""
    counts = {}
    for part in parts:
        with open(os.path.join(WIRE, "../../pve/oracle/scenario", part + ".jsonl"), encoding="utf8") as f:
            lines = [json.loads(line) for line in f if line.strip() and not line.startswith("//")][1:]
        counts[part] = sum("do" in s and "phase" not in s and s.get("levels") != [] and ours(dict(s, part=part)) for s in lines)
    return counts


def percent(score):
    return 100 * score[0] / max(score[1], 1)


def record(scores, all_scores, failing):
    """docs/wire.md: the score, and every answer that fails with its reason."""
    total, of_all = ([sum(s[i] for s in x.values()) for i in (0, 1)] for x in (scores, all_scores))
    lines = ["# Beside real Proxmox VE, answer by answer", "",
             "Recorded answers of Proxmox VE 9.2 were replayed against a server with real QEMU by `proof/wire.py --record` on %s." % datetime.date.today(),
             "An answer passes when status, shape, refused fields and the end of its task agree. The parts touch endpoints that this version",
             "does not have yet: they are counted in the right columns only. Their second storage cannot be defined by the API yet; the storage",
             "`local` stands in for it.", "",
             "| part | passed | of | with all endpoints | of |", "| --- | ---: | ---: | ---: | ---: |"]
    lines += ["| %s | %d | %d | %d | %d |" % (part, *score, *all_scores[part]) for part, score in scores.items()]
    lines += ["| **all** | **%d** | **%d** (%.1f %%) | %d | %d (%.1f %%) |" % (*total, percent(total), *of_all, percent(of_all)), "", "## What differs, and why", "",
              "`*`: an endpoint that this version does not have.", ""]
    by_reason = collections.defaultdict(list)
    for found in failing:
        by_reason[reason_of(found)].append(found)
    for why, answers in sorted(by_reason.items(), key=lambda kv: -len(kv[1])):
        lines += ["**%s** (%d)" % (why, len(answers)), ""]
        lines += ["- `%s` `%s`%s%s" % (a["id"], a["do"].replace("${", "{"), ": " + a["name"] if a.get("name") else "", "" if ours(a) else " *") for a in answers] + [""]
    with open(os.path.join(ROOT, "docs/wire.md"), "w", encoding="utf8") as f:
        f.write("\n".join(lines).rstrip() + "\n")


def prove(steps):
    o = options()
    if not os.path.exists(os.path.join(WIRE, "replay.py")):
        steps.skip("all", "%s has no replay.py; set GPVE_PVE_DATA to the reference data beside it" % WIRE)
        return
    parts = o.part or PARTS
    with tempfile.TemporaryDirectory(prefix="gpve-wire-") as scratch:
        score(steps, o, parts, o.keep or scratch)


def score(steps, o, parts, recording):
    with gpve.Server(simulated=o.sim) as server:
        with steps.step("replayed", needed=True):
            replay(server, parts, recording)
    scores, differing = compare(parts, recording, o.verbose)
    failing = [d for d in differing if not d["passed"]]
    counts = scored(parts)
    ours_only = {p: (counts[p] - sum(ours(f) for f in failing if f["part"] == p), counts[p]) for p in parts}
    for part in parts:
        print("%-15s %3d of %3d   with all endpoints %3d of %3d" % (part, *ours_only[part], *scores[part]))
    total, of_all = ([sum(s[i] for s in x.values()) for i in (0, 1)] for x in (ours_only, scores))
    print("%-15s %3d of %3d, %.1f %%   with all endpoints %3d of %3d, %.1f %%" % ("all", *total, percent(total), *of_all, percent(of_all)))
    if o.record:
        record(ours_only, scores, failing)
    with steps.step("%d of %d answers as recorded" % tuple(total)):
        gpve.expect(percent(total) >= LEAST_PERCENT, "%.1f %% are fewer than %d %%" % (percent(total), LEAST_PERCENT))


if __name__ == "__main__":
    gpve.run_proof("wire", prove)
