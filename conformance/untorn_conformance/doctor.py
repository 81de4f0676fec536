"""`untorn doctor --backend`: whether a program behaves as a backend must, before it is judged.

It tells a broken adapter from a broken cache. Rule 1: each check says what was seen and, where that
is not well, what to do. Rule 2: what could not be looked at, since something before it failed, is
UNKNOWN. Rule 3: a deadline is long beside what an adapter needs for an answer; who does not answer
in it is told so, and nothing else is concluded.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from untorn_stress.worker import EOF_GRACE_S, Worker

from untorn_conformance import contact, registry
from untorn_conformance.backend import (
    Axis,
    Failed,
    FailedCode,
    FrameRead,
    Hit,
    Miss,
    Published,
    Rendered,
    Verb,
)
from untorn_conformance.backend_file import UnusableBackendError
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.registry import BackendSpec
from untorn_conformance.starting import identify, in_a_line, start_worker

SCHEMA: Final = "untorn/doctor-backend/1"
OK: Final = "ok"
FAIL: Final = "FAIL"
UNKNOWN: Final = "UNKNOWN"

DEADLINE_S: float = 10.0
"""How long an answer may take, and the exit at the end of the input."""

KILL_GRACE_S: float = EOF_GRACE_S
"""How long what a killed adapter had started may take to notice."""

_KEY: Final = "d0c7" * 16
_CONTENT: Final = b"a frame of the doctor's"
_NAMES: Final = (
    "start", "stdout", "flush", "hello", "ids", "round trip", "end of input", "outside", "SIGKILL",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One finding: what was looked at, ``ok``, ``FAIL`` or ``UNKNOWN``, and what was seen."""

    name: str
    word: str
    seen: str


@dataclass(kw_only=True, slots=True)
class _Ward:
    """Where a backend is looked at: its root, and the places that are watched beside it."""

    spec: BackendSpec
    home: Path
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def start(self) -> Worker:
        """Start it with a home and a temporary directory that nobody else uses."""
        return start_worker(
            self.spec,
            run_token=self.token,
            scratch=self.home / "tmp",
            stderr_path=self.home / "stderr",
            home=self.home / "home",
        )

    def watched(self) -> set[str]:
        """The names in its home, its temporary directory and the one that it runs in.

        Not what the interpreter of a Python backend keeps beside its modules.
        """
        places = (self.home / "tmp", self.home / "home", self.spec.directory or Path.cwd())
        found = {f"{place}/{name}" for place in places for name in os.listdir(place)}
        return {each for each in found if not each.endswith("/__pycache__")}


def examine(backend: str) -> list[Check]:
    """Look at the backend of that text. Raises ValueError for a text that names none."""
    try:
        spec = registry.parse(backend)
    except UnusableBackendError as error:
        return _with_rest([Check(name="start", word=FAIL, seen=str(error))])
    with tempfile.TemporaryDirectory(prefix="untorn-doctor-") as scratch:
        ward = _Ward(spec=spec, home=Path(scratch))
        for name in ("tmp", "home", "root"):
            (ward.home / name).mkdir(mode=0o700)
        return _with_rest(list(_checks(ward)))


def to_plain(backend: str, checks: Sequence[Check]) -> dict[str, Any]:
    """The checks as one JSON object."""
    plain = [{"name": each.name, "word": each.word, "seen": each.seen} for each in checks]
    return {
        "schema": SCHEMA,
        "backend": backend,
        "well": all(each.word == OK for each in checks),
        "checks": plain,
    }


def _with_rest(checks: list[Check]) -> list[Check]:
    """Name what was not reached, too."""
    reached = {each.name for each in checks}
    why = "not looked at, since a check before it failed"
    rest = [Check(name=n, word=UNKNOWN, seen=why) for n in _NAMES if n not in reached]
    return sorted([*checks, *rest], key=lambda each: _NAMES.index(each.name))


def _checks(ward: _Ward) -> Iterator[Check]:
    """Look at one thing after the other; ends at the first that leaves nothing to look at."""
    before = ward.watched()
    try:
        worker = ward.start()
    except BackendError as error:
        yield Check(name="start", word=FAIL, seen=in_a_line(error.message))
        return
    yield Check(name="start", word=OK, seen=shlex.join(ward.spec.command()))
    with worker:
        trouble = contact.first_contact(worker, DEADLINE_S)
        yield from _of_contact(trouble)
        if trouble is not None:
            worker.kill_tree()  # there is no more to be had from it
            return
        try:
            said = identify(ward.spec, worker, deadline_s=DEADLINE_S)
        except BackendError as error:
            yield Check(name="hello", word=FAIL, seen=in_a_line(error.message))
            return
        capabilities = ", ".join(sorted(said.capabilities)) or "no capability"
        seen = f"{said.name} {said.version} ({said.language}), declares {capabilities}"
        yield Check(name="hello", word=OK, seen=seen)
        yield _round_trip(ward, worker, renders=Capability.RENDER in said.capabilities)
        yield _end_of_input(worker)
    yield _outside(ward, before)
    yield _sigkill(ward)


def _of_contact(trouble: contact.Trouble | None) -> Iterator[Check]:
    """What the first lines show: each check that they passed, then the one that they did not."""
    seen = {
        "stdout": "one JSON object a line, and nothing else",
        "flush": "an answer comes before the next request",
        "ids": "each answer and each error repeats its request's id",
    }
    for name, well in seen.items():
        if trouble is not None and name == trouble.check:
            break
        if trouble is None or name in trouble.passed:
            yield Check(name=name, word=OK, seen=well)
    if trouble is not None:
        yield Check(name=trouble.check, word=FAIL, seen=trouble.seen)


def _round_trip(ward: _Ward, worker: Worker, *, renders: bool) -> Check:
    """Open, render, miss, stage, publish, hit, read, release, close."""
    payload = ward.home / "payload"
    payload.write_bytes(_CONTENT)
    files = [{"name": "frame_00001.png", "path": str(payload)}]
    steps = ["open"]
    try:
        root = str(ward.home / "root")
        worker.call(Verb.OPEN, root=root, env={}, clock_offset_s=0.0, deadline_s=DEADLINE_S)
        played = itertools.chain(
            _play_render(worker, ward, steps) if renders else (), _play(worker, files, steps)
        )
        for told in played:
            return Check(name="round trip", word=FAIL, seen=told)
    except BackendError as error:
        return Check(name="round trip", word=FAIL, seen=f"{steps[-1]}: {in_a_line(error.message)}")
    return Check(name="round trip", word=OK, seen="miss, publish, hit, the published bytes")


def _play_render(worker: Worker, ward: _Ward, steps: list[str]) -> Iterator[str]:
    """Render nothing, and a clip that is not there; says what is wrong with an answer."""
    steps.append(Verb.RENDER.value)
    missing = {Axis.PATH: str(ward.home / "no-clip.mp4"), Axis.FPS: "1", Axis.FORMAT: "png"}
    for requests in ([], [missing, missing]):
        answer = worker.call(Verb.RENDER, requests=requests, deadline_s=DEADLINE_S)
        if not isinstance(answer, Rendered) or len(answer.items) != len(requests):
            yield f"a render of {len(requests)} requests answered {answer}; an item for each"
            return
    for item in answer.items:
        if not isinstance(item, Failed) or item.code is not FailedCode.BAD_CLIP:
            yield f"a clip that is not there is to be an item failed, bad-clip, not {item}"


def _play(worker: Worker, files: list[dict[str, str]], steps: list[str]) -> Iterator[str]:
    """Go through the verbs; says what is wrong with an answer, if anything is."""

    def ask(verb: Verb, **args: object) -> Any:
        steps.append(verb.value)
        return worker.call(verb, deadline_s=DEADLINE_S, **args)

    try:
        yield f"a release of a handle that never was answered {ask(Verb.RELEASE, handle='none')}"
    except BackendError as error:
        if error.code is not ErrorCode.BAD_REQUEST:
            told = in_a_line(error.message)
            yield f"a release of a handle that never was is to be bad-request, not {told}"
    missed = ask(Verb.LOOKUP, key=_KEY)
    if not isinstance(missed, Miss):
        yield f"a lookup in an empty root answered {missed}; use the root that open names"
    staged = ask(Verb.STAGE, key=_KEY, files=files)
    published = ask(Verb.PUBLISH, handle=staged.handle)
    if not isinstance(published, Published):
        yield f"a publish of an absent key answered {published}"
    ask(Verb.RELEASE, handle=published.handle)
    hit = ask(Verb.LOOKUP, key=_KEY)
    if not isinstance(hit, Hit) or list(hit.files) != [files[0]["name"]]:
        yield f"a lookup after the publish answered {hit}"
        return
    read = ask(Verb.READ, handle=hit.handle, index=0)
    if read != FrameRead(sha256=hashlib.sha256(_CONTENT).hexdigest(), bytes=len(_CONTENT)):
        yield f"a read of {len(_CONTENT)} published bytes answered {read}"
    ask(Verb.RELEASE, handle=hit.handle)
    ask(Verb.CLOSE)


def _end_of_input(worker: Worker) -> Check:
    worker.channel.end_input()
    if worker.channel.wait_for_exit(time.monotonic() + DEADLINE_S):
        if not (left := worker.left_behind()):
            return Check(name="end of input", word=OK, seen="it exits by itself")
        seen = f"{len(left)} processes that it started run on; end them when stdin ends"
        return Check(name="end of input", word=FAIL, seen=seen)
    worker.kill_tree()
    seen = f"it still ran {DEADLINE_S:.0f} s after the end of its input; exit when stdin ends"
    return Check(name="end of input", word=FAIL, seen=seen)


def _outside(ward: _Ward, before: set[str]) -> Check:
    left = sorted(ward.watched() - before)
    where = "its home, its temporary directory and where it runs"
    if not left:
        return Check(name="outside", word=OK, seen=f"it left nothing in {where}")
    seen = f"it left {', '.join(left)}; keep everything below the root that open names"
    return Check(name="outside", word=FAIL, seen=seen)


def _sigkill(ward: _Ward) -> Check:
    """Kill its first process alone, as the harness does, and see what runs on."""
    root = str(ward.home / "root")
    try:
        with ward.start() as worker:
            identify(ward.spec, worker, deadline_s=DEADLINE_S)
            worker.call(Verb.OPEN, root=root, env={}, clock_offset_s=0.0, deadline_s=DEADLINE_S)
            worker.kill()
            end_s = time.monotonic() + KILL_GRACE_S
            while (left := worker.left_behind()) and time.monotonic() < end_s:
                time.sleep(0.01)
    except BackendError as error:
        seen = f"its second start: {in_a_line(error.message)}"
        return Check(name="SIGKILL", word=FAIL, seen=seen)
    if not left:
        return Check(name="SIGKILL", word=OK, seen="nothing of it runs on")
    seen = f"{len(left)} processes outlive it; start the adapter itself, or by exec"
    return Check(name="SIGKILL", word=FAIL, seen=seen)
