"""The fray: one round's workers, all asked at full speed from one loop, while nemeses strike.

Rule 1: whoever dies is replaced, by a process of another name, as long as the work goes on.
Rule 2: when the work is over, all strikes are healed, the stopped go on, what was asked by then is
        answered, and then all are killed. What is not answered by then was no answer: DEADLINE.
"""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from untorn_conformance.backend import FrameRead, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.history import Death, Excuse, Op, Strike

from untorn_stress.storm.aiming import Aiming, Shot
from untorn_stress.storm.arena import Arena
from untorn_stress.storm.crew import StormWorker
from untorn_stress.storm.footage import Footage
from untorn_stress.storm.gathering import Gathering
from untorn_stress.storm.heard import Heard
from untorn_stress.storm.nemesis.protocol import Refused
from untorn_stress.storm.nursery import children_of
from untorn_stress.storm.plan import PlannedStrike, RoundPlan, Wanted, dice
from untorn_stress.storm.population import Population, how_ended
from untorn_stress.storm.recorder import Recorder
from untorn_stress.storm.roles import ROLES, Errand, Gather, Part, Race, Store, Word, opened
from untorn_stress.storm.stamps import found_on_disk
from untorn_stress.storm.striking import KILL_ALL, Striking
from untorn_stress.storm.tally import Tally, Watch
from untorn_stress.storm.timers import Timers

ANSWER_GRACE_S: Final = 10.0
"""How long beyond the backend's own ``flight_wait_s`` an answer may take, when no fault is left."""

_TICK_S: Final = 0.02
_DEATHS_S: Final = 2.0
_MOST_NOTES: Final = 10


class Fray:
    """The work of one round. It is the field that nemeses strike on."""

    def __init__(
        self,
        arena: Arena,
        recorder: Recorder,
        wanted: Wanted,
        plan: RoundPlan,
        store: Store,
        tally: Tally,
        watch: Watch,
        footage: Footage,
    ) -> None:
        self._arena = arena
        self._recorder = recorder
        self._wanted = wanted
        self._plan = plan
        self._store = store
        self._tally = tally
        self._watch = watch
        self._footage = footage
        self._hello = arena.stormed.hello
        self._selector = selectors.DefaultSelector()
        self._people = Population()
        self._deaths: dict[str, str] = {}
        self._offsets: dict[int, float] = {}
        self._heard = Heard(tally, watch)
        self._timers = Timers()
        self._striking = Striking(self, tally, self._note_strike)
        self._aiming = Aiming(self.kill)
        self._gathering = Gathering(
            Race(), self._timers.after, lambda worker: self._advance(worker, None)
        )
        self._going_on = self._is_struck = True
        self.notes: dict[int, str] = {}

    # --- the field, as nemeses see it

    @property
    def root(self) -> Path:
        """The cache's root, as we see it."""
        return self._arena.seen_root

    @property
    def is_small(self) -> bool:
        """Whether the root is on a small file system of its own."""
        return self._arena.small is not None

    @property
    def is_privileged(self) -> bool:
        """Whether permissions mean nothing to the workers."""
        return self._arena.privileged

    @property
    def has_clock(self) -> bool:
        """Whether the backend takes a clock offset."""
        return Capability.VIRTUAL_CLOCK in self._hello.capabilities

    @property
    def min_age_s(self) -> float:
        """The age below which nothing is evicted, as configured."""
        return self._wanted.min_age_s

    def has_role(self, role: str) -> bool:
        """Whether workers of a role take part."""
        return role in self._wanted.slots

    def living(self, role: str = "") -> list[StormWorker]:
        """The workers that run, or are stopped; of one role or of all."""
        roles = self._wanted.slots
        return [
            each
            for each in self._people.by_slot.values()
            if each.pid and not each.killed and (not role or roles[each.slot] == role)
        ]

    def is_spared(self, worker: StormWorker) -> bool:
        """Whether a worker is to live long: in every other round the first of each role."""
        roles = self._wanted.slots
        return self._plan.spares and roles.index(roles[worker.slot]) == worker.slot

    def aim(self, verb: str, part: float) -> Shot:
        """Kill whoever is next asked a verb, amid it; ``part`` is of the time that it takes."""
        return self._aiming.aim(verb, part)

    def kill(self, worker: StormWorker) -> None:
        """SIGKILL it, and nothing that it started."""
        # Who starts programs may start one between this look and its death.
        is_parent = self._wanted.slots[worker.slot] == "extractor"
        worker.leaves_children = is_parent or bool(children_of(worker.pid))
        self._people.signal(worker, signal.SIGKILL)
        worker.note_kill()

    def stop(self, worker: StormWorker) -> bool:
        """SIGSTOP it; whether it was seen to stand still."""
        return self._people.stop(worker)

    def resume(self, worker: StormWorker) -> None:
        """SIGCONT it, if it lives."""
        self._people.signal(worker, signal.SIGCONT)
        worker.stopped = False

    def death_of(self, name: str) -> str:
        """How a process ended; empty while it was not told."""
        return self._deaths.get(name, "")

    def refused_since(self, at_ns: int) -> Sequence[Refused]:
        """The refusals since an instant."""
        return self._heard.refused_since(at_ns)

    def evicted_since(self, at_ns: int) -> int:
        """How many entries collects have evicted since an instant."""
        return self._heard.evicted_since(at_ns)

    def answers_of(self, slot: int) -> int:
        """How many answers the workers of a slot have given in this round."""
        return self._heard.answers_of(slot)

    def offset(self, slot: int, seconds: float) -> None:
        """What the clock of workers that start in this slot is off by."""
        self._offsets[slot] = seconds

    def make_root(self) -> None:
        """Make the root again, the workers' own, if it is not there."""
        self._arena.make_root()

    # --- the work

    def rage(self, is_over: Callable[[], bool]) -> None:
        """Work until the plan's time is over, or ``is_over`` says so; then end everybody."""
        try:
            self._selector.register(self._arena.control, selectors.EVENT_READ, None)
            for slot in range(len(self._wanted.slots)):
                self._spawn(slot)
            began_s = time.monotonic()
            for strike in self._plan.strikes:
                self._timers.at(began_s + strike.at_s, partial(self._strike, strike))
            end_s = began_s + self._plan.work_s
            self._run(lambda: time.monotonic() >= end_s or is_over())
            self._is_struck = False
            self._await_deaths()
            self._striking.heal_all()
            self._drain()
            self._kill_all()
        finally:
            self._close()

    def _run(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            for key, events in self._selector.select(self._timers.left_s(_TICK_S)):
                if key.data is None:
                    self._take_news()
                else:
                    self._serve(key.data, events)
            self._let_time_pass()

    def _let_time_pass(self) -> None:
        self._timers.ring()
        self._striking.heal_those_over()
        self._recorder.flush_now_and_then()
        self._watch.tick(self._arena, list(self._people.by_slot.values()))

    def _strike(self, planned: PlannedStrike) -> None:
        """Begin a strike, unless the work ended before its time."""
        if self._is_struck:
            self._striking.strike(planned)

    def _drain(self) -> None:
        """Wait for the answers that are owed by now; who gives none in time has hung (L1)."""
        self._going_on = not self._plan.drains
        owed = {each.name: each.op for each in self._people.by_name.values() if each.op is not None}
        grace_s = self._hello.limits.flight_wait_s + ANSWER_GRACE_S
        patience_s = time.monotonic() + grace_s
        self._run(lambda: not any(self._late(owed)) or time.monotonic() >= patience_s)
        self._going_on = False
        for worker in list(self._late(owed)):
            assert worker.op is not None
            assert worker.errand is not None
            silence = BackendError(
                ErrorCode.DEADLINE, f"no answer in {grace_s:g} s and no fault left"
            )
            op = self._recorder.answered(worker.op, silence)
            self._count(worker, silence, op)
            worker.op = worker.errand = None

    def _late(self, owed: Mapping[str, Op]) -> Iterator[StormWorker]:
        """Who lives, runs, and still owes the answer that it owed."""
        for name, op in owed.items():
            worker = self._people.by_name.get(name)
            if worker is None or worker.killed or worker.stopped or worker.op is None:
                continue
            if worker.op is op:
                yield worker

    # --- workers

    def _spawn(self, slot: int) -> None:
        self._tally.incarnations[slot] += 1
        role = self._wanted.slots[slot]
        incarnation = self._tally.incarnations[slot]
        name = f"{role}{slot + 1}.{incarnation}"
        part = Part(
            process=name,
            dice=dice(self._wanted.seed, self._plan.number, slot, incarnation),
            store=self._store,
            has_stats=Capability.STATS in self._hello.capabilities,
            total_bytes=self._wanted.keys * self._wanted.frames * 4096 * 2,
            room_bytes=self._room_bytes(),
            race=self._gathering.race,
            clips={label: self._footage.errand(label) for label in self._footage.inputs},
        )
        offset_s = self._offsets.get(slot, 0.0)
        turns = opened(self._open_errand(offset_s), ROLES[role](part))
        worker = StormWorker(part, turns, slot, self._arena.start(name))
        worker.offset_s = offset_s
        self._people.add(worker)
        self._selector.register(worker.streams.from_worker, selectors.EVENT_READ, worker)
        self._advance(worker, None)

    def _room_bytes(self) -> int:
        """More than all entries, and all that is staged, can weigh."""
        entries = len(self._wanted.labels) + len(self._wanted.slots)
        return entries * (self._recorder.start.entry_bytes or 0)

    def _open_errand(self, offset_s: float) -> Errand:
        env = self._wanted.environment(self._hello.variables)
        args = {"root": str(self._arena.root), "env": env, "clock_offset_s": offset_s}
        return Errand(verb=Verb.OPEN, args=args)

    def _advance(self, worker: StormWorker, word: Word | None) -> None:
        """Let a role go on to what it asks next."""
        while self._going_on and not worker.hung_up:
            step = worker.role.send(word)
            word = None
            if isinstance(step, Errand):
                self._ask(worker, step)
                return
            if isinstance(step, Gather):
                self._gathering.join(worker, step)
                return
            if step.empty:
                worker.turns += 1
                self._watch.holds_nothing(worker)
            if step.seconds > 0:
                resume = lambda: self._advance(worker, None)  # noqa: E731
                self._timers.after(step.seconds, resume)
                return

    def _ask(self, worker: StormWorker, errand: Errand) -> None:
        worker.errand = errand
        # What is read of a clip does not say whose it is: see footage.
        of_clip = errand.verb is Verb.READ and errand.key in self._footage.inputs
        worker.op = self._recorder.ask(worker.name, errand, record=not of_clip)
        worker.send(errand.verb, errand.args)
        if worker.wants_room:
            self._selector.register(worker.streams.to_worker, selectors.EVENT_WRITE, worker)
        if self._is_struck:
            self._aiming.asked(worker, errand.verb.value)

    def _serve(self, worker: StormWorker, events: int) -> None:
        if worker.hung_up:
            return  # it was buried in the same breath: its descriptors are others' by now
        if events & selectors.EVENT_WRITE:
            worker.flush()
            if not worker.wants_room:
                self._selector.unregister(worker.streams.to_worker)
        if events & selectors.EVENT_READ:
            self._take_answer(worker)

    def _take_answer(self, worker: StormWorker) -> None:
        """Take one answer in, and go on; what comes unasked is an answer to nobody."""
        verb = worker.errand.verb if worker.errand is not None else Verb.HELLO
        came, value = worker.receive(verb)
        if worker.hung_up:
            self._forget_stream(worker)
        if not came or worker.op is None or worker.errand is None:
            return
        op = self._recorder.answered(worker.op, value)
        if op.id < 0:
            self._footage.look(worker.errand, value, op.ended_ns)
        elif isinstance(value, FrameRead) and op.seen is None and len(self.notes) < _MOST_NOTES:
            self.notes[op.id] = found_on_disk(self._arena.seen_root, value.sha256)
        self._count(worker, value, op)
        worker.op = worker.errand = None
        self._advance(worker, Word(op=op.id, value=value))

    def _count(self, worker: StormWorker, value: object, op: Op) -> None:
        self._heard.take(worker, op.verb, value, op)
        self._aiming.took(op.verb, (op.ended_ns - op.began_ns) / 1e9)

    def _forget_stream(self, worker: StormWorker) -> None:
        for fd in (worker.streams.from_worker, worker.streams.to_worker):
            if fd in self._selector.get_map():
                self._selector.unregister(fd)

    # --- life and death

    def _await_deaths(self) -> None:
        """Wait a moment for those that were killed and whose end was not told yet."""
        patience_s = time.monotonic() + _DEATHS_S
        self._run(
            lambda: (
                not any(each.killed for each in self._people.by_name.values())
                or time.monotonic() >= patience_s
            )
        )

    def _note_strike(self, strike: Strike) -> None:
        self._recorder.strike(strike)
        self._watch.struck(strike)

    def _take_news(self) -> None:
        for news in self._arena.news():
            self._note(news)

    def _note(self, news: Mapping[str, Any]) -> None:
        if "started" in news:
            self._people.started(news["started"], news["pid"])
        elif "ended" in news:
            worker = self._people.bury(news["ended"])
            if worker is not None:
                self._bury(worker, news["status"])

    def _bury(self, worker: StormWorker, status: int) -> None:
        worker.drain()
        worker.hung_up = True  # nothing more is asked of it, whatever it has still answered
        if worker.op is not None:
            self._take_answer(worker)
        how = how_ended(status)
        self._deaths[worker.name] = how
        self._forget_stream(worker)
        worker.streams.close()
        asked = worker.killed
        if not asked and how == "SIGKILL":
            # A backend does not end so by a fault of its own: short memory does, or a person.
            self._tally.killed_by_others.append(worker.name)
            asked = True
        worker.killed = True
        self._recorder.death(
            Death(
                process=worker.name,
                at_ns=time.monotonic_ns(),
                asked=asked,
                how=how,
                leaves_children=worker.leaves_children and self._going_on,
            )
        )
        if self._going_on and self._people.by_slot.get(worker.slot) is worker:
            self._spawn(worker.slot)

    def _kill_all(self) -> None:
        """Kill everybody and all that they started; a strike, and the end of every round."""
        begin_ns = time.monotonic_ns()
        names = tuple(sorted(self._people.by_name))
        for worker in self._people.by_name.values():
            worker.note_kill()
        for news in self._arena.clear():
            self._note(news)
        self._tally.tried[KILL_ALL] += 1
        self._tally.bit[KILL_ALL] += all(self._deaths.get(each) == "SIGKILL" for each in names)
        self._note_strike(
            Strike(
                name=KILL_ALL,
                begin_ns=begin_ns,
                end_ns=time.monotonic_ns(),
                excuses=(Excuse.KILLS,),
                bit=True,
                detail=f"{len(names)} workers and all below them",
                processes=names,
            )
        )

    def _close(self) -> None:
        """Give every descriptor back, also where something failed."""
        self._selector.close()
        self._people.close()
