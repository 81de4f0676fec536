"""A stopped actor: stopped before each of its steps, once, and the others go on without it."""

from __future__ import annotations

from untorn_stress.schedulers.protocol import Ending, Moment, Option
from untorn_stress.schedulers.stopped import StoppedActor

LENGTHS = {"A": 3, "B": 2}


def runs(scheduler: StoppedActor, lengths: dict[str, int] = LENGTHS) -> list[str]:
    """What each run chose; a cut run ends with a bar."""
    made = []
    while scheduler.begin():
        left, chosen = dict(lengths), ""
        cut = False
        while options := tuple(Option(actor) for actor in sorted(left) if left[actor]):
            option = scheduler.choose(Moment(len(chosen), options))
            if option is None:
                cut = True
                break
            chosen += option.actor
            left[option.actor] -= 1
        scheduler.end(Ending(None, cut))
        made.append(chosen + "|" * cut)
    return made


def test_it_is_stopped_before_each_step_and_once_not_at_all() -> None:
    assert runs(StoppedActor("A", most_steps=10)) == ["BB|", "ABB|", "AABB|", "AAABB"]


def test_whoever_takes_too_many_steps_meanwhile_spins() -> None:
    scheduler = StoppedActor("A", most_steps=4)
    assert scheduler.begin()
    options = (Option("A"), Option("B", yielded=True))
    chosen = [scheduler.choose(Moment(step, options)) for step in range(5)]
    assert [option.actor for option in chosen[:4] if option] == ["B"] * 4
    assert chosen[4] is None
    assert scheduler.spinning == "B"


def test_the_others_move_by_turns() -> None:
    assert runs(StoppedActor("A", most_steps=10), {"A": 0, "B": 2, "C": 2}) == ["BCBC"]
