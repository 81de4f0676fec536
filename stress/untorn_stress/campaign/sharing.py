"""Whose turn it is, and with which command; pure.

Rule 1: canaries first, whose time does not count; then the corpus for at most half of the time;
        then what has had the least time of those that still have something to do.
Rule 2: storms and pct draw without end, each shard by its own seed. Searches that are exhaustive
        are done once a campaign, the quick ones first: to do them again would show nothing new.
Rule 3: an exhaustive search is begun only where the longest of its kind so far would still fit, and
        may take as long as its strand's share of the whole campaign.

Source of the fair share: of those that want to run the one with the least charged time goes first,
as in stride scheduling (Waldspurger and Weihl, 1995).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from untorn_conformance.contract import Capability

from untorn_stress.campaign.shard import SHARED, Shard, Strand, seed_of
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import FAILING, LONE, SCENARIOS

Search = tuple[str, tuple[str, ...]]
"""An exhaustive search: what it is about, and its options."""

_SHARDS_A_NIGHT: Final = 24
_SHARD_S: Final = (5.0, 300.0)
"""A shard of what is drawn takes a 24th of the campaign, within these bounds."""

_PCT_RUNS_A_SECOND: Final = 15
_PCT_RUNS: Final = (20, 400)
_GRACE_S: Final = 120.0
_HANGS: Final = 3.0
_LEAST_S: Final = 1.0
_EVERY_TREE: Final = ("--scenario", "writer-writer", "--preemptions", "0")
"""The search that tells early which trees are harvested: pct draws from those from then on."""

_QUICKEST: Final = "failing-lookup"
_CANARY_S: Final = 20.0
_CANARY_SEED: Final = 1
_FIT: Final = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """What a campaign is about. ``canary`` is a backend that is known to be broken."""

    backend: str
    canary: str
    seed: int
    asked_s: float
    strands: tuple[Strand, ...] = SHARED
    capabilities: frozenset[Capability] = frozenset()

    @property
    def shard_s(self) -> float:
        """How long a shard of what is drawn takes, in seconds."""
        least, most = _SHARD_S
        return min(most, max(least, self.asked_s / _SHARDS_A_NIGHT))


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What has been so far: the time used, charged and longest by strand, and what was begun.

    ``begun`` are the commands that were begun, as their ``about``; ``corpus`` are the commands of
    the entries that are still to be tried, with their ids; ``trees`` the names of harvested trees.
    """

    number: int
    used_s: float
    charged_s: Mapping[Strand, float] = field(default_factory=dict)
    longest_s: Mapping[Strand, float] = field(default_factory=dict)
    begun: frozenset[str] = frozenset()
    corpus: Sequence[tuple[str, tuple[str, ...], int]] = ()
    trees: Sequence[str] = ()


def following(wanted: Night, known: Known) -> Shard | None:
    """The next shard, or None where there is nothing to begin any more."""
    canary = next(iter(_canaries_left(wanted, known)), None)
    if canary is not None:
        return canary
    left_s = wanted.asked_s - known.used_s + known.charged_s.get(Strand.CANARY, 0.0)
    if left_s < _LEAST_S:
        return None
    if known.corpus and known.charged_s.get(Strand.CORPUS, 0.0) < wanted.asked_s / 2:
        return _of_corpus(wanted, known)
    turn = sorted(wanted.strands, key=lambda each: known.charged_s.get(each, 0.0))
    for strand in turn:
        shard = _of_strand(wanted, known, strand, left_s)
        if shard is not None:
            return shard
    return None


def not_begun(wanted: Night, known: Known) -> dict[Strand, int]:
    """How many exhaustive searches of each strand were not begun."""
    return {
        strand: len([each for each in _finite(wanted, strand) if each[0] not in known.begun])
        for strand in wanted.strands
        if strand in (Strand.FAIL_NTH, Strand.BOUNDS)
    }


# --- canaries -------------------------------------------------------------------------------------


def canary_commands(wanted: Night) -> dict[str, tuple[str, ...]]:
    """For each kind of shard one that must find the broken cache out, by what it is about."""
    search = "explore --budget 60 --scenario"
    kinds = {
        Strand.STORMS: f"storm --duration {_CANARY_S:.0f}s",
        Strand.PCT: f"{search} collector-collector --tree two-published --scheduler pct",
        Strand.FAIL_NTH: f"{search} failing-publish --tree empty --errnos 1",
        Strand.BOUNDS: f"{search} reader-collector --tree published --preemptions 1",
    }
    return {
        f"canary of {strand}": ("untorn", *kinds[strand].split(), "--backend", wanted.canary)
        for strand in wanted.strands
    }


def _canaries_left(wanted: Night, known: Known) -> list[Shard]:
    """The canaries that were not begun.

    Their seed is fixed: that one passes must be the harness' doing, and never a night's bad luck.
    """
    return [
        Shard(
            number=known.number,
            strand=Strand.CANARY,
            command=(*command, "--seed", str(_CANARY_SEED)),
            seed=_CANARY_SEED,
            expected_s=_CANARY_S,
            limit_s=_CANARY_S + _GRACE_S,
            about=about,
        )
        for about, command in canary_commands(wanted).items()
        if about not in known.begun
    ]


# --- the corpus -----------------------------------------------------------------------------------


def _of_corpus(wanted: Night, known: Known) -> Shard:
    entry, command, seed = known.corpus[0]
    expected_s = wanted.shard_s
    return Shard(
        number=known.number,
        strand=Strand.CORPUS,
        command=command,
        seed=seed,
        expected_s=expected_s,
        limit_s=max(wanted.asked_s / 2, _HANGS * expected_s) + _GRACE_S,
        about=f"corpus {entry}",
        entry=entry,
    )


# --- what the time is shared among ----------------------------------------------------------------


def _of_strand(wanted: Night, known: Known, strand: Strand, left_s: float) -> Shard | None:
    seed = seed_of(wanted.seed, known.number)
    expected_s = min(wanted.shard_s, left_s)
    if strand is Strand.STORMS:
        duration = f"{max(_LEAST_S, expected_s):.0f}s"
        command: tuple[str, ...] = ("untorn", "storm", "--duration", duration)
        command += ("--backend", wanted.backend)
        limit_s = _HANGS * expected_s + _GRACE_S
        about = f"a storm of {duration}"
    elif strand is Strand.PCT:
        about, command = _drawn(wanted, known, expected_s, random.Random(seed))  # noqa: S311
        limit_s = _HANGS * wanted.shard_s + _GRACE_S
    else:
        chosen = _search(wanted, known, strand, left_s)
        if chosen is None:
            return None
        about, command, budget_s = chosen
        limit_s = budget_s + _GRACE_S
        expected_s = known.longest_s.get(strand, 0.0) or expected_s
    return Shard(
        number=known.number,
        strand=strand,
        command=(*command, "--seed", str(seed)),
        seed=seed,
        expected_s=expected_s,
        limit_s=limit_s,
        about=about,
    )


def _drawn(wanted: Night, known: Known, seconds: float, draw: random.Random) -> Search:
    """A scenario, a tree that it can begin from, and schedules of pct."""
    able = [each for each in SCENARIOS if each.needs <= wanted.capabilities]
    played = draw.choice(able)
    trees = [played.tree]
    if played.harvest_preemptions is not None and Capability.EXTRACT not in played.needs:
        trees += known.trees
    tree = draw.choice(trees)
    least, most = _PCT_RUNS
    runs = min(most, max(least, int(_PCT_RUNS_A_SECOND * seconds)))
    if Capability.EXTRACT in played.needs:
        runs = max(1, least // 4)  # each starts real decoders
    command = ["untorn", "explore", "--backend", wanted.backend, "--scenario", played.name]
    command += ["--tree", tree, "--scheduler", "pct", "--budget", str(runs)]
    return f"{runs} schedules of {played.name} from {tree}", tuple(command)


def _search(
    wanted: Night, known: Known, strand: Strand, left_s: float
) -> tuple[str, tuple[str, ...], float] | None:
    """The next exhaustive search that fits, and its budget in seconds."""
    if _FIT * known.longest_s.get(strand, 0.0) > left_s:
        return None
    for about, options in _finite(wanted, strand):
        if about not in known.begun:
            budget_s = max(wanted.asked_s / len(wanted.strands), _SHARD_S[0])
            command = ("untorn", "explore", "--backend", wanted.backend, *options)
            return about, (*command, "--budget", f"{budget_s:.0f}s"), budget_s
    return None


def _finite(wanted: Night, strand: Strand) -> list[Search]:
    """The exhaustive searches of a strand, the quick ones first, by what they are about."""
    if strand is Strand.FAIL_NTH:
        return _failing(wanted)
    return _bounds(wanted) if strand is Strand.BOUNDS else []


def _failing(wanted: Night) -> list[Search]:
    """Each errno at each call: of one worker, then of those of each pair."""
    quick_first = sorted(FAILING, key=lambda each: each.name != _QUICKEST)
    ordered = [*quick_first, *SCENARIOS]
    return [
        (
            f"each errno at each call of {each.name} from {each.tree}",
            ("--scenario", each.name, "--tree", each.tree, "--errnos", "1", "--preemptions", "0"),
        )
        for each in _searched(wanted, ordered)
    ]


def _bounds(wanted: Night) -> list[Search]:
    """Deaths of lone workers, then of one in each pair, then more preemptions and every tree."""
    made: list[Search] = [
        (f"a death at each step of {each.name}", ("--scenario", each.name, "--kills", "1"))
        for each in _searched(wanted, LONE)
    ]
    made.append(("writer-writer from every tree, 0 preemptions", _EVERY_TREE))
    pairs = _searched(wanted, SCENARIOS)
    for kills, preemptions in ((1, 0), (1, 1), (0, 3)):
        for each in pairs:
            about = f"{each.name} from {each.tree}, {kills} deaths, {preemptions} preemptions"
            options = ["--scenario", each.name, "--tree", each.tree, "--kills", str(kills)]
            made.append((about, (*options, "--preemptions", str(preemptions))))
    return [*made, *((f"{each.name} from every tree", ("--scenario", each.name)) for each in pairs)]


def _searched(wanted: Night, scenarios: Iterable[Scenario]) -> list[Scenario]:
    """Those that the backend claims to do; where workers extract, explore draws and never ends."""
    return [
        each
        for each in scenarios
        if each.needs <= wanted.capabilities and Capability.EXTRACT not in each.needs
    ]
