"""What the page of a storm or of a campaign shows, before it has a form: in reading order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from untorn_reports.drawing import Drawing
from untorn_reports.storms import merged as merging
from untorn_reports.storms import page_tables
from untorn_reports.storms.document import MEANINGS, Campaign, Storm, StormFinding, StormWord
from untorn_reports.storms.files import CampaignRun, StormRun
from untorn_reports.storms.over_time import OverTime, over_time
from untorn_reports.storms.page_findings import FindingLine, finding_lines, kinds_of
from untorn_reports.storms.page_tables import (
    CheckerLine,
    Figure,
    ScenarioLine,
    ShardLine,
    StrikeLine,
    VerbLine,
)
from untorn_reports.view import Fact, command_line, flat


@dataclass(frozen=True, kw_only=True, slots=True)
class StormPage:
    """Everything that the page shows. ``kind`` is "storm" or "campaign".

    ``findings`` has a line a kind, ``more_kinds`` is how many there are beside. ``facts`` is what
    is always worth seeing of the run, ``more_facts`` the rest.
    """

    kind: str
    backend: str
    verdict: StormWord
    meaning: str
    reason: str
    figures: tuple[Figure, ...]
    findings: tuple[FindingLine, ...]
    more_kinds: int
    strikes: tuple[StrikeLine, ...]
    over: OverTime | None
    checkers: tuple[CheckerLine, ...]
    operations: tuple[VerbLine, ...]
    facts: tuple[Fact, ...]
    more_facts: tuple[Fact, ...]
    command: str
    replay: str = ""
    notes: tuple[str, ...] = ()
    over_note: str = ""
    scenarios: tuple[ScenarioLine, ...] = ()
    shards: tuple[ShardLine, ...] = ()


def page_of_storm(run: StormRun) -> StormPage:
    """Arrange a storm; reads the histories of its findings."""
    storm = run.storm
    own = [replace(each, seed=storm.seed) if each.seed is None else each for each in storm.findings]
    kinds = kinds_of(own)
    lines = tuple(finding_lines(kinds, lambda _: run.directory, {}))
    counted = sum(each.findings for each in storm.checkers.values())
    return StormPage(
        kind="storm",
        backend=storm.name or storm.backend,
        verdict=storm.verdict,
        meaning=MEANINGS[storm.verdict],
        reason=storm.reason,
        figures=(
            page_tables.count("Findings", max(len(own), counted), bad=True),
            page_tables.time_used(storm.duration_s, storm.asked_s),
            page_tables.count("Rounds", storm.rounds),
            *page_tables.measured([storm], storm.series),
        ),
        findings=lines,
        more_kinds=len(kinds) - len(lines),
        over=over_time(
            storm.series,
            storm.bands,
            findings=[kind[0] for kind in kinds],
            found_s=[each.at_s for each in own if each.at_s is not None],
            budget_bytes=storm.budget_bytes,
        ),
        facts=tuple(_storm_facts(storm)),
        more_facts=tuple(
            _more({"resources": storm.resources, "errors": storm.errors, **storm.provenance})
        ),
        command=command_line(storm.command),
        replay=storm.replay,
        **_counts([storm]),
    )


def page_of_campaign(run: CampaignRun, drawings: Mapping[str, Drawing]) -> StormPage:
    """Arrange a campaign and its storms; reads the histories of their findings.

    ``drawings`` are the counterexamples of its searches, by the names that findings give them.
    """
    campaign = run.campaign
    storms = {number: each.storm for number, each in sorted(run.storms.items())}
    every = list(storms.values())
    merged = merging.one_after_another(storms)
    kinds = kinds_of(run.findings)
    lines = tuple(finding_lines(kinds, lambda finding: _directory_of(finding, run), drawings))
    number = campaign.findings if isinstance(campaign.findings, int) else len(run.findings)
    firsts = merging.located([kind[0] for kind in kinds], merged)
    return StormPage(
        kind="campaign",
        backend=campaign.backend,
        verdict=campaign.verdict,
        meaning=MEANINGS[campaign.verdict],
        reason=campaign.reason,
        figures=(
            page_tables.count("Findings", number, bad=True),
            *page_tables.canaries(campaign),
            page_tables.time_used(campaign.used_s, campaign.asked_s),
            page_tables.count("Shards", len(campaign.shards)),
            *page_tables.measured(every, merged.series),
        ),
        findings=lines,
        more_kinds=len(kinds) - len(lines),
        over=over_time(
            merged.series,
            merged.bands,
            findings=firsts,
            budget_bytes=merging.budget_of(every),
            breaks_s=tuple(merged.offsets_s.values()),
        ),
        over_note=_over_note(merged),
        notes=(*campaign.notes, *_canary_notes(campaign)),
        scenarios=tuple(page_tables.scenario_lines(campaign)),
        shards=tuple(page_tables.shard_lines(run)),
        facts=(("seed", str(campaign.seed)),),
        more_facts=tuple(_more({"corpus": campaign.corpus, **campaign.provenance})),
        command=command_line(campaign.command),
        **_counts(every),
    )


def _directory_of(finding: StormFinding, run: CampaignRun) -> Path:
    """Where a finding's history is: in its storm's directory, or where it says itself."""
    own = run.storms.get(finding.shard) if finding.shard is not None else None
    return own.directory if own else run.directory / finding.directory


def _counts(storms: Sequence[Storm]) -> dict[str, Any]:
    """What is counted the same way in one storm and in many."""
    return {
        "strikes": tuple(page_tables.strike_lines(storms)),
        "checkers": tuple(page_tables.checker_lines(storms)),
        "operations": tuple(page_tables.verb_lines(storms)),
    }


def _over_note(merged: merging.Merged) -> str:
    note = "The storms of all shards, one after another; a hairline is where one ended."
    if merged.left_out:
        left = ", ".join(map(str, merged.left_out))
        note += f" Measured in other steps, and so not drawn: shards {left}."
    return note


def _canary_notes(campaign: Campaign) -> Iterator[str]:
    if campaign.canary is not None:
        yield from (f"canary not found out: {each}" for each in campaign.canary.missed)
        yield from (f"canary not judged: {each}" for each in campaign.canary.unjudged)


def _storm_facts(storm: Storm) -> Iterator[Fact]:
    yield "seed", str(storm.seed)
    if storm.name and storm.name != storm.backend:
        yield "backend", storm.backend
    yield "workers", ", ".join(f"{number} {each}" for each, number in storm.workers.items())
    yield "root", storm.root_file_system
    if storm.budget_bytes is not None:
        yield "budget", f"{storm.budget_bytes:,} bytes"


def _more(held: Mapping[str, Any]) -> Iterator[Fact]:
    for name, value in held.items():
        if value not in (None, {}, []):
            yield from flat(name, value)
