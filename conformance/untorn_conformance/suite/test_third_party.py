"""Chapter T: what outsiders do to an entry is found, and the next publish puts it right.

The damage is done where the entry is found to lie, by comparing trees around its publish. Some is
done *unnoticed*: all times are put back afterwards, as a restore or a careless tool does.
"""

from __future__ import annotations

import contextlib

import pytest
from untorn_conformance import moves
from untorn_conformance.backend import Miss, Published, Setting, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.place import Damage, Place, damage, put_and_find, times_put_back
from untorn_conformance.plugin import requires

SEEN = [(Damage.THINNED, False), (Damage.THINNED, True), (Damage.TRUNCATED, False)]
SEEN += [(Damage.TRUNCATED, True), (Damage.ZEROED, False)]
UNSEEN = [*SEEN, (Damage.ZEROED, True), (Damage.FLIPPED, False), (Damage.FLIPPED, True)]


def named(kinds: list[tuple[Damage, bool]]) -> list[str]:
    """Names of parameters."""
    return [f"{kind}-unnoticed" if is_unnoticed else kind for kind, is_unnoticed in kinds]


each_seen = pytest.mark.parametrize(("kind", "is_unnoticed"), SEEN, ids=named(SEEN))
each_unseen = pytest.mark.parametrize(("kind", "is_unnoticed"), UNSEEN, ids=named(UNSEEN))


def harm(farm: Farm, place: Place, kind: Damage, *, is_unnoticed: bool) -> None:
    """Let a minute pass, so that the clock's grain hides no change, and do the damage."""
    farm.age(60)
    with times_put_back(place) if is_unnoticed else contextlib.nullcontext():
        damage(farm, place, kind)


@requires("T1", evidence="one frame of three damaged, one publish by another process, sequential")
@each_seen
def test_T1_a_damaged_entry_is_never_adopted(farm: Farm, kind: Damage, is_unnoticed: bool) -> None:
    """The next publish of the key is published, and everybody then reads its frames."""
    first, second = farm.worker(), farm.worker()
    harm(farm, put_and_find(farm, first, "a"), kind, is_unnoticed=is_unnoticed)
    new = moves.frames("new")
    answer = moves.publish(farm, second, "a", new)
    assert isinstance(answer, Published), answer
    assert moves.read_all(second, answer) == moves.digests(new.values())
    assert moves.read_all(first, moves.must_hit(first, "a")) == moves.digests(new.values())


@requires("T1", evidence="one frame of three damaged, aged beyond the resolution, one lookup")
@each_seen
def test_T1_damage_is_found_at_the_next_touch(farm: Farm, kind: Damage, is_unnoticed: bool) -> None:
    """A lookup that has recency to write looks at the files as well, and misses."""
    worker = farm.worker()
    harm(farm, put_and_find(farm, worker, "a"), kind, is_unnoticed=is_unnoticed)
    farm.age(2 * max(1.0, farm.hello.limits.recency_resolution_s))
    assert isinstance(moves.look(worker, "a"), Miss)


@requires("T2", evidence="one frame of three damaged, the first lookup by another process")
@each_unseen
def test_T2_a_verified_lookup_misses_what_is_damaged(
    farm: Farm, kind: Damage, is_unnoticed: bool
) -> None:
    """At once, also if one byte has changed and no time has."""
    farm.needs(Capability.VERIFY)
    env = {moves.variable(farm, Setting.VERIFY): "1"}
    first, second = farm.worker(env), farm.worker(env)
    place = put_and_find(farm, first, "a")
    assert moves.has(second, "a")
    harm(farm, place, kind, is_unnoticed=is_unnoticed)
    assert isinstance(moves.look(second, "a"), Miss)


@requires("T2", evidence="one byte changed unnoticed, one publish and two lookups, sequential")
def test_T2_a_verified_publish_replaces_what_is_damaged(farm: Farm) -> None:
    """It adopts no more than a lookup would serve."""
    farm.needs(Capability.VERIFY)
    worker = farm.worker({moves.variable(farm, Setting.VERIFY): "1"})
    harm(farm, put_and_find(farm, worker, "a"), Damage.FLIPPED, is_unnoticed=True)
    new = moves.frames("new")
    assert isinstance(moves.publish(farm, worker, "a", new), Published)
    assert moves.read_all(worker, moves.must_hit(worker, "a")) == moves.digests(new.values())


@requires("T2", evidence="published without verification, one byte changed, one verified lookup")
def test_T2_what_cannot_be_verified_is_no_hit(farm: Farm) -> None:
    """An entry of a process that did not verify is not believed when it is damaged."""
    farm.needs(Capability.VERIFY)
    plain = farm.worker()
    verifying = farm.worker({moves.variable(farm, Setting.VERIFY): "1"})
    harm(farm, put_and_find(farm, plain, "a"), Damage.FLIPPED, is_unnoticed=True)
    assert isinstance(moves.look(verifying, "a"), Miss)


@requires("T3", evidence="every file of one entry removed, one lookup, publish, lookup, sequential")
def test_T3_an_emptied_entry_recovers(farm: Farm) -> None:
    """Its empty directories are no entry and in nobody's way."""
    assert_recovers(farm, Damage.EMPTIED)


@requires(
    "T3", evidence="every frame of one entry removed, one lookup, publish, lookup, sequential"
)
def test_T3_an_entry_without_its_frames_recovers(farm: Farm) -> None:
    """What says that it is complete may be all that a cleaner of old files has left of it."""
    assert_recovers(farm, Damage.FRAMELESS)


def assert_recovers(farm: Farm, kind: Damage) -> None:
    """A lookup misses, a publish replaces, and the next lookup hits what it published."""
    cleaned, other = farm.worker(), farm.worker()
    harm(farm, put_and_find(farm, cleaned, "a"), kind, is_unnoticed=False)
    missed = moves.look(other, "a")
    assert isinstance(missed, Miss), missed
    new = moves.frames("new")
    answer = moves.publish(farm, other, "a", new)
    assert isinstance(answer, Published), answer
    other.call(Verb.RELEASE, handle=answer.handle)
    hit = moves.must_hit(cleaned, "a")
    assert moves.read_all(cleaned, hit) == moves.digests(new.values())
