"""A drawn plan: nobody is interrupted but where it says so, and nothing is asked for in vain."""

from __future__ import annotations

from untorn_stress.schedulers.planned import Planned, Turn
from untorn_stress.schedulers.protocol import NOTHING, Executed, Moment, Option


def played(
    lengths: dict[str, int], turns: tuple[Turn, ...], *, faults: int = 0
) -> tuple[str, Planned]:
    """The labels of one run of actors that take so many steps each, any of which can fail."""
    planned = Planned(turns, faults=faults)
    assert planned.begin()
    labels: list[str] = []
    left, last = dict(lengths), None
    while options := [
        option
        for actor, steps in left.items()
        if steps
        for option in (Option(actor), *([Option(actor, fault="kill")] if faults else []))
    ]:
        option = planned.choose(Moment(len(labels), tuple(options), last))
        left[option.actor] = 0 if option.fault else left[option.actor] - 1
        labels.append(option.label)
        last = Executed(option.actor, option.label, NOTHING)
    assert not planned.begin()
    return " ".join(labels), planned


def test_without_turns_whoever_moved_last_goes_on() -> None:
    labels, planned = played({"A": 2, "B": 2}, ())
    assert (labels, planned.preemptions) == ("A A B B", 0)


def test_a_turn_has_another_take_over_after_so_many_steps() -> None:
    labels, planned = played({"A": 3, "B": 2}, (Turn(after=1, choice=1),))
    assert (labels, planned.preemptions) == ("A B B A A", 1)


def test_choice_0_is_to_go_on() -> None:
    labels, planned = played({"A": 3, "B": 2}, (Turn(after=1, choice=0),))
    assert (labels, planned.preemptions) == ("A A A B B", 0)


def test_turns_are_counted_from_one_another() -> None:
    turns = (Turn(after=1, choice=1), Turn(after=0, choice=1))
    labels, planned = played({"A": 3, "B": 2}, turns)
    assert (labels, planned.preemptions) == ("A B A A B", 2)


def test_who_takes_over_is_taken_modulo_the_others() -> None:
    lengths = {"A": 2, "B": 1, "C": 1}
    chosen = [played(lengths, (Turn(after=1, choice=each),))[0] for each in (1, 2, 3)]
    assert chosen == ["A B A C", "A C A B", "A B A C"]


def test_a_turn_with_nobody_else_there_changes_nothing() -> None:
    labels, planned = played(
        {"A": 2}, (Turn(after=1, choice=1), Turn(after=0, choice=1, fault=True))
    )
    assert (labels, planned.preemptions, planned.faults_taken) == ("A A", 0, 0)


def test_to_go_on_with_another_is_no_preemption_where_the_last_has_ended() -> None:
    labels, planned = played({"A": 1, "B": 1, "C": 1}, (Turn(after=1, choice=1),))
    assert (labels, planned.preemptions) == ("A C B", 0)


def test_a_turn_of_a_fault_takes_one() -> None:
    labels, planned = played({"A": 3, "B": 1}, (Turn(after=1, choice=1, fault=True),), faults=1)
    assert (labels, planned.faults_taken, planned.preemptions) == ("A A!kill B", 1, 0)


def test_no_more_faults_are_taken_than_allowed() -> None:
    turns = (Turn(after=0, choice=1, fault=True), Turn(after=0, choice=1, fault=True))
    labels, planned = played({"A": 2, "B": 2}, turns, faults=1)
    assert (labels, planned.faults_taken) == ("A!kill B B", 1)


def test_a_turn_without_a_fault_takes_none() -> None:
    labels, _ = played({"A": 2, "B": 1}, (Turn(after=1, choice=3),), faults=1)
    assert labels == "A B A"
