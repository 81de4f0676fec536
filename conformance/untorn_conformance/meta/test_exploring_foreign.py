"""What strangers bring (tokens, files, programs) is named when it is broken; nothing crashes."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest
from untorn_conformance.meta.asking import FIRST, explore
from untorn_conformance.replaying import replay_command
from untorn_stress import gated
from untorn_stress.counterexample import Counterexample, CounterexampleError, MadeWith
from untorn_stress.gate.availability import probe
from untorn_stress.run import Run
from untorn_stress.token import Token, TokenError
from untorn_stress.tree import Tree, TreeError

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

PROGRAMS = Path(__file__).resolve().parents[3] / "stress/tests/programs"
TOKEN = Token(
    backend=FIRST,
    identity="nobody@0",
    scenario="writer-writer",
    tree="harvest-1a2b3c4d",
    bound=1,
    choices=(),
)
RUN = Run(scenario=TOKEN.scenario, tree=TOKEN.tree, seed=0, choices=(), steps=(), operations=())


def replay(token: Token, *, tree: object = None, backend: str | None = None) -> None:
    """Replay what is not to be replayed, from a file if there is a tree."""
    made_with = MadeWith.here()
    saved = Counterexample(token=token, run=RUN, tree=tree, made_with=made_with)
    replay_command(
        token=token,
        saved=None if tree is None else saved,
        backend=backend,
        times=1,
        draw=lambda *_run, **_how: "",
        progress=lambda _line: None,
    )


@pytest.mark.parametrize(
    ("backend", "told"),
    [
        (None, "there is no backend 'sqlite'; allowed are"),
        (FIRST, r"made with another backend, nobody \(--backend 'sqlite'\), not with seed"),
    ],
)
def test_a_token_of_an_unknown_backend_is_named(backend: str | None, told: str) -> None:
    with pytest.raises(TokenError, match=told):
        replay(dataclasses.replace(TOKEN, backend="sqlite"), backend=backend)


def test_beside_the_given_backend_nothing_that_a_token_names_is_started(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    with pytest.raises(TokenError, match="made with another backend"):
        replay(dataclasses.replace(TOKEN, backend=f"cmd:touch {mark}"), backend=FIRST)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("tree", "said"), [([], "lacks its root"), ({"a": 1}, "a tree is a list of names")]
)
def test_a_file_whose_tree_is_none_is_named(tree: object, said: str) -> None:
    with pytest.raises(CounterexampleError, match=said):
        replay(TOKEN, tree=tree)


def test_a_program_that_answers_what_nobody_asked_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    program = f"cmd:{sys.executable} {PROGRAMS / 'answers_twice.py'}"
    done = explore(program, tmp_path, "reader-writer", tree="empty", runs=5)
    assert (done.exit_code, "A answered what nobody asked" in done.text) == (7, True), done.text


def test_a_root_that_no_tree_can_hold_leaves_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(root: str) -> Tree:
        raise TreeError(f"{os.path.basename(root)}/d is a device, which a tree cannot hold")

    monkeypatch.setattr(gated, "capture", refuse)
    done = explore(FIRST, tmp_path, "reader-writer", tree="empty", runs=5)
    assert (done.exit_code, "cache/d is a device" in done.text) == (7, True), done.text
