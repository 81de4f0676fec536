"""The model on literal histories: what no correct cache answers is a breach, all else is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from untorn_conformance.backend import (
    Adopted,
    Collected,
    Damaged,
    Evicted,
    FrameRead,
    Hit,
    Miss,
    MissReason,
    Published,
    Skipped,
    Unpublished,
    UnpublishedReason,
)
from untorn_conformance.eviction import Asked
from untorn_conformance.model import Model
from untorn_conformance.worlds import SLACK_S, BreachError, Content, Promises

WEIGHT = 1000
HOUR_S = 3600.0
APART_S = 2 * 300 + 3 * SLACK_S
LEASED = Promises(
    leases=True, recency_resolution_s=300, reap_grace_s=10, payload_bytes=WEIGHT, weighs=True
)
FILES = ("f1", "f2")
ABSENT = Miss(reason=MissReason.ABSENT)


def model(*, leases: bool = True) -> Model:
    return Model(replace(LEASED, leases=leases))


def content(writer: str) -> Content:
    return Content(writer=writer, files=FILES, digests=(f"{writer}.0", f"{writer}.1"))


def write(of: Model, label: str, writer: str, *, worker: str = "A", keep: bool = False) -> None:
    """Publish, and release what was handed out unless it is to be kept."""
    of.staged(worker, f"s{writer}", label, content(writer))
    of.published(worker, f"s{writer}", Published(handle=f"p{writer}", files=FILES))
    if not keep:
        of.released(worker, f"p{writer}")


def hit(of: Model, label: str, handle: str = "h", *, worker: str = "B") -> None:
    of.looked_up(worker, label, Hit(handle=handle, files=FILES))


def collected(evicted: int) -> Collected:
    return Collected(evicted=evicted, freed_bytes=evicted * WEIGHT, reaped=0)


def collect(
    of: Model,
    evicted: int,
    *,
    room: int = 0,
    min_age_s: float = 0,
    dry_run: bool = False,
    over: int = 0,
) -> None:
    asked = Asked(room=room, budget_bytes=room * WEIGHT, min_age_s=min_age_s, dry_run=dry_run)
    protected = {"some": 1} if over else {}
    of.collected(asked, replace(collected(evicted), over_budget_bytes=over, protected=protected))


def row(breach: pytest.ExceptionInfo[BreachError]) -> str:
    return breach.value.requirement


# --- publishing -----------------------------------------------------------------------------------


def test_two_writers_are_not_both_told_published() -> None:
    cache = model()
    write(cache, "k", "w1")
    with pytest.raises(BreachError) as breach:
        write(cache, "k", "w2")
    assert row(breach) == "P2"


def test_after_an_eviction_the_next_is_told_published() -> None:
    cache = model()
    write(cache, "k", "w1")
    collect(cache, 1)
    write(cache, "k", "w2")
    hit(cache, "k")
    cache.read("B", "h", 0, FrameRead(sha256="w2.0", bytes=1))


def test_nobody_adopts_what_is_not_there() -> None:
    cache = model()
    cache.staged("A", "s", "k", content("w1"))
    with pytest.raises(BreachError) as breach:
        cache.published("A", "s", Adopted(handle="h", files=FILES))
    assert row(breach) == "P2"


def test_who_adopts_reads_the_work_of_the_other() -> None:
    cache = model()
    write(cache, "k", "w1")
    cache.staged("B", "s", "k", content("w2"))
    cache.published("B", "s", Adopted(handle="h", files=FILES))
    cache.read("B", "h", 1, FrameRead(sha256="w1.1", bytes=1))
    with pytest.raises(BreachError) as breach:
        cache.read("B", "h", 1, FrameRead(sha256="w2.1", bytes=1))
    assert row(breach) == "R1"


@pytest.mark.parametrize(
    ("reason", "errno", "allowed"),
    [
        (UnpublishedReason.BUSY, None, True),
        (UnpublishedReason.TOO_LARGE, None, True),
        (UnpublishedReason.UNTRUSTED, None, False),
        (UnpublishedReason.ERRNO, "EIO", False),
        (UnpublishedReason.ERRNO, "EEXIST", False),
    ],
)
def test_an_absent_key_is_refused_only_for_a_reason(
    reason: UnpublishedReason, errno: str | None, allowed: bool
) -> None:
    cache = model()
    cache.staged("A", "s", "k", content("w1"))
    answer = Unpublished(handle="h", files=FILES, reason=reason, errno=errno)
    if allowed:
        cache.published("A", "s", answer)
        cache.read("A", "h", 0, FrameRead(sha256="w1.0", bytes=1))
        return
    with pytest.raises(BreachError) as breach:
        cache.published("A", "s", answer)
    assert row(breach) == "P2"


def test_a_taken_key_may_be_refused_as_taken() -> None:
    cache = model()
    write(cache, "k", "w1")
    cache.staged("A", "s", "k", content("w2"))
    reason = UnpublishedReason.ERRNO
    cache.published("A", "s", Unpublished(handle="h", files=FILES, reason=reason, errno="EEXIST"))


@pytest.mark.parametrize("leases", [True, False])
def test_a_writer_keeps_its_own_frames(leases: bool) -> None:
    cache = model(leases=leases)
    cache.staged("A", "s", "k", content("w1"))
    answer = Unpublished(handle="h", files=FILES, reason=UnpublishedReason.BUSY)
    cache.published("A", "s", answer)
    with pytest.raises(BreachError) as breach:
        cache.read("A", "h", 0, Evicted())
    assert row(breach) == "P5"


# --- looking up and reading -----------------------------------------------------------------------


def test_what_was_published_is_found() -> None:
    cache = model()
    write(cache, "k", "w1")
    with pytest.raises(BreachError) as breach:
        cache.looked_up("B", "k", ABSENT)
    assert row(breach) == "R2"


def test_what_is_only_staged_is_not_found() -> None:
    cache = model()
    cache.looked_up("B", "k", ABSENT)
    cache.staged("A", "s", "k", content("w1"))
    with pytest.raises(BreachError) as breach:
        hit(cache, "k")
    assert row(breach) == "P1"


def test_a_hit_lists_all_files_in_order() -> None:
    for files in (FILES[:1], FILES[::-1], ()):
        cache = model()
        write(cache, "k", "w1")
        with pytest.raises(BreachError) as breach:
            cache.looked_up("B", "k", Hit(handle="h", files=files))
        assert row(breach) == "R1"


def test_without_a_lease_an_evicted_reader_is_told_so_or_reads_right_bytes() -> None:
    for answer in (Evicted(), FrameRead(sha256="w1.0", bytes=1)):
        cache = model(leases=False)
        write(cache, "k", "w1")
        hit(cache, "k")
        collect(cache, 1)
        cache.read("B", "h", 0, answer)


@pytest.mark.parametrize("answer", [FrameRead(sha256="w2.0", bytes=1), Damaged()])
def test_without_a_lease_an_evicted_reader_never_reads_wrong_bytes(
    answer: FrameRead | Damaged,
) -> None:
    cache = model(leases=False)
    write(cache, "k", "w1")
    hit(cache, "k")
    collect(cache, 1)
    write(cache, "k", "w2")
    with pytest.raises(BreachError) as breach:
        cache.read("B", "h", 0, answer)
    assert row(breach) == "R5"


def test_nobody_is_told_evicted_of_what_stays() -> None:
    cache = model(leases=False)
    write(cache, "k", "w1")
    hit(cache, "k")
    with pytest.raises(BreachError) as breach:
        cache.read("B", "h", 0, Evicted())
    assert row(breach) == "R1"


# --- collecting -----------------------------------------------------------------------------------


def test_what_is_held_stays() -> None:
    cache = model()
    write(cache, "k", "w1")
    hit(cache, "k")
    with pytest.raises(BreachError) as breach:
        collect(cache, 1)
    assert row(breach) == "R4"


def test_a_hold_that_counts_as_kept_and_is_gone_is_told_by_its_own_row() -> None:
    cache = model()
    write(cache, "k", "w1")
    hit(cache, "k")
    collect(cache, 0, over=WEIGHT)
    with pytest.raises(BreachError) as breach:
        cache.looked_up("B", "k", ABSENT)
    assert row(breach) == "R4"


@pytest.mark.parametrize("how", ["released", "killed", "closed"])
def test_a_hold_ends(how: str) -> None:
    cache = model()
    write(cache, "k", "w1")
    hit(cache, "k")
    if how == "released":
        cache.released("B", "h")
    else:
        cache.ended("B", killed=how == "killed")
    with pytest.raises(BreachError) as breach:
        collect(cache, 0, over=WEIGHT)
    assert row(breach) == "G2"
    collect(cache, 1)


def test_without_leases_what_is_in_use_may_stay_and_may_go() -> None:
    for evicted in (0, 1):
        cache = model(leases=False)
        write(cache, "k", "w1")
        hit(cache, "k")
        collect(cache, evicted, over=WEIGHT * (1 - evicted))


def test_what_is_young_stays() -> None:
    cache = model()
    write(cache, "k", "w1")
    cache.age(HOUR_S / 2)
    with pytest.raises(BreachError) as breach:
        collect(cache, 1, min_age_s=HOUR_S)
    assert row(breach) == "G3"
    cache.age(HOUR_S)
    collect(cache, 1, min_age_s=HOUR_S)


def test_near_min_age_either_is_allowed() -> None:
    for evicted in (0, 1):
        cache = model()
        write(cache, "k", "w1")
        cache.age(HOUR_S)
        collect(cache, evicted, min_age_s=HOUR_S, over=WEIGHT * (1 - evicted))


def test_the_least_recently_used_goes_first() -> None:
    cache = model()
    for label in "abc":
        write(cache, label, f"w{label}")
        cache.age(APART_S)
    hit(cache, "a")
    cache.released("B", "h")
    collect(cache, 1, room=2)
    cache.looked_up("B", "b", ABSENT)
    with pytest.raises(BreachError) as breach:
        cache.looked_up("B", "a", ABSENT)
    assert row(breach) == "G1"


def test_what_recency_cannot_tell_apart_goes_in_any_order() -> None:
    for missed in "ab":
        cache = model()
        write(cache, "a", "wa")
        write(cache, "b", "wb")
        collect(cache, 1, room=1)
        cache.looked_up("B", missed, ABSENT)
        with pytest.raises(BreachError) as breach:
            cache.looked_up("B", "ab".replace(missed, ""), ABSENT)
        assert row(breach) == "G1"


def test_no_more_goes_than_the_budget_asks_for() -> None:
    cache = model()
    write(cache, "a", "wa")
    with pytest.raises(BreachError) as breach:
        collect(cache, 1, room=1)
    assert row(breach) == "G2"


def test_unpublished_work_may_count_towards_the_budget() -> None:
    cache = model()
    write(cache, "a", "wa")
    cache.staged("B", "s", "b", content("wb"))
    collect(cache, 1, room=1)


def test_more_than_there_was_is_not_counted() -> None:
    with pytest.raises(BreachError) as breach:
        collect(model(), 1)
    assert row(breach) == "G7"


def test_freed_bytes_are_those_of_what_went() -> None:
    for freed_bytes in (0, 3 * WEIGHT):
        cache = model()
        write(cache, "a", "wa")
        asked = Asked(room=0, budget_bytes=0, min_age_s=0)
        with pytest.raises(BreachError) as breach:
            cache.collected(asked, replace(collected(1), freed_bytes=freed_bytes))
        assert row(breach) == "G7"


def test_what_was_counted_as_evicted_is_not_found() -> None:
    cache = model()
    write(cache, "a", "wa")
    write(cache, "b", "wb")
    collect(cache, 2)
    with pytest.raises(BreachError):
        hit(cache, "a")


def test_a_dry_run_changes_nothing() -> None:
    cache = model()
    write(cache, "a", "wa")
    collect(cache, 1, dry_run=True)
    with pytest.raises(BreachError) as breach:
        cache.looked_up("B", "a", ABSENT)
    assert row(breach) == "G13"
    hit(cache, "a")


def test_a_dead_writers_staging_is_reaped_after_the_grace() -> None:
    cache = model()
    cache.staged("A", "s", "a", content("wa"))
    cache.ended("A", killed=True)
    collect(cache, 0)  # too soon to be due
    cache.age(APART_S)
    with pytest.raises(BreachError) as breach:
        collect(cache, 0)
    assert row(breach) == "G4"


def test_a_closed_writers_staging_need_not_be_there() -> None:
    cache = model()
    cache.staged("A", "s", "a", content("wa"))
    cache.ended("A", killed=False)
    cache.age(APART_S)
    collect(cache, 0)


def test_a_skipped_collect_is_no_evidence() -> None:
    cache = model()
    write(cache, "a", "wa")
    cache.collected(Asked(room=0, budget_bytes=0, min_age_s=0), Skipped(reason="another"))
    hit(cache, "a")
