"""Every rule, applied to a run: nothing but values in, findings out.

Rule 1: all rules judge all runs; each says by itself where it does not apply.
Rule 2: a finding is certain: no correct cache can have given these answers in this order.
Rule 3: a run that was cut is not judged; what follows it is explored elsewhere.

Sources: the contract's rows, which each rule's module names; the shape of the rules is that of
Kingsbury, Jepsen (checkers over histories whose reads name their write).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from untorn_conformance.contract import Capability

from untorn_stress.payloads import Payloads
from untorn_stress.rules.aftermath import judge_aftermath
from untorn_stress.rules.answers import judge_answers
from untorn_stress.rules.collects import judge_collects
from untorn_stress.rules.flight import judge_flight
from untorn_stress.rules.found import judge_found
from untorn_stress.rules.held import judge_held
from untorn_stress.rules.history import NO_AFTERMATH, Aftermath, History, history_of
from untorn_stress.rules.reclaimed import judge_reclaimed
from untorn_stress.rules.rendered import judge_rendered
from untorn_stress.rules.untrusted import judge_untrusted
from untorn_stress.rules.weighed import judge_weighed
from untorn_stress.rules.whole import judge_whole
from untorn_stress.rules.winner import judge_winner
from untorn_stress.run import Finding, Run
from untorn_stress.scenario import Scenario

Rule: TypeAlias = Callable[[History], Iterator[Finding]]

RULES: Final[tuple[Rule, ...]] = (
    judge_whole,
    judge_winner,
    judge_held,
    judge_found,
    judge_collects,
    judge_answers,
    judge_untrusted,
    judge_flight,
    judge_rendered,
    judge_aftermath,
    judge_reclaimed,
    judge_weighed,
)


def judge(
    run: Run,
    scenario: Scenario,
    payloads: Payloads,
    capabilities: frozenset[Capability],
    aftermath: Aftermath = NO_AFTERMATH,
    *,
    waited_out: bool = False,
    collects: bool = True,
    uses_locks: bool = True,
) -> tuple[Finding, ...]:
    """What is wrong with a run, in the order in which it shows; nothing for a cut one.

    ``waited_out`` says that the run took longer than the backend's ``flight_wait_s``, ``collects``
    that an undisturbed collect is not skipped on this file system, ``uses_locks`` that the backend
    was lied to about a lock, where locks are not to be trusted.
    """
    if run.cut:
        return ()
    history = history_of(
        run,
        scenario,
        payloads,
        capabilities,
        aftermath,
        waited_out=waited_out,
        collects=collects,
        uses_locks=uses_locks,
    )
    found = [finding for rule in RULES for finding in rule(history)]
    after = len(run.steps)
    return tuple(sorted(found, key=lambda each: after if each.step < 0 else each.step))
