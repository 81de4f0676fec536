"""What the page of a storm or of a campaign shows, before it has a form: in reading order.

Rule 1: a checker that was not run, or that came to no answer in a round, is no pass.
Rule 2: a strike that never bit says nothing, and is told so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from untorn_conformance.contract import REQUIREMENTS
from untorn_conformance.verdict import Outcome

from untorn_reports.storms import merged as merging
from untorn_reports.storms.around import Around, around, natural
from untorn_reports.storms.document import (
    MEANINGS,
    Campaign,
    CheckerCount,
    Delivered,
    Series,
    Shard,
    Storm,
    StormFinding,
    StormWord,
)
from untorn_reports.storms.files import CampaignRun, StormFileError, StormRun, read_round
from untorn_reports.storms.over_time import OverTime, clock, hit_ratio, median, over_time
from untorn_reports.view import Fact, command_line, flat

MOST_DRAWN: Final = 12
"""Findings that have a drawing; the others are told in a line each, to the next number."""
MOST_TOLD: Final = 200
CHECKERS: Final = tuple(f"H{number}" for number in range(1, 12))


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A number that is worth its size, and what it is of."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StrikeLine:
    """A fault: tried, seen to work; ``word`` is "" where it worked."""

    name: str
    tried: int
    bit: int
    word: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckerLine:
    """A checker, the requirements that it judges with their words, and what came of it."""

    name: str
    requirements: tuple[Fact, ...]
    outcome: Outcome
    count: CheckerCount


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingLine:
    """A finding; ``around`` is None where ``problem`` says why, or where there are too many."""

    number: int
    finding: StormFinding
    where: str
    around: Around | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardLine:
    """A shard of a campaign, ready to read."""

    shard: Shard
    seconds: str
    findings: int
    problem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioLine:
    """A scenario of a campaign; ``share`` is its part of the time, in percent."""

    name: str
    shards: int
    time: str
    share: int
    findings: int
    unknown: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StormPage:
    """Everything that the page shows. ``kind`` is "storm" or "campaign"."""

    kind: str
    name: str
    backend: str
    verdict: StormWord
    meaning: str
    reason: str
    figures: tuple[Figure, ...]
    findings: tuple[FindingLine, ...]
    more_findings: int
    strikes: tuple[StrikeLine, ...]
    over: OverTime | None
    checkers: tuple[CheckerLine, ...]
    outcomes: tuple[str, ...]
    operations: Mapping[str, Mapping[str, int]]
    facts: tuple[Fact, ...]
    more_facts: tuple[Fact, ...]
    command: str
    replay: str = ""
    over_note: str = ""
    scenarios: tuple[ScenarioLine, ...] = ()
    shards: tuple[ShardLine, ...] = ()


def page_of_storm(run: StormRun) -> StormPage:
    """Arrange a storm; reads the histories of its findings."""
    storm = run.storm
    over = over_time(
        storm.series, storm.bands, findings=storm.findings, budget_bytes=storm.budget_bytes
    )
    found = [
        replace(each, seed=storm.seed if each.seed is None else each.seed)
        for each in storm.findings
    ]
    findings = tuple(_findings(found, lambda _: run.directory))
    return StormPage(
        kind="storm",
        name=storm.name,
        backend=storm.backend,
        verdict=storm.verdict,
        meaning=MEANINGS[storm.verdict],
        reason=storm.reason,
        figures=(
            _count("Findings", len(storm.findings)),
            _time(storm.duration_s, storm.asked_s),
            _count("Rounds", storm.rounds),
            *_figures([storm], storm.series, storm.duration_s),
        ),
        findings=findings,
        more_findings=len(storm.findings) - len(findings),
        over=over,
        facts=tuple(_storm_facts(storm)),
        more_facts=tuple(_more({"resources": storm.resources, **storm.provenance})),
        command=command_line(storm.command),
        replay=storm.replay,
        **_counts([storm]),
    )


def page_of_campaign(run: CampaignRun) -> StormPage:
    """Arrange a campaign and its storms; reads the histories of their findings."""
    campaign = run.campaign
    storms = {number: each.storm for number, each in run.storms.items()}
    merged = merging.one_after_another(storms)
    findings = run.findings
    over = over_time(
        merged.series,
        merged.bands,
        findings=merging.located(findings, merged),
        budget_bytes=merging.budget_of(storms.values()),
        breaks_s=tuple(merged.offsets_s.values()),
    )

    def directory_of(finding: StormFinding) -> Path:
        own = run.storms.get(finding.shard) if finding.shard is not None else None
        return own.directory if own else run.directory

    lines = tuple(_findings(findings, directory_of))
    number = campaign.findings if isinstance(campaign.findings, int) else 0
    total = max(number, len(findings))
    return StormPage(
        kind="campaign",
        name="",
        backend=campaign.backend,
        verdict=campaign.verdict,
        meaning=MEANINGS[campaign.verdict],
        reason=campaign.reason,
        figures=(
            _count("Findings", total),
            _time(campaign.used_s, campaign.asked_s),
            _count("Shards", len(campaign.shards)),
            *_figures(list(storms.values()), merged.series, _length_s(storms.values())),
        ),
        findings=lines,
        more_findings=total - len(lines),
        over=over,
        over_note=_over_note(merged),
        scenarios=tuple(_scenarios(campaign)),
        shards=tuple(_shards(run)),
        facts=tuple(_campaign_facts(campaign)),
        more_facts=tuple(_more({"corpus": campaign.corpus, **campaign.provenance})),
        command=command_line(campaign.command),
        **_counts(list(storms.values())),
    )


# --- figures and tables --------------------------------------------------------------------------


def _count(name: str, number: int) -> Figure:
    return Figure(name=name, value=f"{number:,}")


def _time(used_s: float, asked_s: float) -> Figure:
    return Figure(name="Time", value=clock(used_s), note=f"of {clock(asked_s)}")


def _figures(storms: Sequence[Storm], series: Series, length_s: float) -> Iterator[Figure]:
    operations = sum(
        number
        for outcomes in merging.operations_of(storms).values()
        for number in outcomes.values()
    )
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


def _length_s(storms: Iterable[Storm]) -> float:
    return sum(storm.duration_s for storm in storms)


def _counts(storms: Sequence[Storm]) -> dict[str, Any]:
    """What is counted the same way in one storm and in many."""
    operations = merging.operations_of(storms)
    return {
        "strikes": tuple(_strikes(merging.strikes_of(storms))),
        "checkers": tuple(_checkers(merging.checkers_of(storms))) if storms else (),
        "operations": operations,
        "outcomes": tuple(sorted({each for own in operations.values() for each in own})),
    }


def _strikes(strikes: Mapping[str, Delivered]) -> Iterator[StrikeLine]:
    for name, each in sorted(strikes.items()):
        word = "" if each.bit else "never bit" if each.tried else "never tried"
        yield StrikeLine(name=name, tried=each.tried, bit=each.bit, word=word)


def _checkers(counts: Mapping[str, CheckerCount]) -> Iterator[CheckerLine]:
    for name in sorted({*CHECKERS, *counts}, key=natural):
        count = counts.get(name, CheckerCount())
        yield CheckerLine(
            name=name,
            requirements=tuple(
                (each, REQUIREMENTS[each].text if each in REQUIREMENTS else "")
                for each in count.requirements
            ),
            outcome=outcome_of(count),
            count=count,
        )


def outcome_of(count: CheckerCount) -> Outcome:
    """What came of a checker: false, then unknown, then true."""
    if count.findings:
        return Outcome.FAIL
    if count.unknown:
        return Outcome.UNKNOWN
    return Outcome.PASS if count.rounds else Outcome.NOT_RUN


def _scenarios(campaign: Campaign) -> Iterator[ScenarioLine]:
    whole = sum(each.seconds for each in campaign.scenarios.values())
    for name, each in campaign.scenarios.items():
        yield ScenarioLine(
            name=name,
            shards=each.shards,
            time=clock(each.seconds),
            share=round(100 * each.seconds / whole) if whole > 0 else 0,
            findings=each.findings,
            unknown=each.unknown,
        )


def _shards(run: CampaignRun) -> Iterator[ShardLine]:
    for shard in run.campaign.shards:
        found = shard.findings
        yield ShardLine(
            shard=shard,
            seconds="" if shard.seconds is None else clock(shard.seconds),
            findings=found if isinstance(found, int) else len(found),
            problem=run.problems.get(shard.number, ""),
        )


def _over_note(merged: merging.Merged) -> str:
    note = "The storms of all shards, one after another; a hairline is where one ended."
    if merged.left_out:
        left = ", ".join(map(str, merged.left_out))
        note += f" Measured in other steps, and so not drawn: shards {left}."
    return note


# --- findings ------------------------------------------------------------------------------------


def _findings(
    findings: Sequence[StormFinding], directory_of: Callable[[StormFinding], Path]
) -> Iterator[FindingLine]:
    for number, finding in enumerate(findings[:MOST_TOLD], 1):
        drawn, problem = None, ""
        if number > MOST_DRAWN:
            problem = f"not drawn: the first {MOST_DRAWN} findings are"
        elif not finding.history:
            problem = "no history was kept of its round"
        else:
            drawn, problem = _drawn(directory_of(finding), finding)
        yield FindingLine(
            number=number, finding=finding, where=_where(finding), around=drawn, problem=problem
        )


def _drawn(directory: Path, finding: StormFinding) -> tuple[Around | None, str]:
    try:
        return around(read_round(directory, finding.history), finding.operations), ""
    except StormFileError as error:
        return None, f"it cannot be drawn: {error}"
    except (TypeError, ValueError, OverflowError) as error:
        return None, f"it cannot be drawn: {finding.history} has values that are none: {error}"


def _where(finding: StormFinding) -> str:
    parts = (
        f"shard {finding.shard}" if finding.shard is not None else "",
        finding.scenario,
        f"round {finding.round}" if finding.round is not None else "",
        f"at {clock(finding.at_s)}" if finding.at_s is not None else "",
    )
    return ", ".join(filter(None, parts))


# --- facts ---------------------------------------------------------------------------------------


def _storm_facts(storm: Storm) -> Iterator[Fact]:
    yield "seed", str(storm.seed)
    yield from flat(
        "workers", ", ".join(f"{number} {each}" for each, number in storm.workers.items())
    )
    yield "root", storm.root_file_system
    if storm.budget_bytes is not None:
        yield "budget", f"{storm.budget_bytes:,} bytes"


def _campaign_facts(campaign: Campaign) -> Iterator[Fact]:
    yield "seed", str(campaign.seed)
    if campaign.canary is not None:
        yield from flat("canary", campaign.canary)


def _more(held: Mapping[str, Any]) -> Iterator[Fact]:
    for name, value in held.items():
        if value not in (None, {}, []):
            yield from flat(name, value)
