"""Each nemesis bites when it is forced, and is healed: the round after it finds nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_conformance.registry import parse
from untorn_conformance.storming import spool_beside, stormed_of
from untorn_conformance.subjects import ask_hello
from untorn_stress.storm.ledger import StormLedger
from untorn_stress.storm.nemesis.catalogue import NEMESES
from untorn_stress.storm.plan import PlannedStrike, RoundPlan, Wanted
from untorn_stress.storm.series import Series
from untorn_stress.storm.storm import Storm
from untorn_stress.storm.summary import Account

MAIN = (
    ("kill", "kill-tree", "gc-storm", "stop", "mtimes", "clock"),
    ("cleaner", "permissions"),
    ("root-removed",),
)
SMALL = (("disk-full",), ("inodes-full",))
TIMES = 4
"""A strike is drawn, and may meet nobody: so often each is struck at most."""


def forced(groups: tuple[tuple[str, ...], ...], *, is_small: bool) -> Callable[..., RoundPlan]:
    """Plans whose rounds have these strikes, a group each, in turn."""

    def plan(_wanted: Wanted, number: int, *, has_small: bool) -> RoundPlan:
        del has_small
        names = groups[(number - 1) % len(groups)]
        strikes = [
            PlannedStrike(nemesis=name, at_s=0.4 + 0.05 * index, dice_seed=f"{number}:{name}")
            for index, name in enumerate(names)
        ]
        longest_s = max(NEMESES[name].lasts_s for name in names)
        return RoundPlan(
            number=number,
            is_small=is_small,
            work_s=longest_s + 0.8,
            drains=True,
            strikes=tuple(strikes),
        )

    return plan


def storm_of(
    folder: Path, groups: tuple[tuple[str, ...], ...], *, is_small: bool = False
) -> Account:
    """A storm of these strikes, until each has bitten, or has been struck TIMES times."""
    names = tuple(name for group in groups for name in group)
    wanted = Wanted(seed=3, duration_s=600.0, nemeses=names, readers=3, writers=3, collectors=1)
    account = Account(wanted, StormLedger(folder, "", time.monotonic_ns()), Series())
    spec = parse("reference")
    tally = account.tally
    storm = Storm(
        stormed_of(spec, ask_hello(spec, folder), folder),
        account,
        directory=folder,
        spool_directory=spool_beside(folder),
        tell=lambda _line: None,
        is_stopped=lambda: (
            all(
                tally.bit[each] or tally.tried[each] >= TIMES or each in tally.inapplicable
                for each in names
            )
            and account.rounds >= len(groups)
        ),
        planned=forced(groups, is_small=is_small),
    )
    storm.rage()
    return account


@pytest.fixture(scope="module")
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that workers of another user can pass."""
    folder = tmp_path_factory.mktemp("storm")
    for each in (folder, *folder.parents[:2]):
        each.chmod(each.stat().st_mode | 0o011)
    return folder


@pytest.fixture(scope="module")
def on_disk(open_folder: Path) -> Account:
    return storm_of(open_folder, MAIN)


@pytest.fixture(scope="module")
def on_a_small_disk(open_folder: Path) -> Account:
    return storm_of(open_folder, SMALL, is_small=True)


@pytest.mark.parametrize("name", [name for group in MAIN for name in group])
def test_it_bites_when_forced(on_disk: Account, name: str) -> None:
    assert on_disk.tally.bit[name] > 0, on_disk.tally.inapplicable.get(name)


@pytest.mark.parametrize("name", [name for group in SMALL for name in group])
def test_it_fills_a_small_disk_when_forced(on_a_small_disk: Account, name: str) -> None:
    if why := on_a_small_disk.tally.inapplicable.get(name):
        pytest.skip(f"UNKNOWN: {why}")
    assert on_a_small_disk.tally.bit[name] > 0


def test_the_reference_stands_it_all(on_disk: Account, on_a_small_disk: Account) -> None:
    assert [on_disk.verdict, on_a_small_disk.verdict] == ["pass", "pass"], on_disk.reason


def test_without_extraction_no_parent_can_be_killed(open_folder: Path) -> None:
    account = storm_of(open_folder, (("kill-parent",),))
    assert "give --extract" in account.tally.inapplicable["kill-parent"]
