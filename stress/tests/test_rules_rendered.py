"""The rules about whole renders on literal histories: whose frames, which items, what was said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from untorn_conformance.backend import (
    Axis,
    Extracted,
    ExtractOutcome,
    Failed,
    FailedCode,
    FrameRead,
    LogEvent,
    Logged,
    Rendered,
    Stats,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_stress import undisturbed
from untorn_stress.payloads import Payloads, RequestFrames
from untorn_stress.programs import renderer, requester_of
from untorn_stress.rules.history import Aftermath
from untorn_stress.rules.judge import judge
from untorn_stress.rules.literal import rows
from untorn_stress.run import Operation, Run
from untorn_stress.scenario import Ask
from untorn_stress.scenarios import scenario

RENDERS = frozenset({Capability.EXTRACT, Capability.RENDER, Capability.STATS, Capability.LOG})
ONE, TWO = ({Axis.PATH: f"/{name}.mp4", Axis.FPS: "1", Axis.FORMAT: "png"} for name in "ab")
NAMES = ("frame_00001.png", "frame_00002.png")
RIGHT = {"a": ("a1", "a2"), "b": ("b1", "b2")}


@pytest.fixture
def payloads(tmp_path: Path) -> Payloads:
    made = Payloads(tmp_path / "payload", clip="/clips/a.mp4")
    for inputs, digests in zip((ONE, TWO), RIGHT.values(), strict=True):
        made.footage[made.request(inputs)] = RequestFrames(NAMES, digests)
    return made


def item(
    handle: str, outcome: ExtractOutcome = ExtractOutcome.PUBLISHED, *, names: int = 2
) -> Extracted:
    return Extracted(handle=handle, files=NAMES[:names], outcome=outcome)


def asked(*items: Extracted | Failed, frames: str = "a1 a2 b1 b2") -> list[Operation]:
    """A render of two requests, answered so, and its reads."""
    operations = [
        Operation(
            index=0,
            worker="A",
            verb=Verb.RENDER,
            args={"requests": [ONE, TWO]},
            ended=1,
            answer=Rendered(items=items),
        )
    ]
    given = iter(frames.split())
    for each in items:
        for index in range(len(each.files) if isinstance(each, Extracted) else 0):
            assert isinstance(each, Extracted)
            operations.append(
                Operation(
                    index=len(operations),
                    worker="A",
                    verb=Verb.READ,
                    args={"handle": each.handle, "index": index},
                    began=1,
                    ended=1,
                    answer=FrameRead(sha256=next(given), bytes=1),
                )
            )
    return operations


def said(operations: list[Operation], verb: Verb, answer: object) -> list[Operation]:
    """And what was asked after it."""
    index = len(operations)
    last = Operation(index=index, worker="A", verb=verb, began=1, ended=1, answer=answer)
    return [*operations, last]


def judged(
    payloads: Payloads,
    operations: list[Operation],
    after: list[Operation] = [],  # noqa: B006 (nobody changes it)
    *,
    fault: bool = False,
    kill: bool = False,
    capabilities: frozenset[Capability] = RENDERS,
) -> list[str]:
    if fault:
        operations = [replace(operations[0], faults=("EIO",)), *operations[1:]]
    run = Run(
        scenario="failing-render",
        tree="extracted",
        seed=0,
        choices=("A!kill",) if kill else ("A",),
        steps=(),
        operations=tuple(operations),
    )
    return rows(
        judge(
            run,
            scenario("failing-render"),
            payloads,
            capabilities,
            Aftermath(operations=tuple(after)),
        )
    )


RENDERED = asked(item("h1"), item("h2"))


def test_a_render_of_right_frames_is_right(payloads: Payloads) -> None:
    counted = Stats(counters={"published": 2})
    assert judged(payloads, said(RENDERED, Verb.STATS, counted), RENDERED) == []


@pytest.mark.parametrize(("fault", "row"), [(False, "X1"), (True, "D2")])
def test_frames_of_another_request_are_found(payloads: Payloads, fault: bool, row: str) -> None:
    mixed = asked(item("h1"), item("h2"), frames="b1 b2 a1 a2")
    assert judged(payloads, mixed, fault=fault) == [f"{row} other-frames"] * 2


def test_a_frame_too_few_is_found_whatever_failed(payloads: Payloads) -> None:
    short = asked(item("h1", names=1), item("h2"), frames="a1 b1 b2")
    assert judged(payloads, short, fault=True) == ["D2 other-names"]


def test_frames_that_bytes_do_not_tell_are_not_judged(payloads: Payloads) -> None:
    payloads.footage.clear()
    mixed = asked(item("h1"), item("h2"), frames="b1 b2 a1 a2")
    assert judged(payloads, mixed) == []


FAILED = Failed(code=FailedCode.DECODER_FAILED, message="no room")


def test_an_item_may_fail_where_a_call_did_and_nowhere_else(payloads: Payloads) -> None:
    half = asked(FAILED, item("h2"), frames="b1 b2")
    assert judged(payloads, half, fault=True) == []
    assert judged(payloads, half) == ["X1 failed"]
    odd = asked(replace(FAILED, code=FailedCode.INVALID_KEY), item("h2"), frames="b1 b2")
    assert judged(payloads, odd, fault=True) == ["D2 failed"]


def test_every_request_has_an_item(payloads: Payloads) -> None:
    assert judged(payloads, asked(item("h1"))) == ["X1 items"]


def test_a_render_ends_in_no_error_whatever_fails(payloads: Payloads) -> None:
    error = BackendError(ErrorCode.DECODER_FAILED, "no room")
    assert judged(payloads, [replace(RENDERED[0], answer=error)], fault=True) == ["D2 error"]


@pytest.mark.parametrize(
    ("fault", "kill", "row"), [(True, False, "L2"), (False, True, "C2"), (False, False, "L2")]
)
def test_the_next_render_has_the_cache_again(
    payloads: Payloads, fault: bool, kill: bool, row: str
) -> None:
    after = asked(item("h1"), item("h2", ExtractOutcome.UNCACHED))
    assert judged(payloads, RENDERED, after, fault=fault, kill=kill) == [f"{row} stuck"]


@pytest.mark.parametrize(("fault", "kill", "row"), [(True, False, "D2"), (False, True, "C1")])
def test_the_next_render_hits_no_half_of_an_entry(
    payloads: Payloads, fault: bool, kill: bool, row: str
) -> None:
    torn = asked(item("h1", ExtractOutcome.HIT, names=1), item("h2"), frames="a1 b1 b2")
    assert judged(payloads, RENDERED, torn, fault=fault, kill=kill) == [f"{row} other-names"]


def test_a_cause_is_warned_of_once(payloads: Payloads) -> None:
    once = [LogEvent(level="warning", cause="ENOSPC"), LogEvent(level="warning", cause="EIO")]
    assert judged(payloads, said(RENDERED, Verb.LOG, Logged(events=tuple(once)))) == []
    twice = Logged(events=(*once, LogEvent(level="warning", cause="EIO")))
    assert judged(payloads, said(RENDERED, Verb.LOG, twice)) == ["D3 warned-again"]


def test_what_is_counted_is_what_was_answered(payloads: Payloads) -> None:
    one = Stats(counters={"published": 1, "hit": 0})
    assert judged(payloads, said(RENDERED, Verb.STATS, one)) == ["O1 miscounted"]
    uncounting = RENDERS - {Capability.STATS}
    assert judged(payloads, said(RENDERED, Verb.STATS, one), capabilities=uncounting) == []


@pytest.mark.parametrize(
    ("counters", "found"),
    [
        ({"published": 1, "hit": 1, "re_extracted": 2}, []),
        ({"published": 1, "hit": 1, "re_extracted": 1}, ["O1 miscounted"]),
        ({"published": 2, "re_extracted": 1}, ["O1 miscounted"]),
        ({}, []),
    ],
)
def test_what_was_extracted_again_was_counted_before(
    payloads: Payloads, counters: dict[str, int], found: list[str]
) -> None:
    past = asked(*(item(handle, ExtractOutcome.UNCACHED) for handle in ("h1", "h2")))
    assert judged(payloads, said(past, Verb.STATS, Stats(counters=counters)), fault=True) == found


def test_who_declares_no_log_may_say_that_it_has_none(payloads: Payloads) -> None:
    none = said(RENDERED, Verb.LOG, BackendError(ErrorCode.UNSUPPORTED, "no log"))
    assert judged(payloads, none, capabilities=RENDERS - {Capability.LOG}) == []
    assert judged(payloads, none) == ["L2 error"]


# --- what requests give undisturbed


def test_the_requests_of_a_render_are_known_before_it_runs(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a clip")
    payloads = Payloads(tmp_path / "payload", clip=str(tmp_path / "a.mp4"))
    requests = undisturbed.requests_of([renderer(), renderer()], payloads)
    assert len(requests) == 4
    assert Path(payloads.other_clip()).read_bytes() == b"a clip"
    ask = next(requester_of(requests[0])(payloads))
    assert ask == Ask(verb=Verb.EXTRACT, args={"inputs": requests[0]})


def test_what_was_handed_out_whole_is_footage(payloads: Payloads) -> None:
    found = undisturbed.footage_of(tuple(RENDERED), payloads)
    assert found == payloads.footage
    cut = undisturbed.footage_of(tuple(RENDERED[:-1]), payloads)
    assert list(cut) == [payloads.request(ONE)]


def test_only_what_was_the_same_twice_tells_frames(payloads: Payloads) -> None:
    other = asked(item("h1"), item("h2"), frames="a1 a2 b1 b9")
    together = undisturbed.footage_of(tuple(other), payloads)
    assert list(undisturbed.agreeing(payloads.footage, together)) == [payloads.request(ONE)]
