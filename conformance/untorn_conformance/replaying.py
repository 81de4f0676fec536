"""`untorn replay`: from a token or a file to text, document and exit code."""

from __future__ import annotations

from collections.abc import Callable

from untorn_fixtures.errors import FixtureError
from untorn_stress import counterexample, timeline, tree_text
from untorn_stress.counterexample import Counterexample, CounterexampleError
from untorn_stress.explorer import OUT_OF_HAND
from untorn_stress.gate import availability
from untorn_stress.gated import GatedSystem, Start
from untorn_stress.laboratory import Laboratory, Patience, TreeUnavailableError
from untorn_stress.run import Run
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import TREES, scenario
from untorn_stress.schedulers.protocol import ScheduleMismatchError
from untorn_stress.schedulers.replay import Replay
from untorn_stress.token import Token, TokenError, check_fits
from untorn_stress.tree import Tree
from untorn_stress.tree_check import InvalidTreeError

from untorn_conformance import registry, subjects
from untorn_conformance.done import FOUND, SCHEMA, UNDECIDED, Done, code_of, refused, stopped

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
            system = laboratory.system(played, start)
            system.record = True
            return _replay(system, token, times, draw, progress)
    except TreeUnavailableError as error:
        raise TokenError(str(error)) from error
    except (*OUT_OF_HAND, FixtureError) as error:
        return stopped(str(error), code_of(error))


def _scenario_of(token: Token) -> Scenario:
    try:
        found = scenario(token.scenario)
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
    if saved is None or token.tree in TREES:
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


def _replay(system: GatedSystem, token: Token, times: int, draw: Draw, progress: Tell) -> Done:
    shown: dict[tuple[str, str], int] = {}
    logs: set[tuple[object, ...]] = set()
    run: Run | None = None
    for number in range(times):
        try:
            made = system.run(Replay(token.choices).choose).run
        except ScheduleMismatchError as error:
            return stopped(f"replay {number + 1} went another way: {error}", UNDECIDED)
        run = run if run is not None and run.findings else made
        logs.add(made.steps)
        for key in {(each.requirement, each.rule) for each in made.findings}:
            shown[key] = shown.get(key, 0) + 1
        if times > 1:
            progress(f"replayed {number + 1} of {times}")
    assert run is not None
    told = [f"{row} {rule}: {count} of {times} times" for (row, rule), count in shown.items()]
    told = told or [f"nothing is wrong with this run ({times} of {times} times)"]
    if len(logs) > 1:
        told.append(f"NONDETERMINISTIC: {len(logs)} different logs in {times} replays")
    text = "\n".join([*told, draw(run, replay=counterexample.replay_line(token))])
    code = FOUND if shown else (UNDECIDED if len(logs) > 1 else 0)
    document = {
        "schema": SCHEMA,
        "times": times,
        "shown": {f"{row} {rule}": count for (row, rule), count in shown.items()},
        "different_logs": len(logs),
        "run": timeline.to_json(run),
    }
    return Done(exit_code=code, text=text, document=document)
