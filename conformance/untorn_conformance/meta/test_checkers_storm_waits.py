"""H10 on literal histories: what hung, by the clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from untorn_conformance.checkers.storm.waits import SLACK_S
from untorn_conformance.history import Excuse, OpOutcome
from untorn_conformance.meta.literal_history import Told, found

WAIT_S = 2.0
MOST_MS = (WAIT_S + SLACK_S) * 1000


def waited(took_ms: float, *, single_flight: bool = False, wait_s: float | None = WAIT_S) -> Told:
    """A lookup of r, asked at 1 and answered so much later."""
    limits = {} if wait_s is None else {"flight_wait_s": wait_s}
    told = Told(limits=limits)
    if single_flight:
        told.start = replace(told.start, capabilities=("single-flight",))
    told.miss("r", 1, 1 + took_ms, "a")
    return told


def killed(took_ms: float, **death: object) -> Told:
    """A lookup of r, asked at 1; r is killed so much later."""
    told = Told(limits={"flight_wait_s": WAIT_S})
    told.op("r", 1, None, "lookup", key="a")
    told.death("r", 1 + took_ms, **death)
    return told


def test_H10_an_answer_comes_in_time() -> None:
    assert found(waited(MOST_MS + 1)) == {"H10": {"L1"}}
    assert found(waited(MOST_MS)) == {}


def test_H10_a_flight_is_waited_for_so_long() -> None:
    assert found(waited(MOST_MS + 1, single_flight=True)) == {"H10": {"L1", "P7"}}
    assert found(waited(MOST_MS + 1, wait_s=None)) == {}


def test_H10_who_is_killed_had_answered_in_time() -> None:
    assert found(killed(MOST_MS + 1)) == {"H10": {"L1"}}
    assert found(killed(MOST_MS)) == {}
    assert found(killed(MOST_MS + 1, asked=False)) == {"H10": {"R6"}}


def test_H10_who_is_killed_ended_when_the_killing_began() -> None:
    told = killed(MOST_MS + 1)
    told.strike(MOST_MS - 5, MOST_MS + 9, Excuse.KILLS, processes=("r",))
    assert found(told) == {}


@pytest.mark.parametrize(
    ("struck", "ends", "expected"),
    [(("r",), 102, {}), (("r",), 101, {"H10": {"L1"}}), (("q",), 102, {"H10": {"L1"}})],
)
def test_H10_a_process_that_stands_still_waits_for_nobody(
    struck: tuple[str, ...], ends: float, expected: dict[str, set[str]]
) -> None:
    """It stood still for 2 ms, or for 1 ms; who else did is no excuse."""
    told = waited(MOST_MS + 2)
    told.strike(100, ends, Excuse.STOPS, bit=False, processes=struck)
    assert found(told) == expected


def test_H10_an_extraction_decodes_as_long_as_it_takes() -> None:
    told = Told(limits={"flight_wait_s": WAIT_S})
    told.op("e", 1, MOST_MS + 9, "extract", outcome=OpOutcome.DONE)
    assert found(told) == {}
