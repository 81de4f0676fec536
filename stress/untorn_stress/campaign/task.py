"""One attempt at a shard, wherever an executor runs it: a warden is started, its result is read.

Rule 1: an attempt makes its directory itself. One that finds it there is being run a second time by
        an executor that lost its worker, and refuses: doing it again is the campaign's to decide.
Rule 2: what is handed back is small and plain, so that any executor can carry it.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from untorn_stress import counterexample
from untorn_stress.campaign import journal, verdicts
from untorn_stress.campaign.shard import Shard, directory_name, is_storm
from untorn_stress.campaign.verdicts import FoundJson, ShardResult
from untorn_stress.campaign.warden import CAMPAIGN_VARIABLE
from untorn_stress.counterexample import CounterexampleError

STDOUT: Final = "stdout.json"
STDERR: Final = "stderr.txt"
STORM: Final = "storm.json"
_FINDINGS: Final = "findings.jsonl"
_READ_MOST: Final = 256 * 2**20
_TOLD: Final = 400


class ShardLostError(Exception):
    """The worker that ran an attempt, or its warden, is gone; nothing is known of its end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """What an executor is given. All of it is plain, and means the same on every host.

    ``program`` are the arguments of Python that start `untorn`; ``base`` is the directory on the
    file system to test on, empty for the host's own temporary directory.
    """

    campaign: str
    shard: Shard
    attempt: int
    out: str
    base: str
    program: tuple[str, ...]
    cwd: str

    @property
    def directory(self) -> Path:
        """Where this attempt's results go."""
        return Path(self.out) / directory_name(self.shard.number, self.attempt)

    @property
    def mark(self) -> str:
        """What marks the processes of this attempt."""
        return f"{self.campaign}.{self.shard.number}.{self.attempt}"


def run(task: ShardTask) -> dict[str, Any]:
    """Make the attempt; returns what the journal says of it. Raises ShardLostError and OSError."""
    started_s = time.monotonic()
    if not Path(task.out).is_dir():
        raise FileNotFoundError(
            f"{socket.gethostname()} sees no {task.out}: --out must be on a file system that all "
            "workers share"
        )
    try:
        task.directory.mkdir(parents=True)
    except FileExistsError as error:
        raise ShardLostError(
            f"{task.directory} is there already: the worker that began here is gone"
        ) from error
    answer = _with_warden(task)
    result = _judged(task, answer)
    return {
        "verdict": result.verdict.value,
        "reason": result.reason,
        "findings": told_of(task.shard, task.directory, task.base, result.findings),
        "trees": list(result.trees),
        "seconds": round(time.monotonic() - started_s, 3),
        "host": socket.gethostname(),
        "exit_code": answer["exit_code"],
        "left_processes": answer["left_processes"],
    }


def _with_warden(task: ShardTask) -> dict[str, Any]:
    order = {
        "argv": _argv(task),
        "cwd": task.cwd,
        "stdout": str(task.directory / STDOUT),
        "stderr": str(task.directory / STDERR),
        "limit_s": task.shard.limit_s,
        "private": str(_private(task)),
        "mark": task.mark,
    }
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, CAMPAIGN_VARIABLE: task.campaign, "PYTHONPATH": path}
    with subprocess.Popen(
        [sys.executable, "-m", "untorn_stress.campaign.warden"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as warden:
        assert warden.stdin is not None
        assert warden.stdout is not None
        warden.stdin.write(json.dumps(order).encode() + b"\n")
        warden.stdin.flush()  # and it stays open: that it closes tells of our end
        line = warden.stdout.readline()
    if not line:
        raise ShardLostError(f"the warden of shard {task.shard.number} is gone")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _private(task: ShardTask) -> Path:
    """The directory of all temporary files; its name is short, since sockets may be made in it."""
    base = task.base or tempfile.gettempdir()
    return Path(base) / private_name(task.campaign, f"{task.shard.number}.{task.attempt}")


def private_name(campaign: str, attempt: str) -> str:
    """How it is called; a campaign finds its own again after it was killed."""
    return f"uc-{campaign}-{attempt}"


def _argv(task: ShardTask) -> list[str]:
    argv = [sys.executable, *task.program, *task.shard.command[1:]]
    if is_storm(task.shard.command):
        argv += ["--dir", str(_private(task))]
    return [*argv, "--out", str(task.directory), "--json"]


# --- what came of it ------------------------------------------------------------------------------


def _judged(task: ShardTask, answer: dict[str, Any]) -> ShardResult:
    if answer["how"] != "ended":
        why = f"it was {answer['how']} after {answer['seconds']:.0f} s, and ended from outside"
        return verdicts.unknown(why, left_findings(task.directory))
    storm = is_storm(task.shard.command)
    document = document_of(task.directory / (STORM if storm else STDOUT))
    judge = verdicts.of_storm if storm else verdicts.of_search
    result = judge(document, answer["exit_code"])
    if result.verdict is not verdicts.ShardVerdict.INVALID:
        return result
    said = _last_words(task.directory / STDERR)
    findings = result.findings or tuple(left_findings(task.directory))
    return verdicts.invalid(f"{result.reason.removeprefix('HARNESS_ERROR: ')}{said}", findings)


def document_of(path: Path) -> object:
    """The JSON of a file that a shard wrote; None where it is none, or too much to be one."""
    try:
        if path.stat().st_size > _READ_MOST:
            return None
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def _last_words(path: Path) -> str:
    try:
        text = path.read_bytes()[-_TOLD:].decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""
    return f"; its last words: {text}" if text else ""


def left_findings(directory: Path) -> list[FoundJson]:
    """What an attempt had found when it was ended: storms write lines, searches write files."""
    try:
        lines = journal.parse((directory / _FINDINGS).read_bytes(), _FINDINGS).objects
    except FileNotFoundError:
        lines = ()
    return list(verdicts.telling([*lines, *_saved(directory)]))


def _saved(directory: Path) -> Iterator[FoundJson]:
    for path in sorted(directory.glob("*.json")):
        if path.name in (STDOUT, STORM):
            continue
        try:
            saved = counterexample.read(path)
        except CounterexampleError:
            continue  # a progress file, say; whatever it is, it stays where it is
        for finding in saved.run.findings:
            yield {
                "checker": finding.rule,
                "requirements": [finding.requirement],
                "message": finding.message,
                "scenario": saved.run.scenario,
                "tree": saved.run.tree,
                "history": str(path),
                "replay": counterexample.replay_line(saved.token),
            }


def told_of(
    shard: Shard, directory: Path, base: str, findings: Iterable[FoundJson]
) -> list[FoundJson]:
    """The findings of an attempt as its campaign tells them, paths as they are below that."""
    told = [relative(each, directory, directory.parents[1]) for each in findings]
    if not is_storm(shard.command):
        return told
    # A storm would name the directory that its warden has removed.
    line = shard.line + (f" --dir {shlex.quote(base)}" if base else "")
    return [{**each, "replay": line} for each in told]


def relative(finding: FoundJson, directory: Path, out: Path) -> FoundJson:
    """The finding with its history's path as it is below the campaign's directory."""
    history = finding.get("history")
    if not isinstance(history, str) or not history:
        return finding
    where = directory / history  # an absolute one stays what it is
    return {**finding, "history": os.path.relpath(where, out)}
