"""Frames put where a user wants them: directories that appear whole, all of them, or none.

    X1 they are filled below a hidden directory beside them       links; copies where none is made
    X2 each is renamed to its place                               whole from its first moment on
    X3 whatever ends us before the last rename: all are taken back

A link costs nothing, and shares the frame with the cache: it is read-only, and evicting the entry
leaves it. A copy is the user's to change.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping

from untorn import layout
from untorn.clip import printable
from untorn.errors import ConfigError
from untorn.frames import Frames


def require_free(target: str, names: Mapping[str, object] | list[str]) -> None:
    """ConfigError if `target` cannot be made or is no directory, or holds one of `names`.

    What is seen before anything is decoded; `export` finds the rest.
    """
    there = os.path.lexists(target)
    place = target if there else os.path.dirname(os.path.abspath(target))
    if not target or not os.path.isdir(place):
        raise ConfigError(f"--out: {printable(place) or 'it'} is not a directory")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"--out: {printable(place)} cannot be written")
    for name in names:
        if os.path.lexists(os.path.join(target, name)):
            raise ConfigError(f"--out: {printable(os.path.join(target, name))} exists already")


def require_new(path: str, option: str) -> None:
    """ConfigError naming `option` if no directory can be made under that name."""
    parent = os.path.dirname(os.path.abspath(path))
    try:
        os.lstat(path)
    except FileNotFoundError:
        problem = "is no name" if not path else ""
    except OSError as error:
        problem = f"cannot be made: {error.strerror}"
    else:
        problem = "exists already"
    if problem:
        raise ConfigError(f"{option}: {printable(path) or 'nothing'} {problem}")
    if not os.path.isdir(parent):
        raise ConfigError(f"{option}: {printable(parent)} is not a directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{option}: {printable(parent)} cannot be written")


def export(target: str, clips: Mapping[str, Frames], *, link: bool, option: str = "--out") -> None:
    """Make a directory of frames below `target` for each of `clips`, by its name.

    `target` is made if it is missing. Raises ConfigError naming `option`, who asked for it, if it
    cannot be written, and EvictedError for frames that were released; in both cases nothing is left
    there.
    """
    work = os.path.join(target, f".untorn-{layout.random_suffix()}")
    made, placed = not os.path.lexists(target), list[str]()
    try:
        if made:
            os.mkdir(target)
        os.mkdir(work, 0o700)
        for name, frames in clips.items():
            _fill(os.path.join(work, name), frames, link=link)
        for name in clips:
            placed.append(name)
            os.rename(os.path.join(work, name), os.path.join(target, name))
        os.rmdir(work)
    except BaseException as error:
        _take_back(target, work, placed)
        if made:
            with contextlib.suppress(OSError):  # somebody else put something there meanwhile
                os.rmdir(target)
        if isinstance(error, OSError):
            raise ConfigError(f"{option}: {printable(target)}: {error.strerror}") from error
        raise


def _fill(directory: str, frames: Frames, *, link: bool) -> None:
    os.mkdir(directory)
    for index, name in enumerate(frames.names):
        path = os.path.join(directory, name)
        if link:
            try:
                os.link(name, path, src_dir_fd=frames.directory_fd, follow_symlinks=False)
                continue
            except OSError:
                link = False  # another device, or one without links: copies from here on
        with open(path, "xb") as file:
            file.write(frames.read(index))


def _take_back(target: str, work: str, placed: list[str]) -> None:
    for name in placed:
        with contextlib.suppress(OSError):  # the last one may not have been renamed yet
            os.rename(os.path.join(target, name), os.path.join(work, name))
    shutil.rmtree(work, ignore_errors=True)
