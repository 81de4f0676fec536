"""The corpus: commands that once failed, tried first by the next campaign.

Rule 1: an entry is on disk before the campaign that found it goes on.
Rule 2: an entry that does not fail any more is said so and kept for ``QUIET_NIGHTS`` campaigns:
        what a storm finds it need not find every night.
Rule 3: a campaign counts in an entry once, however often it was killed meanwhile.
Rule 4: of one kind of finding the first few are kept; a cache that is broken altogether must not
        leave a corpus that takes every later night.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from untorn_stress.campaign.shard import Shard
from untorn_stress.campaign.verdicts import FoundJson, ShardVerdict, kind_of

QUIET_NIGHTS: Final = 7
"""After so many campaigns in which it did not fail an entry goes."""

MOST_OF_A_KIND: Final = 3
"""How many entries show the same kind of finding."""

QUIET: Final = (ShardVerdict.PASS, ShardVerdict.NOT_APPLICABLE)
"""What a shard says whose entry does not fail: it passed, or its tree is not made any more."""

_VERSION: Final = 1


class CorpusEntryError(ValueError):
    """An object is no entry of a corpus."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusEntry:
    """A command that failed: with which kinds of findings, and for how many campaigns it has not.

    ``judged_in`` is the campaign that was the last to count in it.
    """

    id: str
    backend: str
    strand: str
    command: tuple[str, ...]
    seed: int
    found: tuple[str, ...]
    message: str
    replay: str
    added_at: str
    quiet: int = 0
    judged_in: str = ""

    def to_json(self) -> dict[str, Any]:
        """The entry as its line."""
        return {
            "untorn_corpus": _VERSION,
            "id": self.id,
            "backend": self.backend,
            "scenario": self.strand,
            "command": list(self.command),
            "seed": self.seed,
            "found": list(self.found),
            "message": self.message,
            "replay": self.replay,
            "added_at": self.added_at,
            "quiet": self.quiet,
            "judged_in": self.judged_in,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> CorpusEntry:
        """Inverse of ``to_json``. Raises CorpusEntryError."""
        if value.get("untorn_corpus") != _VERSION:
            raise CorpusEntryError(f"an entry of version {value.get('untorn_corpus')!a}")
        command = value.get("command")
        if not isinstance(command, list) or command[:1] != ["untorn"]:
            raise CorpusEntryError(f"an entry whose command is {command!a}")
        try:
            return cls(
                id=str(value["id"]),
                backend=str(value["backend"]),
                strand=str(value["scenario"]),
                command=tuple(map(str, command)),
                seed=int(value["seed"]),
                found=tuple(map(str, value["found"])),
                message=str(value["message"]),
                replay=str(value["replay"]),
                added_at=str(value["added_at"]),
                quiet=int(value["quiet"]),
                judged_in=str(value["judged_in"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorpusEntryError(f"an entry that lacks something: {error!r}") from error


def entry_of(shard: Shard, findings: Sequence[FoundJson], *, backend: str, now: str) -> CorpusEntry:
    """The entry of a shard that has found something."""
    digest = hashlib.sha256("\0".join((backend, *shard.command)).encode("utf-8", "replace"))
    return CorpusEntry(
        id=digest.hexdigest()[:12],
        backend=backend,
        strand=shard.strand.value,
        command=shard.command,
        seed=shard.seed,
        found=tuple(dict.fromkeys(map(kind_of, findings))),
        message=str(findings[0].get("message", "")),
        replay=str(findings[0].get("replay", "")),
        added_at=now,
    )


def latest(entries: Iterable[CorpusEntry]) -> dict[str, CorpusEntry]:
    """The entries by id; of one that was written twice the later is meant."""
    return {each.id: each for each in entries}


def is_news(entry: CorpusEntry, entries: Mapping[str, CorpusEntry]) -> bool:
    """Whether the entry shows a kind of finding that too few entries show."""
    known = Counter(
        kind for each in entries.values() if each.backend == entry.backend for kind in {*each.found}
    )
    if entry.id in entries:
        return False
    return any(known[kind] < MOST_OF_A_KIND for kind in entry.found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Aged:
    """The corpus after a campaign, and which of its entries fail, do not, and have gone."""

    entries: tuple[CorpusEntry, ...]
    failing: tuple[str, ...]
    quiet: tuple[str, ...]
    gone: tuple[str, ...]


def aged(
    entries: Mapping[str, CorpusEntry], verdicts: Mapping[str, ShardVerdict], campaign: str
) -> Aged:
    """Count a campaign in; what was not decided is as it was, and only a failure ends the quiet."""
    kept, failing, quiet, gone = [], [], [], []
    for entry in entries.values():
        counted = _counted(entry, verdicts.get(entry.id), campaign)
        verdict = verdicts.get(entry.id)
        if verdict is ShardVerdict.FAIL:
            failing.append(entry.id)
        elif verdict in QUIET:
            quiet.append(entry.id)
        if counted.quiet >= QUIET_NIGHTS:
            gone.append(entry.id)
        else:
            kept.append(counted)
    return Aged(entries=tuple(kept), failing=tuple(failing), quiet=tuple(quiet), gone=tuple(gone))


def _counted(entry: CorpusEntry, verdict: ShardVerdict | None, campaign: str) -> CorpusEntry:
    if entry.judged_in == campaign:
        return entry
    if verdict is ShardVerdict.FAIL:
        return replace(entry, quiet=0, judged_in=campaign)
    if verdict in QUIET:
        return replace(entry, quiet=entry.quiet + 1, judged_in=campaign)
    return entry
