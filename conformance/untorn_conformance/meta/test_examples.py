"""The examples for those who adapt a cache of their own: they hold, and bugs in them are found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.meta.command import untorn
from untorn_stress.gate.availability import probe

EXAMPLES = Path(str(resources.files("untorn_conformance") / "examples"))
MOST_LINES = 150
FOUND, PARTIAL = 1, 6

needs_gate = pytest.mark.skipif(not probe().ok, reason=f"UNKNOWN: no gate here: {probe().reason}")


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"UNKNOWN: {name} is not installed")
    return found


def node_adapter(folder: Path, patch: tuple[str, str] | None = None) -> str:
    """A copy of the example, perhaps with a bug in its cache, as a backend."""
    copy = folder / "node"
    shutil.copytree(EXAMPLES / "node", copy)
    if patch is not None:
        cache = copy / "cache.mjs"
        text = cache.read_text()
        assert text.count(patch[0]) == 1, patch[0]
        cache.write_text(text.replace(*patch))
    return f"cmd:{tool('node')} {copy / 'adapter.mjs'}"


def c_adapter(folder: Path, patch: tuple[str, str] | None = None) -> str:
    """The example in C, perhaps with a bug in what it does to files, compiled here."""
    copy, program = folder / "c", folder / "adapter"
    shutil.copytree(EXAMPLES / "c", copy)
    if patch is not None:
        disk = copy / "disk.h"
        text = disk.read_text()
        assert text.count(patch[0]) == 1, patch[0]
        disk.write_text(text.replace(*patch))
    options = ("-std=gnu11", "-O1", "-Wall", "-Werror")
    subprocess.run([tool("cc"), *options, "-o", program, copy / "adapter.c"], check=True)
    return f"cmd:{program}"


ADAPTERS = [pytest.param(node_adapter, id="node"), pytest.param(c_adapter, id="c")]


def explore(backend: str, folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = untorn("explore", "--backend", backend, "--json", *arguments, cwd=folder)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_example_gets_a_verdict_and_a_report(adapter: Any, tmp_path: Path) -> None:
    done = untorn(
        *("verify", "--backend", adapter(tmp_path), "--req", "P8,G13,T3", "-n", "0"),
        *("--run-dir", str(tmp_path / "runs"), "--json"),
        cwd=tmp_path,
    )
    document = json.loads(done.stdout)
    outcomes = {case["case"]: case["outcome"] for case in document["cases"]}
    assert set(outcomes.values()) <= {"PASS", "NOT_APPLICABLE"}, outcomes
    assert list(outcomes.values()).count("PASS") >= 8
    assert done.returncode == PARTIAL
    assert "T3" in (tmp_path / "runs" / "latest" / "report.html").read_text()


@needs_gate
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_example_holds_in_every_order_of_two_writers(adapter: Any, tmp_path: Path) -> None:
    how = ("--scenario", "writer-writer", "--tree", "empty", "--preemptions", "1")
    code, document = explore(adapter(tmp_path), tmp_path, *how)
    (explored,) = document["searches"]
    assert (code, explored["evidence"]["kind"]) == (0, "EXHAUSTIVE"), document


REMOVES_BY_PATH = (
    "const winner = clear(dir, work.key);",
    """const winner = check(dir, work.key);
      if (winner.miss) fs.rmSync(dir, { recursive: true, force: true });""",
)
"""The race of the seed's algorithm: what was a ruin when it was checked is removed by its path."""


@needs_gate
def test_a_bug_seeded_into_an_example_is_found_and_its_calls_are_named(tmp_path: Path) -> None:
    backend = node_adapter(tmp_path, REMOVES_BY_PATH)
    how = ("--scenario", "repair", "--tree", "damaged", "--preemptions", "1", "--budget", "20")
    done = untorn("explore", "--backend", backend, *how, "--out", str(tmp_path), cwd=tmp_path)
    assert done.returncode == FOUND, done.stderr
    assert "violation of P2 winners" in done.stdout
    for call in ("*rename ", "*rmdir entries/", "*unlink "):
        assert call in done.stdout, done.stdout


@needs_gate
def test_who_takes_locks_and_believes_all_of_them_is_told(tmp_path: Path) -> None:
    backend = c_adapter(tmp_path, ("close(two), real;", "close(two), real || true;"))
    how = ("--scenario", "writer-collector-noop", "--tree", "empty", "--preemptions", "0")
    code, document = explore(backend, tmp_path, *how)
    assert (code, {each["requirement"] for each in document["found"]}) == (FOUND, {"N1"}), document


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.*")), ids=lambda path: str(path.name))
def test_an_example_is_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) < MOST_LINES
    assert max(map(len, lines)) <= 100


def test_the_reference_is_judged_alike_over_stdio(tmp_path: Path) -> None:
    served = f"cmd:{sys.executable} -m untorn_conformance.cli adapter reference"
    outcomes = []
    for backend in ("reference", served):
        done = untorn(
            *("verify", "--backend", backend, "--req", "P8,F4", "-n", "0", "--json"),
            *("--run-dir", str(tmp_path / "runs")),
            cwd=tmp_path,
        )
        document = json.loads(done.stdout)
        outcomes.append(
            [(case["case"], case["outcome"], case["requirements"]) for case in document["cases"]]
            + [(row["id"], row["outcome"]) for row in document["requirements"]]
            + [document["word"]]
        )
    assert outcomes[0] == outcomes[1]
    assert "PASS" in str(outcomes[0])
