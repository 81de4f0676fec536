"""Lines that outlive whoever writes them: a JSON object each, on disk before the writer goes on.

Rule 1: a line is written by one call and synced; one that was cut short can only be the last, and
        is dropped with a note. What it said was never relied on by anybody.
Rule 2: a line in the middle that cannot be read is damage, and nobody's to guess about: an error
        names the file, the line, and what to do. Nothing is deleted.
Rule 3: after a write that failed, the file is cut back to its last whole line, so that the next
        line does not make damage of half a one.
Rule 4: a file that is rewritten is written aside, synced and renamed, and so is its directory.

Sources: fsync(2) (a new file's directory needs one of its own), rename(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_MODE: Final = 0o644


class DamagedFileError(Exception):
    """A line in the middle of a file cannot be read; the message says which, and what to do."""


class LockedError(Exception):
    """Another campaign works on the same directory or corpus; the message names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """What a file holds: its objects, how many bytes are whole, and a note if some were not."""

    objects: tuple[dict[str, Any], ...] = ()
    whole_bytes: int = 0
    note: str = ""
    damage: tuple[tuple[int, bytes], ...] = ()
    """The number of each line that cannot be read though it is not the last, and the line."""


def parse(content: bytes, name: str) -> Lines:
    """Read the lines of a file; pure. What cannot be read is in ``note`` and ``damage``."""
    *lines, rest = content.split(b"\n")
    objects, damage, whole = [], [], len(content) - len(rest)
    for number, line in enumerate(lines, 1):
        value = _object(line)
        if value is not None:
            objects.append(value)
        elif number == len(lines) and not rest:
            whole -= len(line) + 1
            rest = line
        else:
            damage.append((number, line))
    note = f"{name}: its last line was cut short, and is dropped" if rest else ""
    return Lines(objects=tuple(objects), whole_bytes=whole, note=note, damage=tuple(damage))


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def read(path: Path, *, advice: str) -> Lines:
    """Read a file that may not exist. Raises DamagedFileError, whose last words are ``advice``."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Lines()
    lines = parse(content, str(path))
    if lines.damage:
        number, line = lines.damage[0]
        raise DamagedFileError(
            f"{str(path)!a}, line {number}, is no JSON object: {line[:80]!a}; {advice}"
        )
    return lines


class Journal:
    """An append-only file of such lines."""

    def __init__(self, path: Path, *, whole_bytes: int) -> None:
        """Open it for appending; what is behind ``whole_bytes`` is cut off. An OSError flies."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE)
        self._end = whole_bytes
        os.ftruncate(self._file, whole_bytes)
        os.fsync(self._file)
        sync_directory(path.parent)

    def append(self, *objects: Mapping[str, Any]) -> None:
        """Write the lines and sync them; when this returns they are there to stay.

        Raises OSError; then none of them is there.
        """
        content = b"".join(map(line_of, objects))
        try:
            written = os.pwrite(self._file, content, self._end)
            while written < len(content):
                written += os.pwrite(self._file, content[written:], self._end + written)
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(content)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def line_of(value: Mapping[str, Any]) -> bytes:
    """One object as its line."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def replace(path: Path, content: bytes) -> None:
    """Put a whole file in a file's place, at once and for good. An OSError flies."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def replace_lines(path: Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """Put a whole file of lines in its place."""
    replace(path, b"".join(map(line_of, objects)))


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(paths: Sequence[Path], owner: str) -> Iterator[None]:
    """Hold a lock on each of these files while the block goes on; they stay, and say who had them.

    The kernel lets go when we end, however we end. It is a lock of the process, not of the open
    file (flock): a child that we had just forked when we were killed would hold that one until its
    exec, and the next start would be refused. Source: fcntl_locking(2). Raises LockedError.
    """
    with contextlib.ExitStack() as held:
        for path in paths:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            held.callback(os.close, descriptor)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                who = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
                raise LockedError(
                    f"{str(path.parent)!a} is in use by another campaign ({who}): wait for "
                    "it, or give this one another --out, and --corpus"
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, owner.encode(), 0)
        yield
