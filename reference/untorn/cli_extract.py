"""`untorn extract`: frames of a clip, from the cache or the decoder, with progress."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from untorn.cache import Cache
from untorn.cli import emit, say
from untorn.clip import printable
from untorn.export import export, require_new
from untorn.extraction import Progress as OnProgress
from untorn.frames import Frames
from untorn.outcome import Delivery
from untorn.request import Request

_KEPT = (Delivery.HIT, Delivery.PUBLISHED, Delivery.ADOPTED)


def extract(
    *,
    clip: str,
    fps: str,
    frame_format: str,
    start: str,
    duration: str | None,
    quality: int | None,
    final_frame: bool,
    transform: str | None,
    output: str | None,
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Extract, report and print the directory of the frames."""
    request = Request(
        clip=clip,
        fps=fps,
        format=frame_format,
        start=start,
        duration=duration,
        quality=quality,
        final_frame=final_frame,
        transform=transform,
    )
    if output is not None:
        require_new(output, "--output")
    started_s = time.perf_counter()
    with Cache.open(cache_dir) as cache, _bar(clip) as progress:
        frames = cache.extract(request, progress)
        with frames:
            seconds = time.perf_counter() - started_s
            directory = _keep(frames, output)
    if as_json:
        emit(_as_json(frames, directory, seconds))
        return
    say(_sentence(frames, seconds))
    click.echo(os.fsencode(directory))


@contextmanager
def _bar(clip: str) -> Iterator[OnProgress | None]:
    """A progress bar on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("extracting {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(os.path.basename(clip)), total=None, visible=False)

        def advance(done: int, expected: int | None) -> None:
            bar.update(task, completed=done, total=expected, visible=True)

        yield advance


def _keep(frames: Frames, output: str | None) -> str:
    """The directory to print: frames that are in no entry are copied to one that stays.

    Entries outlive this process for `min_age_s` at least; staging and private directories do not.
    """
    if output is None and frames.delivery in _KEPT:
        return frames.directory
    if output is None:
        place, name = tempfile.gettempdir(), f"untorn-frames-{os.urandom(8).hex()}"
    else:
        place, name = os.path.split(os.path.abspath(output))
    export(place, {name: frames}, link=False, option="TMPDIR" if output is None else "--output")
    return os.path.join(place, name)


def _sentence(frames: Frames, seconds: float) -> str:
    count = f"{len(frames)} frames"
    if frames.delivery is Delivery.HIT:
        return f"hit: {count} in {seconds * 1000:.1f} ms"
    why = f" ({frames.miss.reason})" if frames.miss is not None else ""
    end = "" if frames.failure is None else f": {frames.failure}; the frames are yours to delete"
    return f"miss{why}: {count} extracted in {seconds:.2f} s, {frames.delivery}{end}"


def _as_json(frames: Frames, directory: str, seconds: float) -> dict[str, object]:
    return {
        "schema": "untorn/extract/1",
        "key": frames.key,
        "delivery": frames.delivery,
        "hit": frames.delivery is Delivery.HIT,
        "miss": None if frames.miss is None else frames.miss.reason,
        "failure": None if frames.failure is None else str(frames.failure),
        "directory": directory,
        "frames": list(frames.names),
        "frame_bytes": frames.frame_bytes,
        "seconds": round(seconds, 6),
    }
