"""Peak memory of exploring: of the supervising process, and of all that it has started.

Rule 1: the supervisor's is its VmHWM, that the kernel keeps. The tree's is the largest sum of Pss
        of one look: pages that forks share count once; a peak between two looks is not seen.

Source: proc_pid_status(5), proc_pid_smaps(5).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Final

import psutil

from untorn_conformance.bench import explore_process
from untorn_conformance.bench.explore_site import REFERENCE, MeasureError, Site, environment
from untorn_conformance.bench.row import Row, Unit, measured
from untorn_conformance.bench.timing import Samples

_IMPORTS: Final = "import untorn_conformance.exploring; print(open('/proc/self/status').read())"
_BETWEEN_LOOKS_S: Final = 0.02
_KB_PER_MIB: Final = 1024
_EXPECTED: Final = (0, 1, 6)  # explored to the end, found something, or the budget ended first


@dataclass(slots=True)
class _Seen:
    """The largest numbers seen so far, in kB, and in how many looks."""

    supervisor_kb: int = 0
    tree_kb: int = 0
    processes: int = 0
    looks: int = 0

    def look(self, supervisor: psutil.Process) -> None:
        """Look once at the whole tree; what has ended meanwhile does not count."""
        self.supervisor_kb = max(self.supervisor_kb, _kb(supervisor.pid, "status", "VmHWM"))
        try:
            tree = [supervisor, *supervisor.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        shares = [_kb(process.pid, "smaps_rollup", "Pss") for process in tree]
        self.tree_kb = max(self.tree_kb, sum(shares))
        self.processes = max(self.processes, sum(share > 0 for share in shares))
        self.looks += 1


def measure(site: Site) -> list[Row]:
    """Both peaks, beside what the imports of `untorn explore` take."""
    runs = site.plan.memory_runs
    site.say(f"memory of exploring, {runs} schedules")
    home = site.fresh("memory")
    options = ("--backend", REFERENCE, "--scenario", "writer-writer", "--tree", "empty")
    seen = _Seen()
    end = ("--budget", str(runs), "--out", str(home / "out"))
    with explore_process.started(home, *options, *end, output=subprocess.DEVNULL) as process:
        _watch(process, seen)
    floor = ("its imports alone", Samples((_imports_kb() / _KB_PER_MIB,)))
    what = f"{runs} schedules of writer-writer of the reference"
    return [
        measured(
            "peak memory of the supervisor", Unit.MIB,
            Samples((seen.supervisor_kb / _KB_PER_MIB,)), floor=floor, note=f"VmHWM, {what}",
        ),
        measured(
            "peak memory of the whole tree", Unit.MIB, Samples((seen.tree_kb / _KB_PER_MIB,)),
            floor=floor,
            note=f"largest sum of Pss in {seen.looks} looks, <= {seen.processes} processes; {what}",
        ),
    ]  # fmt: skip


def _watch(process: subprocess.Popen[str], seen: _Seen) -> None:
    """Look now and then until the process has ended."""
    supervisor = psutil.Process(process.pid)
    while True:
        try:
            code = process.wait(_BETWEEN_LOOKS_S)
        except subprocess.TimeoutExpired:
            seen.look(supervisor)
        else:
            break
    if code not in _EXPECTED:
        raise MeasureError(f"memory: exit code {code}")


def _imports_kb() -> int:
    """The peak of a process that imports what exploring needs, and does nothing."""
    command = [sys.executable, "-c", _IMPORTS]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return _field_kb(done.stdout, "VmHWM")


def _kb(pid: int, file: str, field: str) -> int:
    """A number of a process in kB; 0 of one that has ended."""
    try:
        with open(f"/proc/{pid}/{file}", encoding="ascii", errors="replace") as text:
            return _field_kb(text.read(), field)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _field_kb(text: str, field: str) -> int:
    """The number behind `field:`; 0 where there is none, as in what is told of a zombie."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    return 0
