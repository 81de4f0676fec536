"""Looks: a dialogue that was foretold counts only if it is the one that would have been had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance import wire
from untorn_conformance.backend import Miss, MissReason, Verb
from untorn_conformance.verdict import EvidenceClass
from untorn_stress.crash_states import CrashStates, evidence
from untorn_stress.gate.availability import probe
from untorn_stress.gate.hosting import HostingError
from untorn_stress.laboratory import Laboratory
from untorn_stress.looks import Looks, follow
from untorn_stress.payloads import Payloads
from untorn_stress.programs import collector, reader
from untorn_stress.scenarios import labels_of, scenario

Make = Callable[..., Laboratory]

MISS = wire.encode_answer(1, Miss(reason=MissReason.ABSENT))


@pytest.fixture
def payloads(tmp_path: Path) -> Payloads:
    return Payloads(tmp_path / "payload")


@pytest.fixture
def lookup(payloads: Payloads) -> bytes:
    return wire.encode_request(1, Verb.LOOKUP, {"key": payloads.key("k")})


def test_a_dialogue_as_its_programs_would_have_it_gives_their_operations(
    payloads: Payloads, lookup: bytes
) -> None:
    had = follow([reader("k")], payloads, (lookup,), [MISS])
    assert had is not None
    assert [(each.verb, each.answer) for each in had] == [
        (Verb.LOOKUP, Miss(reason=MissReason.ABSENT))
    ]


def test_an_answer_after_which_less_would_be_asked_is_another_dialogue(
    payloads: Payloads, lookup: bytes
) -> None:
    release = wire.encode_request(2, Verb.RELEASE, {"handle": "h1"})
    assert follow([reader("k")], payloads, (lookup, release), [MISS, MISS]) is None


def test_an_answer_after_which_more_would_be_asked_is_another_dialogue(
    payloads: Payloads, lookup: bytes
) -> None:
    assert follow([reader("k"), collector()], payloads, (lookup,), [MISS]) is None


def test_what_is_no_answer_is_for_the_gate_to_judge(payloads: Payloads, lookup: bytes) -> None:
    assert follow([reader("k")], payloads, (lookup,), [b"{}"]) is None


@pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")
def test_foretold_or_not_fresh_workers_find_the_same(laboratory_of: Make) -> None:
    laboratory = laboratory_of()
    states = list(laboratory.harvest().values())
    foretold, looks = [], Looks(laboratory)
    for start in states:
        foretold.append(looks.look(start, ("k",)).operations)
    for start, told in zip(states, foretold, strict=True):
        played = scenario("recovery-alone")
        assert labels_of(played, start.name) == ("k",)
        looks = Looks(laboratory)  # it knows no dialogue yet
        assert looks.look(start, ("k",)).operations == told


HANGS_AFTER_A_CRASH = """
def lookup(self, *, key):
    import time
    from untorn_conformance.specimens.seed_layout import is_partial
    if any(map(is_partial, os.listdir(self._root))):
        time.sleep(3600)
    return super().lookup(key=key)
"""


@pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")
def test_who_hangs_over_a_state_leaves_it_undecided(laboratory_of: Make) -> None:
    laboratory = laboratory_of(HANGS_AFTER_A_CRASH, step_deadline_s=1.0)
    judged = CrashStates(laboratory).judge(scenario("publish-alone"), laboratory.start("empty"))
    assert judged.undecided
    assert not judged.broken
    assert evidence([judged]).kind is EvidenceClass.SAMPLED


@pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")
def test_what_cannot_be_asked_before_the_gate_is_asked_at_it(
    laboratory_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = laboratory_of()
    start = laboratory.start("published")
    told = Looks(laboratory).look(start, ("k",)).operations

    def refused(_: object) -> list[bytes]:
        raise HostingError("these workers are asked at the gate")

    looks = Looks(laboratory)
    monkeypatch.setattr(laboratory, "answers", refused)
    assert looks.look(start, ("k",)).operations == told
    assert looks.look(laboratory.start("empty"), ("k",)).operations
