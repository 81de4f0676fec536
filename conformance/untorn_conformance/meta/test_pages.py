"""The pages for those who bring a cache of their own: what they say can be done, is done here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from untorn_conformance import wire
from untorn_conformance.backend import PROTOCOL_VERSION, VERB_CAPABILITY, Verb
from untorn_conformance.contract import RESERVED
from untorn_conformance.errors import ERROR_KINDS
from untorn_stress.gate.availability import probe

PAGES = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w+)(?: (file|exit)=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NODE = "## In Node"


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A fenced block: a file to write, or commands and the exit code that the page promises."""

    language: str
    file: str
    exit_code: int
    text: str


def blocks(part: str) -> list[Block]:
    return [
        Block(
            language=language,
            file=value if option == "file" else "",
            exit_code=int(value) if option == "exit" else 0,
            text=text,
        )
        for language, option, value, text in FENCE.findall(part)
    ]


def certify() -> tuple[str, str]:
    """The page's two parts: in Python, and in Node."""
    python, _, node = (PAGES / "CERTIFY.md").read_text().partition(NODE)
    assert node
    return python, node


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A PATH on which `untorn` and `python` are ours."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, arguments in (("untorn", "-m untorn_conformance.cli"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }


@pytest.mark.parametrize("language", ["python", "node"])
def test_the_commands_do_what_the_page_says(
    language: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    if not probe().ok:
        pytest.skip(f"UNKNOWN: no gate here: {probe().reason}")
    if language == "node" and shutil.which("node") is None:
        pytest.skip("UNKNOWN: node is not installed")
    made = blocks(certify()[language == "node"])
    assert all(block.file or block.language == "sh" for block in made)
    assert carry_out(made, tmp_path, environment) >= 3


def test_the_nights_commands_do_what_the_page_says(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    if not probe().ok:
        pytest.skip(f"UNKNOWN: no gate here: {probe().reason}")
    made = blocks((PAGES / "NIGHTLY.md").read_text())
    assert carry_out(made, tmp_path, environment) >= 3


def carry_out(made: list[Block], tmp_path: Path, environment: dict[str, str]) -> int:
    """Write the files and run the commands of a page; returns how many were run."""
    work = tmp_path / "work"
    work.mkdir()
    ran = 0
    for block in made:
        if block.file:
            (work / block.file).write_text(block.text)
        if block.file or block.language != "sh":
            continue
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", block.text],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == block.exit_code, block.text + done.stdout + done.stderr
        assert "FAIL " not in done.stdout or block.exit_code, done.stdout
        ran += 1
    return ran


def test_the_example_is_as_short_as_the_page_says() -> None:
    adapter = PAGES / "untorn_conformance/examples/node/adapter.mjs"
    assert f"its adapter of {len(adapter.read_text().splitlines())} lines" in certify()[1]


def test_the_protocols_page_names_all_that_there_is() -> None:
    page = (PAGES / "PROTOCOL.md").read_text()
    assert page.startswith(f"# The protocol, version {PROTOCOL_VERSION}\n")
    for verb in Verb:
        assert re.search(rf"`{verb}[`{{]", page), verb
    for verb, capability in VERB_CAPABILITY.items():
        assert re.search(rf"`{verb}[^`]*` \[{capability}\]", page), verb
    optional = {kind for verb in VERB_CAPABILITY for kind in wire.kinds_of(verb)}
    for kind in wire.KINDS.keys() - optional:
        assert f"`{kind}`" in page, kind
    for code in ERROR_KINDS:
        assert f"`{code}`" in page, code
    assert all(each in page for each in RESERVED)
