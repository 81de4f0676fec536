"""Settings: from arguments, else from the environment, else the defaults written here.

The environment is read at each `Cache.open`, so rolling back is a change of the environment and not
of code (contract F4). A bad value raises ConfigError naming the variable or the argument.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from untorn.errors import ConfigError

VAR_DIR = "UNTORN_CACHE_DIR"
VAR_MAX_MB = "UNTORN_CACHE_MAX_MB"
VAR_MIN_AGE_S = "UNTORN_CACHE_MIN_AGE_S"
VAR_DURABILITY = "UNTORN_CACHE_DURABILITY"
VAR_VERIFY = "UNTORN_CACHE_VERIFY"
VAR_FFMPEG = "UNTORN_FFMPEG"

OFF_WORDS = frozenset({"off", "none", "false", "0"})
UNLIMITED: Final = "unlimited"
BYTES_PER_MB = 1024 * 1024

# 2 GiB: about 40 extractions of 1,000 jpg frames, and a fifth of the smallest shared /tmp that the
# render engines around us run on (10 GiB), so the renders' own scratch is never squeezed out.
DEFAULT_BUDGET_BYTES = 2048 * BYTES_PER_MB
# One hour: leases protect what a live process holds; the age protects paths that were handed to
# somebody who holds no lease, such as a script that reads what `untorn extract` printed.
DEFAULT_MIN_AGE_S = 3600.0
# Recency is written at most every 5 minutes an entry: a hit costs no journal write.
DEFAULT_RECENCY_RESOLUTION_S = 300.0
# Dead staging is known by its free lock; the grace only spares a writer a retry between its mkdir
# and its lock.
DEFAULT_REAP_GRACE_S = 10.0
# As long as a long clip takes to decode; afterwards a waiter does the work itself.
DEFAULT_FLIGHT_WAIT_S = 600.0


class Durability(StrEnum):
    """What a publish promises against power loss.

    none: entries of an earlier boot are misses. digest: each frame's BLAKE2b is sealed, and checked
    once a process when the entry was sealed in an earlier boot. syncfs: digest, and the file system
    is written back before the entry becomes visible.
    """

    NONE = "none"
    DIGEST = "digest"
    SYNCFS = "syncfs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything a cache can be told. `root` None means switched off; `budget_bytes` None no limit.

    `explicit` says that somebody chose this root: an unsafe one is then an error and not a warning.
    `within` is the root that this one is a sub-cache of, None for a root of its own.
    """

    root: str | None
    explicit: bool
    budget_bytes: int | None = DEFAULT_BUDGET_BYTES
    min_age_s: float = DEFAULT_MIN_AGE_S
    recency_resolution_s: float = DEFAULT_RECENCY_RESOLUTION_S
    reap_grace_s: float = DEFAULT_REAP_GRACE_S
    flight_wait_s: float = DEFAULT_FLIGHT_WAIT_S
    durability: Durability = Durability.NONE
    verify: bool = False
    within: str | None = None

    @property
    def digests(self) -> bool:
        """Whether a publish seals digests."""
        return self.verify or self.durability is not Durability.NONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """What a caller said in code; None leaves the matter to the environment."""

    root: str | os.PathLike[str] | None = None
    budget_bytes: int | Literal["unlimited"] | None = None
    min_age_s: float | None = None
    recency_resolution_s: float | None = None
    reap_grace_s: float | None = None
    flight_wait_s: float | None = None
    durability: Durability | None = None
    verify: bool | None = None


def default_root() -> str:
    """`<temporary directory>/untorn-<uid>`: on by default, one for each user."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return os.path.join(tempfile.gettempdir(), f"untorn-{user}")


def load(overrides: Overrides, environ: Mapping[str, str]) -> Settings:
    """The settings in force: overrides before `environ` before the defaults (ConfigError)."""
    root, explicit = _root(overrides.root, environ)
    return Settings(
        root=root,
        explicit=explicit,
        budget_bytes=_budget(overrides.budget_bytes, environ),
        min_age_s=_seconds(
            overrides.min_age_s, "min_age_s", DEFAULT_MIN_AGE_S, VAR_MIN_AGE_S, environ
        ),
        recency_resolution_s=_seconds(
            overrides.recency_resolution_s, "recency_resolution_s", DEFAULT_RECENCY_RESOLUTION_S
        ),
        reap_grace_s=_seconds(overrides.reap_grace_s, "reap_grace_s", DEFAULT_REAP_GRACE_S),
        flight_wait_s=_seconds(overrides.flight_wait_s, "flight_wait_s", DEFAULT_FLIGHT_WAIT_S),
        durability=overrides.durability or _durability(environ.get(VAR_DURABILITY)),
        verify=_flag(environ.get(VAR_VERIFY)) if overrides.verify is None else overrides.verify,
    )


def _root(
    override: str | os.PathLike[str] | None, environ: Mapping[str, str]
) -> tuple[str | None, bool]:
    """The root and whether somebody chose it.

    Of the variable: an empty value or spaces mean the default, `~` is the home directory, and a
    relative path starts at the current directory.
    """
    if override is not None:
        path = os.fspath(override)
        if not path or "\0" in path:
            raise ConfigError(f"root: not a path: {path!r}")
        return os.path.abspath(path), True
    text = environ.get(VAR_DIR, "").strip()
    if text.lower() in OFF_WORDS:
        return None, True
    if not text:
        return default_root(), False
    return os.path.abspath(os.path.expanduser(text)), True


def _budget(override: int | str | None, environ: Mapping[str, str]) -> int | None:
    if override is not None:
        return checked_budget(override)
    text = environ.get(VAR_MAX_MB, "").strip()
    return parse_budget(text, VAR_MAX_MB) if text else DEFAULT_BUDGET_BYTES


def checked_budget(value: int | str) -> int | None:
    """`budget_bytes` as it is asked for in code: bytes, or None for no limit (ConfigError)."""
    if value == UNLIMITED:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"budget_bytes: not a whole number of bytes from 0: {value!r}")
    return value


def checked_seconds(value: float, name: str) -> float:
    """A number of seconds from 0 (ConfigError naming `name`)."""
    return _number(value, name, "a number of seconds from 0")


def parse_budget(text: str, name: str) -> int | None:
    """Bytes from a number of MB (2**20), or None from `unlimited`; ConfigError names `name`."""
    if text.strip().lower() == UNLIMITED:
        return None
    meaning = f"a number of MB from 0, or `{UNLIMITED}`"
    megabytes = _number(text, name, meaning)
    return int(_number(megabytes * BYTES_PER_MB, name, meaning))  # 1e308 MB are infinite bytes


def _seconds(
    override: float | None,
    name: str,
    default: float,
    variable: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> float:
    if override is not None:
        return checked_seconds(override, name)
    text = (environ or {}).get(variable or "", "").strip()
    return _number(text, variable or name, "a number of seconds from 0") if text else default


def _number(value: str | float, name: str, meaning: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise ConfigError(f"{name}: must be {meaning}, not {value!r}")
    return number


def _durability(text: str | None) -> Durability:
    if not text or not text.strip():
        return Durability.NONE
    try:
        return Durability(text.strip().lower())
    except ValueError:
        words = ", ".join(Durability)
        raise ConfigError(f"{VAR_DURABILITY}: must be one of {words}, not {text!r}") from None


_FLAGS: Mapping[str, bool] = {
    "": False,
    "0": False,
    "off": False,
    "no": False,
    "false": False,
} | dict.fromkeys(("1", "on", "yes", "true"), True)


def _flag(text: str | None) -> bool:
    word = (text or "").strip().lower()
    if word not in _FLAGS:
        raise ConfigError(f"{VAR_VERIFY}: must be 1 or 0, not {text!r}")
    return _FLAGS[word]


Clock = Callable[[], float]
"""Seconds since the epoch; an argument of the cache so that ages can be made in tests."""
