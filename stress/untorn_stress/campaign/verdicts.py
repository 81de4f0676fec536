"""What came of a shard, read from its JSON; pure.

Rule 1: the JSON decides and the exit code must agree with it: a command that died after it had
        written its result, or that ended well without one, is HARNESS_ERROR: invalid, never a pass.
Rule 2: a finding that was written counts, whatever became of the command that wrote it.
Rule 3: what the backend does not claim to do is not applicable, and neither a pass nor a doubt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

FoundJson = dict[str, Any]
"""A finding as JSON: checker, requirements, message, replay, and where it was found."""

MOST_FINDINGS: Final = 50
"""How many findings of one shard are told; the others are in its directory."""

_USAGE: Final = 2
_EXPLORATION: Final = "untorn/exploration/1"
_ERROR: Final = "untorn/error/1"
_NO_TREE: Final = "TokenError"


class ShardVerdict(StrEnum):
    """What came of a shard, in a word."""

    PASS = "pass"  # noqa: S105 (a verdict, not a password)
    FAIL = "fail"
    UNKNOWN = "unknown"
    INVALID = "invalid"
    NOT_APPLICABLE = "not-applicable"


EXIT_CODES: Final = {
    ShardVerdict.PASS: 0,
    ShardVerdict.FAIL: 1,
    ShardVerdict.UNKNOWN: 6,
    ShardVerdict.INVALID: 7,
}
"""The exit code of each verdict; those of every command of untorn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardResult:
    """A shard's verdict, why, what it found, and which trees it has named."""

    verdict: ShardVerdict
    reason: str = ""
    findings: tuple[FoundJson, ...] = ()
    trees: tuple[str, ...] = ()


def invalid(reason: str, findings: Iterable[FoundJson] = ()) -> ShardResult:
    """HARNESS_ERROR: nothing can be said of the backend by this shard, but for its findings."""
    return ShardResult(
        verdict=ShardVerdict.INVALID,
        reason=f"HARNESS_ERROR: {reason}",
        findings=telling(findings),
    )


def unknown(reason: str, findings: Iterable[FoundJson] = ()) -> ShardResult:
    """Undecided: what was found on the way counts all the same."""
    return ShardResult(verdict=ShardVerdict.UNKNOWN, reason=reason, findings=telling(findings))


def of_storm(document: object, exit_code: int) -> ShardResult:
    """Judge by storm.json."""
    if not isinstance(document, dict) or document.get("untorn_storm") != 1:
        return invalid("it left no storm.json of version 1")
    findings = _mappings(document.get("findings"))
    word, reason = document.get("verdict"), str(document.get("reason", ""))
    if word not in EXIT_CODES:
        return invalid(f"its storm.json has the verdict {word!a}", findings)
    verdict = ShardVerdict(word)
    if exit_code != EXIT_CODES[verdict]:
        return invalid(f"its storm.json says {word}, and it ended with code {exit_code}", findings)
    if bool(findings) != (verdict is ShardVerdict.FAIL):
        return invalid(f"its storm.json says {word} with {len(findings)} findings", findings)
    if verdict is ShardVerdict.PASS and not document.get("rounds"):
        return unknown("it had not one round")
    return ShardResult(verdict=verdict, reason=reason, findings=telling(findings))


def of_search(document: object, exit_code: int) -> ShardResult:
    """Judge by what `untorn explore --json` printed."""
    if not isinstance(document, dict):
        return invalid(f"it printed no JSON object, and ended with code {exit_code}")
    if document.get("schema") == _ERROR:
        return _of_error(document, exit_code)
    if document.get("schema") != _EXPLORATION:
        return invalid(f"it printed something of schema {document.get('schema')!a}")
    findings = [_of_exploration(each) for each in _mappings(document.get("found"))]
    trees = tuple(str(each.get("tree", "")) for each in _mappings(document.get("searches")))
    why = str(document.get("stopped") or document.get("reason") or "")
    if findings:
        return _found(findings, trees, why, exit_code)
    if not trees and document.get("not_applicable"):
        return ShardResult(
            verdict=ShardVerdict.NOT_APPLICABLE, reason=why or "the backend cannot do it"
        )
    return _without_finding(document, trees, why, exit_code)


def _without_finding(
    document: Mapping[str, Any], trees: tuple[str, ...], why: str, exit_code: int
) -> ShardResult:
    if exit_code == EXIT_CODES[ShardVerdict.UNKNOWN]:
        reason = why or _doubts(document) or "undecided"
        return ShardResult(verdict=ShardVerdict.UNKNOWN, reason=reason, trees=trees)
    if exit_code != 0:
        return invalid(f"{why or 'no reason was told'} (exit code {exit_code})")
    if why or not document.get("runs"):
        return invalid(f"it ended with code 0 after {document.get('runs')!a} runs; {why}")
    return ShardResult(verdict=ShardVerdict.PASS, trees=trees)


def _of_error(document: Mapping[str, Any], exit_code: int) -> ShardResult:
    message = str(document.get("message", ""))
    if exit_code == _USAGE and document.get("error") == _NO_TREE:
        return ShardResult(verdict=ShardVerdict.NOT_APPLICABLE, reason=message)
    return invalid(f"{document.get('error')}: {message} (exit code {exit_code})")


def _found(
    findings: Sequence[FoundJson], trees: tuple[str, ...], why: str, exit_code: int
) -> ShardResult:
    if exit_code != EXIT_CODES[ShardVerdict.FAIL]:
        return invalid(f"it has findings and ended with code {exit_code}", findings)
    return ShardResult(
        verdict=ShardVerdict.FAIL,
        reason=why,
        findings=telling(findings),
        trees=trees,
    )


def _of_exploration(found: Mapping[str, Any]) -> FoundJson:
    """A finding of a search, in the form of a storm's."""
    return {
        "checker": str(found.get("rule", "")),
        "requirements": [str(found.get("requirement", ""))],
        "message": str(found.get("message", "")),
        "scenario": str(found.get("scenario", "")),
        "tree": str(found.get("tree", "")),
        "at_s": found.get("after_s"),
        "history": found.get("file"),
        "replay": str(found.get("replay", "")),
    }


def _doubts(document: Mapping[str, Any]) -> str:
    for each in _mappings(document.get("searches")):
        doubt = each.get("undecided") or each.get("nondeterministic") or each.get("unobserved")
        if doubt:
            return f"{each.get('scenario')} from {each.get('tree')}: {doubt}"
    return ""


def _mappings(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def telling(findings: Iterable[FoundJson]) -> tuple[FoundJson, ...]:
    """The first of each kind, then others: a storm tells the same of each frame that it reads."""
    first, others = dict[str, FoundJson](), list[FoundJson]()
    for each in findings:
        if first.setdefault(kind_of(each), each) is not each:
            others.append(each)
    return (*first.values(), *others)[:MOST_FINDINGS]


def kind_of(finding: Mapping[str, Any]) -> str:
    """What makes two findings the same: requirements, checker, and what was explored."""
    rows = finding.get("requirements")
    named = ",".join(map(str, rows)) if isinstance(rows, list) else ""
    return f"{named} {finding.get('checker', '')} {finding.get('scenario', '')}".strip()
