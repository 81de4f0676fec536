"""What a worker does outside of the root, where others may see it and nobody holds it.

Rule 1: a lock, a change of names and an open that writes or makes are noted: workers can meet there
        unseen, so the run is not all that matters. What is only read is no news.
Rule 2: a worker's own folder, devices and /proc are nobody's meeting place; /dev/shm is one.
Rule 3: to make a directory in which its own folder lies changes nothing: it is there.
"""

from __future__ import annotations

import os

from untorn_stress.gate.calls import Call, CallKind
from untorn_stress.gate.worker import Held

_CHANGES = frozenset({CallKind.CREATE, CallKind.LINK, CallKind.RENAME, CallKind.UNLINK})
_LOCKS = frozenset({CallKind.FLOCK, CallKind.FCNTL})


def note(held: Held, own_folder: str) -> None:
    """Note a call that names nothing below the root. Raises OSError where it names nothing."""
    if not _is_told(held.call):
        return
    for path in _paths(held):
        exists = held.call.kind is CallKind.CREATE and own_folder.startswith(f"{path}/")
        if not exists and not _is_private(path, own_folder):
            deed = "locks" if held.call.kind in _LOCKS else "changes"
            told = f"{held.worker.letter} {deed} {path}, where nobody looks"
            if told not in held.worker.unobserved:
                held.worker.unobserved.append(told)


def _is_told(call: Call) -> bool:
    if call.kind is CallKind.OPEN:
        return call.creates or call.writes
    return call.kind in _CHANGES or call.kind in _LOCKS


def _paths(held: Held) -> list[str]:
    """What it names, by whole paths; a pipe or an unnamed file has none."""
    call, target = held.call, held.target
    if call.kind in _LOCKS:
        found = [target.link(fd) for fd in call.fds]
        return [path for path in found if path[:1] == "/" and not path.startswith("/memfd:")]
    joined = []
    for each in call.paths:
        path = os.fsdecode(each.path)
        joined.append(path if path[:1] == "/" else os.path.join(target.link(each.dirfd), path))
    return [os.path.normpath(path) for path in joined]


def _is_private(path: str, own_folder: str) -> bool:
    if path.startswith(("/proc/", own_folder)) or f"{path}/" == own_folder:
        return True  # itself too: a file without a name is made in a folder
    return path.startswith("/dev/") and not path.startswith("/dev/shm/")  # noqa: S108
