"""`untorn storm`: from what was asked to a storm, its run directory, its exit code.

Rule 1: what was found decides first (1), then what broke (7), then an interrupt (130, 143), then
        what stayed open (6).
Rule 2: storm.json is written however the storm ended, and printed where it cannot be written.
"""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from untorn_fixtures.errors import FixtureError
from untorn_reports.run_directory import RunDirectory, default_base
from untorn_stress.storm.arena import ArenaError, Stormed
from untorn_stress.storm.footage import Footage, copied
from untorn_stress.storm.ledger import StormLedger
from untorn_stress.storm.nemesis.catalogue import NEMESES
from untorn_stress.storm.nursery import KEEP_VARIABLE
from untorn_stress.storm.plan import Wanted
from untorn_stress.storm.series import Series
from untorn_stress.storm.storm import Storm
from untorn_stress.storm.summary import Account, document

from untorn_conformance import provenance, subjects
from untorn_conformance.backend import Hello
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError
from untorn_conformance.registry import BackendSpec, parse

FOUND, OPEN, INVALID = 1, 6, 7
EXTRACTORS: Final = 2
"""How many workers extract, where that is asked for."""

OWN_FILES: Final = ("storm.json", "findings.jsonl", "rounds")
"""What a run directory holds of its own storm: it may hold nothing of another's."""

_REQUESTS: Final[Sequence[Mapping[str, Any]]] = (
    {"clip": "sdr", "start_s": "0", "duration_s": "2", "fps": "2", "format": "png"},
    {"clip": "sdr", "start_s": "1/2", "duration_s": "1", "fps": "4", "format": "png"},
    {"clip": "odd", "start_s": "0", "duration_s": "1", "fps": "4", "format": "png"},
)
"""What is extracted: four frames each, as every version of a storm has."""

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 (a directory of our own is made there)
_EXITS: Final = {"pass": 0, "fail": FOUND, "unknown": OPEN, "invalid": INVALID}
_SIGNALED: Final = 128

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Raged:
    """What came of it: the summary, the exit code and where the run directory is."""

    document: dict[str, Any]
    exit_code: int
    out: Path


def storm_command(
    *,
    backend: str,
    wanted: Wanted,
    directory: Path | None,
    out: Path | None,
    tell: Tell,
) -> Raged:
    """Make a storm. Raises ValueError for a backend's text that is none, OSError for ``out``."""
    spec = parse(backend)
    folder = out or RunDirectory.create(default_base(Path.cwd()), backend).path
    folder.mkdir(parents=True, exist_ok=True)
    base = directory or Path(tempfile.gettempdir())
    replay = shlex.join(_replay(backend, wanted, directory))
    ledger = StormLedger(folder, replay, time.monotonic_ns())
    account = Account(wanted, ledger, Series())
    tell(f"seed {wanted.seed}; replay: {replay}")
    tell(f"run directory: {folder}")
    name = backend
    began_s = time.monotonic()
    with _interrupts() as interrupts:
        try:
            hello = subjects.ask_hello(spec, Path(tempfile.gettempdir()))
            name = f"{hello.name} {hello.version}"
            storm = Storm(
                stormed_of(spec, hello, base, keeps=folder.resolve() / "rounds"),
                account,
                directory=base,
                spool_directory=spool_beside(base),
                tell=tell,
                is_stopped=lambda: bool(interrupts),
                filmed=filmed(hello) if wanted.extractors else None,
            )
            storm.rage()
        except (ArenaError, BackendError, FixtureError) as error:
            account.invalid = str(error)
        except OSError as error:
            account.leave_open(f"the storm ended early: {error}")
        except KeyboardInterrupt:
            account.leave_open("the round under way was not finished")
        except Exception as error:  # our own: no verdict, and nothing found so far is lost
            traceback.print_exc()
            account.invalid = f"the harness failed: {error!r}"
        if interrupts:
            account.leave_open(f"interrupted ({signal.Signals(interrupts[0]).name})")
        summary = document(
            account,
            backend=backend,
            name=name,
            duration_s=time.monotonic() - began_s,
            root_file_system=_file_system(base),
            command=sys.argv,
            provenance=provenance.of_machine(),
        )
        if not ledger.write("storm.json", summary):
            account.leave_open(ledger.trouble)
            summary = {**summary, "verdict": account.verdict, "reason": account.reason}
        else:
            _write_page(folder, tell)
    return Raged(document=summary, exit_code=_exit_code(account, interrupts), out=folder)


def _write_page(folder: Path, tell: Tell) -> None:
    """Write report.html beside storm.json; a storm without its page is a storm all the same."""
    from untorn_reports.storms import files, page  # noqa: PLC0415 (its templates take a while)

    try:
        page.write(files.read(folder / files.STORM), folder)
    except (OSError, files.StormFileError) as error:
        tell(f"no page was written: {error}")


def filmed(hello: Hello) -> Callable[[Path], Footage]:
    """Who makes the footage of an arena. Raises ArenaError, FixtureError."""
    if Capability.EXTRACT not in hello.capabilities:
        raise ArenaError("--extract needs a backend that declares extract")
    from untorn_fixtures import clips  # noqa: PLC0415 (few need it, and none should wait for it)

    found = {each["clip"]: clips.clip(each["clip"]) for each in _REQUESTS}
    return lambda folder: copied(found, folder, _REQUESTS)


def _exit_code(account: Account, interrupts: Sequence[int]) -> int:
    if interrupts and account.verdict == "unknown":
        return _SIGNALED + interrupts[0]
    return _EXITS[account.verdict]


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The signals that asked us to stop, in a list; the second of them is not waited with."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def stormed_of(
    spec: BackendSpec, hello: Hello, base: Path, *, keeps: Path | None = None
) -> Stormed:
    """A backend as a storm starts it; root's workers become the user nobody where they can.

    ``keeps`` is where histories go that the driver did not come to judge.
    """
    subject = subjects.subject_of(spec, hello)
    hosted = (sys.executable, "-m", "untorn_conformance.nursery", spec.factory)
    return Stormed(
        spec=spec.name,
        hello=hello,
        env={**subject.cast.env, **({KEEP_VARIABLE: str(keeps)} if keeps else {})},
        nursery=hosted if spec.factory else (),
        argv=() if spec.factory else tuple(spec.command()),
        user=_unprivileged(base),
    )


def _unprivileged(base: Path) -> tuple[int, int] | None:
    """Whom workers become, so that permissions mean something to them; None where nobody can."""
    if os.getuid() != 0:
        return None
    places = [base.resolve(), *base.resolve().parents]
    if not all(each.stat().st_mode & stat.S_IXOTH for each in places):
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def spool_beside(base: Path) -> Path:
    """Where histories and payloads are: on another file system than the cache, if there is one."""
    device = base.stat().st_dev
    for each in (_SHARED_MEMORY, Path(tempfile.gettempdir()), Path("/var/tmp")):  # noqa: S108
        if each.is_dir() and os.access(each, os.W_OK | os.X_OK) and each.stat().st_dev != device:
            return each
    return Path(tempfile.gettempdir())


def _file_system(base: Path) -> str:
    (found,) = provenance.file_systems([base])
    return found.type


def _replay(backend: str, wanted: Wanted, directory: Path | None) -> list[str]:
    """The line that makes the same storm again."""
    plain = Wanted(seed=wanted.seed, duration_s=wanted.duration_s)
    line = ["untorn", "storm", "--duration", f"{wanted.duration_s:g}s", "--seed", str(wanted.seed)]
    if backend != "reference":
        line += ["--backend", backend]
    workers = (wanted.readers, wanted.writers, wanted.collectors)
    if workers != (plain.readers, plain.writers, plain.collectors):
        line += ["--workers", ",".join(map(str, workers))]
    if wanted.nemeses != tuple(NEMESES):
        line += ["--nemesis", ",".join(wanted.nemeses) or "none"]
    if wanted.kills_per_s != plain.kills_per_s:
        line += ["--kills-per-s", f"{wanted.kills_per_s:g}"]
    if wanted.extractors:
        line += ["--extract"]
    if directory is not None:
        line += ["--dir", str(directory)]
    return line
