"""Collecting: the decision, its trigger, the cost of a publish as the cache grows, one eviction."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from untorn import Cache, accounting, collect, derive_key, lookup, manifest, syscalls
from untorn.root import Root
from untorn.trash import delete

from untorn_conformance.bench import peers, population
from untorn_conformance.bench.plan import SCAN_ENTRIES, Ground
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured, not_measured
from untorn_conformance.bench.timing import Case, Samples, interleave, repeated, seconds

_DECISION = "gc decision"
_MANIFESTS = "parse every manifest"
_SCAN = "stat of every frame"
_DECISION_GOAL = Goal(Of.MEDIAN, 100)
_SCAN_GOAL = Goal(Of.SPEEDUP, 50)
_PUBLISHES_A_ROUND = 20
_DECISIONS_A_SCAN = 5  # the first one finds the processor's caches full of frames
_FLAT_GOAL = Goal(Of.RATIO, 1.5)  # what "flat" is taken to mean


def measure(ground: Ground, populated: dict[int, Path]) -> list[Row]:
    """Every row about collecting; `populated` are roots by their numbers of entries."""
    with ExitStack() as stack:
        caches = {
            count: stack.enter_context(population.open_cache(home))
            for count, home in populated.items()
        }
        # The scan comes last, and its frames stay until the end. ext4 does not reuse the inodes of
        # files that were just removed (recently_deleted() in fs/ext4/ialloc.c), and searching for
        # others doubled the cost of publishes that were measured after a million removals.
        growth = _growing_publish(ground, caches)
        eviction = _eviction(ground)
        return [
            *_decisions(ground, caches),
            _beside_scan(ground, caches),
            _trigger(ground, caches),
            *growth,
            *eviction,
        ]


def _decisions(ground: Ground, caches: dict[int, Cache]) -> list[Row]:
    """Collect with nothing to evict at every size, beside a plain way to learn the sizes."""
    rows = []
    for count, cache in caches.items():
        if count == min(caches):
            continue  # too small to tell anything
        ground.say(f"gc decisions at {count} entries")
        root = population.root_of(cache)
        rounds = ground.plan.rounds if count <= SCAN_ENTRIES else ground.plan.heavy_rounds
        samples = interleave(
            {
                _DECISION: _once(cache.collect),
                _MANIFESTS: _once(lambda root=root: _read_manifests(root)),  # type: ignore[misc]
            },
            rounds,
        )
        rows.append(
            measured(
                f"{_DECISION}, {count} entries",
                Unit.MS,
                samples[_DECISION],
                floor=(_MANIFESTS, samples[_MANIFESTS]),
                goal=_DECISION_GOAL if count == SCAN_ENTRIES else None,
                note="a whole collect with nothing to evict",
            )
        )
    return rows


def _once(action: Callable[[], object]) -> Case:
    return repeated(action, 1)


def _read_manifests(root: Root) -> int:
    """The total of all entries, from their manifests."""
    total = 0
    for key in os.listdir(root.entries_fd):
        with syscalls.opened(key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd) as fd:
            total += manifest.parse(lookup.read_manifest(fd), key).entry_bytes
    return total


def _beside_scan(ground: Ground, caches: dict[int, Cache]) -> Row:
    """The decision beside a walk over as many entries with all their frames (empty files)."""
    plan = ground.plan
    count, frames = plan.scanned_entries, plan.frames
    name = f"{_DECISION} beside a scan of {count} x {frames} frames"
    goal = _SCAN_GOAL if count == SCAN_ENTRIES else None
    home = ground.fresh("scanned")
    free = os.statvfs(home)
    if free.f_files and free.f_favail < 2 * count * frames:
        return not_measured(name, Unit.MS, "too few free inodes for the frames", goal)
    ground.say(f"scans of {count} x {frames} frames, which are made first")
    population.make_frame_tree(home, count, frames, ground.say)
    cache = caches[count] if count in caches else caches[max(caches)]
    samples = interleave(
        {
            _DECISION: repeated(cache.collect, _DECISIONS_A_SCAN),
            _SCAN: _once(lambda: _scan_frames(home)),
        },
        max(1, plan.heavy_rounds // 2),
    )
    return measured(
        name, Unit.MS, samples[_DECISION], floor=(_SCAN, samples[_SCAN]), goal=goal,
        note="" if goal else f"the goal is about {SCAN_ENTRIES} entries: run without --quick",
    )  # fmt: skip


def _scan_frames(home: Path) -> int:
    """The total of all entries, from a stat of every frame: a cache without any accounting."""
    total = 0
    with os.scandir(home) as entries:
        for entry in entries:
            with os.scandir(entry.path) as frames:
                total += sum(frame.stat(follow_symlinks=False).st_size for frame in frames)
    return total


def _trigger(ground: Ground, caches: dict[int, Cache]) -> Row:
    count = max(caches)
    root = population.root_of(caches[count])
    samples = interleave(
        {_DECISION: repeated(lambda: accounting.read(root), ground.plan.calls)}, ground.plan.rounds
    )
    return measured(
        f'"over budget?", {count} entries',
        Unit.US,
        samples[_DECISION],
        goal=Goal(Of.MEDIAN, 50),
        tail=True,
        note="one read of the counter",
    )


def _growing_publish(ground: Ground, caches: dict[int, Cache]) -> list[Row]:
    """The publish step of a one-frame entry, with 100 entries and with 100,000."""
    ground.say("publishing into caches of every size")
    numbers = itertools.count()

    def case(cache: Cache) -> Case:
        def turn() -> list[float]:
            area = cache.stage(derive_key("bench", f"grow {next(numbers)}"))
            population.write_frames(area.path, 1, b"x")
            start = time.perf_counter()
            frames = area.publish()
            end = time.perf_counter()
            frames.release()
            return [end - start]

        return turn

    samples = interleave(
        {str(count): case(cache) for count, cache in caches.items()},
        ground.plan.rounds * _PUBLISHES_A_ROUND,
    )
    smallest, largest = min(caches), max(caches)
    floor = (f"publish at {smallest} entries", samples[str(smallest)])
    return [
        measured(
            f"publish step of 1 frame, {count} entries",
            Unit.US,
            samples[str(count)],
            floor=None if count == smallest else floor,
            goal=_FLAT_GOAL if count == largest else None,
            tail=True,
            note="flat is taken as at most 1.5x" if count == largest else "",
        )
        for count in caches
    ]


def _eviction(ground: Ground) -> list[Row]:
    """What a reader may have to wait for: lock, check and rename of one entry.

    Everything is written back before each turn: else whoever syncs, as SQLite does, pays for all.
    """
    plan = ground.plan
    ground.say(f"evictions of entries of {plan.frames} x {plan.frame_bytes} bytes")
    home = ground.fresh("evictions")
    content = os.urandom(plan.frame_bytes)
    numbers = itertools.count()
    diskcache = peers.optional("diskcache")
    name = "evict one entry, critical section"
    with population.open_cache(home / "cache") as cache, ExitStack() as stack:

        def ours() -> list[float]:
            key = derive_key("bench", f"evict {next(numbers)}")
            population.publish_entry(cache, key, plan.frames, content)
            root = population.root_of(cache)
            syscalls.sync_file_system(root.fd)
            return [_evict(root, key)]

        def removal() -> list[float]:
            path = population.plain_entry(home / f"plain-{next(numbers)}", plan.frames, content)
            syscalls.sync_file_system(population.root_of(cache).fd)
            return [seconds(lambda: shutil.rmtree(path))]

        cases: dict[str, Case] = {"ours": ours, "rmtree": removal}
        if diskcache is not None:
            store = stack.enter_context(diskcache.Cache(str(home / "diskcache")))
            keys = peers.frame_names(plan.frames)

            def deletes() -> list[float]:
                for key in keys:
                    store[key] = content
                syscalls.sync_file_system(population.root_of(cache).fd)
                return [seconds(lambda: [store.delete(key) for key in keys])]

            cases["diskcache"] = deletes
        samples = interleave(cases, plan.rounds)
    goal = Goal(Of.MEDIAN, 0.2)
    return [
        measured(
            name, Unit.MS, samples["ours"], floor=("rmtree", samples["rmtree"]), goal=goal,
            tail=True, note="lock, check and rename; the files are deleted afterwards",
        ),
        _beside_diskcache(name, plan.frames, samples),
    ]  # fmt: skip


def _beside_diskcache(name: str, frames: int, samples: dict[str, Samples]) -> Row:
    title = f"{name}, beside diskcache"
    if "diskcache" not in samples:
        return not_measured(title, Unit.MS, peers.NOT_INSTALLED)
    return measured(
        title, Unit.MS, samples["ours"], floor=(f"{frames} deletes", samples["diskcache"])
    )


def _evict(root: Root, key: str) -> float:
    """Seconds of one eviction's critical section; what it set aside is deleted untimed."""
    status = os.stat(key, dir_fd=root.entries_fd)
    listed = collect.Listed(key, status.st_ino, status.st_mtime_ns, 0)
    start = time.perf_counter()
    target = collect._set_entry_aside(root, listed, collect.Tally())
    end = time.perf_counter()
    assert target is not None, "an entry that nobody holds was protected"
    delete(root.trash_fd, target)
    return end - start
