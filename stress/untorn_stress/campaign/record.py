"""What is known of a campaign: the lines of its journal, folded; nothing that is not in them.

    campaign   what it is about; the first line
    session    a process went to work on it
    planned    a shard was drawn
    started    an attempt at it began
    finished   the attempt ended with a verdict
    cut        the attempt was ended with its campaign, or by hand: it is made again
    lost       the attempt's worker is gone: it is made again, once
    used       so much time was used
    dropped    files of a shard were removed for room
    ended      the time was used up, or nothing was left to do

Rule 1: time is what sessions have used; what passes between them does not count.
Rule 2: what an attempt had found counts, however the attempt ended; a finding that a later attempt
        makes again is the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from untorn_stress.campaign.shard import Shard, Strand, directory_name
from untorn_stress.campaign.sharing import Known
from untorn_stress.campaign.verdicts import FoundJson, ShardVerdict, kind_of

VERSION: Final = 1
_MOST_LOST: Final = 2
_HARVESTED: Final = "harvest-"


class ShardState(StrEnum):
    """Where a shard is."""

    PLANNED = "planned"
    RUNNING = "running"
    FINISHED = "finished"
    LOST = "lost"


@dataclass(slots=True)
class ShardRecord:
    """A shard and what came of it."""

    shard: Shard
    state: ShardState = ShardState.PLANNED
    verdict: ShardVerdict | None = None
    reason: str = ""
    seconds: float = 0.0
    host: str = ""
    attempts: int = 0
    lost: int = 0
    dropped_bytes: int = 0
    left_processes: int = 0
    findings: list[FoundJson] = field(default_factory=list)

    @property
    def directory(self) -> str:
        """Where the last attempt's files are, below the campaign's directory."""
        return directory_name(self.shard.number, max(1, self.attempts))


@dataclass(slots=True)
class CampaignRecord:
    """All of it; ``apply`` takes one line after the other."""

    about: dict[str, Any] = field(default_factory=dict)
    used_s: float = 0.0
    sessions: int = 0
    ended: str = ""
    shards: dict[int, ShardRecord] = field(default_factory=dict)
    trees: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """What marks the campaign's processes and temporary files."""
        return str(self.about.get("id", ""))

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take a line. Raises KeyError, TypeError or ValueError for one that nobody here wrote."""
        self.used_s = max(self.used_s, float(event.get("used_s", 0.0)))
        kind = event["event"]
        if kind == "campaign":
            self.about = dict(event)
        elif kind == "session":
            self.sessions += 1
            self.ended = ""
        elif kind == "ended":
            self.ended = str(event["why"])
        elif kind == "planned":
            shard = _shard(event)
            self.shards[shard.number] = ShardRecord(shard=shard)
        elif kind != "used":
            self._of_shard(kind, self.shards[int(event["number"])], event)

    def _of_shard(self, kind: str, record: ShardRecord, event: Mapping[str, Any]) -> None:
        if kind == "started":
            record.attempts = int(event["attempt"])
            record.state = ShardState.RUNNING
        elif kind == "dropped":
            record.dropped_bytes += int(event["bytes"])
        elif kind in ("cut", "lost"):
            _add(record, event["findings"])
            record.state = ShardState.PLANNED
            record.reason = str(event["reason"])
            record.seconds += float(event.get("seconds", 0.0))
            if kind == "lost":
                record.lost += 1
                self._give_up(record)
        elif kind == "finished":
            self._finish(record, event)
        else:
            raise ValueError(f"an event {kind!a}")

    def _give_up(self, record: ShardRecord) -> None:
        if record.lost >= _MOST_LOST:
            record.state, record.verdict = ShardState.LOST, ShardVerdict.INVALID
            record.reason = f"HARNESS_ERROR: lost {record.lost} times: {record.reason}"

    def _finish(self, record: ShardRecord, event: Mapping[str, Any]) -> None:
        record.state = ShardState.FINISHED
        record.verdict = ShardVerdict(event["verdict"])
        record.reason = str(event["reason"])
        record.seconds += float(event["seconds"])
        record.host = str(event["host"])
        record.left_processes = int(event.get("left_processes", 0))
        _add(record, event["findings"])
        if record.shard.strand is Strand.CANARY:
            return  # its trees are those of another cache
        named = [str(each) for each in event.get("trees", ())]
        self.trees += [
            each for each in named if each.startswith(_HARVESTED) and each not in self.trees
        ]

    def open_shards(self) -> list[ShardRecord]:
        """Those that were planned and have no end: they are to be made, again or for the first."""
        return [each for each in self.shards.values() if each.state is ShardState.PLANNED]

    def running(self) -> list[ShardRecord]:
        """Those with an attempt that has no end."""
        return [each for each in self.shards.values() if each.state is ShardState.RUNNING]

    def of(self, strand: Strand) -> list[ShardRecord]:
        """The shards of a strand."""
        return [each for each in self.shards.values() if each.shard.strand is strand]


def _shard(event: Mapping[str, Any]) -> Shard:
    return Shard(
        number=int(event["number"]),
        strand=Strand(event["scenario"]),
        command=tuple(map(str, event["command"])),
        seed=int(event["seed"]),
        expected_s=float(event["expected_s"]),
        limit_s=float(event["limit_s"]),
        about=str(event["about"]),
        entry=str(event["entry"]),
    )


def _add(record: ShardRecord, findings: Iterable[FoundJson]) -> None:
    known = {(kind_of(each), str(each.get("message"))) for each in record.findings}
    record.findings += [
        each for each in findings if (kind_of(each), str(each.get("message"))) not in known
    ]


def known(record: CampaignRecord, corpus: Iterable[tuple[str, tuple[str, ...], int]]) -> Known:
    """What the next turn depends on."""
    charged: dict[Strand, float] = {}
    longest: dict[Strand, float] = {}
    for each in record.shards.values():
        strand = each.shard.strand
        is_open = each.state in (ShardState.PLANNED, ShardState.RUNNING)
        charge_s = each.seconds + (each.shard.expected_s if is_open else 0.0)
        charged[strand] = charged.get(strand, 0.0) + charge_s
        longest[strand] = max(longest.get(strand, 0.0), each.seconds)
    tried = {each.shard.entry for each in record.shards.values() if each.shard.entry}
    return Known(
        number=max(record.shards, default=0) + 1,
        used_s=record.used_s,
        charged_s=charged,
        longest_s=longest,
        begun=frozenset(each.shard.about for each in record.shards.values()),
        corpus=[each for each in corpus if each[0] not in tried],
        trees=tuple(record.trees),
    )
