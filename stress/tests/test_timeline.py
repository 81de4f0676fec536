"""The timeline: literal runs in, exact text out."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from untorn_conformance.backend import Published, Staged, StagedFile, Verb
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_stress import timeline
from untorn_stress.contention import contended
from untorn_stress.run import Finding, FindingKind, Operation, Run, Step
from untorn_stress.timeline import render
from untorn_stress.token import parse_schedule

FILES = [StagedFile(name=name, path=f"payload/{name}") for name in ("f0", "f1")]
GONE = Finding(
    kind=FindingKind.VIOLATION,
    requirement="P3",
    rule="survives-others",
    message="writer A removed the complete entry that writer B had published and acknowledged",
    step=16,
)


def steps(text: str, operations: dict[str, int] | None = None) -> tuple[Step, ...]:
    """Steps from lines of ``actor[!fault] call detail = result``."""
    made = []
    for number, line in enumerate(text.strip().splitlines()):
        did, _, result = line.strip().rpartition(" = ")
        label, call, *detail = did.split(" ", 2)
        actor = label.partition("!")[0]
        made.append(
            Step(
                number=number,
                actor=actor,
                label=label,
                operation=(operations or {}).get(actor, -1),
                call=call,
                detail="".join(detail),
                result=result,
            )
        )
    return tuple(made)


def run_of(text: str, **more: Any) -> Run:
    taken = steps(text)
    given: dict[str, Any] = {"scenario": "adopt", "tree": "empty", "seed": 0, **more}
    return Run(
        choices=tuple(step.label for step in taken), steps=taken, **{"operations": (), **given}
    )


def asked(index: int, worker: str, verb: Verb, began: int, ended: int, **more: Any) -> Operation:
    return Operation(index=index, worker=worker, verb=verb, began=began, ended=ended, **more)


def stage(index: int, worker: str, ended: int) -> Operation:
    args: dict[str, object] = {"key": "k", "files": FILES}
    return asked(
        index,
        worker,
        Verb.STAGE,
        0,
        ended,
        args=args,
        tag=worker.lower(),
        answer=Staged(handle="h1"),
    )


def publish(index: int, worker: str, began: int, ended: int) -> Operation:
    answer = Published(handle="h1", files=("f0", "f1"))
    return asked(index, worker, Verb.PUBLISH, began, ended, args={"handle": "h1"}, answer=answer)


RACE = Run(
    scenario="writer-writer",
    tree="harvest-1a2b3c4d",
    seed=0,
    choices=parse_schedule("6A-10B-5A"),
    steps=steps(
        """
        A mkdir k.partial-{1} = 0
        A openat k.partial-{1}/f0 O_CREAT|O_WRONLY = fd
        A openat k.partial-{1}/f1 O_CREAT|O_WRONLY = fd
        A openat k.partial-{1}/.complete O_CREAT|O_WRONLY = fd
        A rename k.partial-{1} -> k = ENOTEMPTY
        A newfstatat k/.complete = ENOENT
        B mkdir k.partial-{2} = 0
        B openat k.partial-{2}/f0 O_CREAT|O_WRONLY = fd
        B openat k.partial-{2}/f1 O_CREAT|O_WRONLY = fd
        B openat k.partial-{2}/.complete O_CREAT|O_WRONLY = fd
        B rename k.partial-{2} -> k = ENOTEMPTY
        B newfstatat k/.complete = ENOENT
        B unlinkat k/f0 = 0
        B rmdir k = 0
        B rename k.partial-{2} -> k = 0
        A getdents64 k = 112
        A unlinkat k/.complete = 0
        A unlinkat k/f0 = 0
        A unlinkat k/f1 = 0
        A rmdir k = 0
        A rename k.partial-{1} -> k = 0
        """
    ),
    operations=(
        stage(0, "A", 4),
        stage(1, "B", 10),
        publish(2, "A", 4, 21),
        publish(3, "B", 10, 15),
        asked(4, "B", Verb.RELEASE, 15, 15, args={"handle": "h1"}),
    ),
    findings=(GONE,),
)
REPLAY = "untorn replay u1.writer-writer.harvest-1a2b3c4d.6A-10B-5A.metadata.real.0.WyJd.5fd82923"

RACE_DRAWN = """\
writer-writer from tree harvest-1a2b3c4d, seed 0
21 steps: 6A-10B-5A
  A  stage k 2 files (a), publish h1
  B  stage k 2 files (b), publish h1, release h1
  * another worker touches this path too, and one of the two changes it

step  A                                               B
────  ──────────────────────────────────────────────  ──────────────────────────────────────────────
      ┌ stage k 2 files (a)
      │                                               ┌ stage k 2 files (b)
   0  │ mkdir k.partial-{1}                        0  │
   1  │ openat k.partial-{1}/f0 O_CREAT|O_WRONLY  fd  │
   2  │ openat k.partial-{1}/f1 O_CREAT|O_WRONLY  fd  │
   3  │ openat k.partial-{1}/.complete            fd  │
      └ stage k -> staged h1                          │
      ┌ publish h1                                    │
   4  │*rename k.partial-{1} -> k          ENOTEMPTY  │
   5  │*newfstatat k/.complete                ENOENT  │
   6  │                                               │ mkdir k.partial-{2}                        0
   7  │                                               │ openat k.partial-{2}/f0 O_CREAT|O_WRONLY  fd
   8  │                                               │ openat k.partial-{2}/f1 O_CREAT|O_WRONLY  fd
   9  │                                               │ openat k.partial-{2}/.complete            fd
      │                                               └ stage k -> staged h1
      │                                               ┌ publish h1
  10  │                                               │*rename k.partial-{2} -> k          ENOTEMPTY
  11  │                                               │*newfstatat k/.complete                ENOENT
  12  │                                               │*unlinkat k/f0                              0
  13  │                                               │*rmdir k                                    0
  14  │                                               │*rename k.partial-{2} -> k                  0
      │                                               └ publish h1 -> published 2 files
      │                                               ─ release h1 -> done
  15  │*getdents64 k                             112
  16  │*unlinkat k/.complete                       0
      <== P3 survives-others: writer A removed the complete entry that writer B had published and a…
  17  │*unlinkat k/f0                              0
  18  │*unlinkat k/f1                              0
  19  │*rmdir k                                    0
  20  │*rename k.partial-{1} -> k                  0
      └ publish h1 -> published 2 files

violation of P3 survives-others, at step 16: writer A removed the complete entry that writer B had
  published and acknowledged
untorn replay u1.writer-writer.harvest-1a2b3c4d.6A-10B-5A.metadata.real.0.WyJd.5fd82923"""

THREE_FOLDED = """\
reader-writer-gc from tree published, seed 7
11 steps: 2B-1At1-4B-1A!EIO-1C-1A-1C
  A  lookup k
  B  stage k 2 files (b)
  C  collect budget_bytes=1
  * another worker touches this path too, and one of the two changes it

step  A                         B                              C
────  ────────────────────────  ─────────────────────────────  ───────────────────────────
      ┌ lookup k
      │                         ┌ stage k 2 files (b)
      │                         │                              ┌ collect budget_bytes=1
   0  │                         │ mkdir s/{1}               0  │
   1  │                         │ openat s/{1}/f0 CREAT    fd  │
   2  │ t1:statx CACHEDIR    0  │                              │
      │                         │ … steps 3 to 6, all its own  │
      │                         └ stage k -> staged h1         │
   7  │ openat v1     !EIO EIO                                 │
   8  │                                                        │*rename v1/k -> trash/k  ?
   9  │*openat v1/k/f0  ENOENT                                 │
  10  │                                                        │ close v1/x              0
      └ lookup k -> no answer                                  │
                                                               └ collect -> no answer

no finding"""


def three() -> Run:
    return run_of(
        """
        B mkdir s/{1} = 0
        B openat s/{1}/f0 CREAT = fd
        At1 statx CACHEDIR = 0
        B write s/{1}/f0 = 5
        B write s/{1}/f0 = 5
        B close s/{1}/f0 = 0
        B fsync s/{1} = 0
        A!EIO openat v1 = EIO
        C rename v1/k -> trash/k = ?
        A openat v1/k/f0 = ENOENT
        C close v1/x = 0
        """,
        scenario="reader-writer-gc",
        tree="published",
        seed=7,
        operations=(
            asked(0, "A", Verb.LOOKUP, 0, -1, args={"key": "k"}),
            stage(1, "B", 7),
            asked(2, "C", Verb.COLLECT, 0, -1, args={"budget_bytes": 1, "dry_run": False}),
        ),
    )


def line_with(text: str, part: str) -> str:
    (line,) = [line for line in text.splitlines() if part in line]
    return line


def columns(text: str) -> list[str]:
    """The lines of the columns, below their rule."""
    lines = text.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.startswith("────"))
    return lines[rule + 1 : lines.index("", rule)]


def test_the_race_is_drawn_to_the_letter() -> None:
    assert render(RACE, replay=REPLAY) == RACE_DRAWN


def test_three_workers_a_thread_a_fault_and_folded_steps_are_drawn_to_the_letter() -> None:
    assert render(three(), fold=True) == THREE_FOLDED


def test_a_thread_is_in_its_workers_column() -> None:
    drawn = render(run_of("A stat x = 0\nBt1 stat y = 0\nB stat z = 0"))
    assert line_with(drawn, "t1:stat y").index("t1") == line_with(drawn, "stat z").index("stat")


def test_a_finding_is_directly_below_its_step_and_starts_in_its_column() -> None:
    finding = dataclasses.replace(GONE, step=13)
    drawn = columns(render(dataclasses.replace(RACE, findings=(finding,)), width=120))
    at = next(number for number, line in enumerate(drawn) if "<== P3" in line)
    assert drawn[at - 1].split()[0] == "13"
    assert drawn[at].index("<==") == drawn[at - 1].index("│*rmdir")


def test_a_finding_moves_left_where_its_column_is_too_narrow_for_it() -> None:
    finding = dataclasses.replace(GONE, step=13)
    drawn = render(dataclasses.replace(RACE, findings=(finding,)), width=70)
    assert "writer A removed" in line_with(drawn, "<== ")


def test_a_finding_of_the_end_follows_everything() -> None:
    drawn = render(dataclasses.replace(RACE, findings=(dataclasses.replace(GONE, step=-1),)))
    assert columns(drawn)[-1].strip().startswith("<== at the end: P3 survives-others: writer A")
    assert "violation of P3 survives-others, at the end: writer A" in drawn


def test_every_finding_is_told_in_full_below_the_columns() -> None:
    drawn = render(RACE, width=40)
    below = drawn[drawn.index("violation of") :]
    assert GONE.message in " ".join(below.split())


def test_a_finding_without_a_requirement_goes_by_its_kind() -> None:
    deadlock = Finding(kind=FindingKind.DEADLOCK, requirement="", rule="", message="A, B wait")
    drawn = render(dataclasses.replace(RACE, findings=(deadlock,)))
    assert "\ndeadlock, at the end: A, B wait" in drawn


def test_the_replay_line_is_last_and_whole_on_any_page() -> None:
    for width in (1, 20, 40, 100):
        assert render(RACE, replay=REPLAY, width=width).splitlines()[-1] == REPLAY


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("fold", [False, True])
def test_no_line_is_longer_than_the_page(width: int, fold: bool) -> None:
    for run in (RACE, three()):
        assert max(map(len, render(run, width=width, fold=fold).splitlines())) <= width


def test_a_run_is_a_line_a_step_however_narrow_the_page() -> None:
    for width in (1, 10, 30):
        numbers = [line.split()[0] for line in columns(render(RACE, width=width))]
        assert [each for each in numbers if each.isdigit()] == [str(each) for each in range(21)]


def test_a_path_is_clipped_at_its_start() -> None:
    drawn = render(run_of("A openat staging/deep/down/frame_00001.png O_RDONLY = fd"), width=40)
    assert line_with(drawn, "openat").endswith("openat …down/frame_00001.png  fd")


def test_a_clipped_lock_still_names_its_file() -> None:
    drawn = render(run_of("A flock EX staging/deep/down/below/gc.lock = 0"), width=30)
    assert line_with(drawn, "flock").endswith("flock …elow/gc.lock  0")


def test_long_names_of_one_start_stay_different() -> None:
    one, other = "ab" * 32, "ab" * 31 + "cb"
    drawn = render(run_of(f"A stat v1/{one}/f0 = 0\nA stat v1/{other}/f0 = 0"), width=200)
    assert f"stat v1/{one[:63]}…/f0" in drawn
    assert f"stat v1/{other[:63]}…/f0" in drawn


def test_long_names_are_shortened() -> None:
    drawn = render(run_of(f"A stat v1/{'1a' * 32}/f0 = 0\nA stat v1/{'2b' * 32}/f0 = 0"))
    assert "stat v1/1a1a1a…/f0" in drawn
    assert "stat v1/2b2b2b…/f0" in drawn


def test_a_cut_run_says_so_and_waits_for_no_answer() -> None:
    drawn = render(dataclasses.replace(three(), cut=True))
    assert columns(drawn)[-1].strip() == "… cut here: the rest is explored elsewhere"
    assert "no answer" not in drawn


def test_what_was_not_observed_is_said() -> None:
    drawn = render(dataclasses.replace(RACE, unobserved=("A maps k/f0 shared and writable",)))
    assert drawn.splitlines()[-1] == "not observed: A maps k/f0 shared and writable"


def test_an_error_answered_is_said_with_its_message() -> None:
    error = BackendError(ErrorCode.INTERNAL, "no space left")
    operation = asked(0, "A", Verb.PUBLISH, 0, 1, args={"handle": "h1"}, answer=error)
    drawn = render(run_of("A mkdir k = 0", operations=(operation,)))
    assert "└ publish h1 -> error internal: no space left" in drawn


def test_a_step_of_no_operation_has_no_bar() -> None:
    assert "│" not in render(run_of("A stat x = 0"))


def test_a_run_without_steps_is_drawn() -> None:
    assert "0 steps: 0" in render(run_of(""))


def test_nothing_in_a_run_reaches_the_terminal_as_a_control_character() -> None:
    evil = "\x1b[2J\x07\r\udcff\u202e\u2028"
    operation = asked(0, "A", Verb.LOOKUP, 0, 1, args={"key": evil}, tag=evil)
    finding = dataclasses.replace(GONE, message=evil, step=0)
    step = Step(number=0, actor="A", label="A", operation=0, call="stat", detail=evil, result=evil)
    run = dataclasses.replace(
        RACE, steps=(step,), operations=(operation,), findings=(finding,), unobserved=(evil,)
    )
    drawn = render(run)
    assert all(letter.isprintable() or letter == "\n" for letter in drawn)
    assert "\\x1b[2J" in drawn


def test_colours_come_only_when_asked_for_and_change_no_text() -> None:
    plain, painted = render(RACE, replay=REPLAY), render(RACE, replay=REPLAY, color=True)
    assert "\x1b" not in plain
    assert "\x1b[1;31m" in painted
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", painted)
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()


def test_a_run_as_json_has_every_step_and_finding() -> None:
    document = json.loads(json.dumps(timeline.to_json(RACE)))
    assert document["schema"] == "untorn/run/1"
    assert (len(document["steps"]), document["schedule"]) == (21, "6A-10B-5A")
    assert document["findings"][0]["requirement"] == "P3"


@pytest.mark.parametrize(
    ("steps_taken", "marked"),
    [
        ("A stat x = 0\nB stat x = 0", []),
        ("A stat x = ENOENT\nB mkdir x = 0", [0, 1]),
        ("A mkdir x = 0\nA rmdir x = 0\nB stat y = 0", []),
        ("A mkdir x = 0\nAt1 rmdir x = 0", []),
        ("A mkdir x = EEXIST\nB stat x = 0", []),
        ("A openat x O_RDONLY = fd\nB openat x O_CREAT|O_WRONLY = fd", [0, 1]),
        ("A openat x O_RDONLY = fd\nB openat x O_RDONLY = fd", []),
        ("A getdents64 d = 48\nB unlinkat d/x = 0", [0, 1]),
        ("A stat d = 0\nB unlinkat d/x = 0", []),
        ("A stat d/e/x = 0\nB rename d -> trash/d = 0", [0, 1]),
        ("A stat dd/x = 0\nB rename d -> trash/d = 0", []),
        ("A stat d/x = ?\nB renameat2 d e NOREPLACE = 0", [0, 1]),
        ("A stat NOREPLACE = ?\nB renameat2 d e NOREPLACE = 0", []),
        ("A flock EX gc.lock = 0\nB flock SH gc.lock = EAGAIN", [0, 1]),
        ("A flock EX gc.lock = 0\nB flock EX v1/k = 0", []),
    ],
)
def test_steps_that_another_worker_may_disturb_are_marked(
    steps_taken: str, marked: list[int]
) -> None:
    assert sorted(contended(run_of(steps_taken))) == marked
