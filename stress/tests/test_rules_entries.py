"""The rules about entries (whole, winner, held, found) on literal histories."""

from __future__ import annotations

import pytest
from untorn_conformance.contract import Capability
from untorn_stress.rules.literal import FLIGHT, NOTHING, judged, rows
from untorn_stress.run import FindingKind

# --- whole


def test_a_whole_hit_of_one_writer_is_right() -> None:
    assert not judged("""
        A 0-4 publish wA -> published
        B 2-5 lookup -> hit
        B 5-6 read 0 -> wA
        B 6-7 read 1 -> wA
    """)


def test_bytes_of_two_writers_through_one_handle_are_P1() -> None:
    (found,) = judged("""
        A 0-4 publish wA -> published
        C 0-4 publish wB -> adopted
        B 2-5 lookup -> hit
        B 5-6 read 0 -> wA
        B 6-7 read 1 -> wB
    """)[:1]
    assert (found.requirement, found.rule, found.step) == ("P1", "two-writers", 6)
    assert found.kind is FindingKind.VIOLATION


@pytest.mark.parametrize(
    ("read", "expected"),
    [("?", "P1 nobodys-bytes"), ("wA.1", "R1 another-frame"), ("l.wA.0", "R1 another-key")],
)
def test_other_bytes_than_those_of_the_frame_are_found(read: str, expected: str) -> None:
    assert rows(
        judged(f"""
        A 0-4 publish wA -> published
        B 4-5 lookup -> hit
        B 5-6 read 0 -> {read}
    """)
    ) == [expected]


@pytest.mark.parametrize(
    ("lists", "expected"), [("1 0", "R1 order"), ("0", "P1 in-part"), ("0 1 1", "P1 in-part")]
)
def test_another_list_than_the_published_one_is_found(lists: str, expected: str) -> None:
    assert rows(
        judged(f"""
        A 0-4 publish wA -> published
        B 2-5 lookup -> hit lists {lists}
    """)
    ) == [expected]


def test_a_list_in_part_beside_a_collector_is_G9() -> None:
    found = judged(
        """
        A 0-9 lookup -> hit lists 0
        B 2-9 collect -> evicted 1
    """,
        tree="published",
    )
    assert rows(found) == ["G9 in-part"]


def test_a_shorter_list_of_a_thinned_entry_is_allowed() -> None:
    assert not judged(
        """
        A 0-2 lookup -> hit lists 1
        B 2-4 lookup -> hit
        B 4-5 read 0 -> evicted
        B 5-6 read 1 -> w0
    """,
        tree="damaged",
    )


def test_what_is_left_of_a_thinned_entry_is_read_under_its_own_name() -> None:
    history = "A 0-2 lookup -> hit lists 1\nA 2-3 read 0 -> {}"
    assert not judged(history.format("w0.1"), tree="damaged")
    assert rows(judged(history.format("w0.0"), tree="damaged")) == ["R1 another-frame"]


CRASHED, CRASHED_DAMAGED = "harvest-1a2b3c4d", "harvest-damaged-1a2b3c4d"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ("A 0-2 lookup -> hit lists 1", "C1 in-part"),
        ("A 0-2 lookup -> hit\nA 2-3 read 0 -> evicted", "C1 torn"),
        ("A 0-2 lookup -> hit\nA 2-3 read 0 -> ?", "C1 nobodys-bytes"),
        ("A 0-2 lookup -> hit lists 0\nA 2-3 read 0 -> w0\nB 1-9 publish wB", "C1 in-part"),
    ],
)
def test_a_torn_hit_after_a_crash_is_C1(history: str, expected: str) -> None:
    assert rows(judged(history, tree=CRASHED)) == [expected]


def test_a_torn_hit_after_a_crash_of_what_an_outsider_harmed_is_allowed() -> None:
    history = "A 0-2 lookup -> hit lists 1\nA 2-3 read 0 -> evicted"
    assert not judged(history, tree=CRASHED_DAMAGED)


def test_what_a_run_tore_after_a_crash_is_P1() -> None:
    history = """
        A 0-2 publish wA -> published
        B 2-4 lookup -> hit lists 1 0 0
        B 4-5 read 0 -> wA.1
    """
    assert rows(judged(history, tree=CRASHED)) == ["P1 in-part"]


def test_a_miss_and_a_whole_hit_after_a_crash_are_right() -> None:
    assert not judged("A 0-2 lookup -> miss incomplete", tree=CRASHED)
    assert not judged("A 0-2 lookup -> hit\nA 2-3 read 0 -> wh", tree=CRASHED)


def test_a_writer_may_end_a_removal_that_a_crash_interrupted() -> None:
    history = """
        A 0-2 lookup -> hit
        B 0-4 publish wB -> published
        A 4-5 read 0 -> evicted
    """
    assert not judged(history, tree=CRASHED, capabilities=NOTHING)
    assert rows(judged(history, tree=CRASHED)) == ["P3 taken-by-a-writer"]


def test_work_that_shows_before_its_publish_is_asked_for_is_P1() -> None:
    found = judged("""
        B 0-2 lookup -> hit
        B 2-3 read 0 -> wA
        A 4-6 publish wA -> published
    """)
    assert rows(found) == ["P1 early"]


def test_who_published_reads_its_own_work() -> None:
    history = """
        A 0-4 publish wA -> {}
        B 0-4 publish wB -> published
        A 5-6 read 0 -> wB
    """
    assert rows(judged(history.format("unpublished busy"))) == ["P5 not-its-own"]
    assert not judged(history.format("adopted"))
    found = judged(history.format("published"))
    assert "R1 not-its-own" in rows(found)


# --- winner


@pytest.mark.parametrize("other", ["adopted", "unpublished busy", "unpublished errno EEXIST"])
def test_one_winner_and_one_loser_is_right(other: str) -> None:
    assert not judged(f"""
        A 0-6 publish wA -> published
        B 2-9 publish wB -> {other}
    """)


def test_two_winners_without_a_removal_are_P2() -> None:
    found = judged("""
        A 0-6 publish wA -> published
        B 2-9 publish wB -> published
    """)
    assert rows(found) == ["P2 winners"]
    assert found[0].step == 8


def test_each_removal_allows_one_more_winner() -> None:
    history = """
        A 0-6 publish wA -> published
        C 2-8 collect -> evicted {}
        B 2-9 publish wB -> published
    """
    assert not judged(history.format(1))
    assert rows(judged(history.format(0))) == ["P2 winners"]


def test_a_winner_over_a_complete_entry_is_P3() -> None:
    history = """
        A 0-6 publish wA -> published
        B 0-9 publish wB -> adopted
    """
    assert rows(judged(history, tree="published", of="adopt")) == ["P3 winners"]


def test_a_winner_over_an_entry_that_a_collector_took_is_right() -> None:
    assert not judged(
        """
        A 0-6 publish wA -> published
        C 0-9 collect -> evicted 1
    """,
        tree="published",
    )


def test_in_a_tree_that_a_crash_left_one_winner_is_right_and_two_are_not() -> None:
    history = """
        A 0-6 publish wA -> published
        B 0-9 publish wB -> {}
    """
    assert not judged(history.format("adopted"), tree="publish-3")
    assert rows(judged(history.format("published"), tree="publish-3")) == ["P2 winners"]


def test_a_collect_without_an_answer_may_have_removed_anything() -> None:
    assert not judged("""
        A 0-6 publish wA -> published
        B 2-9 publish wB -> published
        C 0-? collect
    """)


def test_an_entry_that_gives_way_to_another_is_P3() -> None:
    found = judged(
        """
        A 0-1 lookup -> hit
        A 1-2 read 0 -> w0
        B 2-9 publish wB -> adopted
        B 9-10 read 0 -> wB
    """,
        tree="published",
    )
    assert rows(found) == ["P3 replaced"]


def test_a_damaged_entry_may_be_served_and_then_replaced() -> None:
    assert not judged(
        """
        A 0-1 lookup -> hit
        A 1-2 read 1 -> w0
        B 2-9 publish wB -> published
        B 9-10 read 0 -> wB
    """,
        tree="damaged",
    )


@pytest.mark.parametrize("start", ["empty", "damaged"])
def test_somebody_wins_unless_somebody_is_busy(start: str) -> None:
    history = """
        A 0-6 publish wA -> adopted
        B 2-9 publish wB -> {}
    """
    assert rows(judged(history.format("adopted"), tree=start)) == ["P2 nobody"]
    assert not judged(history.format("unpublished busy"), tree=start)
    assert not judged(history.format("adopted"), tree=start, fault=True)


def test_an_errno_without_a_fault_is_P2() -> None:
    history = """
        A 0-6 publish wA -> published
        B 2-9 publish wB -> unpublished errno ENOENT
    """
    assert rows(judged(history)) == ["P2 refused"]
    assert not judged(history, fault=True)
    assert not judged(history, of="writer-writer-enolck")


# --- held


def test_what_a_collector_takes_from_a_holder_is_R4_with_a_lease_alone() -> None:
    history = """
        A 0-2 lookup -> hit
        B 1-6 collect -> evicted 1
        A 6-7 read 0 -> evicted
        A 7-8 release
    """
    assert rows(judged(history, tree="published")) == ["R4 lost-while-held"]
    assert not judged(history, tree="published", capabilities=NOTHING)


@pytest.mark.parametrize("capabilities", [NOTHING, frozenset({Capability.LEASE})])
def test_what_a_writer_takes_from_a_reader_is_P3(capabilities: frozenset[Capability]) -> None:
    found = judged(
        """
        A 0-2 lookup -> hit
        B 1-6 publish wB -> adopted
        A 6-7 read 0 -> evicted
    """,
        tree="published",
        capabilities=capabilities,
    )
    assert rows(found) == ["P3 taken-by-a-writer"]


def test_what_is_torn_from_the_start_is_P1() -> None:
    found = judged(
        """
        A 0-2 publish wA -> adopted
        A 2-3 read 0 -> damaged
    """,
        tree="damaged",
    )
    assert "P1 torn" in rows(found)


def test_a_collector_that_was_skipped_takes_nothing() -> None:
    history = """
        A 0-2 lookup -> hit
        B 1-6 collect -> skipped
        A 6-7 read 0 -> evicted
    """
    assert rows(judged(history, tree="published", capabilities=NOTHING)) == ["P1 torn"]


def test_the_callers_own_frames_are_kept_without_a_lease_too() -> None:
    history = """
        B 0-3 publish wB -> published
        A 0-4 publish wA -> unpublished busy
        C 1-6 collect -> evicted 0
        A 6-7 read 0 -> evicted
    """
    assert rows(judged(history, capabilities=NOTHING)) == ["P5 own-frames-lost"]
    assert not judged(history, capabilities=NOTHING, fault=True)


# --- found


def test_an_acknowledged_entry_is_found_or_busy() -> None:
    history = """
        A 0-4 publish wA -> published
        B 4-6 lookup -> {}
    """
    assert rows(judged(history.format("miss absent"))) == ["R2 not-found"]
    assert not judged(history.format("miss busy"))
    assert not judged(history.format("miss absent"), of="writer-writer-noop")


def test_a_lookup_that_overlaps_the_publish_may_miss() -> None:
    assert not judged("""
        A 0-4 publish wA -> published
        B 3-6 lookup -> miss absent
    """)


def test_a_collect_excuses_a_miss_unless_the_entry_is_held_throughout() -> None:
    history = """
        A 0-4 publish wA -> published
        C 3-5 collect -> evicted 0
        B 5-7 lookup -> miss absent
        A {} release
    """
    assert rows(judged(history.format("7-8"))) == ["R2 not-found"]
    assert not judged(history.format("5-6"))
    assert not judged(history.format("7-8"), capabilities=NOTHING)


def test_a_collect_that_was_over_before_the_publish_excuses_nothing() -> None:
    found = judged("""
        C 0-2 collect -> evicted 0
        A 2-4 publish wA -> published
        B 4-6 lookup -> miss absent
    """)
    assert rows(found) == ["R2 not-found"]


def test_a_complete_entry_is_found_until_somebody_collects() -> None:
    lookup = "B 4-6 lookup -> miss incomplete"
    assert rows(judged(lookup, tree="published")) == ["R2 not-found"]
    assert not judged(f"C 0-5 collect -> evicted 1\n{lookup}", tree="published")
    assert not judged(lookup, tree="damaged")


def test_a_hit_of_a_thinned_entry_promises_nothing() -> None:
    assert not judged(
        """
        A 0-2 lookup -> hit
        B 4-6 lookup -> miss damaged
    """,
        tree="damaged",
    )


# --- single-flight


def test_two_requests_of_one_clip_work_once() -> None:
    history = """
        A 0-9 extract -> published
        B 2-12 extract -> {}
    """
    assert not judged(history.format("hit"), of="single-flight", capabilities=FLIGHT)
    found = judged(history.format("adopted"), of="single-flight", capabilities=FLIGHT)
    assert rows(found) == ["P7 worked-twice"]


def test_a_wait_that_ended_by_its_limit_is_allowed() -> None:
    history = """
        A 0-9 extract -> published
        B 2-12 extract -> adopted
    """
    assert not judged(history, of="single-flight", capabilities=FLIGHT, waited_out=True)
    assert not judged(history, of="single-flight", capabilities=NOTHING)


def test_a_hit_of_other_frames_than_the_published_ones_is_R1() -> None:
    found = judged(
        """
        A 0-9 extract -> published
        A 9-10 read 0 -> wA
        B 2-12 extract -> hit
        B 12-13 read 0 -> wB
    """,
        of="single-flight",
        capabilities=FLIGHT,
    )
    assert rows(found) == ["R1 other-frames"]


def test_a_request_without_an_answer_is_not_counted() -> None:
    history = """
        A 0-? extract
        B 2-12 extract -> hit
    """
    assert not judged(history, of="single-flight", capabilities=FLIGHT)


# --- who gave no answer


@pytest.mark.parametrize("ended", ["0-3 publish wA -> died", "0-? publish wA"])
@pytest.mark.parametrize(
    "later",
    [
        "B 4-8 publish wB -> published",
        "B 4-8 publish wB -> adopted\nB 8-9 read 0 -> wA",
        "B 4-5 lookup -> miss absent",
        "B 4-5 lookup -> hit\nB 5-6 read 0 -> wA\nB 6-7 read 1 -> wA",
    ],
)
def test_a_publish_of_a_dead_adapter_happened_or_did_not(ended: str, later: str) -> None:
    assert not judged(f"A {ended}\n{later}")
    acknowledged = f"A 0-3 publish wA -> published\n{later}"
    assert bool(judged(acknowledged)) is ("wB -> published" in later or "miss" in later)


@pytest.mark.parametrize("ended", ["0-3 collect -> died", "0-? collect"])
@pytest.mark.parametrize("later", ["miss absent", "hit\nB 5-6 read 0 -> w0"])
def test_a_collect_of_a_dead_adapter_evicted_or_did_not(ended: str, later: str) -> None:
    assert not judged(f"C {ended}\nB 4-5 lookup -> {later}", tree="published", of="adopt-collector")
