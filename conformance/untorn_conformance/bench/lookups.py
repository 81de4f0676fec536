"""Warm lookups to a list of paths: with the lease, without, beside floor and peers, in a crowd."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from untorn import Cache, derive_key, lookup, manifest, syscalls
from untorn.root import Root

from untorn_conformance.bench import crowd, peers, population
from untorn_conformance.bench.peers import Peer
from untorn_conformance.bench.plan import Ground
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured, not_measured
from untorn_conformance.bench.timing import Case, Samples, interleave, repeated

FLOOR = "bare os.utime + os.scandir"
_LEASED = "leased warm lookup"
_BARE_MANIFEST = "manifest read, without a lease"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scene:
    """One entry in the cache, and the same frames in plain directories for the others."""

    home: Path
    cache: Cache
    key: str
    plain: str
    sentinel: str


def measure(ground: Ground) -> list[Row]:
    """Every row about lookups."""
    home = ground.fresh("lookups")
    plan = ground.plan
    content = bytes(plan.frame_bytes)
    key = derive_key("bench", "lookup")
    with population.open_cache(home / "cache") as cache:
        population.publish_entry(cache, key, plan.frames, content)
        scene = _Scene(
            home=home,
            cache=cache,
            key=key,
            plain=population.plain_entry(home / "plain", plan.frames, content),
            sentinel=population.plain_entry(
                home / "sentinel", plan.frames, content, sentinel=peers.SENTINEL
            ),
        )
        ground.say(f"warm lookups of {plan.frames} paths")
        rows = _alone(ground, scene)
        ground.say(f"the same key from {plan.crowd} processes at once")
        return [*rows, *_in_a_crowd(ground, scene)]


def _alone(ground: Ground, scene: _Scene) -> list[Row]:
    root = population.root_of(scene.cache)
    paths = [f"{scene.plain}/{name}" for name in peers.frame_names(ground.plan.frames)]
    ours = {
        _LEASED: lambda: _leased(scene.cache, scene.key),
        _BARE_MANIFEST: lambda: _unleased(root, scene.key),
    }
    with peers.diskcache_lookups(scene.home, paths) as stores:
        others = [
            Peer(name=FLOOR, lookup=lambda: peers.stat_and_list(scene.plain)),
            Peer(
                name=peers.SENTINEL_CACHE,
                lookup=lambda: peers.sentinel_lookup(scene.sentinel, ".jpg"),
            ),
            *stores,
            peers.joblib_lookup(scene.home / "joblib", scene.plain, ground.plan.frames),
        ]
        actions = ours | {peer.name: peer.lookup for peer in others if peer.lookup is not None}
        samples = interleave(_cases(actions, ground), ground.plan.rounds)
    return [
        measured(
            _LEASED,
            Unit.US,
            samples[_LEASED],
            floor=(FLOOR, samples[FLOOR]),
            goal=Goal(Of.RATIO, 0.75),
            tail=True,
            note="lookup, the list of paths, and the release",
        ),
        measured(
            _BARE_MANIFEST,
            Unit.US,
            samples[_BARE_MANIFEST],
            floor=(FLOOR, samples[FLOOR]),
            goal=Goal(Of.RATIO, 0.5),
            note="open, read, check, list of paths: neither lock nor identity nor recency",
        ),
        *(_beside(peer, samples) for peer in others if peer.name != FLOOR),
    ]


def _cases(actions: dict[str, Callable[[], list[str]]], ground: Ground) -> dict[str, Case]:
    for name, action in actions.items():
        found = len(action())
        assert found == ground.plan.frames, f"{name}: {found} paths of {ground.plan.frames}"
    return {name: repeated(action, ground.plan.calls) for name, action in actions.items()}


def _beside(peer: Peer, samples: dict[str, Samples]) -> Row:
    """Our leased lookup beside one peer's; no goal, for comparison."""
    name = f"{_LEASED} beside {peer.name.split(' (')[0]}"
    if peer.lookup is None:
        return not_measured(name, Unit.US, peers.NOT_INSTALLED)
    return measured(name, Unit.US, samples[_LEASED], floor=(peer.name, samples[peer.name]))


def _leased(cache: Cache, key: str) -> list[str]:
    with population.found(cache, key) as frames:
        return frames.paths


def _unleased(root: Root, key: str) -> list[str]:
    fd = os.open(key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd)
    try:
        sealed = manifest.parse(lookup.read_manifest(fd), key)
    finally:
        os.close(fd)
    prefix = f"{root.entries_path}/{key}/"
    return [prefix + name for name in sealed.names]


def _in_a_crowd(ground: Ground, scene: _Scene) -> list[Row]:
    plan = ground.plan
    calls = str(plan.crowd_calls)
    missing = {
        name
        for name in peers.STORED
        if name != peers.SENTINEL_CACHE and peers.optional(_package_of(name)) is None
    }
    cases: dict[str, Case] = {
        _LEASED: _crowd_case(
            plan.crowd, "leased_lookups", str(scene.home / "cache"), scene.key, calls
        ),
        FLOOR: _crowd_case(plan.crowd, "bare_lookups", scene.plain, calls),
    }
    for name in peers.STORED:
        directory = scene.sentinel if name == peers.SENTINEL_CACHE else scene.plain
        theirs = (name, str(scene.home), directory, str(plan.frames), calls)
        if name not in missing:
            cases[name] = _crowd_case(plan.crowd, "peer_lookups", *theirs)
    samples = interleave(cases, plan.heavy_rounds, warm_up=False)
    floor_ms = samples[FLOOR].p99 * 1e3
    what = f"{_LEASED}, {plan.crowd} processes on one key"
    first = measured(
        what,
        Unit.MS,
        samples[_LEASED],
        floor=(FLOOR, samples[FLOOR]),
        goal=Goal(Of.P99, 5),
        tail=True,
        note=f"{plan.crowd_calls} calls a process and round; the floor's p99 is {floor_ms:.3g} ms",
    )
    return [first, *(_crowd_beside(what, name, samples) for name in peers.STORED)]


def _crowd_beside(what: str, name: str, samples: dict[str, Samples]) -> Row:
    """Our lookup in a crowd beside a peer's in a crowd of its own; no goal, for comparison."""
    row = f"{what}, beside {name.split(' (', maxsplit=1)[0]}"
    if name not in samples:
        return not_measured(row, Unit.MS, peers.NOT_INSTALLED)
    theirs_ms = samples[name].p99 * 1e3
    return measured(
        row, Unit.MS, samples[_LEASED], floor=(name, samples[name]), tail=True,
        note=f"the peer's p99 is {theirs_ms:.3g} ms",
    )  # fmt: skip


def _package_of(name: str) -> str:
    return "joblib" if name == peers.JOBLIB else "diskcache"


def _crowd_case(processes: int, job: str, *arguments: str) -> Case:
    def turn() -> Sequence[float]:
        answers = crowd.run(job, *arguments, processes=processes)
        return [value for answer in answers for value in answer]

    return turn
