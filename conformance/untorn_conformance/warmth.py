"""Starting a run's processes: hosted backends as forks of a warm one, all else anew.

Rule 1: whatever keeps a fork from being as good as a new process makes a new one: code that cannot
        be forked, another environment, a command inside which it is to run, another user.
Rule 2: of one program there are two warm processes, which take turns: neighbours share neither the
        seed of Python's hashes nor their addresses, as new processes do not. Where the environment
        sets the seed, there is one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from untorn_stress.spawning import Process, anew
from untorn_stress.warm_start import NotWarmError, WarmStart

_PROGRAMS: Final = ("serve", "zygote")
_MODULE: Final = "untorn_conformance."
_SEED: Final = "PYTHONHASHSEED"
_TURNS: Final = 2


class Warmth:
    """The warm processes of a run; its ``spawn`` is a ``spawning.Spawn``.

    A context manager: closing it ends them, not what they started.
    """

    def __init__(self) -> None:
        self._warm: dict[tuple[str, ...], list[WarmStart]] = {}
        self._cold: set[tuple[str, ...]] = set()

    def __enter__(self) -> Warmth:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is warm."""
        return not any(self._warm.values())

    def close(self) -> None:
        """End the warm processes."""
        with contextlib.ExitStack() as closing:
            for each in (warm for turns in self._warm.values() for warm in turns):
                closing.callback(each.close)
        self._warm.clear()

    def spawn(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        streams: tuple[int, int, int],
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start it, warm where that is the same. Raises OSError."""
        warm = self._warm_for(command, env)
        if warm is not None:
            with contextlib.suppress(NotWarmError):  # it has ended: then a new process will do
                return warm.fork(command[3:], env=env, streams=streams, pass_fds=pass_fds)
        return anew(command, env=env, streams=streams, pass_fds=pass_fds)

    def _warm_for(self, command: Sequence[str], env: Mapping[str, str]) -> WarmStart | None:
        """Whose fork is to run the command; None where it has to be a new process."""
        loaded = _loaded(command)
        if not loaded or loaded in self._cold:
            return None
        turns = self._warm.setdefault(loaded, [])
        turns[:] = [each for each in turns if not each.is_over]
        if len(turns) < (1 if _SEED in env else _TURNS):
            try:
                turns.insert(
                    0, WarmStart([sys.executable, "-m", f"{_MODULE}warm", *loaded], env=env)
                )
            except NotWarmError:
                self._cold.add(loaded)
                return None
        warm = turns.pop(0)
        turns.append(warm)
        return warm if warm.serves(env) else None


def _loaded(command: Sequence[str]) -> tuple[str, ...]:
    """The program that a command runs and the code that it loads; empty where none is warm."""
    program = command[2].removeprefix(_MODULE) if len(command) > 3 else ""  # noqa: PLR2004
    if list(command[:2]) != [sys.executable, "-m"] or program not in _PROGRAMS:
        return ()
    preload = ["--preload"] if "--preload" in command else []
    return (program, *preload, next(each for each in command[3:] if ":" in each))
