"""The figures and the tables of a storm's page: counted the same way in one storm and in many.

Rule 1: a checker that was not run, or that came to no answer in a round, is no pass.
Rule 2: a strike that never bit says nothing, and is told so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from untorn_conformance.contract import REQUIREMENTS
from untorn_conformance.verdict import Outcome

from untorn_reports.storms import merged as merging
from untorn_reports.storms.around import natural
from untorn_reports.storms.bins import hit_ratio, median
from untorn_reports.storms.document import Campaign, CheckerCount, Series, Shard, Storm, StormWord
from untorn_reports.storms.files import CANARY, CampaignRun
from untorn_reports.storms.over_time import clock
from untorn_reports.view import Fact

CHECKERS: Final = tuple(f"H{number}" for number in range(1, 12))
"""Those that every storm is judged by: one that is missing was not run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A number that is worth its size, and what it is of; ``word`` colours it as an outcome."""

    name: str
    value: str
    note: str = ""
    word: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StrikeLine:
    """A fault: tried, seen to work; ``word`` says why it did not, "" where it did."""

    name: str
    tried: int
    bit: int
    word: str
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerbLine:
    """A verb: how often it was asked, and what that came to, the most frequent first."""

    verb: str
    asked: str
    outcomes: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckerLine:
    """A checker, the requirements that it judges with their words, and what came of it."""

    name: str
    requirements: tuple[Fact, ...]
    outcome: Outcome
    count: CheckerCount


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioLine:
    """A scenario of a campaign; ``share`` is its part of the time, in percent.

    ``is_bad`` says that it has findings that are none of a canary's.
    """

    name: str
    shards: int
    time: str
    share: int
    findings: int
    is_bad: bool
    unknown: int
    invalid: int
    not_begun: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardLine:
    """A shard of a campaign, ready to read; ``why`` is its reason where it did not pass.

    ``shown`` is the class of outcome that ``word`` looks like.
    """

    shard: Shard
    word: str
    shown: str
    time: str
    findings: int
    why: str


def count(name: str, number: int, *, bad: bool = False) -> Figure:
    """A count; ``bad`` where it is one too many."""
    return Figure(name=name, value=f"{number:,}", word="fail" if bad and number else "")


def time_used(used_s: float, asked_s: float) -> Figure:
    """How long it took, of how long it was to take."""
    return Figure(name="Time", value=clock(used_s), note=f"of {clock(asked_s)}")


def canaries(campaign: Campaign) -> Iterator[Figure]:
    """How many of the broken caches were found out: without that, nothing else counts."""
    if campaign.canary is not None:
        found, asked = campaign.canary.found_out, campaign.canary.asked
        word = "fail" if campaign.canary.missed else "unknown" if found < asked else ""
        note = "broken caches found out"
        yield Figure(name="Canaries", value=f"{found} of {asked}", note=note, word=word)


def measured(storms: Sequence[Storm], series: Series) -> Iterator[Figure]:
    """What was done, how fast, and what was done against it."""
    length_s = sum(storm.duration_s for storm in storms)
    operations = sum(sum(own.values()) for own in merging.operations_of(storms).values())
    if operations and length_s > 0:
        note = f"{operations / length_s:,.0f} a second"
        yield Figure(name="Operations", value=f"{operations:,}", note=note)
    strikes = merging.strikes_of(storms).values()
    if strikes:
        bit, tried = sum(each.bit for each in strikes), sum(each.tried for each in strikes)
        yield Figure(name="Strikes that bit", value=f"{bit:,}", note=f"of {tried:,} tried")
    if (p99 := median(series.p99_ms)) is not None:
        p50 = median(series.p50_ms)
        note = "" if p50 is None else f"p50 {p50:.3g} ms"
        yield Figure(name="p99, median", value=f"{p99:.3g} ms", note=note)
    if (ratio := hit_ratio(series)) is not None:
        yield Figure(name="Hit ratio", value=f"{100 * ratio:.0f} %")


def verb_lines(storms: Sequence[Storm]) -> Iterator[VerbLine]:
    """All verbs by name."""
    for verb, outcomes in sorted(merging.operations_of(storms).items()):
        ranked = sorted(outcomes.items(), key=lambda each: (-each[1], each[0]))
        yield VerbLine(
            verb=verb,
            asked=f"{sum(outcomes.values()):,}",
            outcomes=tuple((name, f"{number:,}") for name, number in ranked),
        )


def strike_lines(storms: Sequence[Storm]) -> Iterator[StrikeLine]:
    """All strikes, with those that cannot be had here."""
    reasons: dict[str, str] = {}
    for storm in storms:
        reasons = {**storm.not_applicable, **reasons}
    strikes = merging.strikes_of(storms)
    for name in sorted({*strikes, *reasons}):
        tried, bit = (strikes[name].tried, strikes[name].bit) if name in strikes else (0, 0)
        why = reasons.get(name, "") if not bit else ""
        word = "" if bit else "not applicable" if why else "never bit" if tried else "never tried"
        yield StrikeLine(name=name, tried=tried, bit=bit, word=word, why=why)


def checker_lines(storms: Sequence[Storm]) -> Iterator[CheckerLine]:
    """All checkers; without a storm there are none."""
    counts: Mapping[str, CheckerCount] = merging.checkers_of(storms)
    for name in sorted({*CHECKERS, *counts}, key=natural) if storms else ():
        own = counts.get(name, CheckerCount())
        yield CheckerLine(
            name=name,
            requirements=tuple(
                (each, REQUIREMENTS[each].text if each in REQUIREMENTS else "")
                for each in own.requirements
            ),
            outcome=outcome_of(own),
            count=own,
        )


def outcome_of(own: CheckerCount) -> Outcome:
    """What came of a checker: false, then unknown, then true; who judged nothing was not run."""
    if own.findings:
        return Outcome.FAIL
    if own.unknown:
        return Outcome.UNKNOWN
    return Outcome.PASS if own.rounds and own.judged != 0 else Outcome.NOT_RUN


def scenario_lines(campaign: Campaign) -> Iterator[ScenarioLine]:
    """The scenarios with their shares of the time."""
    whole = sum(each.seconds for each in campaign.scenarios.values())
    for name, each in campaign.scenarios.items():
        yield ScenarioLine(
            name=name,
            shards=each.shards,
            time=clock(each.seconds),
            share=round(100 * each.seconds / whole) if whole > 0 else 0,
            findings=each.findings,
            is_bad=bool(each.findings) and name != CANARY,
            unknown=each.unknown,
            invalid=each.invalid,
            not_begun=each.not_begun,
        )


def shard_lines(run: CampaignRun) -> Iterator[ShardLine]:
    """The shards, each with what came of it."""
    for shard in run.campaign.shards:
        found = shard.findings
        problem = run.problems.get(shard.number, "")
        word, shown = _word(shard)
        yield ShardLine(
            shard=shard,
            word=word,
            shown=shown,
            time="" if shard.seconds is None else clock(shard.seconds),
            findings=found if isinstance(found, int) else len(found),
            why="; ".join(filter(None, (shard.reason if word != "pass" else "", problem))),
        )


def _word(shard: Shard) -> tuple[str, str]:
    """What came of a shard, and what that looks like: a canary is there to be found out."""
    word = shard.verdict or shard.state
    if shard.scenario == CANARY and word == StormWord.FAIL:
        return "found out", "absent"
    if shard.scenario == CANARY and word == StormWord.PASS:
        return "missed", StormWord.FAIL.value
    return word, word if word in list(StormWord) else "absent"
