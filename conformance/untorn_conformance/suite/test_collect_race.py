"""Chapter G: collectors beside one another, beside readers, and stopped (G8, G9, G12)."""

from __future__ import annotations

from untorn_conformance import moves
from untorn_conformance.backend import (
    Collected,
    Evicted,
    FrameRead,
    Hit,
    Miss,
    Skipped,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_conformance.counters import Family
from untorn_conformance.farm import Farm
from untorn_conformance.holdings import lost_bytes, weights
from untorn_conformance.pauses import stop_in_collect
from untorn_conformance.plugin import requires
from untorn_stress.worker import Pending, Worker

ROUNDS = 5


def labels_of(round_number: int, count: int) -> list[str]:
    """Fresh labels for a round."""
    return [f"{round_number}.{number}" for number in range(count)]


@requires("G8", evidence=f"2 collectors at once over 30 entries, freely racing, {ROUNDS} rounds")
def test_G8_concurrent_collectors_count_once(farm: Farm) -> None:
    """All answers together count what left the tree; one of them may be a skip, not both."""
    collectors = farm.worker(), farm.worker()
    for number in range(ROUNDS):
        labels = labels_of(number, 30)
        moves.put_many(farm, collectors[0], {label: moves.frames(label) for label in labels})
        before = weights(farm)
        asked = [
            each.send(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False)
            for each in collectors
        ]
        answers = [each.receive(one) for each, one in zip(collectors, asked, strict=True)]
        done = [answer for answer in answers if isinstance(answer, Collected)]
        assert done, answers
        assert sum(each.evicted for each in done) == 30
        assert sum(each.freed_bytes for each in done) == lost_bytes(before, weights(farm))


@requires(
    "G9",
    evidence="2 readers that look 40 entries of 8 frames up while a collector evicts them, freely "
    f"racing, {ROUNDS} rounds; not every interleaving",
)
def test_G9_an_entry_under_eviction_is_never_served_in_part(farm: Farm) -> None:
    """Every hit lists all frames, and each read gives the published bytes, or evicted."""
    collector, readers = farm.worker(), (farm.worker(), farm.worker())
    hits = 0
    for number in range(ROUNDS):
        labels = labels_of(number, 40)
        moves.put_many(farm, collector, {label: eight(label) for label in labels})
        lookups = [
            each
            for forth, back in zip(labels, reversed(labels), strict=True)
            for each in zip(readers, (forth, back), strict=True)
        ]
        ahead = len(lookups) * number // ROUNDS  # from none to most of them before the collect
        asked = [ask(*each) for each in lookups[:ahead]]
        # One answer is waited for, so that some entry is certainly held while others are evicted.
        found = [(each, each[0].receive(pending)) for each, pending in asked[:1]]
        collecting = collector.send(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False)
        asked += [ask(*each) for each in lookups[ahead:]]
        found += [(each, each[0].receive(pending)) for each, pending in asked[len(found) :]]
        collector.receive(collecting)
        hits += sum(is_whole(farm, *each, answer) for each, answer in found)
    assert hits, "no lookup hit, though some were answered before the collect was asked for"


def ask(reader: Worker, label: str) -> tuple[tuple[Worker, str], Pending]:
    """Send a lookup; who was asked, and what is to be received."""
    return (reader, label), reader.send(Verb.LOOKUP, key=moves.key(label))


def eight(label: str) -> dict[str, bytes]:
    """The frames of a label's entry."""
    return moves.frames(label, count=8, size_bytes=512)


def is_whole(farm: Farm, reader: Worker, label: str, found: Hit | Miss) -> bool:
    """See that a hit is whole and, if it is leased, has stayed so; whether it is a hit."""
    if not isinstance(found, Hit):
        return False
    assert found.files == tuple(eight(label))
    asked = [
        reader.send(Verb.READ, handle=found.handle, index=index)
        for index in range(len(found.files))
    ]
    answers = [reader.receive(each) for each in asked]
    is_leased = Capability.LEASE in farm.hello.capabilities
    for answer, expected in zip(answers, moves.digests(eight(label).values()), strict=True):
        if is_leased or not isinstance(answer, Evicted):
            assert isinstance(answer, FrameRead), answer
            assert answer.sha256 == expected
    reader.call(Verb.RELEASE, handle=found.handle)
    return True


STOPPED = "one collector stopped by SIGSTOP in the middle of a collect, at one moment of it"


@requires("G12", evidence=STOPPED)
def test_G12_others_are_answered_beside_a_stopped_collector(farm: Farm) -> None:
    """A collect is skipped or does the work; publishes and lookups go on; so does it, resumed."""
    pause = stop_in_collect(farm)
    other = farm.worker()
    answer = other.call(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False)
    assert isinstance(answer, Skipped) or answer.over_budget_bytes == 0, answer
    moves.put(farm, other, "new")
    assert moves.has(other, "new")
    pause.collector.resume()
    assert isinstance(pause.collector.receive(pause.pending), Collected)


@requires("G12", evidence=STOPPED)
def test_G12_skips_are_counted(farm: Farm) -> None:
    """Each skip beside it makes the counter of skips rise by one."""
    farm.needs(Capability.STATS)
    stop_in_collect(farm)
    other = farm.worker()
    before = Family.COLLECT_SKIPPED.total(other.call(Verb.STATS).counters)
    answers = [
        other.call(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False) for _ in range(3)
    ]
    skips = sum(isinstance(answer, Skipped) for answer in answers)
    assert Family.COLLECT_SKIPPED.total(other.call(Verb.STATS).counters) - before == skips


@requires("G12", evidence=STOPPED)
def test_G12_skips_are_warned_about(farm: Farm) -> None:
    """Whoever is kept from collecting while over budget says so, once."""
    farm.needs(Capability.LOG)
    stop_in_collect(farm)
    other = farm.worker()
    other.call(Verb.LOG)
    answers = [
        other.call(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False) for _ in range(3)
    ]
    warnings = [event for event in other.call(Verb.LOG).events if event.level == "warning"]
    assert len(warnings) == any(isinstance(answer, Skipped) for answer in answers)
