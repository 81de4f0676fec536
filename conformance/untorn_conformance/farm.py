"""Where one case grows and breaks its workers: a private directory on the file system under test.

    untorn-RUN/            one a run and --dir, open to pass through, removed by the end of the run
      CASE/                one a case, removed at its end
        cache/             the root that is under test, closed to others
        payload/           files to stage, readable for all
        outside/           what the cache does not own
        tmp/               the workers' temporary directory, as open as /tmp
        worker-1.stderr    what each worker wrote to stderr

As root a worker may be made another user's, who can then reach its root and the payload, nothing
else.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from untorn_stress.spawning import Spawn
from untorn_stress.worker import Worker

from untorn_conformance import cases, probe
from untorn_conformance.backend import Hello, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.registry import BackendSpec
from untorn_conformance.starting import say_hello, start_worker


class Farm:
    """One case's directory and workers. ``root`` is the cache's, ``outside`` is foreign to it."""

    def __init__(
        self, *, base: Path, spec: BackendSpec, hello: Hello, run_token: str, spawn: Spawn
    ) -> None:
        self._home = Path(tempfile.mkdtemp(dir=base))
        self._home.chmod(0o755)
        self.root = _make(self._home / "cache", 0o700)
        self.outside = _make(self._home / "outside", 0o755)
        self.hello = hello
        self.workers: list[Worker] = []
        self._opened: list[Worker] = []
        self._owner_uid: int | None = None
        self._spec = spec
        self._run_token = run_token
        self._spawn = spawn
        self._payload = _make(self._home / "payload", 0o755)
        self._tmp = _make(self._home / "tmp", 0o1777)
        self._payload_count = 0
        self._roots = 1

    def begin_anew(self) -> None:
        """Give the case another root, empty; workers know the old one until they open this."""
        self._roots += 1
        self.root = _make(self._home / f"cache-{self._roots}", 0o700)

    # --- workers
    # -----------------------------------------------------------------------------------

    def worker(
        self,
        env: Mapping[str, str] | None = None,
        uid: int | None = None,
        *,
        open_root: bool = True,
        clock_offset_s: float = 0.0,
        inside: Sequence[str] = (),
        home: Path | None = None,
    ) -> Worker:
        """Start a worker that has said hello and opened ``root``.

        ``env`` configures the cache; ``uid`` (from ``unprivileged_uid``) makes the worker that
        user's, and gives the root to that user while it is still empty. ``inside`` is a command
        that goes before the worker's own and runs it, such as ``unshare``. ``home`` is to be its
        home and its current directory. Raises BackendError.
        """
        gid = None if uid is None else pwd.getpwuid(uid).pw_gid
        if uid is not None and gid is not None and not os.listdir(self.root):
            os.chown(self.root, uid, gid)
            self._owner_uid = uid
        with contextlib.nullcontext() if home is None else contextlib.chdir(home):
            worker = start_worker(
                self._spec,
                run_token=self._run_token,
                scratch=self._tmp,
                stderr_path=self._home / f"worker-{len(self.workers) + 1}.stderr",
                uid=uid,
                gid=gid,
                inside=inside,
                home=home,
                spawn=self._spawn,
            )
        self.workers.append(worker)
        said = say_hello(worker)
        if said != self.hello:
            message = f"hello is not what it was at the start of the run: {said}"
            raise BackendError(ErrorCode.PROTOCOL, message)
        if open_root:
            root = str(self.root)
            worker.call(Verb.OPEN, root=root, env=env or {}, clock_offset_s=clock_offset_s)
            self._opened.append(worker)
        return worker

    @property
    def tmp(self) -> Path:
        """The workers' temporary directory, where a cache is by default."""
        return self._tmp

    @property
    def unprivileged_uid(self) -> int | None:
        """Whom to start a worker as so that permissions mean something to it.

        As root, the user nobody; else None, since the harness' own user is unprivileged. Ends the
        case as unknown where that user could not reach the directory.
        """
        if os.getuid() != 0:
            return None
        closed = [each for each in self.root.parents if not each.stat().st_mode & stat.S_IXOTH]
        if closed:
            cases.unknown(f"an unprivileged worker cannot pass {closed[-1]}; choose another --dir")
        return pwd.getpwnam("nobody").pw_uid

    # --- what the cache is given and what is done behind its back
    # ----------------------------------

    def files(self, contents: Mapping[str, bytes]) -> list[dict[str, str]]:
        """Write payload files and return the argument ``files`` of ``stage``, in the given order.

        A frame's name may be anything: it is not the name of the file that carries it.
        """
        payload = []
        for name, content in contents.items():
            self._payload_count += 1
            path = self._payload / f"{self._payload_count:06}"
            path.write_bytes(content)
            path.chmod(0o644)
            payload.append({"name": name, "path": str(path)})
        return payload

    def age(self, seconds: float) -> None:
        """Make everything in the cache older.

        A backend with a clock of its own is told; for others every mtime under the root is shifted.
        """
        if Capability.VIRTUAL_CLOCK in self.hello.capabilities:
            idle = next((each for each in self._opened if each.is_idle), None)
            (idle or self.worker(uid=self._owner_uid)).call(Verb.AGE, seconds=seconds)
        else:
            probe.shift_mtimes(self.root, seconds)

    def tree(self) -> probe.Snapshot:
        """Take a picture of what is under the root."""
        return probe.take(self.root)

    def files_by_digest(self) -> dict[str, Path]:
        """Return the files in the cache and in the workers' temporary directory, by SHA-256."""
        return {
            entry.sha256: folder / path
            for folder in (self.root, self._tmp)
            for path, entry in probe.take(folder).files().items()
        }

    def needs(self, *capabilities: Capability) -> None:
        """End the case as not applicable unless the backend declares all of these."""
        missing = [each for each in capabilities if each not in self.hello.capabilities]
        if missing:
            cases.not_applicable(f"capability {', '.join(missing)} is not declared")

    # --- the end
    # -----------------------------------------------------------------------------------

    def last_words(self) -> dict[str, str]:
        """Return what each worker wrote to stderr, by worker, without those that wrote nothing."""
        told = {f"worker {n}": each.stderr() for n, each in enumerate(self.workers, start=1)}
        return {name: text for name, text in told.items() if text}

    def close(self) -> None:
        """End every worker and everything they started, and remove the directory."""
        try:
            for worker in self.workers:
                worker.close()
        finally:
            remove_tree(self._home)


def remove_tree(path: Path) -> None:
    """Remove a tree, also where permissions of its directories were taken away."""
    try:
        shutil.rmtree(path)
    except PermissionError:
        path.chmod(0o700)
        for folder, directories, _ in os.walk(path):
            for name in directories:
                below = os.path.join(folder, name)
                if not os.path.islink(below):
                    os.chmod(below, 0o700)
        shutil.rmtree(path)


def _make(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)  # Not at mkdir: the umask would take bits away.
    return path
