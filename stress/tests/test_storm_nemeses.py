"""Each nemesis bites when it is forced, and is healed: the round after it finds nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance.registry import parse
from untorn_conformance.storming import filmed
from untorn_conformance.subjects import ask_hello
from untorn_stress.storm.nemesis.catalogue import NEMESES
from untorn_stress.storm.plan import PlannedStrike, RoundPlan, Wanted
from untorn_stress.storm.summary import Account

MAIN = (
    ("kill", "kill-tree", "gc-storm", "stop", "mtimes", "clock"),
    ("cleaner", "permissions"),
    ("root-removed", "kill-parent"),
)
SMALL = (("disk-full",), ("inodes-full",))
PARENT = (("kill-parent",),)
TIMES = 12
"""A strike is drawn, and may meet nobody: so often each is struck at most."""


def forced(groups: tuple[tuple[str, ...], ...], *, is_small: bool) -> Callable[..., RoundPlan]:
    """Plans whose rounds have these strikes, a group each, in turn."""

    def plan(_wanted: Wanted, number: int, *, has_small: bool) -> RoundPlan:
        del has_small
        names = groups[(number - 1) % len(groups)]
        at_s = 0.4 * (number % 2)  # before the cache is warm, or after
        strikes = [
            PlannedStrike(nemesis=name, at_s=at_s + 0.05 * each, dice_seed=f"{number}:{name}")
            for each, name in enumerate(names)
        ]
        longest_s = max(NEMESES[name].lasts_s for name in names)
        return RoundPlan(
            number=number,
            is_small=is_small,
            work_s=longest_s + 0.8,
            drains=True,
            spares=False,
            strikes=tuple(strikes),
        )

    return plan


def lying_in_wait(_wanted: Wanted, number: int, *, has_small: bool) -> RoundPlan:
    """A round of a minute, which kill-parent strikes again and again until it has bitten."""
    del has_small
    strikes = tuple(
        PlannedStrike(nemesis="kill-parent", at_s=at_s, dice_seed=f"{number}:{at_s}")
        for at_s in range(60)
    )
    return RoundPlan(
        number=number, is_small=False, work_s=60.0, drains=True, spares=False, strikes=strikes
    )


def until_bitten(account: Account) -> bool:
    """Whether each has bitten, or was struck as often as it may be."""
    tally, names = account.tally, account.wanted.nemeses
    return account.rounds > 0 and all(
        tally.bit[each] or tally.tried[each] >= TIMES or each in tally.inapplicable
        for each in names
    )


def wanted(groups: tuple[tuple[str, ...], ...], *, extractors: int = 0) -> Wanted:
    return Wanted(
        seed=3,
        duration_s=600.0,
        nemeses=tuple(name for group in groups for name in group),
        readers=3,
        writers=3,
        collectors=1,
        extractors=extractors,
    )


@pytest.fixture(scope="module")
def folder(passable: Callable[[], Path]) -> Path:
    return passable()


@pytest.fixture(scope="module")
def on_disk(folder: Path, storm: Callable[..., Account]) -> Account:
    return storm(folder, wanted(MAIN), until=until_bitten, planned=forced(MAIN, is_small=False))


@pytest.fixture(scope="module")
def on_a_small_disk(folder: Path, storm: Callable[..., Account]) -> Account:
    return storm(folder, wanted(SMALL), until=until_bitten, planned=forced(SMALL, is_small=True))


@pytest.mark.parametrize(
    "name", sorted({name for group in MAIN for name in group} - {"kill-parent"})
)
def test_it_bites_when_forced(on_disk: Account, name: str) -> None:
    assert on_disk.tally.bit[name] > 0, on_disk.tally.inapplicable.get(name)


@pytest.mark.parametrize("name", [name for group in SMALL for name in group])
def test_it_fills_a_small_disk_when_forced(on_a_small_disk: Account, name: str) -> None:
    if why := on_a_small_disk.tally.inapplicable.get(name):
        pytest.skip(f"UNKNOWN: {why}")
    assert on_a_small_disk.tally.bit[name] > 0


def test_the_reference_stands_it_all(on_disk: Account, on_a_small_disk: Account) -> None:
    assert [on_disk.verdict, on_a_small_disk.verdict] == ["pass", "pass"], on_disk.reason


def test_without_extraction_no_parent_can_be_killed(on_disk: Account) -> None:
    assert "give --extract" in on_disk.tally.inapplicable["kill-parent"]


def test_a_killed_parent_leaves_a_decoder_that_harms_nothing(
    folder: Path, storm: Callable[..., Account]
) -> None:
    account = storm(
        folder,
        wanted(PARENT, extractors=2),
        until=lambda account: account.tally.bit["kill-parent"] > 0,  # ends the round under way
        planned=lying_in_wait,
        filmed=filmed(ask_hello(parse("reference"), folder)),
    )
    assert (account.tally.bit["kill-parent"] > 0, account.verdict) == (True, "pass")
