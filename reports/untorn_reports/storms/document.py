"""A storm's ``storm.json`` and a campaign's ``campaign.json`` as values, checked.

Rule 1: what is declared here has its type, or the document is refused; what is not declared is left
        alone, so that a storm may say more without a new version.
Rule 2: nothing passes that contradicts itself: a pass with findings is refused.
Rule 3: the latency of a time in which nothing was asked is a gap, and not 0.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

from untorn_conformance.errors import ProtocolError
from untorn_conformance.wire import from_plain

STORM_VERSION: Final = 1
CAMPAIGN_VERSION: Final = 1
_DAY_S: Final = 86400.0
_PATH: Final = re.compile(r"(?<![\w.])/[^\s'\"]+")
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")

_T = TypeVar("_T")


class StormWord(StrEnum):
    """What came of a storm, of a shard or of a campaign."""

    PASS = "pass"  # noqa: S105 (a verdict, not a password)
    FAIL = "fail"
    UNKNOWN = "unknown"
    INVALID = "invalid"


MEANINGS: Final[Mapping[StormWord, str]] = {
    StormWord.PASS: "Nothing was found, and every checker came to an answer.",
    StormWord.FAIL: "The cache broke a promise.",
    StormWord.UNKNOWN: "Nothing was found, but not all of it could be judged. That is no pass.",
    StormWord.INVALID: "The storm itself went wrong: it says nothing about the cache.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """How often a strike was tried, and how often it was seen to work."""

    tried: int
    bit: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckerCount:
    """The rounds that a checker was asked about, those of which it could not tell, its findings.

    ``judged`` is how much there was for it to judge in them, None where the storm does not say.
    """

    title: str = ""
    requirements: tuple[str, ...] = ()
    rounds: int = 0
    unknown: int = 0
    findings: int = 0
    judged: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """What was measured in each ``bin_s`` seconds, from the storm's begin; None is a gap."""

    bin_s: float
    operations: tuple[float | None, ...] = ()
    p50_ms: tuple[float | None, ...] = ()
    p99_ms: tuple[float | None, ...] = ()
    hits: tuple[float | None, ...] = ()
    misses: tuple[float | None, ...] = ()
    evicted: tuple[float | None, ...] = ()
    disk_bytes: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """A strike, in seconds of the storm; one without an end went on."""

    name: str
    begin_s: float
    end_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StormFinding:
    """A promise that was seen broken.

    ``operations`` are ids in ``history``, a file below the run's directory ("" for none). ``at_s``
    are seconds of the storm. The rest tells where in a campaign it was found: first by ``shard``,
    in ``directory`` below the campaign's, and again by the other ``shards``.
    """

    checker: str
    message: str
    requirements: tuple[str, ...] = ()
    round: int | None = None
    operations: tuple[int, ...] = ()
    history: str | None = None
    at_s: float | None = None
    replay: str = ""
    seed: int | None = None
    shard: int | None = None
    shards: tuple[int, ...] = ()
    scenario: str = ""
    strand: str = ""
    directory: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Storm:
    """A whole ``storm.json``.

    ``not_applicable`` are strikes that cannot be had here, with the reason; ``errors`` what went
    wrong, each kind with its first message.
    """

    untorn_storm: int
    verdict: StormWord
    reason: str
    backend: str
    seed: int
    asked_s: float
    duration_s: float
    rounds: int
    name: str = ""
    workers: Mapping[str, int] = field(default_factory=dict)
    root_file_system: str = ""
    command: tuple[str, ...] | str = ()
    replay: str = ""
    operations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    strikes: Mapping[str, Delivered] = field(default_factory=dict)
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    checkers: Mapping[str, CheckerCount] = field(default_factory=dict)
    series: Series = field(default_factory=lambda: Series(bin_s=1.0))
    budget_bytes: int | None = None
    bands: tuple[Band, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[StormFinding, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One shard of a campaign; ``directory`` is below the campaign's, "" for none."""

    number: int
    scenario: str
    state: str
    about: str = ""
    reason: str = ""
    command: tuple[str, ...] | str = ()
    seed: int | None = None
    verdict: str | None = None
    seconds: float | None = None
    host: str | None = None
    findings: int | tuple[Any, ...] = 0
    directory: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenarioShare:
    """What a scenario had of a campaign's time, and what came of it."""

    shards: int
    seconds: float
    findings: int
    unknown: int
    invalid: int = 0
    not_begun: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryCount:
    """How many broken caches were put to the campaign, and which it did not find out."""

    asked: int
    found_out: int
    missed: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Campaign:
    """A whole ``campaign.json``; ``findings`` may be a number where the shards have them."""

    untorn_campaign: int
    verdict: StormWord
    reason: str
    backend: str
    seed: int
    asked_s: float
    used_s: float
    command: tuple[str, ...] | str = ()
    shards: tuple[Shard, ...] = ()
    scenarios: Mapping[str, ScenarioShare] = field(default_factory=dict)
    findings: tuple[StormFinding, ...] | int = ()
    corpus: Any = None
    canary: CanaryCount | None = None
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


def storm_of(document: Mapping[str, Any]) -> Storm:
    """Take a ``storm.json`` in. Raises ValueError, which names what does not fit."""
    storm = _taken(Storm, document, "storm")
    series = storm.series
    lengths = {len(values) for values in series_of(series).values() if values}
    if not 0 < series.bin_s <= _DAY_S or len(lengths) > 1:
        raise ValueError("storm.series: lists of one length, and bin_s above 0, are needed")
    if storm.verdict is StormWord.PASS and (
        storm.findings or any(each.findings for each in storm.checkers.values())
    ):
        raise ValueError("storm: its verdict is a pass, and there are findings")
    return dataclasses.replace(storm, series=_with_gaps(series))


def campaign_of(document: Mapping[str, Any]) -> Campaign:
    """Take a ``campaign.json`` in. Raises ValueError, which names what does not fit."""
    campaign = _taken(Campaign, document, "campaign")
    if campaign.verdict is StormWord.PASS and (
        campaign.findings or (campaign.canary is not None and campaign.canary.missed)
    ):
        raise ValueError("campaign: its verdict is a pass, with findings or a canary missed")
    return campaign


def series_of(series: Series) -> dict[str, tuple[float | None, ...]]:
    """The lists of a series by name."""
    names = [each.name for each in dataclasses.fields(series) if each.name != "bin_s"]
    return {name: getattr(series, name) for name in names}


def _with_gaps(series: Series) -> Series:
    """The latencies, with gaps by Rule 3."""
    if not series.operations:
        return series
    gaps = {
        name: tuple(
            each if asked else None for each, asked in zip(own, series.operations, strict=True)
        )
        for name, own in (("p50_ms", series.p50_ms), ("p99_ms", series.p99_ms))
        if own
    }
    return dataclasses.replace(series, p50_ms=gaps.get("p50_ms", ()), p99_ms=gaps.get("p99_ms", ()))


def kind_of(finding: StormFinding) -> tuple[str, str, str]:
    """What two findings have in common that differ in ids, times, attempts and paths only."""
    message = _NUMBER.sub("#", _PATH.sub("/", finding.message))
    return finding.scenario, finding.checker, message


_NESTED: Final[Mapping[str, type]] = {
    "strikes": Delivered,
    "checkers": CheckerCount,
    "bands": Band,
    "findings": StormFinding,
    "shards": Shard,
    "scenarios": ScenarioShare,
}


def _taken(shape: type[_T], document: Mapping[str, Any], where: str) -> _T:
    plain = _declared(shape, document)
    for name, inner in _NESTED.items():
        held = plain.get(name)
        if isinstance(held, Mapping):
            plain[name] = {key: _declared(inner, value) for key, value in held.items()}
        elif isinstance(held, list):
            plain[name] = [_declared(inner, value) for value in held]
    for name, inner in (("series", Series), ("canary", CanaryCount)):
        if name in plain:
            plain[name] = _declared(inner, plain[name])
    try:
        return from_plain(shape, plain, where=where)
    except ProtocolError as error:
        raise ValueError(str(error)) from error


def _declared(shape: type, value: Any) -> Any:
    """The fields that a value of this kind has here; what is no object is refused later."""
    if not isinstance(value, Mapping):
        return value
    names = {each.name for each in dataclasses.fields(shape)}
    return {name: item for name, item in value.items() if name in names}
