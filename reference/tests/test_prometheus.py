"""The Prometheus text: each line parses, a counter is there once, and no name makes a line."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from untorn import Cache
from untorn.cache import Stats
from untorn.exit_codes import ExitCode
from untorn.prometheus import exposition

STATS = Stats(
    root="/var/cache/untorn",
    enabled=True,
    degraded="",
    entries=3,
    entry_bytes=4096,
    budget_bytes=1 << 31,
    counters={},
    handed_in={
        "hit": 41,
        "miss.absent": 2,
        "miss.damaged": 1,
        "published": 2,
        "unpublished.ENOSPC": 5,
        "flight.led": 2,
        "freed_bytes": 1 << 40,
    },
)
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^\\"\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
HOSTILE = 'a"} 9\nuntorn_hits_total 99\\'


class Exposition:
    """Version 0.0.4 of the text format, read as strictly as it is written down."""

    def __init__(self, text: str) -> None:
        assert text.endswith("\n")
        self.kinds: dict[str, str] = {}
        self.samples: dict[tuple[str, str], float] = {}
        self.told: set[str] = set()
        for line in text[:-1].split("\n"):
            self._take(line)

    def _take(self, line: str) -> None:
        if line.startswith("# HELP "):
            name, sentence = line.removeprefix("# HELP ").split(" ", 1)
            assert name not in self.told
            assert sentence
            self.told.add(name)
        elif line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert name in self.told
            assert name not in self.kinds
            self.kinds[name] = kind
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            name, labels, value = found.groups()
            assert name == list(self.kinds)[-1], "samples follow their TYPE"
            assert (name, labels or "") not in self.samples
            self.samples[name, labels or ""] = float(value)


def test_each_counter_is_a_total_with_its_reason_as_a_label() -> None:
    read = Exposition(exposition(STATS))
    assert read.samples["untorn_hits_total", ""] == 41
    assert read.samples["untorn_misses_total", 'reason="absent"'] == 2
    assert read.samples["untorn_misses_total", 'reason="damaged"'] == 1
    assert read.samples["untorn_unpublished_total", 'cause="ENOSPC"'] == 5
    assert read.samples["untorn_flights_total", 'role="led"'] == 2
    assert read.samples["untorn_freed_bytes_total", ""] == 1 << 40
    counters = {name for name, kind in read.kinds.items() if kind == "counter"}
    assert counters == {name for name in read.kinds if name.endswith("_total")}


def test_nothing_that_was_counted_is_lost() -> None:
    read = Exposition(exposition(STATS))
    told = sum(value for (name, _), value in read.samples.items() if name.endswith("_total"))
    assert told == sum(STATS.handed_in.values())


def test_a_counter_of_ours_begins_at_nought() -> None:
    read = Exposition(exposition(replace(STATS, handed_in={})))
    assert read.samples["untorn_hits_total", ""] == 0
    assert read.samples["untorn_evicted_total", ""] == 0


def test_what_is_stored_is_a_gauge_and_no_budget_is_no_number() -> None:
    read = Exposition(exposition(STATS))
    assert read.kinds["untorn_entry_bytes"] == "gauge"
    assert read.samples["untorn_entries", ""] == 3
    assert read.samples["untorn_budget_bytes", ""] == 1 << 31
    assert "untorn_budget_bytes" not in exposition(replace(STATS, budget_bytes=None))


def test_a_cache_that_cannot_be_used_has_no_counters_that_went_back() -> None:
    read = Exposition(exposition(replace(STATS, enabled=False, handed_in={})))
    assert read.samples["untorn_enabled", ""] == 0
    assert set(read.kinds) == {"untorn_info", "untorn_enabled"}


@pytest.mark.parametrize(
    "counters", [{HOSTILE: 7}, {f"miss.{HOSTILE}": 7}, {"hit.more": 7}, {"miss": 7}, {"": 7}]
)
def test_a_name_that_is_none_of_ours_stays_inside_its_label(counters: Mapping[str, int]) -> None:
    read = Exposition(exposition(replace(STATS, handed_in=counters)))
    assert read.samples["untorn_hits_total", ""] == 0
    ((name, _),) = [key for key, value in read.samples.items() if value == 7]
    assert name in ("untorn_other_total", "untorn_misses_total")


def test_a_root_of_any_bytes_can_be_written(tmp_path: Path) -> None:
    root = os.fsdecode(os.fsencode(tmp_path) + b'/a"\\\n\xff')
    text = exposition(replace(STATS, root=root))
    assert r'root="' + str(tmp_path) + r'/a\"\\\n\\udcff"' in text
    assert text.encode("utf-8")
    Exposition(text)


def test_every_counter_that_the_cache_writes_has_a_name_of_its_own() -> None:
    """Read from the source: a counter added later is not left to the family of strangers."""
    folder = Path(__file__).resolve().parents[1] / "untorn"
    text = "".join(path.read_text("utf-8") for path in sorted(folder.glob("*.py")))
    names = re.findall(r'counters\.add\(\s*f?"([a-z_]+(?:\.\{)?)', text)
    assert {"hit", "miss.{", "degraded.{", "evicted"} <= set(names)
    for name in names:
        counted = exposition(replace(STATS, handed_in={name.replace("{", "x"): 1}))
        assert "untorn_other_total" not in counted, name


def test_the_command_prints_what_a_cache_counted_and_stats_says_the_same(
    root: Path, key: str, put: Callable[..., object], miss: Callable[..., object]
) -> None:
    with Cache.open(root) as cache:
        miss(cache, key)
        put(cache, key)
    shown = stats(root, "--prometheus")
    told = json.loads(stats(root, "--json"))
    read = Exposition(shown)
    assert read.samples["untorn_misses_total", 'reason="absent"'] == 1
    assert read.samples["untorn_published_total", ""] == told["counters"]["published"] == 1
    assert read.samples["untorn_entry_bytes", ""] == told["entry_bytes"] > 0


def stats(root: Path, *arguments: str) -> str:
    command = (sys.executable, "-m", "untorn", "stats", "--cache-dir", str(root), *arguments)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_two_forms_at_once_are_refused(root: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        stats(root, "--json", "--prometheus")
    assert refused.value.returncode == ExitCode.USAGE
