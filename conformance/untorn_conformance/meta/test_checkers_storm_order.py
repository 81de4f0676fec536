"""H7 on literal histories: which entries a collect alone takes, by when they were used."""

from __future__ import annotations

from typing import Any

import pytest
from untorn_conformance.checkers.storm.judging import judge
from untorn_conformance.history import Excuse, Op
from untorn_conformance.meta.literal_history import Told, found

HOUR_S = 3600.0


class Row(Told):
    """a and b are published, all is made an hour older, b is used; a collect takes one of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(limits={"recency_resolution_s": 60.0, **options.pop("limits", {})})
        self.shifted_s = options.pop("shifted_s", HOUR_S)
        self.options = options
        self.now = 100.0

    def tick(self) -> tuple[float, float]:
        self.now += 10
        return self.now, self.now + 5

    def put(self, version: str) -> None:
        op = self.publish("audit", *self.tick(), version)
        self.release("audit", *self.tick(), op)

    def use(self, version: str, *, lets_go: bool = True) -> Op:
        hit = self.hit("audit", *self.tick(), version)
        if lets_go:
            self.release("audit", *self.tick(), hit)
        return hit

    def weigh(self, evicted: int, **numbers: Any) -> None:
        stayed = 2 if numbers.get("dry_run") else 2 - evicted
        weighed = {"stood": 2, "stayed": stayed, "budget_bytes": 1, "shifted_s": self.shifted_s}
        self.collect("audit", *self.tick(), evicted, **{**weighed, **numbers})

    def played(self, went: str = "b") -> Row:
        """What went is missed afterwards, the other is hit."""
        self.put("a1")
        self.put("b1")
        self.weigh(0, dry_run=1, shifted_s=0.0)  # by then nothing had been made older
        self.weigh(0, dry_run=1)
        self.use("b1", lets_go=self.options.get("lets_go", True))
        self.weigh(1, **self.options.get("numbers", {}))
        for key in "ab":
            if key == went:
                self.miss("audit", *self.tick(), key, self.options.get("reason", "absent"))
            else:
                self.use(f"{key}1")
        return self


def is_inverted(told: Told) -> bool:
    return "G1" in found(told).get("H7", ())


def test_H7_what_was_used_later_goes_later() -> None:
    assert found(Row().played(went="b")) == {"H7": {"G1"}}
    assert found(Row().played(went="a")) == {}


def test_H7_an_inversion_names_both_uses_and_the_collect() -> None:
    told = Row().played()
    (violation,) = judge(told.round).violations
    verbs = [told.round.ops[op].verb for op in violation.operations]
    assert verbs == ["publish", "lookup", "collect"]


@pytest.mark.parametrize(
    ("options", "judged"),
    [
        ({"shifted_s": 59.9}, False),
        ({"shifted_s": 60.2}, True),
        ({"limits": {"recency_resolution_s": HOUR_S + 1}}, False),
        ({"limits": {"recency_resolution_s": None}}, False),
    ],
)
def test_H7_uses_within_the_resolution_have_no_order(
    *, options: dict[str, Any], judged: bool
) -> None:
    assert is_inverted(Row(**options).played()) == judged


def test_H7_what_may_be_too_young_may_stay() -> None:
    assert not is_inverted(Row(numbers={"min_age_s": HOUR_S + 1}).played())
    assert is_inverted(Row(numbers={"min_age_s": HOUR_S - 1}).played())


def test_H7_what_is_held_may_stay() -> None:
    told = Row()
    told.put("a1")
    told.put("b1")
    told.use("a1", lets_go=False)
    told.weigh(0, dry_run=1, shifted_s=0.0)
    told.weigh(0, dry_run=1)
    told.use("b1")
    told.weigh(1)
    told.miss("audit", *told.tick(), "b")
    told.use("a1")
    assert not is_inverted(told)


def test_H7_a_miss_for_another_reason_does_not_say_that_it_went() -> None:
    assert not is_inverted(Row(reason="unreadable").played())


def test_H7_who_was_published_again_before_it_was_looked_for_is_not_judged() -> None:
    told = Row()
    told.put("a1")
    told.put("b1")
    told.weigh(0, dry_run=1, shifted_s=0.0)
    told.weigh(0, dry_run=1)
    told.use("b1")
    told.weigh(1)
    told.put("b2")
    told.use("b2")
    told.use("a1")
    assert not is_inverted(told)


@pytest.mark.parametrize(("end", "judged"), [(105.0, True), (115.0, False), (None, False)])
def test_H7_ages_that_a_strike_moved_are_in_no_order(*, end: float | None, judged: bool) -> None:
    """a is published from 110 on: what was published before a strike ended is not judged."""
    told = Row().played()
    told.strike(101, end, Excuse.AGES)
    assert is_inverted(told) == judged


def test_H7_only_a_collect_that_ran_alone_is_judged() -> None:
    told = Row().played()
    told.miss("other", 1, 2, "a")
    assert not is_inverted(told)
    told.death("other", 50)
    assert is_inverted(told)


def test_H7_what_comes_after_the_first_look_tells_nothing_more() -> None:
    told = Row().played()
    told.put("b2")
    told.use("b2")
    assert is_inverted(told)


def test_H7_a_use_that_may_be_older_than_the_hour_is_not_later() -> None:
    told = Row()
    told.put("a1")
    told.put("b1")
    told.weigh(0, dry_run=1, shifted_s=0.0)
    told.use("b1")
    told.weigh(1)
    told.miss("audit", *told.tick(), "b")
    told.use("a1")
    assert not is_inverted(told)
