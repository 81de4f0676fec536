"""`untorn replay`: from a token or a file to text, document and exit code.

Rule 1: a finding that was shown once was found (1), whatever the other replays gave. Then comes
        what broke (7), then what stayed undecided (6).
Rule 2: a run without a finding is an answer only if it is the run that was asked for: the schedule
        to its end and, of a file, every step as it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from untorn_fixtures.errors import FixtureError
from untorn_stress import counterexample, timeline, tree_text
from untorn_stress.composition import scenario_of
from untorn_stress.counterexample import Counterexample, CounterexampleError
from untorn_stress.explorer import OUT_OF_HAND
from untorn_stress.gate import availability
from untorn_stress.gated import GatedSystem
from untorn_stress.laboratory import Laboratory, Patience, TreeUnavailableError
from untorn_stress.run import Run, Step, is_kill
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import NATURAL
from untorn_stress.schedulers.protocol import ScheduleMismatchError
from untorn_stress.schedulers.replay import Replay
from untorn_stress.start import Start
from untorn_stress.token import Token, TokenError, check_fits
from untorn_stress.tree import Tree
from untorn_stress.tree_check import InvalidTreeError
from untorn_stress.wording import printable

from untorn_conformance import registry, subjects
from untorn_conformance.done import (
    BROKEN,
    FOUND,
    SCHEMA,
    UNDECIDED,
    Done,
    code_of,
    refused,
    stopped,
)

Draw = Callable[..., str]
Tell = Callable[[str], None]


def replay_command(
    *,
    token: Token,
    saved: Counterexample | None,
    backend: str | None,
    times: int,
    draw: Draw,
    progress: Tell,
    patience: Patience = Patience(),  # noqa: B008 (a frozen value)
) -> Done:
    """Make a run again.

    Raises TokenError for a token that is not for this backend, or of none that can be here, and
    CounterexampleError for a file whose tree is none; before anything is started where it can.
    """
    gate = availability.probe()
    if not gate.ok:
        return refused(gate)
    played = _scenario_of(token)
    if backend is None:  # else nothing that the token names is looked at
        _check_backend(token)
    carried = _carried_tree(token, saved)
    try:
        with subjects.laboratory(
            backend or token.backend,
            seed=token.seed,
            grain=token.grain.value,
            patience=patience,
            clip=subjects.clip_of(played),
        ) as laboratory:
            subject = laboratory.subject
            check_fits(token, spec=subject.spec, identity=subject.identity)
            start = _start_of(laboratory, token, carried)
            faults = {is_kill(label) for label in token.choices if "!" in label}
            system = laboratory.system(played, start, kills=True in faults, errnos=False in faults)
            system.record = True
            run = None if saved is None else saved.run
            return _conclude(_replay(system, token, run, times, progress), token, times, draw)
    except TreeUnavailableError as error:
        raise TokenError(str(error)) from error
    except (*OUT_OF_HAND, FixtureError) as error:
        return stopped(str(error), code_of(error))


def _scenario_of(token: Token) -> Scenario:
    try:
        found = scenario_of(token.scenario)
    except KeyError as error:
        raise TokenError(str(error.args[0])) from error
    if found.locks.value != token.locks:
        raise TokenError(
            f"the token says locks {token.locks!r}; scenario {found.name} has {found.locks.value!r}"
        )
    return found


def _check_backend(token: Token) -> None:
    try:
        registry.parse(token.backend)
    except ValueError as error:
        raise TokenError(f"the token is for a backend that cannot be: {error}") from error


def _carried_tree(token: Token, saved: Counterexample | None) -> Tree | None:
    """The tree that the file brings along, where it is not one that every backend can make."""
    if saved is None or token.tree in NATURAL:
        return None
    try:
        return tree_text.from_json(saved.tree)
    except InvalidTreeError as error:
        raise CounterexampleError(f"the initial tree of the file is none: {error}") from error


def _start_of(laboratory: Laboratory, token: Token, carried: Tree | None) -> Start:
    """The tree of the file as it is; else the tree of that name, made or harvested here anew."""
    if carried is None:
        return laboratory.start(token.tree)
    newest_ns = max(node.mtime_ns for node in carried.nodes.values())
    laboratory.natural("empty")
    return Start(name=token.tree, tree=carried, taken_s=newest_ns / 1e9)


@dataclass(slots=True)
class _Replays:
    """What has come of the replays so far: how often each finding was shown, and what went wrong.

    ``logs`` are the different runs that were made, ``astray`` says why a run could not be made as
    the schedule has it, ``departed`` where a clean one is not the run of the file, and ``trouble``
    what ended it all.
    """

    run: Run | None = None
    tried: int = 0
    shown: dict[tuple[str, str], int] = field(default_factory=dict)
    logs: set[tuple[Step, ...]] = field(default_factory=set)
    astray: list[str] = field(default_factory=list)
    departed: str = ""
    trouble: str = ""
    trouble_code: int = 0

    def note(self, made: Run, saved: Run | None) -> None:
        """Take a run in that was made to its end."""
        self.run = self.run if self.run is not None and self.run.findings else made
        self.logs.add(made.steps)
        for key in {(each.requirement, each.rule) for each in made.findings}:
            self.shown[key] = self.shown.get(key, 0) + 1
        if saved is not None and not made.findings:
            self.departed = self.departed or _departure(saved, made)

    @property
    def doubt(self) -> str:
        """Why a run without a finding is no answer, or nothing."""
        if self.trouble:
            return self.trouble
        if self.astray:
            return f"{len(self.astray)} of {self.tried} went another way: {self.astray[0]}"
        if len(self.logs) > 1:
            return f"NONDETERMINISTIC: {len(self.logs)} different logs in {self.tried} replays"
        return self.departed

    @property
    def code(self) -> int:
        """The exit code: what was shown once counts, whatever came before or after it."""
        if self.shown:
            return FOUND
        return self.trouble_code or (UNDECIDED if self.doubt else 0)


def _replay(
    system: GatedSystem, token: Token, saved: Run | None, times: int, progress: Tell
) -> _Replays:
    """Make the run so often; only what gets out of hand ends it before."""
    replays = _Replays()
    for number in range(1, times + 1):
        replays.tried = number
        scheduler = Replay(token.choices)
        try:
            made = system.run(scheduler.choose)
            scheduler.end(made.ending)
        except ScheduleMismatchError as error:
            replays.astray.append(f"replay {number}, {error}")
            continue
        except OUT_OF_HAND as error:
            replays.trouble = f"replay {number}: {error}"
            replays.trouble_code = code_of(error)
            break
        replays.note(made.run, saved)
        if times > 1:
            progress(f"replayed {number} of {times}")
    return replays


def _departure(saved: Run, made: Run) -> str:
    """Where a run is not the one that was saved, or nothing."""
    what = "nothing is wrong with this run, but it is not the one of the file"
    if not saved.steps:  # it never came again, and so was kept without its steps
        return "" if saved.choices == made.choices else f"{what}: the schedule goes on otherwise"
    for number, (was, now) in enumerate(itertools.zip_longest(saved.steps, made.steps)):
        if was != now:
            return f"{what}: step {number} was {_in_words(was)}, and is {_in_words(now)}"
    return ""


def _in_words(step: Step | None) -> str:
    if step is None:
        return "not there"
    said = printable(f"{step.actor} {step.call} {step.detail}".rstrip() + f" -> {step.result}")
    return f"'{said}'"


def _conclude(replays: _Replays, token: Token, times: int, draw: Draw) -> Done:
    run, code, doubt = replays.run, replays.code, replays.doubt
    if run is None:
        return stopped(doubt, code)
    shown = {f"{row} {rule}": count for (row, rule), count in replays.shown.items()}
    told = [f"{name}: {count} of {replays.tried} times" for name, count in shown.items()]
    if not doubt and not told:
        told = [f"nothing is wrong with this run ({times} of {times} times)"]
    if doubt:
        word = {UNDECIDED: "UNKNOWN", BROKEN: "no verdict"}.get(code, "besides")
        told.append(f"{word}: {doubt}")
    document = {
        "schema": SCHEMA,
        "times": times,
        "shown": shown,
        "different_logs": len(replays.logs),
        "went_another_way": len(replays.astray),
        "doubt": doubt,
        "run": timeline.to_json(run),
    }
    text = "\n".join([*told, draw(run, replay=counterexample.replay_line(token))])
    return Done(exit_code=code, text=text, document=document)
