"""`untorn gc` and `untorn stats`: what is stored, what went, and why the rest did not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import rich_click as click

from untorn.cache import Cache, Stats
from untorn.cli import emit, say
from untorn.config import BYTES_PER_MB, UNLIMITED, parse_budget
from untorn.errors import ConfigError
from untorn.outcome import Collected, Skipped, SkipReason
from untorn.prometheus import exposition
from untorn.subcaches import SubCache


def gc(
    *,
    dry_run: bool,
    budget_mb: str | None,
    min_age_s: float | None,
    sub: str | None,
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Collect once and say what happened."""
    budget = _budget(budget_mb)
    if min_age_s is not None and not 0 <= min_age_s < float("inf"):
        raise ConfigError(f"--min-age-s: must be a number of seconds from 0, not {min_age_s}")
    with _opened(cache_dir, sub) as cache:
        done = cache.collect(budget_bytes=budget, min_age_s=min_age_s, dry_run=dry_run)
    if as_json:
        emit(_as_json(done))
    elif isinstance(done, Skipped):
        click.echo(f"skipped: {done.reason} {done.detail}".rstrip())
    else:
        click.echo(_sentence(done))
    if isinstance(done, Skipped) and done.reason is SkipReason.DEGRADED:
        say(f"untorn: the cache cannot be used: {done.detail}")


@contextmanager
def _opened(cache_dir: str | None, sub: str | None) -> Iterator[Cache]:
    """The cache, or a sub-cache of it that is there already: a command makes none.

    What its budget is only the sub-cache's own program knows, so there is none here.
    """
    with Cache.open(cache_dir) as cache:
        if sub is None or cache.degraded:
            yield cache
            return
        names = [one.name for one in cache.sub_caches()]
        if sub not in names:
            there = f"there are {', '.join(names)}" if names else "there is none"
            raise ConfigError(f"--sub: no sub-cache {sub!a} below this root; {there}")
        with cache.sub(sub, budget_bytes=UNLIMITED) as below:
            yield below


def _budget(text: str | None) -> int | Literal["unlimited"] | None:
    if text is None:
        return None
    budget = parse_budget(text, "--budget-mb")
    return UNLIMITED if budget is None else budget


def _sentence(done: Collected) -> str:
    verb = "would evict" if done.dry_run else "evicted"
    went = f"{_count(done.evicted, 'entry', 'entries')} ({_megabytes(done.freed_bytes)})"
    reaped = _count(done.reaped, "dead staging directory", "dead staging directories")
    left = f"{_count(done.entries, 'entry', 'entries')} ({_megabytes(done.entry_bytes)}) left"
    lines = [f"{verb} {went}, reaped {reaped}; {left}"]
    if done.over_budget_bytes:
        lines.append(f"still {_megabytes(done.over_budget_bytes)} over the budget")
    if done.protected:
        what = ", ".join(f"{count} {why}" for why, count in sorted(done.protected.items()))
        lines.append(f"passed over: {what}")
    return "\n".join(lines)


def _as_json(done: Collected | Skipped) -> dict[str, object]:
    if isinstance(done, Skipped):
        return {"schema": "untorn/gc/1", "skipped": done.reason, "detail": done.detail}
    return {
        "schema": "untorn/gc/1",
        "skipped": None,
        "dry_run": done.dry_run,
        "evicted": done.evicted,
        "freed_bytes": done.freed_bytes,
        "reaped": done.reaped,
        "over_budget_bytes": done.over_budget_bytes,
        "entries": done.entries,
        "entry_bytes": done.entry_bytes,
        "protected": dict(done.protected),
    }


def stats(
    *, sub: str | None, cache_dir: str | None, as_json: bool, prometheus: bool = False
) -> None:
    """Print what is stored, and the totals of every process that used the root."""
    with _opened(cache_dir, sub) as cache:
        now, below = cache.stats(), cache.sub_caches()
    if prometheus:
        click.echo(exposition(now), nl=False)
    elif as_json:
        emit(_stats_as_json(now, below))
    elif not now.enabled:
        click.echo(f"no cache: {now.degraded}")
    else:
        budget = "no budget" if now.budget_bytes is None else f"of {_megabytes(now.budget_bytes)}"
        budget = budget if sub is None else "of a budget that its program knows"
        click.echo(f"root      {ascii(now.root)[1:-1]}")
        click.echo(f"entries   {now.entries}")
        click.echo(f"stored    {_megabytes(now.entry_bytes)} {budget}")
        for one in below:
            click.echo(f"sub-cache {one.name}: {sub_cache_line(one)}")
        for name, count in sorted(now.handed_in.items()):
            click.echo(f"{name:<28}{count:>14}")


def _stats_as_json(now: Stats, below: list[SubCache]) -> dict[str, object]:
    return {
        "schema": "untorn/stats/1",
        "root": now.root,
        "enabled": now.enabled,
        "degraded": now.degraded,
        "entries": now.entries,
        "entry_bytes": now.entry_bytes,
        "budget_bytes": now.budget_bytes,
        "sub_caches": {
            one.name: {
                "entries": one.entries,
                "entry_bytes": one.entry_bytes,
                "problem": one.problem,
            }
            for one in below
        },
        "counters": dict(now.handed_in),
    }


def sub_cache_line(one: SubCache) -> str:
    """What a sub-cache holds, or what is wrong with it."""
    if one.problem:
        return one.problem
    return f"{_count(one.entries, 'entry', 'entries')}, {_megabytes(one.entry_bytes)}"


def _megabytes(size: int) -> str:
    return f"{size / BYTES_PER_MB:.1f} MB"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
