"""What is shown to others: examples with their output, the README, and the types."""

import pathlib
import re
import subprocess
import sys
from typing import Any

import gpve
import pytest
from conftest import PATIENCE_S

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def told(file: str) -> "list[str]":
    """The output that an example's header shows."""
    header = (EXAMPLES / file).read_text().split('"""')[1]
    return header.split("\n\n", 1)[1].strip().splitlines()


def run(file: str, *arguments: str) -> "list[str]":
    command = [sys.executable, "-W", "error", str(EXAMPLES / file), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("file", ["quickstart.py", "watch.py"])
def test_an_example_prints_what_its_header_says(file: str, directory: str) -> None:
    assert run(file, directory) == told(file)
    assert len((EXAMPLES / file).read_text().splitlines()) < 40


def test_the_example_of_a_server_prints_what_its_header_says(server: Any, token: str) -> None:
    printed = run("server.py", server.url(), token, "%s/pki/ca.crt" % server.data)
    patterns = [".*".join(map(re.escape, line.split("…"))) for line in told("server.py")]
    assert len(printed) == len(patterns) and all(map(re.fullmatch, patterns, printed)), printed


@pytest.mark.parametrize("page", ["README.md", "../../docs/python.md"])
def test_code_on_a_page_runs(page: str, directory: str, server: Any, token: str, client: gpve.Client) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    places = {"/var/lib/mine": directory, "https://host:8006": server.url(), "root@pam!ci=…": token, "ca.crt": "%s/pki/ca.crt" % server.data}
    program = "\n".join(blocks)
    for shown, real in places.items():
        program = program.replace('"%s"' % shown, repr(real))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
    for vm in client.virtual_machines().list_sync():
        vm.delete_sync(force=True)
    assert done.returncode == 0, "%s\n%s" % (program, done.stderr)


def test_the_types_are_strict() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stubs_are_of_the_module() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "gpve"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_notebook_runs() -> None:
    command = [sys.executable, "-m", "pytest", "--nbmake", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(EXAMPLES / "tour.ipynb")]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
