"""H1 and H2 on literal histories: each breach, and the nearest history that is lawful."""

from __future__ import annotations

import pytest
from untorn_conformance.history import Excuse, OpOutcome
from untorn_conformance.meta.literal_history import FRAMES, Told, found

ADOPTED, UNPUBLISHED = OpOutcome.ADOPTED, OpOutcome.UNPUBLISHED


def published(**options: bool) -> Told:
    """a1 was published by w1 from 1 to 2."""
    told = Told(**options)
    told.publish("w1", 1, 2, "a1")
    return told


# --- H1


def test_H1_every_frame_of_one_version_is_lawful() -> None:
    told = published()
    hit = told.hit("r", 3, 4, "a1")
    for index in range(1, FRAMES):
        told.read("r", 4 + index, 5 + index, hit, "a1", index=index)
    assert found(told) == {}


def test_H1_frames_of_two_versions_are_torn() -> None:
    told = published()
    told.collect("c", 3, 20)
    told.publish("w2", 3, 20, "a2")
    hit = told.hit("r", 4, 5, "a1")
    told.read("r", 6, 7, hit, "a2", index=1)
    assert found(told) == {"H1": {"P1", "R1"}}


def test_H1_another_frame_than_asked_is_torn() -> None:
    told = published()
    told.read("r", 5, 6, told.hit("r", 3, 4, "a1"), "a1", index=1, gives=2)
    assert found(told) == {"H1": {"P1", "R1"}}


def test_H1_another_frame_than_asked_is_torn_when_it_is_read_first() -> None:
    told = published()
    hit = told.hit("r", 3, 4, "", key="a")
    told.read("r", 5, 6, hit, "a1", index=0, gives=1)
    assert found(told) == {"H1": {"P1", "R1"}}


def test_H1_bytes_that_nobody_wrote_are_torn_whatever_struck() -> None:
    told = published()
    told.strike(0, None, Excuse.REMOVES, Excuse.REFUSES)
    told.read("r", 5, 6, told.hit("r", 3, 4, "", key="a"), None)
    assert found(told) == {"H1": {"P1", "R1", "T1"}}


@pytest.mark.parametrize("files", [FRAMES - 1, FRAMES + 1, 0])
def test_H1_a_hit_lists_every_file(files: int) -> None:
    told = published()
    told.hit("r", 3, 4, "a1", files=files)
    assert found(told) == {"H1": {"P1", "R1"}}


def test_H1_files_are_in_order() -> None:
    told = published()
    told.hit("r", 3, 4, "a1", in_order=False)
    assert found(told) == {"H1": {"P1", "R1"}}


def test_H1_a_writer_that_did_not_publish_lists_its_own_files() -> None:
    told = Told()
    told.publish("w1", 1, 2, "a1", UNPUBLISHED, files=1)
    assert found(told) == {"H1": {"P5"}}


# --- H2


def test_H2_what_is_being_published_may_be_seen() -> None:
    told = Told()
    told.publish("w1", 3, None, "a1")
    told.death("w1", 9)
    told.hit("r", 2, 4, "a1")
    assert found(told) == {}


def test_H2_nothing_is_seen_before_somebody_was_asked_to_publish_it() -> None:
    told = Told()
    told.publish("w1", 5, 6, "a1")
    told.hit("r", 3, 4, "a1")
    assert found(told) == {"H2": {"P1"}}


def test_H2_what_was_there_at_the_start_needs_no_publish() -> None:
    told = Told(present={"a": "a0"})
    told.hit("r", 3, 4, "a0")
    assert found(told) == {}


def test_H2_nothing_comes_from_nowhere() -> None:
    told = Told(present={"b": "b0"})
    told.hit("r", 3, 4, "a0")
    assert found(told) == {"H2": {"P1"}}


def test_H2_work_that_only_was_staged_is_nobodys_to_see() -> None:
    told = Told()
    told.stage("w1", 1, 2, "a1")
    told.hit("r", 3, 4, "a1")
    assert found(told) == {"H2": {"P1"}}


@pytest.mark.parametrize("leases", [True, False])
def test_H2_a_key_gives_its_own_frames(leases: bool) -> None:
    told = published(lease=leases)
    told.publish("w1", 3, 4, "b1")
    told.hit("r", 5, 6, "b1", key="a")
    assert found(told)["H2"] == {"K7", "P1"}


def test_H2_who_was_told_adopted_published_nothing() -> None:
    told = published()
    told.publish("w2", 3, 4, "a2", ADOPTED, reads="a2")
    assert found(told)["H2"] == {"P2"}


def test_H2_who_was_told_adopted_reads_the_winners() -> None:
    told = published()
    told.publish("w2", 3, 4, "a2", ADOPTED, reads="a1")
    assert found(told) == {}


def test_H2_who_was_told_unpublished_published_nothing() -> None:
    told = Told()
    told.publish("w1", 1, 2, "a1", UNPUBLISHED)
    told.hit("r", 3, 4, "a1")
    assert found(told) == {"H2": {"P2", "P5"}}


def test_H2_excuses_what_was_told_unpublished_while_calls_failed() -> None:
    told = Told()
    told.strike(0, 1.5, Excuse.REFUSES)
    told.publish("w1", 1, 2, "a1", UNPUBLISHED)
    told.hit("r", 3, 4, "a1")
    assert found(told) == {}


def test_H2_a_strike_that_did_not_bite_excuses_nothing() -> None:
    told = Told()
    told.strike(0, 1.5, Excuse.REFUSES, bit=False)
    told.publish("w1", 1, 2, "a1", UNPUBLISHED)
    told.hit("r", 3, 4, "a1")
    assert found(told) == {"H2": {"P2", "P5"}}


def test_H2_who_was_told_unpublished_reads_his_own() -> None:
    told = published()
    told.publish("w2", 3, 4, "a2", UNPUBLISHED, reads="a2")
    assert found(told) == {}
    told = published()
    told.publish("w2", 3, 4, "a2", UNPUBLISHED, reads="a1")
    assert found(told) == {"H2": {"P5"}}


@pytest.mark.parametrize(("leases", "expected"), [(True, {"H2": {"P3"}}), (False, {})])
def test_H2_who_was_told_published_reads_his_own_if_it_is_held(
    leases: bool, expected: dict[str, set[str]]
) -> None:
    """Without leases it may have been evicted and replaced, and the handle find the other's."""
    told = Told(lease=leases)
    told.collect("c", 1, 9)
    own = told.publish("w1", 1, 2, "a1")
    told.publish("w2", 3, 4, "a2")
    told.read("w1", 5, 6, own, "a2")
    assert {name: rows for name, rows in found(told).items() if name == "H2"} == expected


def test_H2_nothing_is_found_where_nobody_published() -> None:
    told = Told()
    told.hit("r", 1, 2, "", key="a")
    told.publish("w1", 3, 4, "a1")
    assert found(told) == {"H2": {"P1"}}


def test_H2_nobody_adopts_where_nobody_published() -> None:
    told = Told()
    told.publish("w1", 1, 3, "a1", ADOPTED)
    told.publish("w2", 2, 4, "a2", ADOPTED)
    assert found(told) == {"H2": {"P1"}}


def test_H2_a_hit_beside_a_publish_is_lawful_unread() -> None:
    told = Told()
    told.hit("r", 1, 3, "", key="a")
    told.publish("w1", 2, 4, "a1")
    assert found(told) == {}
