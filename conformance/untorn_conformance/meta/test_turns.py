"""With several processes the long cases begin first, and none is lost by that."""

from __future__ import annotations

import pytest
from untorn_conformance.cases import TURN_MARK, begins, turn_of
from untorn_conformance.turns import dealt


def turn(name: str) -> int | None:
    """A digit at the end of a name is its turn."""
    return int(name[-1]) if name[-1].isdigit() else None


def shares(items: list[str], processes: int) -> list[list[str]]:
    """What ``worksteal`` gives each process first: (what is left) // (who is left) of the order."""
    left, given = dealt(items, turn, processes), []
    for process in range(processes):
        count = len(left) // (processes - process)
        given.append(left[:count])
        left = left[count:]
    assert not left
    return given


def test_each_process_begins_with_its_part_of_the_long_ones() -> None:
    items = ["a", "b", "late2", "c", "d", "e", "first1", "f", "last3", "g"]
    one, other = shares(items, 2)
    assert one == ["first1", "last3", "a", "b", "c"]
    assert other == ["late2", "d", "e", "f", "g"]


def test_among_equals_the_order_stays() -> None:
    one, other = shares(["a1", "x", "b1", "c1", "y", "d1", "z", "w"], 2)
    assert (one, other) == (["a1", "c1", "x", "y"], ["b1", "d1", "z", "w"])


@pytest.mark.parametrize("processes", [1, 2, 3, 7, 20])
def test_every_case_is_there_once(processes: int) -> None:
    items = [f"case {number}" + f" {number % 3}" * (number % 4 == 0) for number in range(41)]
    assert sorted(dealt(items, turn, processes)) == sorted(items)


def test_more_long_ones_than_a_share_holds_are_all_there() -> None:
    assert shares(["a1", "b1", "c1", "x"], 2) == [["a1", "c1"], ["b1", "x"]]


def test_one_process_keeps_the_order() -> None:
    assert dealt(["a", "b1"], turn, 1) == ["a", "b1"]


@begins(2)
def test_a_mark_says_the_turn(request: pytest.FixtureRequest) -> None:
    assert turn_of(request.node) == 2
    assert request.node.get_closest_marker(TURN_MARK) is not None


def test_without_a_mark_there_is_no_turn(request: pytest.FixtureRequest) -> None:
    assert turn_of(request.node) is None
