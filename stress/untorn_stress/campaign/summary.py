"""campaign.json: everything that shards and sessions have come to, as one document; pure.

Rule 1: a canary that passes makes it *invalid*, whatever else there is: it could find nothing.
Rule 2: then what was found decides (fail), then what broke (invalid), then what stayed undecided,
        was never begun at all, or is still to be done (unknown). Only then is it a pass.
Rule 3: the reason is one sentence and counts what it speaks of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from untorn_stress.campaign.record import CampaignRecord, ShardRecord, ShardState
from untorn_stress.campaign.shard import Strand
from untorn_stress.campaign.verdicts import FoundJson, ShardVerdict, kind_of
from untorn_stress.duration import told

Verdict = tuple[ShardVerdict, str]
_WITHOUT_SHARE = (Strand.CANARY, Strand.CORPUS)


def verdict_of(record: CampaignRecord, strands: Iterable[Strand]) -> Verdict:
    """The verdict and why."""
    judged = _judged(record)
    missed = [each for each in record.of(Strand.CANARY) if _is_missed(each)]
    if missed:
        names = ", ".join(each.shard.about for each in missed)
        return ShardVerdict.INVALID, f"{names}: a broken cache was not found out"
    found = findings_of(record)
    if found:
        shards = sum(1 for each in judged if each.findings)
        return ShardVerdict.FAIL, f"{len(found)} findings in {shards} of {len(judged)} shards"
    broken = [each for each in judged if each.verdict is ShardVerdict.INVALID]
    if broken:
        return ShardVerdict.INVALID, f"{_shards(broken)} broke: {broken[0].reason}"
    doubt = _doubt(record, judged, strands)
    if doubt:
        return ShardVerdict.UNKNOWN, doubt
    return ShardVerdict.PASS, f"nothing was found in {len(judged)} shards, {told(record.used_s)}"


def canary_missed(record: CampaignRecord) -> bool:
    """Whether a broken cache has passed."""
    return any(map(_is_missed, record.of(Strand.CANARY)))


def _doubt(record: CampaignRecord, judged: list[ShardRecord], strands: Iterable[Strand]) -> str:
    """Why nothing found is not yet a pass."""
    canaries = [each for each in record.of(Strand.CANARY) if not _is_found_out(each)]
    if canaries:
        return f"{canaries[0].shard.about} was not judged: {canaries[0].reason or 'not run'}"
    if not record.of(Strand.CANARY):
        return "not even the canaries were run"
    if not record.ended:
        return f"it has not ended: {told(record.used_s)} were used"
    undecided = [each for each in judged if each.verdict is ShardVerdict.UNKNOWN]
    if undecided:
        return f"{_shards(undecided)} undecided: {undecided[0].reason}"
    for strand in strands:
        verdicts = {each.verdict for each in record.of(strand)}
        if not verdicts:
            return f"no shard of {strand} was begun: the time was too short"
        if verdicts == {ShardVerdict.NOT_APPLICABLE}:
            continue
        if ShardVerdict.PASS not in verdicts:
            return f"no shard of {strand} was decided"
    decided = [each for each in judged if each.verdict is ShardVerdict.PASS]
    return "" if decided else "nothing that the backend claims to do was tried"


def _judged(record: CampaignRecord) -> list[ShardRecord]:
    return [each for each in record.shards.values() if each.shard.strand is not Strand.CANARY]


def _is_missed(canary: ShardRecord) -> bool:
    return canary.verdict is ShardVerdict.PASS


def _is_found_out(canary: ShardRecord) -> bool:
    return bool(canary.findings)


def _shards(records: list[ShardRecord]) -> str:
    more = f" and {len(records) - 1} more" if len(records) > 1 else ""
    return f"shard {records[0].shard.number} ({records[0].shard.about}){more}"


def findings_of(record: CampaignRecord) -> list[FoundJson]:
    """Each kind of finding once, as its first shard tells it, with how many shards show it."""
    found: dict[str, FoundJson] = {}
    for each in _judged(record):
        for finding in each.findings:
            name = f"{each.shard.strand if not finding.get('scenario') else ''}{kind_of(finding)}"
            if name in found:
                found[name]["shards"] = [*dict.fromkeys([*found[name]["shards"], _number(each)])]
                continue
            found[name] = {
                **finding,
                "strand": each.shard.strand.value,
                "shard": _number(each),
                "shards": [_number(each)],
                "directory": each.directory,
                "command": each.shard.line,
            }
    return list(found.values())


def _number(record: ShardRecord) -> int:
    return record.shard.number


def document(
    record: CampaignRecord,
    *,
    strands: tuple[Strand, ...],
    asked_s: float,
    corpus: Mapping[str, Any],
    not_begun: Mapping[Strand, int],
    notes: Iterable[str] = (),
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole document."""
    verdict, reason = verdict_of(record, strands)
    about = record.about
    return {
        "untorn_campaign": 1,
        "id": record.id,
        "verdict": verdict.value,
        "reason": reason,
        "seed": about["seed"],
        "asked_s": asked_s,
        "used_s": round(record.used_s, 3),
        "ended": record.ended,
        "sessions": record.sessions,
        "backend": about["backend"],
        "command": about["command"],
        "started_at": about["at"],
        "shards": [_plain(each) for each in record.shards.values()],
        "scenarios": {
            strand.value: _totals(record.of(strand), not_begun.get(strand, 0))
            for strand in (*_WITHOUT_SHARE, *strands)
        },
        "findings": findings_of(record),
        "corpus": dict(corpus),
        "canary": _canary(record),
        "notes": list(notes),
        "provenance": dict(provenance),
    }


def _plain(record: ShardRecord) -> dict[str, Any]:
    return {
        "number": record.shard.number,
        "scenario": record.shard.strand.value,
        "about": record.shard.about,
        "command": list(record.shard.command),
        "seed": record.shard.seed,
        "state": record.state.value,
        "verdict": record.verdict.value if record.verdict else None,
        "reason": record.reason,
        "seconds": round(record.seconds, 3),
        "host": record.host,
        "attempts": record.attempts,
        "lost": record.lost,
        "left_processes": record.left_processes,
        "dropped_bytes": record.dropped_bytes,
        "findings": record.findings,
        "directory": record.directory,
    }


def _totals(records: list[ShardRecord], not_begun: int) -> dict[str, Any]:
    def count(verdict: ShardVerdict) -> int:
        return sum(1 for each in records if each.verdict is verdict)

    return {
        "shards": len(records),
        "seconds": round(sum(each.seconds for each in records), 3),
        "findings": sum(len(each.findings) for each in records),
        "passed": count(ShardVerdict.PASS),
        "unknown": count(ShardVerdict.UNKNOWN),
        "invalid": count(ShardVerdict.INVALID),
        "not_applicable": count(ShardVerdict.NOT_APPLICABLE),
        "open": sum(
            1 for each in records if each.state in (ShardState.PLANNED, ShardState.RUNNING)
        ),
        "not_begun": not_begun,
    }


def _canary(record: CampaignRecord) -> dict[str, Any]:
    canaries = record.of(Strand.CANARY)
    return {
        "asked": len(canaries),
        "found_out": sum(1 for each in canaries if _is_found_out(each)),
        "missed": [each.shard.about for each in canaries if _is_missed(each)],
        "unjudged": [
            f"{each.shard.about}: {each.reason}"
            for each in canaries
            if not _is_found_out(each) and not _is_missed(each)
        ],
    }
