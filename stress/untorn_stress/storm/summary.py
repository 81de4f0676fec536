"""What came of a storm, as one document: ``storm.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from untorn_conformance.checkers.storm.judging import CHECKERS

from untorn_stress.storm.judging import Ruling
from untorn_stress.storm.ledger import StormLedger
from untorn_stress.storm.plan import Wanted
from untorn_stress.storm.resources import Resources
from untorn_stress.storm.series import Series
from untorn_stress.storm.tally import Tally

STORM_VERSION: Final = 1
RESOURCES: Final = "resources"
"""The checker of what leaks; the others are H1 to H11."""


@dataclass(slots=True)
class Account:
    """All that a storm has to tell, while it goes on."""

    wanted: Wanted
    ledger: StormLedger
    series: Series
    tally: Tally = field(default_factory=Tally)
    resources: Resources = field(default_factory=Resources)
    rounds: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    open_reasons: list[str] = field(default_factory=list)
    invalid: str = ""

    def rule(self, ruling: Ruling) -> None:
        """Count what came of a round."""
        self.rounds += 1
        self.judged.update(ruling.judged)
        for checker, why in ruling.unknown.items():
            self.unknown[checker] += 1
            self.leave_open(f"{checker} could not tell: {why}")

    def leave_open(self, why: str) -> None:
        """Note a reason for which there is no pass; each is told once."""
        if why not in self.open_reasons:
            self.open_reasons.append(why)

    @property
    def verdict(self) -> str:
        """fail, invalid, unknown or pass: what was found is found, whatever else happened."""
        if self.ledger.counts:
            return "fail"
        if self.invalid:
            return "invalid"
        if self._doubts() or not self.rounds:
            return "unknown"
        return "pass"

    @property
    def reason(self) -> str:
        """The verdict in words."""
        found = sum(self.ledger.counts.values())
        if found:
            kinds = ", ".join(f"{name}: {n}" for name, n in sorted(self.ledger.counts.items()))
            return "; ".join([f"{found} findings ({kinds})", *self._doubts()])
        if self.invalid:
            return self.invalid
        doubts = self._doubts()
        if doubts:
            return "; ".join(doubts)
        if not self.rounds:
            return "no round came to its end"
        return f"nothing found in {self.rounds} rounds"

    def _doubts(self) -> list[str]:
        trouble = [self.ledger.trouble] if self.ledger.trouble else []
        return [*self.open_reasons, *trouble, *self._toothless()]

    def _toothless(self) -> list[str]:
        """Nemeses that were asked for by name, and never bit."""
        why = self.tally.inapplicable
        return [
            f"{name} was asked for and never bit ("
            + (why.get(name) or f"{self.tally.tried[name]} tries")
            + ")"
            for name in self.wanted.named
            if not self.tally.bit[name]
        ]


def operations_of(tally: Tally) -> dict[str, dict[str, int]]:
    """How often each verb had each outcome."""
    found: dict[str, dict[str, int]] = {}
    for (verb, outcome), count in sorted(tally.operations.items()):
        found.setdefault(verb, {})[outcome] = count
    return found


def strikes_of(tally: Tally) -> dict[str, dict[str, int]]:
    """How often each nemesis was tried, and how often it was seen to bite."""
    return {name: {"tried": n, "bit": tally.bit[name]} for name, n in sorted(tally.tried.items())}


_OF_RESOURCES: Final = ("no process, descriptor or file is left over", ("E3",))


def checkers_of(account: Account) -> dict[str, dict[str, Any]]:
    """What each checker did."""
    counts = account.ledger.counts
    rows = {name: (checker.title, checker.requirements) for name, checker in CHECKERS.items()}
    return {
        name: {
            "title": title,
            "requirements": list(requirements),
            "rounds": account.rounds,
            "unknown": account.unknown[name],
            "findings": counts[name],
            **({"judged": account.judged[name]} if name in account.judged else {}),
        }
        for name, (title, requirements) in {**rows, RESOURCES: _OF_RESOURCES}.items()
    }


def document(
    account: Account,
    *,
    backend: str,
    name: str,
    duration_s: float,
    root_file_system: str,
    command: Sequence[str],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """The summary of a storm."""
    wanted = account.wanted
    if account.ledger.trouble:
        account.leave_open(account.ledger.trouble)
    return {
        "untorn_storm": STORM_VERSION,
        "verdict": account.verdict,
        "reason": account.reason,
        "backend": backend,
        "name": name,
        "seed": wanted.seed,
        "asked_s": wanted.duration_s,
        "duration_s": round(duration_s, 3),
        "rounds": account.rounds,
        "workers": {
            "readers": wanted.readers,
            "writers": wanted.writers,
            "collectors": wanted.collectors,
            "extractors": wanted.extractors,
        },
        "root_file_system": root_file_system,
        "command": list(command),
        "replay": account.ledger.replay,
        "operations": operations_of(account.tally),
        "strikes": strikes_of(account.tally),
        "not_applicable": dict(sorted(account.tally.inapplicable.items())),
        "errors": dict(sorted(account.tally.errors.items())),
        "checkers": checkers_of(account),
        "series": account.series.document(),
        "budget_bytes": wanted.budget_mb * 1024 * 1024,
        "bands": list(account.series.bands),
        "resources": account.resources.document(),
        "findings": list(account.ledger.findings),
        "provenance": dict(provenance),
    }
