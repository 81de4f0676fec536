"""`untorn doctor`: whether the root is safe, its file system fit, and a decoder there."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

import rich_click as click
from click.exceptions import Exit

from untorn import decoder
from untorn.cache import Cache
from untorn.cli import emit
from untorn.cli_upkeep import sub_cache_line
from untorn.config import BYTES_PER_MB, VAR_DIR
from untorn.errors import DecoderError, RootRefusedError
from untorn.exit_codes import ExitCode

_LOW_BYTES = 2048 * BYTES_PER_MB


@dataclass(frozen=True, slots=True)
class Checkup:
    """One finding: its name, whether it is well, what was seen, and the exit code if it is not."""

    name: str
    well: bool
    seen: str
    code: ExitCode = ExitCode.OK


def doctor(*, cache_dir: str | None, as_json: bool) -> None:
    """Look at the root as an extraction would; exit by the first finding that is bad."""
    checks = [*_check_root(cache_dir), _check_decoder()]
    if as_json:
        emit(
            {
                "schema": "untorn/doctor/1",
                "well": all(check.well for check in checks),
                "checks": [
                    {"name": check.name, "well": check.well, "seen": check.seen} for check in checks
                ],
            }
        )
    else:
        for check in checks:
            click.echo(f"{'ok ' if check.well else 'BAD'}  {check.name:<12} {check.seen}")
    bad = [check.code for check in checks if check.code is not ExitCode.OK]
    if bad:
        raise Exit(bad[0])


def _check_root(cache_dir: str | None) -> list[Checkup]:
    try:
        cache = Cache.open(cache_dir)
    except RootRefusedError as error:
        return [Checkup("root", False, str(error), ExitCode.ROOT)]
    with cache:
        path = cache.settings.root
        root = cache.access.root()
        if path is None:
            return [Checkup("root", True, f"the cache is switched off ({VAR_DIR})")]
        if root is None:
            return [Checkup("root", False, cache.degraded, ExitCode.ROOT)]
        usage = shutil.disk_usage(root.fd)
        owner = os.fstat(root.fd)
        trust = root.trust
        return [
            Checkup("root", True, ascii(path)[1:-1]),
            Checkup("owner", True, f"user {owner.st_uid}, mode {owner.st_mode & 0o7777:04o}"),
            Checkup(
                "file system",
                trust.locks,
                trust.file_system
                + ("" if trust.locks else f": {trust.reason}; collect and repair are off"),
            ),
            Checkup(
                "free space",
                usage.free >= _LOW_BYTES,
                f"{usage.free // BYTES_PER_MB} MB free of {usage.total // BYTES_PER_MB} MB",
            ),
            *(
                Checkup("sub-cache", not one.problem, f"{one.name}: {sub_cache_line(one)}")
                for one in cache.sub_caches()
            ),
        ]


def _check_decoder() -> Checkup:
    try:
        found = decoder.find(os.environ)
    except DecoderError as error:
        return Checkup("decoder", False, str(error), ExitCode.DECODER)
    return Checkup("decoder", True, f"{found.version_line} ({ascii(found.path)[1:-1]})")
