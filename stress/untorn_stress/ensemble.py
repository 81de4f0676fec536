"""Where workers come from: a warm zygote forks Python ones for each run; foreign ones stay alive.

Rule 1: a hosted worker is new in each run, opens the root before it meets the gate, and is killed
        at the end: nothing of one run is in the next. One that renews itself, and says that nothing
        was left of the run, opens the root between two runs, in place of a new one: half as dear.
        Nor is one held, or forked anew if it renews itself, that only answers what is known before.
Rule 2: a foreign worker costs too much to start each time: it closes and opens the root between
        runs, and is started anew when it was killed, died or did not come to rest.
Rule 3: each worker has a temporary directory of its own, empty when it starts: there nobody meets.
Rule 4: where locks are lied about, every worker opens the root at the gate, under the same lies;
        so does one of a backend whose ``open`` starts threads or processes, for these must be held.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from untorn_conformance import wire
from untorn_conformance.backend import Verb
from untorn_conformance.errors import BackendError, ErrorCode, ProtocolError

from untorn_stress.gate import locks
from untorn_stress.gate.hosting import FOREIGN_KEEPER, CrowdedError, HostingError, Keeper, Order
from untorn_stress.gate.keeper import RENEW, RENEWED
from untorn_stress.gate.supervisor import Rules, Supervisor, UndecidedError
from untorn_stress.gate.ungated import UngatedWorker
from untorn_stress.gate.worker import GatedWorker
from untorn_stress.gate.world import World
from untorn_stress.player import check_opened, opening
from untorn_stress.schedulers.protocol import NOTHING, Footprint
from untorn_stress.spawning import Spawn, anew

_LETTERS: Final = "ABCDEFGH"
_OWN_MODE: Final = 0o700
JUDGE: Final = "Z"
"""The letter of the worker that looks at what a run left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """How the workers of one backend are started.

    ``zygote`` is the command of a keeper that hosts the backend (empty for a foreign one), ``argv``
    the program that speaks the protocol (for a foreign one), ``env`` the whole environment.
    ``spawn`` starts the keeper.
    """

    name: str
    identity: str
    env: Mapping[str, str]
    zygote: Sequence[str] = ()
    argv: Sequence[str] = ()
    program_env: Mapping[str, str] = field(default_factory=dict)
    spawn: Spawn = anew


class Ensemble:
    """The workers of one backend. A context manager; closing it ends all of them.

    ``own_folders`` and a letter are the path of a worker's temporary directory.
    """

    def __init__(
        self, cast: Cast, *, root: str, stderr: Path, rules: Rules, own_folders: str
    ) -> None:
        self._own_folders = own_folders
        self._cast = cast
        self._root = root
        self._real_root = os.path.realpath(root)
        self._rules = rules
        self._opens_before = bool(cast.zygote) and rules.locks == "real"
        self.pids: set[int] = set()
        self.lies_told = 0
        self._resting: dict[str, GatedWorker] = {}
        self._answering: UngatedWorker | None = None
        """The one that has answered before, and is as new."""
        self._keeper = Keeper(
            cast.zygote or FOREIGN_KEEPER, env=cast.env, stderr=stderr, spawn=cast.spawn
        )

    def __enter__(self) -> Ensemble:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def letters(self) -> str:
        """The letters of workers, in order."""
        return _LETTERS

    @property
    def is_hosted(self) -> bool:
        """Whether its workers are new in each run, and remember nothing of earlier ones."""
        return bool(self._cast.zygote)

    def last_words(self) -> str:
        """What the workers wrote to stderr last."""
        return self._keeper.last_words()

    def check(self) -> None:
        """Raise HostingError when the keeper has ended: its workers died of that."""
        self._keeper.check()

    def enter(self, letter: str, chance: str) -> GatedWorker:
        """A worker that has opened the root and is let pass; ``chance`` seeds its randomness.

        Raises HostingError, BackendError, ProtocolError, UndecidedError.
        """
        if self._opens_before and letter not in self._resting:
            try:
                return self._enter_open(letter, chance)
            except CrowdedError:
                self._opens_before = False
        worker = self._resting.pop(letter, None) or self._start(letter, chance)[0]
        if worker.renews:
            _make_empty(self._own_folder(letter))
        worker.draw_from(f"{chance}:opening")  # a new process draws at its start, a rested one not
        try:
            check_opened(self._ask(worker, opening(self._root)))
        except BaseException:
            worker.close()
            raise
        worker.draw_from(chance)
        return worker

    def answers(self, requests: Sequence[bytes]) -> list[bytes]:
        """What a worker answers to these that is new, or as new, and meets no gate.

        It is over, or is as new again, when it has answered.

        Raises HostingError, also where workers can only be asked at the gate.
        """
        if not self._opens_before:
            raise HostingError("these workers are asked at the gate")
        setup = [opening(self._root), *requests]
        answers = self._ask_ungated(self._order(JUDGE, "", [line.decode() for line in setup]))
        check_opened(answers[0])
        return answers[1:]

    def _ask_ungated(self, order: Order) -> list[bytes]:
        worker, self._answering = self._answering, None
        try:
            if worker is None:
                worker, answers = self._keeper.ask(order)
                self.pids.add(worker.pid)
            else:
                answers = self._keeper.ask_again(worker, order)
            if worker.is_as_new(order.deadline_s) and not self._has_open(worker.pid):
                worker, self._answering = None, worker
        except CrowdedError:
            if worker is not None:  # it first ends whom it started
                patient, worker = worker, None
                patient.end(order.deadline_s)
            raise
        finally:
            if worker is not None:
                worker.end()
        return answers

    def touched_by_opening(self, count: int, rules: Rules, chance: str) -> Footprint:
        """What so many workers touch when they open the root at the gate, one after the other.

        In a run they open it unwatched. Raises as ``enter`` does.
        """
        touched = NOTHING
        with contextlib.ExitStack() as closing:
            for letter in _LETTERS[:count]:
                worker, _ = self._start(letter, chance)
                closing.callback(worker.close)
                touched = touched.joined(self._watched_opening(worker, rules))
        return touched

    def _watched_opening(self, worker: GatedWorker, rules: Rules) -> Footprint:
        lines: list[bytes] = []
        touched, world = NOTHING, World(self._root)
        supervisor = Supervisor(world, rules, lambda _worker, line: lines.append(line))
        supervisor.add(worker)
        world.begin({worker.pid: worker.letter})
        worker.begin(world)
        worker.send(opening(self._root))
        supervisor.settle()
        while (held := supervisor.options()) and not lines:
            touched = touched.joined(held[0].expected)
            touched = touched.joined(supervisor.take(held[0])[0].footprint)
        if not lines:
            message = f"the worker ended before it had opened{self.last_words()}"
            raise BackendError(ErrorCode.DIED, message)
        check_opened(lines[0])
        return touched

    def _enter_open(self, letter: str, chance: str) -> GatedWorker:
        """A worker that opened the root before it met the gate."""
        worker, answers = self._start(letter, chance, [opening(self._root).decode()])
        try:
            check_opened(answers[0])
        except BaseException:
            worker.close()
            raise
        return worker

    def _start(
        self, letter: str, chance: str, setup: Sequence[str] = ()
    ) -> tuple[GatedWorker, list[bytes]]:
        worker, answers = self._keeper.start(self._order(letter, chance, setup))
        self.pids.add(worker.pid)
        return worker, answers

    def _order(self, letter: str, chance: str, setup: Sequence[str]) -> Order:
        own_folder = self._own_folder(letter)
        _make_empty(own_folder)
        return Order(
            letter=letter,
            argv=self._cast.argv,
            env={**self._cast.program_env, "TMPDIR": str(own_folder)},
            setup=setup,
            grain=self._rules.grain,
            chance=chance,
            deadline_s=self._rules.deadline_s,
        )

    def _own_folder(self, letter: str) -> Path:
        return Path(f"{self._own_folders}{letter}")

    def _ask(self, worker: GatedWorker, line: bytes, *, until_it_rests: bool = False) -> bytes:
        """Ask one thing of a worker that is let pass; its answer.

        Some close files only after they have answered: what is still open counts in the next run.
        """
        lines: list[bytes] = []
        world = World(self._root)
        supervisor = Supervisor(world, self._rules, lambda _worker, said: lines.append(said))
        supervisor.add(worker)
        worker.send(line)
        supervisor.settle_until(lambda: bool(lines))
        if until_it_rests:
            supervisor.settle()
        self.lies_told += world.lies_told
        if not lines:
            message = f"the worker ended before it answered{self.last_words()}"
            raise BackendError(ErrorCode.DIED, message)
        return lines[0]

    def leave(self, worker: GatedWorker, *, at_rest: bool) -> None:
        """A run is over; ``at_rest``: the worker has answered all and is held at nothing."""
        if at_rest and self._can_rest(worker):
            self._resting[worker.letter] = worker
        else:
            worker.close()

    def _can_rest(self, worker: GatedWorker) -> bool:
        """Whether nothing of the run is left in a worker, which has closed the root."""
        if self._cast.zygote and not (worker.renews and worker.is_plain):
            return False
        worker.let_pass()
        try:
            if self._cast.zygote:
                return self._ask(worker, RENEW) == RENEWED and not self._has_open(worker.pid)
            line = self._ask(worker, wire.encode_request(1, Verb.CLOSE, {}), until_it_rests=True)
            wire.decode_answer(line, verb=Verb.CLOSE)
        except (BackendError, UndecidedError, ProtocolError):
            return False
        return not self._has_open(worker.pid)

    def _has_open(self, pid: int) -> bool:
        """Whether it keeps open what lies below the root: what failed may never be closed."""
        for fd in locks.open_descriptors(pid):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                path = os.readlink(f"/proc/{pid}/fd/{fd}")
                if f"{path}/".startswith(f"{self._real_root}/"):
                    return True
        return False

    def close(self) -> None:
        """End every worker and the keeper."""
        with contextlib.ExitStack() as closing:
            closing.callback(self._keeper.close)
            for worker in self._resting.values():
                closing.callback(worker.close)
            self._resting.clear()
            if self._answering is not None:
                closing.callback(self._answering.end)
                self._answering = None


def _make_empty(folder: Path) -> None:
    """Have an empty directory there; one that is as it was made stays, for removing it takes long.

    Raises OSError as it comes.
    """
    try:
        status = folder.lstat()
    except FileNotFoundError:  # it is the first of its letter
        folder.mkdir(mode=_OWN_MODE)
        return
    if status.st_mode == stat.S_IFDIR | _OWN_MODE and not os.listdir(folder):
        return
    shutil.rmtree(folder)
    folder.mkdir(mode=_OWN_MODE)
