"""One measuring process: ``python -m untorn_conformance.bench.child JOB ARGUMENT...``.

It prepares, says "ready", waits for a line, does its job and answers with one line of JSON. Waiting
is what lets a crowd start at once, whatever interpreters take to start.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from untorn_conformance.bench import peers, population

Job = Callable[[], object]

_STATUS = Path("/proc/self/status")
_BYTES_PER_KB = 1024
_MB = 1e6
_WARM_UP_CALLS = 1_000


def memory_mb(field: str) -> float:
    """VmRSS or VmHWM (its peak) of this process in MB; see proc_pid_status(5).

    Not ru_maxrss: getrusage(2) hands a child its parent's peak through fork and exec, so a baseline
    taken here would already hold the parent's.
    """
    for line in _STATUS.read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * _BYTES_PER_KB / _MB
    raise LookupError(f"{_STATUS} has no {field}")


def leased_lookups(root: str, key: str, calls: str) -> Job:
    """Seconds of each of `calls` leased lookups."""
    cache = population.open_cache(Path(root))

    def look_up() -> object:
        with population.found(cache, key) as frames:
            return frames.paths

    return lambda: _each(look_up, int(calls))


def bare_lookups(directory: str, calls: str) -> Job:
    """Seconds of each of `calls` floors of a lookup."""
    return lambda: _each(lambda: peers.stat_and_list(directory), int(calls))


def peer_lookups(name: str, home: str, directory: str, frames: str, calls: str) -> Job:
    """Seconds of each of `calls` lookups in the store that a peer keeps below `home`."""
    lookup = peers.opened(name, Path(home), directory, int(frames))
    return lambda: _each(lookup, int(calls))


def sweep(root: str) -> Job:
    """By how many MB one collect with nothing to evict raises this process's peak."""
    cache = population.open_cache(Path(root))

    def job() -> float:
        before = memory_mb("VmHWM")
        cache.collect()
        return memory_mb("VmHWM") - before

    return job


def steady_lookups(root: str, key: str, calls: str) -> Job:
    """By how many MB `calls` warm lookups raise this process's memory, after some to warm up."""
    cache = population.open_cache(Path(root))

    def look_up(times: int) -> None:
        for _ in range(times):
            with population.found(cache, key) as frames:
                assert frames.paths

    def job() -> float:
        look_up(_WARM_UP_CALLS)
        before = memory_mb("VmRSS")
        look_up(int(calls))
        return memory_mb("VmRSS") - before

    return job


def render(root: str, composition: str) -> Job:
    """Seconds of one render of a composition's file, to the frames in hand."""
    from untorn.composition import read  # noqa: PLC0415 - PyAV takes 0.7 s to import

    cache, wanted = population.open_cache(Path(root)), read(composition)

    def job() -> float:
        start = time.perf_counter()
        with cache, cache.render(wanted.requests) as result:
            taken = time.perf_counter() - start
            assert not result.failed, f"the benchmark's own clips fail: {result.failed}"
            return taken

    return job


JOBS: dict[str, Callable[..., Job]] = {
    job.__name__: job
    for job in (leased_lookups, bare_lookups, peer_lookups, sweep, steady_lookups, render)
}


def _each(action: Callable[[], object], calls: int) -> list[float]:
    clock = time.perf_counter
    values = []
    for _ in range(calls):
        start = clock()
        action()
        values.append(clock() - start)
    return values


def main(arguments: list[str]) -> None:
    """Run one job between "ready" and its answer."""
    job = JOBS[arguments[0]](*arguments[1:])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if sys.stdin.readline():  # an end of file is a parent that has died: nothing to answer
        sys.stdout.write(json.dumps(job()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
