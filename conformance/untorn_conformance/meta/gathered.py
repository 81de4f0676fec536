"""Schedules that fail, gathered from specimens and mutants: the file of them, and their replay.

The file has a line for each, after lines that begin with ``#``: row and rule of the finding, and
the token. Two findings are the same when backend, scenario, row and rule are: the scenario says
which operations are involved.

Tokens hold no path and no time, so that they replay on other machines, with two limits. A tree is
made anew there: harvested ones are taken of the specimens only, since the reference's entries say
in which boot they were sealed, and harvested trees are named for their bytes and modes (umask 022).
No schedule is taken that a listing's order decides, and no backend that goes on in a directory of
its own: files there may get the inode numbers of some that were removed below the
root, for which the gate then takes them.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import untorn_fixtures
from untorn_conformance import registry, subjects
from untorn_stress.gated import GatedSystem
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import Run, is_kill
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.protocol import ScheduleMismatchError
from untorn_stress.schedulers.replay import Replay
from untorn_stress.token import Token

FILE: Final = Path(untorn_fixtures.__file__).parent / "schedules" / "failing.txt"

Key = tuple[str, str, str, str]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """A schedule that fails: row and rule of what it shows, and how it is made again."""

    row: str
    rule: str
    token: Token

    @property
    def key(self) -> Key:
        """What makes its finding another than others."""
        return self.token.backend, self.token.scenario, self.row, self.rule


def read(path: Path = FILE) -> list[Gathered]:
    """Every schedule of the file, in its order. Raises TokenError."""
    kept = []
    for line in path.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            row, rule, word = line.split()
            kept.append(Gathered(row=row, rule=rule, token=Token.decode(word)))
    return kept


def write(gathered: Iterable[Gathered], path: Path = FILE) -> None:
    """Write the file anew, with what it holds and how it is made in its head."""
    lines = [f"{each.row} {each.rule} {each.token.encode()}" for each in gathered]
    keys = {each.key for each in gathered}
    head = [
        f"# {len(lines)} schedules that fail in specimens and mutants, of {len(keys)} findings",
        "# (backend, scenario, row, rule): row and rule that each must show, and its token.",
        "# Made by: python -m untorn_conformance.meta.gather",
    ]
    path.write_text("\n".join([*head, *lines]) + "\n", encoding="ascii")


def sample(gathered: Sequence[Gathered], count: int) -> list[Gathered]:
    """So many: one of each finding before any gives a second, and of each backend in turn."""
    of_backend: dict[str, dict[Key, list[Gathered]]] = {}
    for each in gathered:
        of_backend.setdefault(each.token.backend, {}).setdefault(each.key, []).append(each)
    findings = _in_turn([list(by_key.values()) for by_key in of_backend.values()])
    return list(itertools.islice(_in_turn(list(findings)), count))


def _in_turn(groups: Sequence[Sequence[T]]) -> Iterator[T]:
    """The first of each group, then the second of each that has one, and so on."""
    for rank in range(max(map(len, groups), default=0)):
        yield from (group[rank] for group in groups if rank < len(group))


@contextmanager
def laboratory(backend: str, seed: int, base: Path | None = None) -> Iterator[Laboratory]:
    """The backend under the gate, as `untorn replay` has it; below ``base`` if that is given."""
    base = base or Path(tempfile.gettempdir())
    spec = registry.parse(backend)
    subject = subjects.subject_of(spec, subjects.ask_hello(spec, base))
    with Laboratory(subject, base=base, seed=seed) as made:
        yield made


def by_laboratory(gathered: Iterable[Gathered]) -> dict[tuple[str, int], list[Gathered]]:
    """Those that one laboratory can make, together."""
    groups: dict[tuple[str, int], list[Gathered]] = {}
    for each in gathered:
        groups.setdefault((each.token.backend, each.token.seed), []).append(each)
    return groups


def system_of(opened: Laboratory, token: Token) -> GatedSystem:
    """The system that makes the run of a token."""
    kills = any(map(is_kill, token.choices))
    return opened.system(scenario(token.scenario), opened.start(token.tree), kills=kills)


def replayed(system: GatedSystem, token: Token) -> Run:
    """The run of a token. Raises ScheduleMismatchError where it went another way."""
    replay = Replay(token.choices)
    made = system.run(replay.choose)
    replay.end(made.ending)
    return made.run


class Shown(NamedTuple):
    """A finding, but for its words: they may quote the backend, which names processes and paths."""

    row: str
    rule: str
    step: int


def outcome(run: Run) -> frozenset[Shown]:
    """All that a run shows."""
    return frozenset(Shown(each.requirement, each.rule, each.step) for each in run.findings)


def astray(
    gathered: Iterable[Gathered], *, times: int, base: Path | None = None
) -> dict[Gathered, str]:
    """Replay each so often; those that did not show the same each time, and what they did."""
    lost = {}
    for (backend, seed), group in by_laboratory(gathered).items():
        with laboratory(backend, seed, base) as opened:
            for each in group:
                why = _departure(system_of(opened, each.token), each, times)
                if why:
                    lost[each] = why
    return lost


def _departure(system: GatedSystem, gathered: Gathered, times: int) -> str:
    """How the runs of a token are not those that it was kept for, or nothing."""
    try:
        outcomes = {outcome(replayed(system, gathered.token)) for _ in range(times)}
    except ScheduleMismatchError as error:
        return str(error)
    if len(outcomes) > 1:
        return f"{len(outcomes)} different outcomes of {times} runs"
    told = {(each.row, each.rule) for each in outcomes.pop()}
    return "" if (gathered.row, gathered.rule) in told else f"shows {told}"
