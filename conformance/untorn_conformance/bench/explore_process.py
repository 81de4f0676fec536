"""`untorn explore` as a process of its own, that leaves nothing behind however we end.

Rule 1: it has a session of its own: Ctrl-C reaches us alone, and we hand it on and wait, so that it
        can end its workers.
Rule 2: an interrupt that comes while it is being started waits until we know whom to hand it to.
Rule 3: all that it makes is below the directory that it is given.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from untorn_conformance.bench.explore_site import MeasureError, environment

_COMMAND: Final = (sys.executable, "-m", "untorn_conformance.cli", "explore", "--json")
_PATIENCE_S: Final = 30.0


def document(home: Path, *options: str) -> dict[str, Any]:
    """Explore with these options; what was printed. Raises MeasureError."""
    with started(home, *options, "--out", str(home / "out")) as process:
        text, errors = process.communicate()
    try:
        printed: dict[str, Any] = json.loads(text)
    except ValueError:
        printed = {}
    if "searches" not in printed:
        raise MeasureError(f"{' '.join(options)}: exit code {process.returncode}: {text}{errors}")
    return printed


def wait_for(home: Path, *options: str) -> None:
    """Run `untorn explore` with these options, and drop what it says."""
    with started(home, *options) as process:
        process.communicate()


@contextmanager
def started(
    home: Path, *options: str, output: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    """The process, which has ended when the block has."""
    with ExitStack() as stack:
        with interrupts_held_back():
            process = subprocess.Popen(
                [*_COMMAND, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                cwd=home,
                env=environment(TMPDIR=str(home)),
                start_new_session=True,
            )
            stack.enter_context(process)
            stack.push(partial(_end_if_disturbed, process))
        yield process


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGINT and SIGTERM at the end of the block, not within.

    A blocked signal would stay blocked in the process that is started; a handler does not.
    """
    heard: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: heard.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        raise KeyboardInterrupt


def _end_if_disturbed(
    process: subprocess.Popen[str], kind: type[BaseException] | None, *_: object
) -> None:
    if kind is not None:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupt it; kill it if it does not hear."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
