"""A render: many requests at once, each extraction done once, and no item harmed by another.

    N1 resolve each request, probe its clip     what is wrong with one is that item's error;
                                                where any clip is HDR, SDR ones are converted
    N2 the key of each                          requests that are equal in all axes become one work
    N3 look all of them up
    N4 extract what is missing, in parallel slots; ranges that overlap in one pass (see superset),
       and alone again if that does not work out
    N5 an item for each request, in order

All of it happens in threads of our own while the caller's waits. Signal handlers run in the main
thread: a Ctrl-C so strikes that wait and never the middle of a step, and what is under way is ended
in order (see cancel): decoders killed, staging dropped, leases released, nothing left behind.

Other renders want the same. A slot takes one turn of single-flight at a time, and takes all keys of
that turn in one order that everybody keeps (see flight): so renders never wait for each other in a
circle, whatever the order of their requests. Where somebody else is at an extraction the others
come first, and it is waited for when nothing else is left to do.
"""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from untorn import decoder, events, extract, joint, reading, superset, transform
from untorn.access import Access
from untorn.breakdown import Item, Origin, Result, phases_of
from untorn.cancel import Cancel, Cancelled
from untorn.clip import ClipInfo
from untorn.errors import ConfigError, ExhaustedError, UntornError, explained
from untorn.extract import Busy, Job
from untorn.frames import Frames
from untorn.outcome import Delivery
from untorn.probes import Probes
from untorn.request import Request, Resolved, resolve
from untorn.root import Root
from untorn.stopwatch import Phase, Stopwatch
from untorn.superset import Group
from untorn.transform import Transform
from untorn.upkeep import Upkeep

Progress = Callable[[int, int, int | None], None]
"""Called with an item's index, its frames written so far and, if known, how many there will be."""

_Task = Callable[[], "list[_Task]"]
"""What a slot does, and what there is to do because of it."""

# The kernel may hand a signal to any thread, and does so while others start decoders. The main
# thread then runs its handler when it runs next: so it must not sleep for good.
_SIGNAL_DELAY_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A request that means something, and what is in its clip."""

    request: Request
    resolved: Resolved
    info: ClipInfo


@dataclass(kw_only=True, slots=True)
class _Work:
    """One extraction, and the indices of the requests that it is for."""

    request: Request
    info: ClipInfo
    job: Job
    indices: list[int] = field(default_factory=list)
    frames: Frames | None = None
    error: Exception | None = None

    @property
    def is_open(self) -> bool:
        return self.frames is None and self.error is None


def render(
    access: Access,
    upkeep: Upkeep,
    requests: Iterable[Request],
    *,
    tone_map: bool = False,
    slots: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """See Cache.render."""
    if slots is not None and slots < 1:
        raise ConfigError(f"slots: must be 1 or more, not {slots}")
    cancel = Cancel()
    one = _Render(
        access,
        upkeep,
        tuple(requests),
        tone_map=tone_map,
        slots=slots or default_slots(),
        teller=_Teller(progress, cancel),
    )
    return _wait_for(one.run, cancel)


def default_slots() -> int:
    """Half of the processors that we may use: a decoder has threads of its own."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, ours // 2)


def _wait_for(run: Callable[[], Result], cancel: Cancel) -> Result:
    """What `run` returns or raises, in a thread of its own; our own end is its end (see above).

    No handler of a signal runs between the `try` and the start of the thread: so whatever strikes
    us, `outcome` is filled in the end.
    """
    outcome: list[Result | BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def conduct() -> None:
        try:
            outcome.append(run())
        except BaseException as error:
            outcome.append(error)
        finally:
            done.release()

    def start() -> None:
        try:
            _thread.start_new_thread(conduct, ())
        except RuntimeError as error:  # there can be no more threads
            outcome.append(ExhaustedError(f"a render cannot start: {error}"))
            done.release()

    try:
        start()
        while not done.acquire(timeout=_SIGNAL_DELAY_S):
            pass
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]
    except BaseException:
        while not outcome:
            _end(cancel, done)
        if isinstance(outcome[0], Result):
            outcome[0].release()
        raise


def _end(cancel: Cancel, done: _thread.LockType) -> None:
    """End what is under way; a second Ctrl-C must not keep us from it."""
    try:
        cancel.set()
        done.acquire(timeout=_SIGNAL_DELAY_S)
    except BaseException:
        return


class _Teller:
    """Passes progress on, one call at a time whichever slot it comes from.

    What the callback raises ends the render; it must not pass for trouble of a slot's own.
    """

    def __init__(self, progress: Progress | None, cancel: Cancel) -> None:
        self.cancel = cancel
        self.error: BaseException | None = None
        self._progress = progress
        self._lock = threading.Lock()

    def to(self, indices: Sequence[int]) -> Callable[[int, int | None], None] | None:
        """The progress of one work, told for each of the items that it is for."""
        if self._progress is None:
            return None
        return lambda done, expected: self._tell(indices, done, expected)

    def whole(self, work: _Work) -> None:
        """Tell that a work is done."""
        if work.frames is not None and self._progress is not None:
            self._tell(work.indices, len(work.frames), len(work.frames))

    def _tell(self, indices: Sequence[int], done: int, expected: int | None) -> None:
        assert self._progress is not None
        with self._lock:
            self.cancel.require_going()
            try:
                for index in indices:
                    self._progress(index, done, expected)
            except BaseException as error:
                self.error = error
                self.cancel.set()
                raise Cancelled from error


class _Render:
    """One render on its way."""

    def __init__(
        self,
        access: Access,
        upkeep: Upkeep,
        requests: Sequence[Request],
        *,
        tone_map: bool,
        slots: int,
        teller: _Teller,
    ) -> None:
        self.watch = Stopwatch()
        self.access = access.apart(self.watch)
        self.upkeep = upkeep.apart(self.access)
        self.requests = requests
        self.tone_map = tone_map
        self.slots = slots
        self.teller = teller
        self.cancel = teller.cancel
        self.errors: dict[int, Exception] = {}
        self.root: Root | None = None  # as it was at the beginning

    def run(self) -> Result:
        """The items and the account; what is no item's error flies, and nothing is held then."""
        started_s = time.perf_counter()
        works: list[_Work] = []
        try:
            # One that somebody chose and that is not safe is no item's error.
            self.root = self.access.root()
            works = self._works()
            self._look_up(works)
            self._extract([work for work in works if work.is_open])
            self._extract([work for work in works if self._is_lost(work)])
            items = self._items(works)
        except BaseException:
            for work in works:
                if work.frames is not None:
                    work.frames.release()
            if self.teller.error is not None:
                raise self.teller.error from None
            raise
        phases = phases_of(
            self.access.counters.totals(),
            self.watch.seconds(),
            total_s=time.perf_counter() - started_s,
            deduplicated=sum(len(work.indices) - 1 for work in works),
        )
        return Result(items, phases)

    # --- N1, N2

    def _works(self) -> list[_Work]:
        """What there is to do, each once; the requests that cannot be met have their errors."""
        ffmpeg = decoder.find(os.environ)
        sources = self._sources()
        converted = self._conversions(sources)
        works: dict[str | Resolved, _Work] = {}
        for index, source in sources.items():
            with self._blamed_on(index), self.watch.on(Phase.RESOLVE):
                request, resolved = source.request, source.resolved
                wanted = converted.get(index)
                if wanted is not None:
                    request = replace(request, transform=wanted)
                    resolved = resolve(request)
                job = extract.job_of(self.access, resolved, ffmpeg, cancel=self.cancel)
                # The key holds every axis; without a cache there is none, but what it is made of.
                new = _Work(request=request, info=source.info, job=job)
                work = works.setdefault(job.key or resolved, new)
                work.indices.append(index)
        for work in works.values():
            work.job = replace(work.job, progress=self.teller.to(work.indices))
        return list(works.values())

    def _sources(self) -> dict[int, _Source]:
        """What each request means and what is in its clip, by the request's index."""
        sources, clips = {}, Probes(self.access, self.root)
        for index, request in enumerate(self.requests):
            with self._blamed_on(index):
                with self.watch.on(Phase.RESOLVE):
                    resolved = resolve(request)
                with self.watch.on(Phase.PROBE):
                    info = clips.of(resolved)
                sources[index] = _Source(request=request, resolved=resolved, info=info)
        with self.watch.on(Phase.PROBE):
            clips.keep()
        return sources

    def _conversions(self, sources: Mapping[int, _Source]) -> dict[int, Transform | None]:
        """What each request needs so that all frames are of one kind.

        Each clip has one voice, however often it is asked for. A request that says for itself what
        is to be done stands apart.
        """
        asking = {n: one for n, one in sources.items() if one.request.transform is None}
        infos = {one.resolved.path: one.info for one in asking.values()}
        if transform.mixed([*infos.values()]) and not self.tone_map:
            events.warn_once(
                "mixed-hdr", "PQ and HLG sources meet in one render: each of them keeps its kind"
            )
        wanted = transform.preflight([*infos.values()], tone_map=self.tone_map)
        by_path = dict(zip(infos, wanted, strict=True))
        return {index: by_path[one.resolved.path] for index, one in asking.items()}

    @contextmanager
    def _blamed_on(self, index: int) -> Iterator[None]:
        """A block whose errors are those of one request, and of no other."""
        self.cancel.require_going()
        try:
            yield
        except UntornError as error:
            self.errors[index] = error

    # --- N3, N4

    def _look_up(self, works: Sequence[_Work]) -> None:
        """Take what is there. A miss is counted when it is extracted, if it is one still."""
        for work in works:
            self.cancel.require_going()
            if work.job.key is None:
                continue
            found = extract.find_whole(self.access, work.job.key)
            if isinstance(found, Frames):
                work.frames = found
                reading.count(self.access, found)
                self.teller.whole(work)

    def _extract(self, works: Sequence[_Work]) -> None:
        """Each work gets its frames or its error; anything else that is raised ends them all."""
        tasks = self._tasks(works)
        if not tasks:
            return
        with ThreadPoolExecutor(min(self.slots, len(works)), "untorn-slot") as pool:
            pending = {pool.submit(task) for task in tasks}
            try:
                while pending:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for more in [future.result() for future in done]:
                        pending |= {pool.submit(task) for task in more}
            except BaseException:
                self.cancel.set()
                raise

    def _tasks(self, works: Sequence[_Work]) -> list[_Task]:
        """What the slots have to do: groups that are decoded in one pass, and the others alone."""
        groups = superset.plan([(work.info, work.job.resolved) for work in works])
        grouped = {member.index for group in groups for member in group.members}
        tasks: list[_Task] = [
            partial(self._obtain_group, group, [works[one.index] for one in group.members])
            for group in groups
        ]
        alone = [work for index, work in enumerate(works) if index not in grouped]
        return tasks + [partial(self._obtain, work) for work in alone]

    def _obtain_group(
        self, group: Group, works: Sequence[_Work], *, patient: bool = False
    ) -> list[_Task]:
        """One slot's turn at a group; who got nothing from it is extracted alone."""
        self.cancel.require_going()
        jobs = [replace(work.job, patient=patient) for work in works]
        try:
            found = joint.obtain(self.access, self.upkeep, group, jobs)
        except Busy:
            return [partial(self._obtain_group, group, works, patient=True)]
        for work, frames in zip(works, found, strict=True):
            work.frames = frames
        for work in works:
            self.teller.whole(work)
        return [partial(self._obtain, work) for work in works if work.is_open]

    def _obtain(self, work: _Work, *, patient: bool = False) -> list[_Task]:
        """One slot's turn at one work; the same again if another is at it and we did not wait."""
        self.cancel.require_going()
        job = replace(work.job, patient=patient)
        try:
            work.frames = extract.obtain(self.access, self.upkeep, work.request, job)
        except Busy:
            return [partial(self._obtain, work, patient=True)]
        except UntornError as error:
            work.error = error
        except OSError as error:
            work.error = explained(error)
        else:
            self.teller.whole(work)
        return []

    def _is_lost(self, work: _Work) -> bool:
        """Whether an outsider took frames that we held, as by deleting the root; then do it again.

        Leases bind processes of ours alone (R5), and the first item waits for the last one.
        """
        if work.frames is None or extract.are_there(work.frames):
            return False
        work.frames.release()
        work.job, work.frames = replace(work.job, lost=work.frames.delivery), None
        self.access.counters.add("evicted_under_reader")
        self.access.counters.add("re_extracted")
        return True

    # --- N5

    def _items(self, works: Sequence[_Work]) -> list[Item]:
        items = {
            index: self._item(index, frames=None, error=error)
            for index, error in self.errors.items()
        }
        for work in works:
            leader = work.indices[0]
            held = None if work.frames is None else work.frames.shared(len(work.indices))
            for place, index in enumerate(work.indices):
                frames = None if held is None else held[place]
                items[index] = self._item(index, frames, work.error, leader)
        return [items[index] for index in range(len(self.requests))]

    def _item(
        self,
        index: int,
        frames: Frames | None,
        error: Exception | None,
        leader: int | None = None,
    ) -> Item:
        return Item(
            index=index,
            request=self.requests[index],
            frames=frames,
            error=error,
            origin=_origin(frames, shared=leader not in (None, index)),
            leader=None if leader == index else leader,
        )


def _origin(frames: Frames | None, *, shared: bool) -> Origin:
    if frames is None:
        return Origin.FAILED
    if shared:
        return Origin.SHARED
    if frames.is_slice:
        return Origin.SLICED
    return Origin.HIT if frames.delivery is Delivery.HIT else Origin.EXTRACTED
