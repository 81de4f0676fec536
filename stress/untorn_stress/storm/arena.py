"""Where a storm rages: a root on a file system, a nursery that starts workers there, and its end.

    HOME/disk/            what is under test is on: the file system of --dir, or a small tmpfs
    HOME/disk/cache/      the root, the workers' own; in it and beside it what is not the cache's
    HOME/outside/         where links out of the root point to
    HOME/tmp/             their temporary directory
    HOME/stderr           what they write to stderr
    SPOOL/payload/        files to stage, on another file system where there is one

Rule 1: the driver sees the root as ``seen_root``: through /proc where a mount namespace hides it.
Rule 2: as root, workers are another user's, so that permissions mean something to them.
Rule 3: closing an arena ends all that was started in it and removes its directories. So does the
        nursery when the driver is gone; see ``owning`` for what is left where both are.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from untorn_conformance.backend import Hello

from untorn_stress import supervise
from untorn_stress.storm.enclosure import REFUSED
from untorn_stress.storm.foreign import Foreign
from untorn_stress.storm.nursery import PACKET_BYTES
from untorn_stress.storm.owning import PREFIX, own, remove_stale, remove_tree

_ROOMY_BYTES: Final = 1 << 30
_ROOMY_INODES: Final = 100_000
START_DEADLINE_S: Final = 60.0
ANSWER_DEADLINE_S: Final = 120.0
"""How long the nursery may take to kill all."""

_LAST_WORDS_BYTES: Final = 2000
_STDERR_KEPT_BYTES: Final = 4 * 1024 * 1024
FOREIGN_NURSERY: Final = (sys.executable, "-m", "untorn_stress.storm.nursery")


class ArenaError(Exception):
    """The arena cannot be made or has ended; the message says why."""


class RefusedArenaError(ArenaError):
    """This machine allows no such file system."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stormed:
    """A backend as a storm needs it.

    ``nursery`` is the command of a nursery that hosts it (empty for a foreign program), ``argv``
    the program (empty for a hosted one), ``env`` the whole environment. ``user`` is the uid and gid
    that workers become, None where they stay who we are.
    """

    spec: str
    hello: Hello
    env: Mapping[str, str]
    nursery: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    user: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Small:
    """The size of a small file system."""

    size_bytes: int
    inodes: int


@dataclass(slots=True)
class Streams:
    """Our ends of a worker's pipes, both non-blocking."""

    to_worker: int
    from_worker: int

    def close(self) -> None:
        """Close both."""
        os.close(self.to_worker)
        os.close(self.from_worker)


@dataclass(slots=True)
class Arena:
    """One root and its workers. A context manager; ``open_arena`` makes it.

    ``pid`` is the nursery's process id.
    """

    stormed: Stormed
    home: Path
    spool: Path
    small: Small | None
    _process: subprocess.Popen[bytes]
    _stderr: int
    _mark: str
    control: socket.socket
    pid: int = 0
    foreign: Foreign = field(init=False)
    _news: list[dict[str, Any]] = field(default_factory=list)
    _owned: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.foreign = Foreign(self.home / "outside", self.stormed.user)

    @property
    def name(self) -> str:
        """``main``, or ``small``."""
        return "main" if self.small is None else "small"

    @property
    def root(self) -> Path:
        """The root as workers call it."""
        return self.home / "disk" / "cache"

    @property
    def seen_root(self) -> Path:
        """The root as we see it."""
        if self.small is None:
            return self.root
        return Path(f"/proc/{self.pid}/root{self.root}")

    @property
    def tmp(self) -> Path:
        """The workers' temporary directory."""
        return self.home / "tmp"

    @property
    def payload(self) -> Path:
        """Where files to stage are written."""
        return self.spool / "payload"

    @property
    def privileged(self) -> bool:
        """Whether permissions mean nothing to the workers."""
        return os.getuid() == 0 and self.stormed.user is None

    @property
    def has_room(self) -> bool:
        """Whether the root's file system has far more room than a storm can fill."""
        there = os.statvfs(self.seen_root)
        inodes = there.f_favail if there.f_files else _ROOMY_INODES  # some file systems count none
        return there.f_bavail * there.f_frsize >= _ROOMY_BYTES and inodes >= _ROOMY_INODES

    def make_root(self) -> None:
        """Make the root, the workers' own, and plant what is foreign; one that is there is left.

        Raises OSError.
        """
        with contextlib.suppress(FileExistsError):  # a worker was quicker
            self.seen_root.mkdir(mode=0o700)
            if self.stormed.user is not None:
                os.chown(self.seen_root, *self.stormed.user)
        self.plant_foreign()

    def plant_foreign(self) -> None:
        """Put what is not the cache's, and is not there, into the root and beside it."""
        self.foreign.plant({"in the root": self.seen_root, "beside it": self.seen_root.parent})

    def start(self, name: str) -> Streams:
        """Ask for a worker; the news will tell its process id. Raises ArenaError."""
        stdin_read, stdin_write = os.pipe()
        stdout_read, stdout_write = os.pipe()
        self._limit_stderr()
        uid, gid = self.stormed.user or (None, None)
        order = {
            "start": name,
            "argv": list(self.stormed.argv),
            "env": {"TMPDIR": str(self.tmp), "HOME": str(self.tmp)},
            "uid": uid,
            "gid": gid,
        }
        try:
            self._ask(order, [stdin_read, stdout_write, self._stderr])
        except BaseException:
            os.close(stdin_write)
            os.close(stdout_read)
            raise
        finally:
            os.close(stdin_read)
            os.close(stdout_write)
        os.set_blocking(stdin_write, False)
        os.set_blocking(stdout_read, False)
        return Streams(stdin_write, stdout_read)

    def news(self) -> Iterator[dict[str, Any]]:
        """What the nursery told since; never waits. Raises ArenaError when it has ended."""
        self._receive(socket.MSG_DONTWAIT)
        while self._news:
            yield self._news.pop(0)

    def clear(self) -> list[dict[str, Any]]:
        """Kill all that lives in the arena; what was told of it. Raises ArenaError."""
        return self._answer_to("clear", "cleared")[0]

    def below(self) -> list[int]:
        """The process ids of all workers and orphans that live, as the nursery sees them."""
        told, answer = self._answer_to("below", "below")
        self._news = told + self._news
        return list(answer["pids"])

    def _answer_to(self, verb: str, word: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        token = secrets.randbits(32)
        self._ask({verb: token}, [])
        told: list[dict[str, Any]] = []
        self.control.settimeout(ANSWER_DEADLINE_S)
        try:
            while True:
                self._receive(0)
                while self._news:
                    each = self._news.pop(0)
                    if each.get(word) == token:
                        return told, each
                    told.append(each)
        finally:
            self.control.settimeout(None)

    def _ask(self, order: dict[str, Any], descriptors: list[int]) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(order).encode()], descriptors)
        except OSError as error:
            raise ArenaError(f"the nursery has ended{self.last_words()}") from error

    def _receive(self, flags: int) -> None:
        while True:
            try:
                packet = self.control.recv(PACKET_BYTES, flags)
            except BlockingIOError:
                return
            except OSError as error:
                raise ArenaError(f"the nursery is silent: {error}{self.last_words()}") from error
            if not packet:
                raise ArenaError(f"the nursery has ended{self.last_words()}")
            self._news.append(json.loads(packet))
            if not flags:
                return

    def _limit_stderr(self) -> None:
        """Empty a stderr that has grown too long: hours of tracebacks are no disk's business."""
        if os.fstat(self._stderr).st_size > _STDERR_KEPT_BYTES:
            os.ftruncate(self._stderr, 0)

    def last_words(self) -> str:
        """What was last written to stderr, as the end of a message."""
        return _last_words(self.home / "stderr")

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all that was started here, and remove the directories; once."""
        if self._stderr < 0:
            return
        self.control.close()
        try:
            self._process.wait(START_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        os.close(self._stderr)
        self._stderr = -1
        if self._process.returncode != 0:
            supervise.kill_all(lambda: supervise.marked(self._mark))
        for folder in (self.home, self.spool):
            remove_tree(folder)
        for fd in self._owned:
            os.close(fd)


def open_arena(
    stormed: Stormed, *, directory: Path, spool_directory: Path, small: Small | None = None
) -> Arena:
    """Make an arena below two directories.

    Raises RefusedArenaError where no small file system is to be had, ArenaError, OSError.
    """
    for each in {directory, spool_directory}:
        remove_stale(each)
    home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory))
    spool = Path(tempfile.mkdtemp(prefix=PREFIX, dir=spool_directory))
    owned = tuple(own(each) for each in (home, spool))
    made: Arena | None = None
    try:
        for folder, mode in (
            (home, 0o755),
            (spool, 0o755),
            (home / "disk", 0o1777),
            (home / "tmp", 0o1777),
            (home / "outside", 0o755),
            (spool / "payload", 0o755),
        ):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)  # not at mkdir: the umask would take bits away
        made = _started(stormed, home, spool, small)
        made.make_root()
        made._owned = owned
        return made
    except BaseException:
        if made is not None:
            made.close()
        for folder in (home, spool):
            remove_tree(folder)
        for fd in owned:
            os.close(fd)
        raise


def _started(stormed: Stormed, home: Path, spool: Path, small: Small | None) -> Arena:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mark = secrets.token_hex(16)
    command = [*(stormed.nursery or FOREIGN_NURSERY), str(theirs.fileno()), str(home), str(spool)]
    if small is not None:
        sizes = [str(small.size_bytes), str(small.inodes)]
        within = [sys.executable, "-m", "untorn_stress.storm.enclosure", str(home / "disk")]
        command = [*within, *sizes, *command]
    stderr = os.open(home / "stderr", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    with theirs:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            env={**stormed.env, supervise.MARK_VARIABLE: mark, "TMPDIR": str(home / "tmp")},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    arena = Arena(stormed, home, spool, small, process, stderr, mark, ours)
    _await_ready(arena, process)
    return arena


def _await_ready(arena: Arena, process: subprocess.Popen[bytes]) -> None:
    arena.control.settimeout(START_DEADLINE_S)
    try:
        packet = arena.control.recv(PACKET_BYTES)
    except OSError as error:
        arena.close()
        raise ArenaError(f"no nursery in {START_DEADLINE_S} s: {error}") from error
    arena.control.settimeout(None)
    if packet:
        arena.pid = json.loads(packet)["ready"]
        return
    code, words = process.wait(START_DEADLINE_S), arena.last_words()
    arena.close()
    if code == REFUSED:
        raise RefusedArenaError(words.partition("\n")[2] or words)
    raise ArenaError(f"the backend's code cannot be loaded (exit code {code}){words}")


def _last_words(stderr: Path) -> str:
    try:
        words = stderr.read_text(errors="replace")[-_LAST_WORDS_BYTES:].strip()
    except FileNotFoundError:
        return ""
    return f"; stderr ends with:\n{words}" if words else ""
