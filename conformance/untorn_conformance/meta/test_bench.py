import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from untorn import Collected
from untorn_conformance.bench import crowd, lookups, peers, population, table, timing
from untorn_conformance.bench.plan import TINY, Ground
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured, not_measured
from untorn_conformance.bench.timing import Samples

COMMAND = [sys.executable, "-m", "untorn_conformance.bench", "cache", "--quick", "--tiny"]
# The same with a last step that never ends: no signal comes too late, however slow the machine is.
ENDLESS = [
    *(sys.executable, "-c"),
    (
        "import dataclasses; from untorn_conformance.bench import cli; "
        "cli.TINY = dataclasses.replace(cli.TINY, steady_calls=10**9); cli.bench()"
    ),
    *COMMAND[3:],
]
LIMIT_S = 300
MACHINE = {"cpu", "cores", "memory", "kernel", "fs", "python", "loadavg", "loadavg_after"}


def start(home: Path, *options: str, command: Sequence[str] = COMMAND) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, "--rounds", "2", "--dir", str(home), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def processes_that_name(text: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_text("utf-8", "replace")
        except OSError:
            continue  # it has ended in between
        if text in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def document(home: Path) -> Any:
    with start(home, "--json") as process:
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    return json.loads(out)


def test_json_names_its_schema_and_the_machine(document: Any) -> None:
    assert document["schema"] == "untorn/bench/1"
    assert set(document["machine"]) >= MACHINE
    assert document["plan"]["rounds"] == 2


def test_every_row_has_every_field(document: Any) -> None:
    fields = set(Row(name="", unit=Unit.US).to_json())
    assert document["rows"]
    assert all(set(row) == fields for row in document["rows"])


def test_no_two_rows_have_one_name(document: Any) -> None:
    names = [row["name"] for row in document["rows"]]
    assert len(set(names)) == len(names)


def test_every_row_of_the_goals_is_there(document: Any) -> None:
    text = "\n".join(row["name"] for row in document["rows"])
    for part in (
        "leased warm lookup", "without a lease", "processes on one key", "joblib", "diskcache",
        "publish step, frames", "whole write", "gc decision", "scan of", "over budget?",
        "publish step of 1 frame", "evict one entry", "memory of a sweep", "warm lookups",
    ):  # fmt: skip
        assert part in text, part


def test_a_ratio_is_ours_to_the_floor(document: Any) -> None:
    compared = [row for row in document["rows"] if row["ratio"] is not None]
    assert compared
    for row in compared:
        assert row["ratio"] == pytest.approx(row["median"] / row["floor_median"])


def test_only_a_row_with_a_goal_is_judged(document: Any) -> None:
    assert [
        row["name"] for row in document["rows"] if not row["goal"] and row["met"] is not None
    ] == []


def test_nothing_is_left_behind(document: Any, home: Path) -> None:
    assert document
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["warm lookups", "processes at once", "making a cache"])
def test_an_interrupt_leaves_neither_files_nor_processes(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    with start(tmp_path, command=ENDLESS) as process:
        assert process.stderr is not None
        assert any(moment in line for line in process.stderr)
        process.send_signal(number)
        out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert out == ""
    assert list(tmp_path.iterdir()) == []
    assert processes_that_name(str(tmp_path)) == []


@pytest.fixture
def without_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("diskcache", "joblib"):
        monkeypatch.setitem(sys.modules, module, None)  # what makes Python say "not found"


@pytest.mark.usefixtures("without_peers")
def test_a_peer_that_is_not_installed_is_a_row_that_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    rows = lookups.measure(Ground(home=tmp_path, plan=TINY, say=said.append))
    missing = [row for row in rows if row.median is None]
    assert len(missing) == 2 * 3  # alone, and in a crowd
    assert {row.note for row in missing} == {peers.NOT_INSTALLED}


def test_a_process_without_an_answer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(crowd.ChildError, match="sweep"):
        crowd.run("sweep", str(tmp_path / "file" / "root"), "one argument too many")


def test_what_is_populated_is_what_publishing_leaves(tmp_path: Path) -> None:
    with population.open_cache(tmp_path / "cache") as cache:
        root = population.root_of(cache)
        population.populate(root, 7, lambda _: None)
        before = cache.stats()
        for key in os.listdir(root.entries_fd):
            with population.found(cache, key) as frames:
                assert frames.read(0) == b"\0"
        done = cache.collect()
        after = cache.stats()
    assert isinstance(done, Collected)
    assert done.entries == 7
    assert (before.entries, before.entry_bytes) == (after.entries, after.entry_bytes)


@pytest.fixture
def plain(tmp_path: Path) -> str:
    return population.plain_entry(tmp_path / "entry", 3, b"x", sentinel=peers.SENTINEL)


def test_the_sentinel_cache_gives_its_frames_in_order(plain: str) -> None:
    assert peers.sentinel_lookup(plain, ".jpg") == peers.frame_paths(plain, 3)


def test_the_sentinel_cache_misses_without_its_sentinel(plain: str) -> None:
    (Path(plain) / peers.SENTINEL).unlink()
    assert peers.sentinel_lookup(plain, ".jpg") == []


def test_cases_take_turns_and_the_first_round_is_thrown_away() -> None:
    turns: list[str] = []

    def case(name: str) -> timing.Case:
        def turn() -> list[float]:
            turns.append(name)
            return [float(len(turns))]

        return turn

    samples = timing.interleave({"a": case("a"), "b": case("b")}, 2)
    assert turns == ["a", "b"] * 3
    assert samples["a"].values == (3.0, 5.0)


def test_the_p99_is_the_nearest_rank() -> None:
    assert Samples(tuple(map(float, range(1, 201)))).p99 == 198
    assert Samples((7.0,)).p99 == 7


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal(Of.RATIO, 0.5), True),
        (Goal(Of.RATIO, 0.4), False),
        (Goal(Of.SPEEDUP, 2), True),
        (Goal(Of.SPEEDUP, 3), False),
        (Goal(Of.MEDIAN, 2), True),
        (Goal(Of.MEDIAN, 1), False),
        (Goal(Of.P99, 9), True),
        (Goal(Of.P99, 8), False),
    ],
)
def test_a_goal_is_judged_by_its_number(goal: Goal, met: bool) -> None:
    ours, floor = Samples((0.001, 0.002, 0.009)), Samples((0.004,))
    row = measured("x", Unit.MS, ours, floor=("floor", floor), goal=goal, tail=True)
    assert (row.median, row.p99, row.floor_median, row.ratio) == (2, 9, 4, 0.5)
    assert row.met is met


def test_a_goal_without_its_number_is_not_measured() -> None:
    row = measured("x", Unit.MS, Samples((1.0,)), goal=Goal(Of.RATIO, 2))
    assert row.met is None
    assert table.judgement(row) == "not measured"


BARE = ("bare", Samples((2e-6,)))
ONCE = Goal(Of.RATIO, 1)
ROWS = (
    measured("fast", Unit.US, Samples((1e-6,)), floor=BARE, goal=ONCE),
    measured("slow", Unit.US, Samples((3e-6,)), floor=BARE, goal=ONCE),
    measured("beside", Unit.US, Samples((1e-6,)), floor=("peer", Samples((1e-4,)))),
    not_measured("absent", Unit.US, "not here", ONCE),
)


def test_the_plain_table_is_one_line_a_row() -> None:
    lines = table.plain_table(ROWS).splitlines()
    assert lines[1].split()[-4:] == ["0.50x", "<=", "1x", "met"]
    assert lines[2].endswith("missed")
    assert lines[3].endswith("1/100")
    assert lines[4].endswith("not measured")
    assert "\x1b" not in "".join(lines)


def test_the_terminal_table_holds_the_same_rows() -> None:
    console = Console(width=200, force_terminal=True)
    with console.capture() as capture:
        console.print(table.rich_table(ROWS))
    text = capture.get()
    assert all(row.name in text for row in ROWS)
    assert "\x1b" in text


def test_the_summary_counts_goals_and_not_rows() -> None:
    assert table.summary(ROWS) == "1 met, 1 missed, 1 not measured (goals)"
