"""The rules about collectors, errors, untrusted locks and the aftermath on literal histories."""

from __future__ import annotations

from pathlib import Path

import pytest
from untorn_conformance.backend import Hit, Verb
from untorn_stress.payloads import Payloads, frame_bytes
from untorn_stress.rules.history import Debris, history_of, precedes
from untorn_stress.rules.literal import FLIGHT, LEASE, NOTHING, judged, rows
from untorn_stress.run import FindingKind, Operation, Run
from untorn_stress.scenarios import scenario

# --- what precedes what


def operation(index: int, began: int, ended: int, worker: str = "") -> Operation:
    return Operation(
        index=index, worker=worker or f"w{index}", verb=Verb.LOOKUP, began=began, ended=ended
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 0, 3), (1, 3, 5), True),
        ((1, 0, 3), (0, 3, 5), True),
        ((0, 0, 4), (1, 3, 5), False),
        ((0, 0, -1), (1, 3, 5), False),
        ((0, 3, 3), (1, 3, 3), True),
        ((1, 3, 3), (0, 3, 3), False),
        ((0, 0, 3), (1, 3, -1), True),
    ],
)
def test_real_time_orders_what_does_not_overlap(
    first: tuple[int, int, int], second: tuple[int, int, int], expected: bool
) -> None:
    assert precedes(operation(*first), operation(*second)) is expected


def test_one_worker_does_one_thing_after_another() -> None:
    assert precedes(operation(0, 2, 2, "A"), operation(1, 2, 2, "A"))
    assert not precedes(operation(1, 2, 2, "A"), operation(0, 2, 2, "A"))


def test_a_handle_whose_text_is_used_again_is_another_handle() -> None:
    hit = Hit(handle="h", files=())
    answers = [(Verb.LOOKUP, hit), (Verb.RELEASE, None), (Verb.LOOKUP, hit), (Verb.READ, None)]
    operations = tuple(
        Operation(index=n, worker="A", verb=verb, args={"handle": "h"}, ended=n, answer=answer)
        for n, (verb, answer) in enumerate(answers)
    )
    run = Run(scenario="s", tree="empty", seed=0, choices=(), steps=(), operations=operations)
    history = history_of(run, scenario("adopt"), Payloads(Path("/nowhere")), NOTHING)
    assert [len(each.reads) for each in history.holdings] == [0, 1]


def test_a_read_after_the_release_is_owed_nothing() -> None:
    assert not judged(
        """
        A 0-2 lookup -> hit
        A 2-3 release
        A 3-4 read 0 -> evicted
    """,
        tree="published",
    )


def test_a_run_that_was_cut_is_not_judged() -> None:
    history = "B 4-6 lookup -> miss absent"
    assert judged(history, tree="published")
    assert not judged(history, tree="published", cut=True)


# --- collectors


def both(
    first: str,
    second: str,
    after: str = "",
    *,
    collects: bool = True,
    lost_bytes: int | None = None,
) -> list[str]:
    found = judged(
        f"A 0-9 collect -> {first}\nB 2-8 collect -> {second}\n{after}",
        tree="two-published",
        of="collector-collector",
        collects=collects,
        lost_bytes=lost_bytes,
    )
    return rows(found)


def on(tree: str, of: str, text: str) -> list[str]:
    return rows(judged(text, tree=tree, of=of))


@pytest.mark.parametrize("other", ["skipped", "evicted 0", "evicted 1"])
def test_two_collectors_share_what_there_is(other: str) -> None:
    assert both("evicted 1", other) == []


def test_an_entry_that_two_collectors_count_is_G8() -> None:
    assert both("evicted 2", "evicted 1") == ["G8 counted-too-much"]


def test_one_collector_of_two_does_the_work() -> None:
    assert both("skipped", "skipped") == ["G8 all-skipped"]
    assert both("skipped", "skipped", collects=False) == []


def test_what_was_counted_is_gone_in_the_end_and_the_rest_is_there() -> None:
    after = """
        --
        r 0-0 lookup -> {}
        r 0-0 lookup l -> miss absent
    """
    assert both("evicted 2", "skipped", after.format("miss absent")) == []
    assert both("evicted 1", "skipped", after.format("hit")) == []
    assert both("evicted 2", "skipped", after.format("hit")) == ["G7 counted-too-much"]
    assert both("evicted 1", "skipped", after.format("miss absent")) == ["G7 not-counted"]


def test_freed_bytes_are_those_that_left_the_tree() -> None:
    assert both("evicted 1 freed 128", "evicted 1 freed 128", lost_bytes=256) == []
    assert both("evicted 1 freed 256", "evicted 1 freed 256", lost_bytes=256) == ["G8 bytes"]


def test_what_the_tree_of_the_run_held_is_what_can_be_evicted() -> None:
    history = "B 0-9 collect -> evicted {}"
    assert on("two-published", "reader-collector", history.format(2)) == []
    assert on("two-published", "reader-collector", history.format(3)) == ["G7 counted-too-much"]
    assert on("published", "collector-collector", history.format(2)) == ["G7 counted-too-much"]


def test_what_a_writer_published_may_be_counted_too() -> None:
    history = """
        A 0-6 publish wA -> published
        C 0-9 collect -> evicted {}
    """
    assert not judged(history.format(1), of="writer-collector")
    assert rows(judged(history.format(2), of="writer-collector")) == ["G7 counted-too-much"]


def test_counts_in_a_tree_that_a_crash_left_are_not_judged() -> None:
    history = "A 0-9 collect -> evicted 3"
    assert rows(judged(history, tree="published")) == ["G7 counted-too-much"]
    assert not judged(history, tree="collect-4")


def test_a_lone_collector_says_what_kept_it_over_budget() -> None:
    history = "B 0-9 collect -> evicted 0 over 128"
    assert on("published", "reader-collector", history) == ["G2 unexplained"]
    assert on("published", "reader-collector", f"{history} leased 1") == []


def test_a_lone_collector_that_is_within_budget_left_nothing() -> None:
    after = "\n--\nr 0-0 lookup -> hit"
    found = judged(f"B 0-9 collect -> evicted 0{after}", tree="published", of="reader-collector")
    assert rows(found) == ["G2 not-evicted"]


# --- errors


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("A 0-2 publish wA -> error", "P5"),
        ("A 0-2 lookup -> error", "R6"),
        ("A 0-2 collect -> error", "G2"),
        ("A 0-2 extract -> error", "P7"),
    ],
)
def test_an_error_is_no_answer(line: str, row: str) -> None:
    assert rows(judged(line)) == [f"{row} error"]
    assert rows(judged(line, fault=True)) == ["D2 error"]


@pytest.mark.parametrize(
    "line",
    [
        "A 0-2 lookup !EIO -> miss unreadable",
        "A 0-2 publish wA !EIO -> unpublished errno EIO",
        "A 0-2 collect !EIO -> skipped",
        "A 0-2 publish wA -> published\nA 2-3 read 0 !EIO -> damaged",
        "A 0-2 extract !ENOSPC -> decoder-failed",
    ],
)
def test_whoever_meets_an_errno_answers_in_the_verbs_own_words(line: str) -> None:
    assert not judged(line, capabilities=LEASE | FLIGHT)


def test_a_refusal_says_which_errno_where() -> None:
    history = "A 0-2 publish wA !EIO -> unpublished errno"
    assert rows(judged(history)) == ["P5 no-reason"]


def test_a_decoder_does_not_fail_by_itself() -> None:
    history = "A 0-2 extract {}-> decoder-failed"
    assert rows(judged(history.format(""), capabilities=FLIGHT)) == ["P7 error"]


def test_what_a_fault_did_not_touch_is_owed_all_the_same() -> None:
    history = """
        A 0-4 publish wA !EIO -> published
        A 5-6 read 0 {}-> damaged
        B 6-7 lookup {}-> miss absent
    """
    assert rows(judged(history.format("", ""))) == ["P1 torn", "R2 not-found"]
    assert not judged(history.format("!EIO ", "!EIO "))


@pytest.mark.parametrize(("label", "found"), [("A!EIO+", []), ("A!EIO", ["R2 not-found"])])
def test_who_is_afflicted_still_may_miss_what_is_there(label: str, found: list[str]) -> None:
    history = """
        A 0-4 publish wA !EIO -> published
        A 5-6 lookup -> miss absent
    """
    assert rows(judged(history, choices=(label,))) == found


def test_others_find_what_the_afflicted_published() -> None:
    history = """
        A 0-4 publish wA !EIO -> published
        B 5-6 lookup -> miss absent
    """
    assert rows(judged(history, choices=("A!EIO+",))) == ["R2 not-found"]


def test_what_only_the_harness_says_is_no_answer_of_the_backend() -> None:
    assert not judged("A 0-2 lookup -> died")


# --- untrusted


def test_where_locks_do_nothing_nobody_collects() -> None:
    history = "A 0-2 publish wA -> published\nC 2-3 collect -> {}"
    untrusted = "writer-collector-noop"
    assert rows(judged(history.format("evicted 0"), of=untrusted)) == ["N1 collected"]
    assert not judged(history.format("skipped"), of=untrusted)
    assert not judged(history.format("evicted 0"), of="writer-collector")


def test_where_locks_do_nothing_damage_stays() -> None:
    history = "A 0-2 publish wA -> {}"
    for told in ("published", "unpublished busy"):
        assert on("damaged", "repair-noop", history.format(told)) == ["N1 repaired"]
    assert on("damaged", "repair-noop", history.format("unpublished untrusted")) == []
    assert on("damaged", "repair", history.format("published")) == []


def test_who_takes_no_lock_may_go_on_where_locks_do_nothing() -> None:
    collected = "A 0-2 publish wA -> published\nC 2-3 collect -> evicted 0"
    assert not judged(collected, of="writer-collector-noop", uses_locks=False)
    repaired = judged(
        "A 0-2 publish wA -> published", tree="damaged", of="repair-noop", uses_locks=False
    )
    assert not repaired


def test_one_winner_is_due_without_locks_too() -> None:
    history = """
        A 0-6 publish wA -> published
        B 2-9 publish wB -> published
    """
    assert rows(judged(history, of="writer-writer-enolck")) == ["P2 winners"]


# --- aftermath


AFTER = """
    A 0-4 publish wA -> published
    A 4-5 release
    --
    r 0-0 lookup -> {}
    w 0-0 publish wz -> {}
    s 0-0 lookup -> {}
"""


def test_when_a_run_is_over_its_entry_is_found_adopted_and_found() -> None:
    assert not judged(AFTER.format("hit", "adopted", "hit"), capabilities=LEASE)


@pytest.mark.parametrize("reason", ["absent", "busy"])
def test_an_entry_that_is_gone_when_the_run_is_over_is_R2(reason: str) -> None:
    found = rows(judged(AFTER.format(f"miss {reason}", "adopted", "hit")))
    assert found == ["R2 not-found"]


def test_a_key_that_cannot_be_published_any_more_is_L2_or_P4() -> None:
    history = "A 0-4 publish wA -> unpublished busy\n--\nw 0-0 publish wz -> unpublished {}"
    assert rows(judged(history.format("busy"))) == ["L2 stuck"]
    assert rows(judged(history.format("errno ENOTEMPTY"), tree="damaged")) == ["P4 stuck"]
    assert rows(judged(history.format("busy"), fault=True)) == ["L2 stuck"]
    assert not judged(history.format("too-large"))
    assert not judged(history.format("untrusted"), tree="damaged")


def test_a_key_that_cannot_be_published_after_a_death_is_C2_or_C4() -> None:
    history = "A 0-4 publish wA -> unpublished busy\n--\nw 0-0 publish wz -> unpublished {}"
    stuck = history.format("busy")
    assert rows(judged(stuck, kill=True)) == ["C2 stuck"]
    assert rows(judged(stuck, kill=True, tree="damaged")) == ["C2 stuck"]
    assert rows(judged(stuck, kill=True, tree="harvest-1a2b3c4d")) == ["C4 stuck"]


@pytest.mark.parametrize(("verb", "row"), [("publish wz", "C2"), ("lookup", "C1")])
def test_an_error_after_a_death_is_C1_or_C2_or_C4(verb: str, row: str) -> None:
    history = f"A 0-4 publish wA -> unpublished busy\n--\nw 0-0 {verb} -> error"
    assert rows(judged(history, kill=True)) == [f"{row} error"]
    assert rows(judged(history, kill=True, tree="harvest-1a2b3c4d")) == ["C4 error"]
    assert rows(judged(history)) == ["P5 error" if row == "C2" else "R6 error"]


@pytest.mark.parametrize(
    ("tree", "row"), [("empty", "C1"), ("harvest-1a2b3c4d", "C4"), ("damaged", "P1")]
)
def test_what_a_killed_collector_tore_is_no_eviction(tree: str, row: str) -> None:
    history = "C 0-? collect\n--\nw 0-0 publish wz -> adopted\nw 0-0 read 0 -> evicted"
    assert rows(judged(history, kill=True, tree=tree)) == [f"{row} torn"]


def test_a_key_that_is_published_when_the_run_is_over_is_read_then() -> None:
    history = "C 0-4 collect -> evicted 1\n--\nw 0-0 publish wz -> published\nr 0-0 lookup -> {}"
    assert on("published", "adopt-collector", history.format("miss absent")) == ["L2 not-read"]
    assert on("published", "adopt-collector", history.format("hit")) == []


def test_a_torn_entry_that_a_run_left_is_P1() -> None:
    history = """
        A 0-4 publish wA -> published
        --
        r 0-0 lookup -> hit
        r 0-0 read 0 -> evicted
    """
    (found,) = judged(history)
    assert (found.requirement, found.rule, found.step) == ("P1", "torn", -1)


def test_a_fresh_worker_that_gives_no_answer_died_and_that_is_L2() -> None:
    (found,) = judged(f"{AFTER.partition('r 0-0')[0]}r 0-0 lookup -> hit\nr 0-? read 0")
    told = (found.kind, found.requirement, found.rule, found.step)
    assert told == (FindingKind.DIED, "L2", "died", -1)


# --- debris


DIED = "A 0-4 publish wA -> unpublished too-large\n"


@pytest.mark.parametrize(("tree", "row"), [("empty", "C3"), ("harvest-1a2b3c4d", "C4")])
def test_more_names_than_usual_are_debris(tree: str, row: str) -> None:
    debris = Debris(left=("a", "a/b", "ctl"), usual=("ctl",))
    (found,) = judged(DIED, kill=True, tree=tree, debris=debris)
    assert (found.requirement, found.rule) == (row, "debris")
    assert found.message.endswith(
        "leaves 3 names, where an undisturbed publish and a collect leave 1: a, a/b"
    )


@pytest.mark.parametrize("left", [(), ("ctl",), ("other",)])
def test_as_many_names_as_usual_are_none(left: tuple[str, ...]) -> None:
    assert not judged(DIED, kill=True, debris=Debris(left=left, usual=("ctl",)))


def test_a_collect_that_fails_over_debris_reclaims_none() -> None:
    (found,) = judged(DIED, kill=True, debris=Debris(failed="died"))
    assert (found.requirement, found.rule) == ("C3", "not-collected")


# --- what is held to be stored


LEFT = """
    A 0-? publish wA
    --
    r 0-0 lookup -> {}
    r 0-0 read 0 -> {writer}
    r 0-0 read 1 -> {writer}
    w 0-0 publish wz -> adopted
"""
_SMALL, _LARGE = 2 * frame_bytes("wA"), 2 * frame_bytes("wl")


def weighed(history: str, held_bytes: int | None, tree: str = "empty") -> list[str]:
    found = judged(history, kill=True, tree=tree, debris=Debris(held_bytes=held_bytes))
    return [each for each in rows(found) if each.startswith("G2")]


@pytest.mark.parametrize(("writer", "bytes_"), [("wA", _SMALL), ("wl", _LARGE)])
def test_all_is_held_to_be_stored_that_is_read(writer: str, bytes_: int) -> None:
    history = LEFT.format("hit", writer=writer)
    assert weighed(history, bytes_ - 1) == ["G2 under-weighed"]
    assert weighed(history, bytes_) == weighed(history, bytes_ + 99) == []


def test_what_a_backend_does_not_weigh_is_not_judged() -> None:
    assert weighed(LEFT.format("hit", writer="wl"), None) == []


def test_what_an_outsider_harmed_need_not_be_held_to_be_stored() -> None:
    assert weighed(LEFT.format("hit", writer="w0"), 0, tree="damaged") == []


def test_what_is_published_afterwards_is_not_there_yet() -> None:
    history = """
        A 0-? publish wA
        --
        r 0-0 lookup -> miss absent
        w 0-0 publish wz -> published
        w 0-0 read 0 -> wz
        s 0-0 lookup -> hit
        s 0-0 read 0 -> wz
    """
    assert weighed(history, 0) == []
