"""The documentation does what it says: shell blocks of the quick starts run word by word, links lead somewhere, no page is forgotten.

Rust blocks are tested by cargo. Blocks marked `sh` are run here, each in a shell of its own over what the blocks before it left;
those marked `console` change the host and are only read.
"""
import os
import re
import shutil
import socket
import subprocess
import tempfile

import _gpve as gpve

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCS = os.path.join(ROOT, "docs")
QUICK_STARTS = ("server.md", "gpvectl.md")
BLOCK_S = 120


def pages():
    for where, _, names in sorted(os.walk(DOCS)):
        yield from (os.path.join(where, name) for name in sorted(names) if name.endswith(".md"))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def prose(text):
    """Without its blocks of code, where brackets are no links."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def broken_links(path):
    """Relative links, and files that a page takes in, that are not there."""
    text = read(path)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(text)) + re.findall(r"\{\{#include ([^}]+)\}\}", text)
    local = [t.split("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)]
    return [t for t in local if not os.path.exists(os.path.join(os.path.dirname(path), t))]


def check_links(steps):
    readmes = [os.path.join(ROOT, name) for name in ("README.md", "README-zh.md", "CONTRIBUTING.md", "ARCHITECTURE.md")]
    with steps.step("every relative link leads to a file"):
        broken = ["%s: %s" % (os.path.relpath(page, ROOT), ", ".join(bad)) for page in [*readmes, *pages()] for bad in [broken_links(page)] if bad]
        gpve.expect(not broken, "; ".join(broken))
    with steps.step("every page is in the summary"):
        listed = set(re.findall(r"\]\(([^)]+)\)", read(os.path.join(DOCS, "SUMMARY.md"))))
        forgotten = {os.path.relpath(page, DOCS) for page in pages()} - listed - {"SUMMARY.md"}
        gpve.expect(not forgotten, ", ".join(sorted(forgotten)))


def outline(path):
    """[(heading, block)] of the blocks that are run."""
    heading, found = "", []
    for match in re.finditer(r"^#+ (?P<heading>[^\n]+)$|^```sh\n(?P<block>.*?)^```", read(path), re.M | re.S):
        if match["heading"]:
            heading = match["heading"]
        else:
            found.append((heading, match["block"]))
    return found


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Reader:
    """Somebody who types what a page says, on a host where nothing was done yet."""

    def __init__(self, base):
        self.home, programs = os.path.join(base, "home"), os.path.join(base, "bin")
        for directory in (self.home, programs):
            shutil.rmtree(directory, ignore_errors=True)
            os.mkdir(directory)
        subprocess.run([os.environ["GPVE_BIN"], "link", programs], check=True)
        # Ours alone: this is a namespace of mounts.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib"], check=True)
        self.environment = {"HOME": self.home, "PATH": programs + ":/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        self.said = os.path.join(base, "said")

    def type(self, block):
        # Into a file: a server that a block leaves behind would hold a pipe open.
        with open(self.said, "w") as said:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], env=self.environment, cwd=self.home, stdin=subprocess.DEVNULL,
                                  stdout=said, stderr=said, timeout=BLOCK_S)
        gpve.expect(done.returncode == 0, "%d %s" % (done.returncode, read(self.said)[-600:]))
        if "gpve-server run" in block:
            gpve.until("a server on port 8006", lambda: listens(8006), gpve.START_S)

    def close(self):
        for pid, words in gpve.processes():
            if os.path.basename(words[0]) == "gpve-server":
                os.kill(pid, 9)
        gpve.until("the server's end", lambda: not listens(8006), gpve.START_S)
        subprocess.run(["umount", "-l", "/var/lib"], check=True)


def check_page(steps, name, base):
    page = outline(os.path.join(DOCS, name))
    gpve.expect(page, "%s has no block to run" % name)
    if any("curl" in block for _, block in page) and not shutil.which("curl"):
        steps.skip(name, "there is no curl")
        return
    reader = Reader(base)
    try:
        for n, (heading, block) in enumerate(page, 1):
            with steps.step("%s: block %d, %s" % (name, n, heading), needed=True):
                reader.type(block)
    finally:
        reader.close()


def prove(steps):
    check_links(steps)
    with tempfile.TemporaryDirectory(prefix="gpve-docs-") as base:
        for name in QUICK_STARTS:
            try:
                check_page(steps, name, base)
            except gpve.Ended:
                continue


if __name__ == "__main__":
    gpve.run_proof("docs", prove)
