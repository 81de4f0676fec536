"""`untorn render`: all clips of a composition, with progress, and what it took."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import rich_click as click
from click.exceptions import Exit
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from untorn import composition
from untorn.breakdown import Item, Origin, Phases, Result
from untorn.cache import Cache
from untorn.cli import emit, say
from untorn.clip import printable
from untorn.composition import Composition
from untorn.exit_codes import ExitCode
from untorn.export import export, require_free
from untorn.frames import Frames
from untorn.outcome import Delivery
from untorn.render import Progress as OnProgress

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

SCHEMA = "untorn/render/1"
_SPARE_DESCRIPTORS = 256  # for decoders, staging and all that is open anyway
_KEPT = (Delivery.HIT, Delivery.PUBLISHED, Delivery.ADOPTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Done:
    """A render and where its frames are: a directory for each item that has frames, by index."""

    wanted: Composition
    result: Result
    directories: Mapping[int, str]


def render(
    *,
    composition_file: str,
    out: str | None,
    copy: bool,
    tone_map: bool | None,
    slots: int | None,
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Render, report and print the directory of each clip's frames; Exit where a clip failed."""
    wanted = composition.read(composition_file)
    names = [_directory_name(index) for index in range(len(wanted.requests))]
    if out is not None:
        require_free(out, names)
    _allow_descriptors(len(names))
    with Cache.open(cache_dir) as cache, _progress(wanted) as progress:
        result = cache.render(
            wanted.requests,
            tone_map=wanted.tone_map if tone_map is None else tone_map,
            slots=slots,
            progress=progress,
        )
        with result:
            directories = _deliver(result, out, link=not copy)
    done = _Done(wanted=wanted, result=result, directories=directories)
    if as_json:
        emit(_as_json(done))
    else:
        for item in result:
            say(_line(done, item))
        for line in _account(result.phases, len(result), len(result.failed)):
            say(line)
        for index in range(len(result)):
            click.echo(os.fsencode(directories.get(index, "")))
    if result.failed:
        raise Exit(ExitCode.SOME_FAILED)


def _allow_descriptors(items: int) -> None:
    """Raise our soft limit as far as a render of so many items needs, and is let.

    Each item holds a descriptor to its end; 1024 are usual, and the hard limit is far above that.
    The command does it because the process is its own, which a library's is not.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = items + _SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # then what does not fit says so
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _directory_name(index: int) -> str:
    return f"clip_{index + 1:03d}"


def _deliver(result: Result, out: str | None, *, link: bool) -> dict[int, str]:
    """Where each item's frames are now that stays when we end.

    Entries outlive this process for `min_age_s` at least; staging and private directories do not.
    """
    held = {item.index: item.frames for item in result if item.frames is not None}
    if out is not None:
        named = {_directory_name(index): frames for index, frames in held.items()}
        export(out, named, link=link)
        return {index: os.path.join(os.path.abspath(out), _directory_name(index)) for index in held}
    homeless = {
        index: frames
        for index, frames in held.items()
        if frames.delivery not in _KEPT and result[index].leader is None
    }
    directories = {index: frames.directory for index, frames in held.items()}
    directories |= _sheltered(homeless, link=link)
    for item in result:
        if item.leader is not None and item.frames is not None:
            directories[item.index] = directories[item.leader]
    return directories


def _sheltered(homeless: Mapping[int, Frames], *, link: bool) -> dict[int, str]:
    """Directories outside of the cache for frames that are in no entry, to be the user's."""
    if not homeless:
        return {}
    place = os.path.join(tempfile.gettempdir(), f"untorn-frames-{os.urandom(8).hex()}")
    named = {_directory_name(index): frames for index, frames in homeless.items()}
    export(place, named, link=link, option="TMPDIR")
    return {index: os.path.join(place, _directory_name(index)) for index in homeless}


# --- progress


@contextmanager
def _progress(wanted: Composition) -> Iterator[OnProgress]:
    """Bars on stderr where that is a terminal, else a line for each clip that is being made."""
    if not sys.stderr.isatty():
        yield _plain_progress(wanted)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _bars(bars, wanted)


def _plain_progress(wanted: Composition) -> OnProgress:
    begun: set[int] = set()

    def advance(index: int, done: int, expected: int | None) -> None:
        if index not in begun:
            begun.add(index)
            if done != expected:  # a hit is told once, when it is there
                say(f"{_called(wanted, index)}: extracting")

    return advance


def _bars(bars: Progress, wanted: Composition) -> OnProgress:
    """A bar for the whole, and one for each clip that is being made."""
    whole = bars.add_task("clips", total=len(wanted.requests))
    tasks = {
        index: bars.add_task(_called(wanted, index), total=None, visible=False)
        for index in range(len(wanted.requests))
    }
    complete: set[int] = set()

    def advance(index: int, done: int, expected: int | None) -> None:
        if done == expected:
            complete.add(index)
        bars.update(tasks[index], completed=done, total=expected, visible=done != expected)
        bars.update(whole, completed=len(complete))

    return advance


def _called(wanted: Composition, index: int) -> str:
    name = os.path.basename(os.fsdecode(wanted.requests[index].clip))
    return f"{wanted.names[index]}, {printable(name)}"


# --- what is said


def _line(done: _Done, item: Item) -> str:
    """One item for people."""
    name = _called(done.wanted, item.index)
    if item.frames is None:
        return f"{name}: FAILED: {printable(str(item.error))}"
    count = f"{len(item.frames)} frames"
    match item.origin:
        case Origin.SHARED:
            assert item.leader is not None
            return f"{name}: {count}, the same as {done.wanted.names[item.leader]}"
        case Origin.SLICED:
            how = "cut out of a longer range"
        case Origin.HIT:
            return f"{name}: {count}, hit"
        case _:
            how = "extracted"
    miss = "" if item.frames.miss is None else f" (miss: {item.frames.miss.reason})"
    failure = item.frames.failure
    end = "" if failure is None else f", {item.frames.delivery}: {printable(str(failure))}"
    return f"{name}: {count}, {how}{miss}{end}"


def _account(phases: Phases, clips: int, failed: int) -> list[str]:
    """What was done, and where the time went."""
    counts = {
        "hit": phases.hits,
        "missed": sum(phases.misses.values()),
        "extracted": phases.extracted,
        "taken and made again": phases.re_extracted,
        "equal to others": phases.deduplicated,
        "cut out of longer ranges": phases.sliced,
        "waited for": phases.waited,
        "adopted": phases.adopted,
        "not published": sum(phases.publish_failures.values()),
        "uncached": phases.uncached,
        "evicted": phases.evicted,
        "failed": failed,
    }
    parts = [f"{what} {count}" for what, count in counts.items() if count]
    spent = ", ".join(
        f"{phase} {seconds:.3f} s" for phase, seconds in phases.seconds.items() if seconds
    )
    degraded = ", ".join(f"{cause} {count}" for cause, count in phases.degraded.items())
    noun = "clip" if clips == 1 else "clips"
    return [
        f"{clips} {noun} in {phases.total_s:.3f} s: {', '.join(parts)}",
        *([f"time: {spent}"] if spent else []),
        *([f"degraded: {degraded}"] if degraded else []),
    ]


def _as_json(done: _Done) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "failed": len(done.result.failed),
        "items": [_item_as_json(done, item) for item in done.result],
        "phases": dataclasses.asdict(done.result.phases),
    }


def _item_as_json(done: _Done, item: Item) -> dict[str, object]:
    frames = item.frames
    return {
        "name": done.wanted.names[item.index],
        "clip": os.fsdecode(item.request.clip),
        "origin": item.origin,
        "leader": item.leader,
        "error": None
        if item.error is None
        else {"error": type(item.error).__name__, "message": str(item.error)},
        "key": None if frames is None else frames.key,
        "delivery": None if frames is None else frames.delivery,
        "miss": None if frames is None or frames.miss is None else frames.miss.reason,
        "failure": None if frames is None or frames.failure is None else str(frames.failure),
        "directory": done.directories.get(item.index),
        "frames": [] if frames is None else list(frames.names),
        "frame_bytes": 0 if frames is None else frames.frame_bytes,
    }
