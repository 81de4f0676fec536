"""The parts of the searches: the hash of a partial order, what is live, what a preemption is."""

from __future__ import annotations

import pytest
from untorn_stress.schedulers.choices import going_on, may_go_on
from untorn_stress.schedulers.happens_before import HappensBefore
from untorn_stress.schedulers.live_objects import LiveObjects
from untorn_stress.schedulers.protocol import Executed, Footprint, Option

OPAQUE = Footprint(opaque=True)


def reads(*names: str) -> Footprint:
    return Footprint(reads=frozenset(names))


def writes(*names: str) -> Footprint:
    return Footprint(writes=frozenset(names))


def step(label: str, footprint: Footprint) -> Executed:
    return Executed(label.partition("!")[0], label, footprint)


def hashed(*steps: Executed) -> int:
    order = HappensBefore()
    for each in steps:
        order.add(each)
    return order.value


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (writes("x"), writes("y")),
        (reads("x"), reads("x")),
        (reads("x", "y"), writes("z")),
    ],
)
def test_the_order_of_steps_that_commute_leaves_no_trace(a: Footprint, b: Footprint) -> None:
    first, second = step("A", a), step("B", b)
    assert hashed(first, second) == hashed(second, first)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (writes("x"), writes("x")),
        (writes("x"), reads("x")),
        (reads("x"), writes("x")),
        (reads("x"), OPAQUE),
        (OPAQUE, writes("y")),
        (OPAQUE, OPAQUE),
    ],
)
def test_the_order_of_steps_that_conflict_is_told(a: Footprint, b: Footprint) -> None:
    first, second = step("A", a), step("B", b)
    assert hashed(first, second) != hashed(second, first)


def test_which_of_two_writes_a_read_came_after_is_told() -> None:
    a, b, c = step("A", writes("x")), step("B", writes("x")), step("C", reads("x"))
    assert len({hashed(a, b, c), hashed(a, c, b), hashed(c, a, b)}) == 3


def test_steps_far_apart_may_change_places_when_nothing_between_orders_them() -> None:
    a, b, c = step("A", writes("x")), step("B", reads("y")), step("C", writes("x"))
    assert hashed(a, b, c) == hashed(a, c, b) == hashed(b, a, c)


def test_a_barrier_orders_what_touches_nothing_in_common() -> None:
    a, b, c = step("A", writes("x")), step("B", OPAQUE), step("C", writes("y"))
    assert len({hashed(a, b, c), hashed(b, a, c), hashed(c, b, a), hashed(b, c, a)}) == 3


def test_a_fault_is_not_the_step_in_whose_place_it_is() -> None:
    assert hashed(step("A!EIO", reads())) != hashed(step("A", reads()))


def test_the_steps_of_one_actor_are_counted() -> None:
    once = step("A", reads())
    assert len({hashed(), hashed(once), hashed(once, once)}) == 3


def test_an_object_is_live_once_two_actors_touched_it_and_one_wrote() -> None:
    objects = LiveObjects()
    assert not objects.touched("A", writes("x"))
    assert objects.touched("B", reads("x"))
    assert objects.live == {"x"}


def test_an_object_that_all_only_read_is_idle_until_one_of_them_writes() -> None:
    objects = LiveObjects()
    for actor in "ABA":
        assert not objects.touched(actor, reads("x"))
    assert objects.idle("A", [reads("x")])
    assert objects.touched("A", writes("x"))
    assert not objects.idle("B", [reads("x")])


def test_what_one_actor_reads_and_writes_is_idle() -> None:
    objects = LiveObjects()
    objects.touched("A", reads("x"))
    assert not objects.touched("A", writes("x"))
    assert objects.idle("A", [reads("x"), writes("x")])


def test_an_option_is_a_touch() -> None:
    objects = LiveObjects()
    assert objects.offered([Option("A", writes("x")), Option("B", writes("x"))])


def test_one_live_step_among_the_actors_own_makes_it_matter_when_to_leave() -> None:
    objects = LiveObjects()
    objects.offered([Option("A", writes("x")), Option("B", writes("x"))])
    assert not objects.idle("A", [writes("own"), writes("x")])


@pytest.mark.parametrize(
    "option", [Option("A", OPAQUE), Option("A", reads("x"), yielded=True)], ids=["opaque", "time"]
)
def test_who_meddles_leaves_no_step_of_others_idle(option: Option) -> None:
    objects = LiveObjects()
    assert objects.offered([option])
    assert not objects.idle("B", [writes("own")])
    assert objects.idle("A", [writes("own")])


def test_an_opaque_step_is_not_idle() -> None:
    assert not LiveObjects().idle("A", [OPAQUE])


WAITING, READY = Option("A", yielded=True), Option("B")


def test_to_leave_an_actor_that_waits_for_time_is_no_preemption() -> None:
    assert not may_go_on([WAITING, READY], "A")
    assert may_go_on([WAITING, READY], "B")


def test_an_actor_that_waits_for_time_goes_on_when_no_other_can() -> None:
    assert going_on([WAITING, READY], "A") == READY
    assert going_on([WAITING, Option("B", fault="EIO")], "A") == WAITING
