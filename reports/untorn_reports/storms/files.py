"""A storm's or a campaign's files, found in a run's directory and checked.

Rule 1: a path that a file names is followed only below the run's directory.
Rule 2: a history or a shard that cannot be read costs its own picture; the page says why.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from untorn_conformance import history
from untorn_conformance.history import HistoryError, Round

from untorn_reports.printable import printable
from untorn_reports.storms.document import (
    CAMPAIGN_VERSION,
    STORM_VERSION,
    Campaign,
    Storm,
    StormFinding,
    campaign_of,
    storm_of,
)

STORM: Final = "storm.json"
CAMPAIGN: Final = "campaign.json"
CANARY: Final = "canary"
"""The scenario of shards on caches that are known to be broken."""
_HISTORY: Final = ".jsonl"
_COUNTEREXAMPLE: Final = ".json"
_VERSIONS: Final[Mapping[str, tuple[str, int]]] = {
    STORM: ("untorn_storm", STORM_VERSION),
    CAMPAIGN: ("untorn_campaign", CAMPAIGN_VERSION),
}


class StormFileError(Exception):
    """A file is no storm or campaign that can be used; the message names it and says why."""


class StormVersionError(StormFileError):
    """A storm or a campaign was written by another version of untorn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StormRun:
    """A storm and the directory that its histories are in."""

    directory: Path
    storm: Storm


@dataclass(frozen=True, kw_only=True, slots=True)
class CampaignRun:
    """A campaign, its directory, the storms among its shards by number, and those unreadable.

    The canaries' storms are none of these: they are about broken caches.
    """

    directory: Path
    campaign: Campaign
    storms: Mapping[int, StormRun]
    problems: Mapping[int, str]

    @property
    def findings(self) -> list[StormFinding]:
        """Those that the campaign lists; else those of its storms."""
        if not isinstance(self.campaign.findings, int):
            return list(self.campaign.findings)
        shards = {shard.number: shard for shard in self.campaign.shards}
        return [
            replace(
                each,
                shard=number,
                scenario=shards[number].scenario,
                seed=shards[number].seed if each.seed is None else each.seed,
            )
            for number, own in sorted(self.storms.items())
            for each in own.storm.findings
        ]


def path_of(run: Path) -> Path | None:
    """The campaign's or the storm's file: in a directory, or named itself; None for another."""
    if not run.is_dir():
        return run if run.name in _VERSIONS else None
    return next((run / name for name in (CAMPAIGN, STORM) if (run / name).is_file()), None)


def read(path: Path) -> StormRun | CampaignRun:
    """Read what ``path_of`` found. Raises StormFileError."""
    document = _document(path)
    if path.name == STORM:
        return _storm_run(path, document)
    campaign = _checked(campaign_of, path, document)
    storms, problems = _shards(path.parent, campaign)
    return CampaignRun(directory=path.parent, campaign=campaign, storms=storms, problems=problems)


def read_round(directory: Path, name: str) -> Round:
    """Read a history that a finding names. Raises StormFileError."""
    if not name.endswith(_HISTORY):
        raise StormFileError(f"{name!a} is no history of a storm")
    path = _below(directory, name)
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            return history.read(lines)
    except OSError as error:
        raise StormFileError(f"{printable(name)}: {error.strerror}") from error
    except (HistoryError, UnicodeDecodeError, RecursionError) as error:
        raise StormFileError(f"{printable(name)}: {error}") from error


def counterexamples(run: CampaignRun) -> dict[str, Path]:
    """The counterexamples that searches have kept: as findings name them, and where they are."""
    found: dict[str, Path] = {}
    for finding in run.findings:
        name = finding.history or ""
        if not name.endswith(_COUNTEREXAMPLE):
            continue
        for where in (name, f"{finding.directory}/{name}"):
            with contextlib.suppress(StormFileError):  # the page says that it is not there
                path = _below(run.directory, where)
                if path.is_file():
                    found.setdefault(name, path)
    return found


def _storm_run(path: Path, document: Mapping[str, Any]) -> StormRun:
    return StormRun(directory=path.parent, storm=_checked(storm_of, path, document))


def _shards(directory: Path, campaign: Campaign) -> tuple[dict[int, StormRun], dict[int, str]]:
    """Read the storms among the shards; a shard without one was something else."""
    storms: dict[int, StormRun] = {}
    problems: dict[int, str] = {}
    for shard in campaign.shards:
        try:
            path = _below(directory, shard.directory) / STORM
            if shard.directory and shard.scenario != CANARY and path.is_file():
                storms[shard.number] = _storm_run(path, _document(path))
        except StormFileError as error:
            problems[shard.number] = str(error)
    return storms, problems


def _below(directory: Path, name: str) -> Path:
    """A path below a directory, wherever its links lead. Raises StormFileError for another."""
    try:
        path = (directory / name).resolve()
    except (OSError, ValueError) as error:  # a name with NUL, or links that lead in a circle
        raise StormFileError(f"{name!a} is no name of a file") from error
    if not path.is_relative_to(directory.resolve()):
        raise StormFileError(f"{name!a} leads out of the run's directory")
    return path


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes(), parse_constant=_number, parse_float=_number)
    except OSError as error:
        raise StormFileError(f"{_shown(path)}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StormFileError(f"{_shown(path)} is not JSON: {error}") from error
    field, version = _VERSIONS[path.name]
    if not isinstance(document, dict) or field not in document:
        raise StormFileError(f"{_shown(path)} is no {path.stem}: it has no {field!r}")
    if document[field] != version:
        raise StormVersionError(
            f"{_shown(path)} is of version {document[field]!a}, and this untorn reads {version}; "
            "use the untorn that wrote it, or run again"
        )
    return document


def _checked(take: Callable[[Mapping[str, Any]], Any], path: Path, document: Any) -> Any:
    try:
        return take(document)
    except ValueError as error:
        raise StormFileError(f"{_shown(path)}: {error}") from error


def _number(text: str) -> float:
    """A number of JSON: NaN is none, and what is too large for one would be infinite."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


def _shown(path: Path) -> str:
    return printable(str(path))
