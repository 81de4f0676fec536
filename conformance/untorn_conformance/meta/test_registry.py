from __future__ import annotations

import sys

import pytest
from untorn_conformance.registry import parse


def test_a_python_backend_is_hosted_in_a_process_of_its_own() -> None:
    command = parse("py:package.module:Factory").command()
    assert command == [sys.executable, "-m", "untorn_conformance.serve", "package.module:Factory"]


def test_the_reference_is_a_python_backend() -> None:
    command = parse("reference").command()
    assert command[-1] == "untorn_conformance.backends.reference:factory"


def test_a_hosted_backend_drops_to_the_user_by_itself() -> None:
    spec = parse("py:module:factory")
    assert spec.command(uid=7, gid=8)[-4:] == ["--uid", "7", "--gid", "8"]
    assert spec.drops_privileges_itself


def test_a_foreign_program_is_split_as_in_a_shell() -> None:
    assert parse("cmd:node 'my adapter.mjs'").command() == ["node", "my adapter.mjs"]


def test_a_foreign_program_must_be_started_as_the_user() -> None:
    spec = parse("cmd:node adapter.mjs")
    assert spec.command(uid=7, gid=8) == ["node", "adapter.mjs"]
    assert not spec.drops_privileges_itself


@pytest.mark.parametrize(
    "spec",
    ["", "nonsense", "py:", "py:module", "py:module:", "py:mod ule:f", "cmd:", "cmd: ", 'cmd:"x'],
)
def test_what_is_no_backend_is_refused_with_a_word_on_what_is_allowed(spec: str) -> None:
    with pytest.raises(ValueError, match=r"py:MODULE:FACTORY|cmd:COMMAND|as in a shell"):
        parse(spec)
