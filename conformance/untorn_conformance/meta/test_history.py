"""A round is read as it was written; a file cut short loses a line; what is no line is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from untorn_conformance import history
from untorn_conformance.history import (
    Audit,
    Death,
    Excuse,
    HistoryError,
    Op,
    OpOutcome,
    Round,
    RoundStart,
    Seen,
    Strike,
)
from untorn_conformance.meta.imagined import Imagined

START = RoundStart(
    number=3,
    seed=7,
    backend="reference",
    keys=("a", "b"),
    frames=8,
    entry_bytes=4096,
    capabilities=("lease",),
    limits={"flight_wait_s": 2.0, "bytes_meaning": "st_size"},
    budget_bytes=10**6,
    min_age_s=0.5,
    present={"a": "a1"},
)
LOOKUP = Op(
    id=0,
    process="reader0.1",
    verb="lookup",
    key="a",
    began_ns=5,
    ended_ns=9,
    outcome=OpOutcome.HIT,
    files=8,
    in_order=False,
)
READ = Op(
    id=1,
    process="reader0.1",
    verb="read",
    via=0,
    index=2,
    began_ns=10,
    ended_ns=11,
    outcome=OpOutcome.READ,
    seen=Seen(key="a", version="a1", index=2),
)
PUBLISH = Op(id=2, process="writer0.1", verb="publish", key="b", via=0, version="b1", began_ns=12)
COLLECT = Op(
    id=3,
    process="collector0.1",
    verb="collect",
    began_ns=13,
    ended_ns=20,
    outcome=OpOutcome.COLLECTED,
    numbers={"evicted": 2, "min_age_s": 0.0},
)
MISS = Op(
    id=4,
    process="reader0.1",
    verb="lookup",
    key="b",
    began_ns=14,
    ended_ns=15,
    outcome=OpOutcome.MISS,
    reason="absent",
)
FAILED = Op(
    id=5,
    process="reader0.1",
    verb="stats",
    began_ns=15,
    ended_ns=16,
    outcome=OpOutcome.ERROR,
    reason="internal",
    message="ValueError: a long story",
)
STRIKE = Strike(
    name="cleaner",
    begin_ns=1,
    end_ns=4,
    excuses=(Excuse.REMOVES, Excuse.AGES),
    bit=True,
    detail="2 files of 1 entry",
    processes=("reader0.1",),
)
DEATH = Death(process="writer0.1", at_ns=16, asked=False, how="exit 1", leaves_children=True)
AUDIT = Audit(
    at_ns=30,
    debris=("trash/1",),
    counted_bytes=10,
    disk_bytes=None,
    unpublishable={"b": "unpublished: busy"},
)
ROUND = Round(
    start=START,
    ops=(LOOKUP, READ, PUBLISH, COLLECT, MISS, FAILED),
    strikes=(STRIKE,),
    deaths=(DEATH,),
    audit=AUDIT,
)


def lines_of(round_: Round) -> Iterator[str]:
    """The round's lines, each operation's answer as late as it may come."""
    yield history.begin_line(round_.start)
    yield from map(history.invoke_line, round_.ops)
    yield from (history.return_line(op) for op in round_.ops if op.is_answered)
    yield from map(history.strike_line, round_.strikes)
    yield from map(history.death_line, round_.deaths)
    if round_.audit is not None:
        yield history.audit_line(round_.audit)


def test_a_round_is_read_as_it_was_written() -> None:
    assert history.read(lines_of(ROUND)) == ROUND


@pytest.mark.parametrize("outcome", list(OpOutcome))
def test_every_outcome_is_read_as_it_was_written(outcome: OpOutcome) -> None:
    op = Op(id=0, process="p", verb="v", ended_ns=1, outcome=outcome)
    round_ = Round(start=START, ops=(op,))
    assert history.read(lines_of(round_)) == round_


@given(seed=st.integers(min_value=0, max_value=2**16))
def test_any_round_is_read_as_it_was_written(seed: int) -> None:
    round_ = Imagined(seed, steps=60).play()
    assert history.read(lines_of(round_)) == round_


def test_a_line_is_one_line_of_json_whatever_it_says() -> None:
    strike = Strike(name="line\nbreak \N{SNOWMAN}", begin_ns=1)
    line = history.strike_line(strike)
    assert line.count("\n") == 1
    assert line.isascii()
    assert history.read([history.begin_line(START), line]).strikes == (strike,)


def test_what_goes_without_saying_is_not_written() -> None:
    said = json.loads(history.invoke_line(Op(id=0, process="p", verb="stats", began_ns=5)))
    assert said == {"invoke": {"id": 0, "process": "p", "verb": "stats", "at_ns": 5}}


def test_an_answer_without_its_operation_is_none() -> None:
    lines = [history.begin_line(START), history.return_line(LOOKUP)]
    with pytest.raises(HistoryError, match="line 2"):
        history.read(lines)


def test_a_collects_arguments_are_known_from_its_asking_on() -> None:
    """One that is killed amid its work is not taken for one of min_age 0."""
    asked = {"budget_bytes": 5.0, "min_age_s": 60.0, "dry_run": 1.0, "shifted_s": 9.0, "stood": 3}
    done = replace(COLLECT, id=0, numbers={**asked, "evicted": 2, "stayed": 1})
    lines = [history.begin_line(START), history.invoke_line(done), history.return_line(done)]
    assert history.read(lines).ops == (done,)
    (begun,) = history.read(lines[:2]).ops
    assert begun.numbers == asked


def test_an_answer_that_repeats_no_argument_leaves_those_that_were_asked() -> None:
    done = replace(COLLECT, id=0, numbers={"evicted": 2})
    asked = replace(COLLECT, id=0, numbers={"min_age_s": 60.0})
    lines = [history.begin_line(START), history.invoke_line(asked), history.return_line(done)]
    (op,) = history.read(lines).ops
    assert op.numbers == {"min_age_s": 60.0, "evicted": 2}


# --- cut short


@pytest.mark.parametrize("kept", range(1, 12))
def test_a_file_that_ends_amid_a_line_lost_only_that_line(kept: int) -> None:
    lines = list(lines_of(ROUND))
    whole = history.read(lines[:kept])
    assert history.read([*lines[:kept], lines[kept][:-1]]) == whole
    assert history.read([*lines[:kept], lines[kept][:9]]) == whole


def test_a_round_without_an_audit_is_not_whole() -> None:
    lines = list(lines_of(ROUND))
    assert history.read(lines).is_whole
    assert not history.read(lines[:-1]).is_whole


def test_an_operation_whose_answer_was_cut_off_has_none() -> None:
    lines = [history.begin_line(START), history.invoke_line(LOOKUP), history.return_line(LOOKUP)]
    (op,) = history.read([*lines[:2], lines[2][:-1]]).ops
    assert not op.is_answered
    assert op.outcome is None


@pytest.mark.parametrize("lines", [[], [""], [history.begin_line(START)[:-1]]])
def test_a_file_without_a_first_line_is_no_round(lines: list[str]) -> None:
    with pytest.raises(HistoryError, match="first line"):
        history.read(lines)


# --- malformed

INVOKED = history.invoke_line(LOOKUP)
RETURNED = history.return_line(LOOKUP)


@pytest.mark.parametrize(
    "lines",
    [
        ["nonsense\n"],
        ["[]\n"],
        ["1\n"],
        ["null\n"],
        ["{}\n"],
        ['{"invoke":{},"return":{}}\n'],
        ['{"unheard":{}}\n'],
        ['{"invoke":{}}\n'],
        ['{"invoke":7}\n'],
        ['{"invoke":{"id":1,"process":"p","verb":"v","at_ns":1}}\n'],
        ['{"invoke":{"id":0,"process":"p","verb":"v"}}\n'],
        ['{"return":{"id":0,"at_ns":1,"outcome":"hit"}}\n'],
        [INVOKED, INVOKED],
        [INVOKED, '{"return":{"id":0,"at_ns":1}}\n'],
        [INVOKED, '{"return":{"id":0,"at_ns":1,"outcome":"perhaps"}}\n'],
        [INVOKED, '{"return":{"id":0,"outcome":"hit"}}\n'],
        [INVOKED, '{"return":{"id":0,"at_ns":1,"outcome":"hit","seen":["a"]}}\n'],
        [INVOKED, '{"return":{"id":-1,"at_ns":1,"outcome":"hit"}}\n'],
        [INVOKED, RETURNED, RETURNED],
        ['{"strike":{"name":"s","begin_ns":1}}\n'],
        ['{"strike":{"name":"s","begin_ns":1,"excuses":["bad weather"]}}\n'],
        ['{"strike":{"excuses":[]}}\n'],
        ['{"death":{"at_ns":1}}\n'],
        ['{"death":{"process":"p","at_ns":1,"mourned":true}}\n'],
        ['{"audit":{}}\n'],
        ['{"audit":{"at_ns":1,"rating":"AAA"}}\n'],
    ],
)
def test_a_line_that_is_none_is_named(lines: list[str]) -> None:
    with pytest.raises(HistoryError, match=rf"line {len(lines) + 1} "):
        history.read([history.begin_line(START), *lines])


@pytest.mark.parametrize(
    "said", [{"invoke": {"x": 1}}, {"unheard": 1}], ids=["unknown field", "unknown event"]
)
def test_what_a_later_version_added_is_no_line_of_this_one(said: dict[str, object]) -> None:
    line = json.dumps(said) + "\n"
    with pytest.raises(HistoryError):
        history.read([history.begin_line(START), line])


def test_an_operation_with_an_unknown_field_is_no_operation() -> None:
    line = '{"invoke":{"id":0,"process":"p","verb":"v","at_ns":1,"mood":"good"}}\n'
    with pytest.raises(HistoryError, match="mood"):
        history.read([history.begin_line(START), line])


def test_a_history_begins_with_its_round() -> None:
    with pytest.raises(HistoryError, match="line 1"):
        history.read([INVOKED])


def test_another_version_is_not_read() -> None:
    line = history.begin_line(START).replace('"history_version":1', '"history_version":2')
    with pytest.raises(HistoryError, match="version 2"):
        history.read([line])


def test_a_second_round_in_one_file_is_none() -> None:
    with pytest.raises(HistoryError, match="line 2"):
        history.read([history.begin_line(START), history.begin_line(START)])
