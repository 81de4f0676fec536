"""What the cache counts as Prometheus text, for `untorn stats --prometheus`.

Rule 1: a counter of ours has a name and a sentence of its own; a part after its dot is a label.
Rule 2: `ctl/counters` is data: a name in it that is none of ours becomes the label of one family,
        escaped, so that nothing in the file can make a line.
Rule 3: what is not known is left out. A cache that cannot be used has no entries to tell of, and
        its counters have not gone back to 0.

Source: Prometheus text exposition format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from untorn import __version__
from untorn.cache import Stats

_PLAIN: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "hit": ("hits", "Lookups that found an entry."),
        "published": ("published", "Entries that were published."),
        "adopted": ("adopted", "Publishes that found another writer's entry, and took it."),
        "repaired": ("repaired", "Publishes that replaced a damaged entry."),
        "extracted": ("extracted", "Extractions that ran the decoder."),
        "supersets": ("supersets", "Decodes of the union of several ranges."),
        "union_failed": ("unions_failed", "Unions whose ranges were extracted one by one."),
        "sliced": ("sliced", "Ranges that were cut out of longer ones."),
        "slice_copied": ("slice_copied_frames", "Frames of slices that could not be linked."),
        "slice_failed": ("slices_failed", "Ranges that could not be cut out, and were decoded."),
        "re_extracted": ("re_extracted", "Extractions made again for a reader whose entry went."),
        "uncached": ("uncached", "Extractions that were handed out without the cache."),
        "probes_remembered": ("probes_remembered", "Clips that renders had no need to open."),
        "probes_unremembered": (
            "probes_unremembered",
            "Times that what is in clips could not be read or noted.",
        ),
        "source_changed": ("source_changed", "Clips that changed while they were extracted."),
        "evicted_under_reader": ("evicted_under_reader", "Entries that went under a reader."),
        "verify_failed": ("verify_failed", "Entries whose bytes were not those that were sealed."),
        "lease_refused": ("lease_refused", "Hits without a lease: the file system gave no lock."),
        "collected": ("collects", "Collects that were not skipped."),
        "evicted": ("evicted", "Entries that were evicted."),
        "freed_bytes": ("freed_bytes", "Bytes of the entries that were evicted."),
        "reaped": ("reaped", "Directories of dead writers that were removed."),
        "over_budget_sweeps": ("over_budget_sweeps", "Collects that ended over the budget."),
        "accounting_failed": ("accounting_failed", "Entries that could not be accounted for."),
    }
)
_LABELLED: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "miss": ("misses", "reason", "Lookups that found no entry."),
        "unpublished": ("unpublished", "cause", "Publishes that made no entry."),
        "degraded": ("degraded", "cause", "Times that the cache was given up."),
        "flight": ("flights", "role", "Extractions that could be shared."),
        "collect_skipped": ("collects_skipped", "reason", "Collects that were skipped."),
    }
)
_OTHER: Final = ("other", "name", "Counters of another version of untorn.")


def exposition(stats: Stats) -> str:
    """The totals of every process that used the root; a line a value, each line ended."""
    lines = [*_state(stats)]
    if stats.enabled:
        lines += [*_stored(stats), *_counters(stats.handed_in)]
    return "".join(f"{line}\n" for line in lines)


def _state(stats: Stats) -> Iterator[str]:
    about = _labels({"root": stats.root or "", "version": __version__})
    yield from _family("untorn_info", "gauge", "The cache that this tells of.", [(about, 1)])
    enabled = [("", int(stats.enabled))]
    yield from _family("untorn_enabled", "gauge", "1 where the cache can be used.", enabled)


def _stored(stats: Stats) -> Iterator[str]:
    yield from _family("untorn_entries", "gauge", "Entries stored.", [("", stats.entries)])
    size = [("", stats.entry_bytes)]
    yield from _family("untorn_entry_bytes", "gauge", "Bytes that the entries occupy.", size)
    if stats.budget_bytes is not None:
        budget = [("", stats.budget_bytes)]
        yield from _family("untorn_budget_bytes", "gauge", "Bytes that they may occupy.", budget)


def _counters(counters: Mapping[str, int]) -> Iterator[str]:
    """All that are ours, at 0 where nothing was counted: so that a rate has a beginning."""
    for name, (shown, told) in _PLAIN.items():
        yield from _counter(shown, told, [("", counters.get(name, 0))])
    parted = {name: name.partition(".") for name in sorted(counters)}
    for prefix, (shown, label, told) in _LABELLED.items():
        yield from _counter(
            shown,
            told,
            [
                (_labels({label: below}), counters[name])
                for name, (head, dot, below) in parted.items()
                if dot and head == prefix
            ],
        )
    shown, label, told = _OTHER
    others = [
        (_labels({label: name}), counters[name])
        for name, (head, dot, _) in parted.items()
        if not (head in _LABELLED if dot else name in _PLAIN)
    ]
    if others:
        yield from _counter(shown, told, others)


def _counter(name: str, told: str, samples: Iterable[tuple[str, int]]) -> Iterator[str]:
    yield from _family(f"untorn_{name}_total", "counter", told, samples)


def _family(name: str, kind: str, told: str, samples: Iterable[tuple[str, int]]) -> Iterator[str]:
    yield f"# HELP {name} {told}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value}"


def _labels(values: Mapping[str, str]) -> str:
    """Labels in braces; a lone surrogate, which a path may hold, is shown as an escape."""
    escaped = {name: _escaped(value) for name, value in values.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"


def _escaped(value: str) -> str:
    """A label's value: backslash, quote and newline have escapes; the rest is UTF-8."""
    told = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return told.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
