"""The directory of a campaign: begun, gone on with, or set aside.

    journal.jsonl    all that is known; the source of everything else
    campaign.json    the summary, rewritten at once whenever something has ended
    corpus.jsonl     what failed, for the next campaign; may be elsewhere
    shards/NNNNN     what each shard wrote
    earlier/ID       the campaigns before, each with its journal, summary and shards
    lock             who works here

Rule 1: a campaign that has not ended goes on: with the same backend and seed, or not at all.
Rule 2: nothing is deleted to begin anew: what was there is moved to ``earlier``, its journal last,
        so that a start that is killed in the middle is begun again.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from untorn_stress.campaign import corpus, journal
from untorn_stress.campaign.corpus import CorpusEntry, CorpusEntryError
from untorn_stress.campaign.journal import DamagedFileError, Journal
from untorn_stress.campaign.record import VERSION, CampaignRecord
from untorn_stress.campaign.room import EARLIER, SHARDS, SUMMARY

JOURNAL: Final = "journal.jsonl"
CORPUS: Final = "corpus.jsonl"
LOCK: Final = "lock"
_ADVICE: Final = "--fresh sets everything of this campaign aside, and begins anew"
_CORPUS_ADVICE: Final = "mend the line, move the file away, or name another one with --corpus"


class OtherCampaignError(Exception):
    """An unfinished campaign in the directory is not the one that is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CampaignPlace:
    """Where a campaign keeps what it knows."""

    out: Path
    corpus: Path

    @classmethod
    def at(cls, out: Path, corpus_file: Path | None) -> CampaignPlace:
        """The place; its directory, and that of the corpus, are made. An OSError flies."""
        (out / SHARDS).mkdir(parents=True, exist_ok=True)
        corpus_path = corpus_file or out / CORPUS
        corpus_path.parent.mkdir(parents=True, exist_ok=True)
        return cls(out=out.resolve(), corpus=corpus_path.resolve())

    def locks(self) -> list[Path]:
        """The files that whoever works here holds locked."""
        beside = self.corpus.with_name(f".{self.corpus.name}.lock")
        return [self.out / LOCK, beside]


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """A campaign to work on: what is known of it, where more is written, and what to tell."""

    record: CampaignRecord
    journal: Journal
    notes: tuple[str, ...]


def begin(place: CampaignPlace, about: dict[str, Any], *, fresh: bool, seed_given: bool) -> Begun:
    """Go on with what is there, or begin anew; ``about`` are seed, backend and command.

    Raises DamagedFileError, OtherCampaignError and OSError.
    """
    path = place.out / JOURNAL
    if fresh:
        notes = _set_aside(place, secrets.token_hex(4))
        return _anew(place, about, notes)
    lines = journal.read(path, advice=_ADVICE)
    record = replayed(lines.objects, path)
    notes = [lines.note] if lines.note else []
    if record.about and not record.ended:
        _same(record, about, place, seed_given)
        return Begun(
            record=record,
            journal=Journal(path, whole_bytes=lines.whole_bytes),
            notes=tuple(notes),
        )
    if record.about:
        notes += _set_aside(place, record.id)
    return _anew(place, about, notes)


def replayed(objects: tuple[dict[str, Any], ...], path: Path) -> CampaignRecord:
    """Fold a journal's lines. Raises DamagedFileError for one that nobody here wrote."""
    record = CampaignRecord()
    for number, each in enumerate(objects, 1):
        try:
            record.apply(each)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedFileError(
                f"{str(path)!a}, line {number}, cannot be used: {error!r}; {_ADVICE}"
            ) from error
    if objects and (not record.about or record.about.get("version") != VERSION):
        raise DamagedFileError(
            f"{str(path)!a} does not begin with a campaign of version {VERSION}; {_ADVICE}"
        )
    return record


def _same(
    record: CampaignRecord, about: dict[str, Any], place: CampaignPlace, seed_given: bool
) -> None:
    names = ("backend", "scenarios", *(("seed",) if seed_given else ()))
    for name in names:
        was, now = record.about.get(name), about[name]
        if was != now:
            raise OtherCampaignError(
                f"{str(place.out)!a} holds an unfinished campaign of {name} {was}, not {now}:"
                " give the same to go on with it, another --out, or --fresh to set it aside"
            )


def _anew(place: CampaignPlace, about: dict[str, Any], notes: list[str]) -> Begun:
    path = place.out / JOURNAL
    event = {
        "event": "campaign",
        "version": VERSION,
        "id": secrets.token_hex(4),
        "at": now(),
        **about,
    }
    # Whole before it is named: half a first line would be a campaign that nobody can go on with.
    journal.replace_lines(path, [event])
    record = CampaignRecord()
    record.apply(event)
    written = Journal(path, whole_bytes=len(journal.line_of(event)))
    return Begun(record=record, journal=written, notes=tuple(notes))


def _set_aside(place: CampaignPlace, name: str) -> list[str]:
    """Move a campaign to where the earlier ones are; its journal last."""
    if not (place.out / JOURNAL).exists():
        return []
    aside = place.out / EARLIER / name
    aside.mkdir(parents=True, exist_ok=True)
    for each in (SHARDS, SUMMARY, JOURNAL):
        if (place.out / each).exists() and not (aside / each).exists():
            os.rename(place.out / each, aside / each)
    (place.out / SHARDS).mkdir(exist_ok=True)
    journal.sync_directory(place.out)
    return [f"the campaign that was here is in {os.path.relpath(aside, place.out)} now"]


def read_corpus(path: Path) -> tuple[dict[str, CorpusEntry], int, list[str]]:
    """The corpus, how many bytes of its file are whole, and notes. Raises DamagedFileError."""
    lines = journal.read(path, advice=_CORPUS_ADVICE)
    entries = []
    for number, each in enumerate(lines.objects, 1):
        try:
            entries.append(CorpusEntry.of_json(each))
        except CorpusEntryError as error:
            raise DamagedFileError(
                f"{str(path)!a}, line {number}: {error}; {_CORPUS_ADVICE}"
            ) from error
    return corpus.latest(entries), lines.whole_bytes, [lines.note] if lines.note else []


def now() -> str:
    """The time, as files tell it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
