"""Keep the cache within its budget: count what is published, collect when that is due, report."""

from __future__ import annotations

import os
import time
from typing import Literal

from untorn import accounting, events, layout
from untorn.access import Access, errno_name
from untorn.collect import Orders, collect
from untorn.config import checked_budget, checked_seconds
from untorn.outcome import Collected, Failure, Skipped, SkipReason, Step
from untorn.root import Root
from untorn.stopwatch import Phase

_LOW_WATER = 0.9  # an automatic collect evicts somewhat more, so that the next publish needs none
_FRUITLESS_PAUSE_S = 30.0  # between automatic collects that found nothing to evict
_SWEEP_EVERY_S = 24 * 3600.0  # dead staging is reaped though the cache never fills


class _Pause:
    """Until when no collect is begun by itself; one for all that work on one cache object."""

    __slots__ = ("until_s",)

    def __init__(self) -> None:
        self.until_s = 0.0


class Upkeep:
    """What keeps one cache object's root in order."""

    def __init__(self, access: Access, pause: _Pause | None = None) -> None:
        self._access = access
        self._pause = pause or _Pause()

    def apart(self, access: Access) -> Upkeep:
        """The same upkeep for one piece of work, which `access` counts."""
        return Upkeep(access, self._pause)

    def account(self, root: Root, size: int) -> None:
        """Count a new entry of `size` bytes, and collect if that is due.

        Failing here costs only accuracy, which the next sweep heals, so it is counted and no more.
        """
        try:
            usage = accounting.add(root, 1, size)
            budget = self._access.settings.budget_bytes
            over = budget is not None and usage.size > budget
            due = over or self._sweep_due(root)
        except OSError as error:
            self._access.counters.add("accounting_failed")
            events.warn_once("accounting", f"the cache's counter was not updated: {error}")
            return
        if due and time.monotonic() >= self._pause.until_s:
            self._collect_by_itself(over=over)

    def _sweep_due(self, root: Root) -> bool:
        """Whether nobody has collected for a day: one stat of the collectors' lock."""
        try:
            status = os.stat(layout.GC_LOCK, dir_fd=root.ctl_fd, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return self._access.clock() - status.st_mtime > _SWEEP_EVERY_S

    def _collect_by_itself(self, *, over: bool) -> None:
        budget = self._access.settings.budget_bytes
        done = self.collect(int(budget * _LOW_WATER) if over and budget else None)
        if isinstance(done, Skipped) or (over and not done.evicted):
            # A cache full of young or leased entries is not listed anew at each publish.
            self._pause.until_s = time.monotonic() + _FRUITLESS_PAUSE_S

    def collect(
        self,
        budget_bytes: int | Literal["unlimited"] | None = None,
        min_age_s: float | None = None,
        *,
        dry_run: bool = False,
    ) -> Collected | Skipped:
        """One pass; see Cache.collect."""
        with self._access.phase(Phase.COLLECT):
            return self._collect(budget_bytes, min_age_s, dry_run=dry_run)

    def _collect(
        self,
        budget_bytes: int | Literal["unlimited"] | None,
        min_age_s: float | None,
        *,
        dry_run: bool,
    ) -> Collected | Skipped:
        access = self._access
        try:
            root = access.complete_root()
        except OSError as error:
            access.degrade(errno_name(error), f"collect failed: {error}")
            return self._skip_degraded(str(error))
        if root is None:
            return self._skip_degraded(access.degraded)
        settings = access.settings
        orders = Orders(
            budget_bytes=_budget(budget_bytes, settings.budget_bytes),
            min_age_s=(
                settings.min_age_s if min_age_s is None else checked_seconds(min_age_s, "min_age_s")
            ),
            reap_grace_s=settings.reap_grace_s,
            now_s=access.clock(),
            dry_run=dry_run,
        )
        try:
            done = collect(root, orders)
        except OSError as error:
            failure = Failure.of(error, Step.ROOT)
            access.degrade(failure.errno_name or "collect", f"collect failed: {failure}")
            return self._skip_degraded(str(failure))
        if isinstance(done, Skipped):
            access.counters.add(f"collect_skipped.{done.reason}")
            self._warn_if_over(root, orders, done)
        elif not dry_run:
            self._count(root, done)
        return done

    def _skip_degraded(self, why: str) -> Skipped:
        self._access.counters.add(f"collect_skipped.{SkipReason.DEGRADED}")
        return Skipped(reason=SkipReason.DEGRADED, detail=why)

    def _count(self, root: Root, done: Collected) -> None:
        counters = self._access.counters
        counters.add("collected")
        counters.add("evicted", done.evicted)
        counters.add("freed_bytes", done.freed_bytes)
        counters.add("reaped", done.reaped)
        if done.over_budget_bytes:
            counters.add("over_budget_sweeps")
            events.warn_once(
                "over-budget",
                f"the cache is {done.over_budget_bytes} bytes over its budget; "
                f"protected: {dict(done.protected)}",
            )
        events.note("collected", evicted=done.evicted, freed_bytes=done.freed_bytes)
        self.hand_in(root)

    def _warn_if_over(self, root: Root, orders: Orders, done: Skipped) -> None:
        """A stopped collector holds everybody's lock: that must not stay silent (G12)."""
        try:
            usage = accounting.read(root)
        except OSError as error:
            events.warn_once("accounting", f"the cache's counter cannot be read: {error}")
            return
        if orders.budget_bytes is not None and usage.size > orders.budget_bytes:
            events.warn_once(
                f"collect-skipped.{done.reason}",
                f"over budget by {usage.size - orders.budget_bytes} bytes, and collecting was "
                f"skipped: {done.reason} {done.detail}".rstrip(),
            )

    def used_bytes(self, root: Root) -> int:
        """What the counter says is stored (raises OSError)."""
        return accounting.read(root).size

    def hand_in(self, root: Root) -> None:
        """Add this object's counters to the root's totals."""
        try:
            self._access.counters.hand_in(root.ctl_fd)
        except OSError as error:
            events.warn_once("counters", f"the counters could not be handed in: {error}")


def _budget(asked: int | Literal["unlimited"] | None, configured: int | None) -> int | None:
    # NaN as an age or a budget compares as false with everything: all would be evicted.
    return configured if asked is None else checked_budget(asked)
