import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.bench import cli, explore, explore_finding, explore_loop, explore_process
from untorn_conformance.bench.explore_site import KEYS, MeasureError, pinned
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured, not_measured
from untorn_conformance.bench.timing import Samples
from untorn_stress import token
from untorn_stress.grain import Grain

COMMAND = [sys.executable, "-m", "untorn_conformance.bench", "explore", "--quick", "--tiny"]
# Little before what is to be interrupted, which never ends: no signal comes too late.
ENDLESS = """
import dataclasses
from untorn_conformance.bench import cli
cli.EXPLORE_TINY = dataclasses.replace(cli.EXPLORE_TINY, reductions=(), **{endless!r})
cli.bench()
"""
LIMIT_S = 500


def start(home: Path, *options: str, command: Sequence[str] = COMMAND) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, "--dir", str(home), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def processes_below(home: Path) -> list[str]:
    """What still runs and was told of the directory, by its arguments or its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended, or is another user's
        if os.fsencode(home) in text:
            found.append(os.fsdecode(text))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench-explore")


@pytest.fixture(scope="module")
def document(home: Path) -> Any:
    with start(home, "--json") as process:
        out, err = process.communicate(timeout=LIMIT_S)
    if process.returncode == 6:
        pytest.skip(err)  # the gate is refused here
    assert process.returncode == 0, err
    return json.loads(out)


def test_the_quoted_numbers_are_keys_at_the_top(document: Any) -> None:
    assert set(document) == {"schema", "machine", "plan", "rows"} | set(KEYS)


@pytest.mark.parametrize(
    "key",
    [
        "schedules_per_s", "schedules_per_s_specimen", "runs_made_per_s",
        "runs_made_per_s_specimen", "crash_states_per_s", "fault_sites_per_s", "gated_call_us",
        "reduction_factor",
        "peak_supervisor_mib", "peak_tree_mib", "worker_start_ms", "restore_ms",
    ],
)  # fmt: skip
def test_a_quoted_number_is_a_number_above_nothing(document: Any, key: str) -> None:
    assert isinstance(document[key], (int, float))
    assert document[key] > 0


def test_each_specimen_has_a_race_and_a_collection_with_its_seconds(document: Any) -> None:
    seconds = document["seconds_to_finding"]
    assert list(seconds) == [sought.name for sought in explore_finding.SOUGHT]
    assert all(each is None or each > 0 for each in seconds.values())


def test_every_row_has_every_field_and_a_name_of_its_own(document: Any) -> None:
    fields = set(Row(name="", unit=Unit.US).to_json())
    names = [row["name"] for row in document["rows"]]
    assert all(set(row) == fields for row in document["rows"])
    assert len(set(names)) == len(names)


def test_every_row_of_the_goals_is_there(document: Any) -> None:
    text = "\n".join(row["name"] for row in document["rows"])
    for part in (
        "schedules of writer-writer, the reference", "schedules of writer-writer, the specimen",
        "crash states judged, the reference", "fault sites of a lone writer",
        "gated stat, one core", "gated mkdir, one core", "reduced", "check-then-remove race",
        "collector against reader", "memory of the supervisor", "memory of the whole tree",
        "start of a worker", "restore of the tree",
    ):  # fmt: skip
        assert part in text, part


def test_the_reduced_search_finds_what_the_whole_one_does(document: Any) -> None:
    rows = [row for row in document["rows"] if row["unit"] == Unit.RUNS]
    assert rows
    assert [row["note"] for row in rows if not row["met"]] == []


def test_each_missed_goal_is_said(document: Any) -> None:
    missed = [row["name"] for row in document["rows"] if row["goal"] and not row["met"]]
    assert [sentence.partition(": ")[0] for sentence in document["missed"]] == missed


def test_nothing_is_left_behind(document: Any, home: Path) -> None:
    assert document
    assert list(home.iterdir()) == []
    assert processes_below(home) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("moment", "endless"),
    [("gated calls", {"calls": 10**9}), ("looking for", {"learning_runs": 10**6})],
)
def test_an_interrupt_leaves_neither_files_nor_processes(
    tmp_path: Path, moment: str, endless: dict[str, int], number: signal.Signals
) -> None:
    command = [sys.executable, "-c", ENDLESS.format(endless=endless), *COMMAND[3:]]
    with start(tmp_path, command=command) as process:
        assert process.stderr is not None
        if not any(moment in line for line in process.stderr):
            assert process.wait() == 6
            pytest.skip("the gate is refused here")
        process.send_signal(number)
        out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert out == ""
    assert list(tmp_path.iterdir()) == []
    assert processes_below(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_until_a_process_is_known(number: signal.Signals) -> None:
    done: list[str] = []

    def disturbed() -> None:
        with explore_process.interrupts_held_back():
            os.kill(os.getpid(), number)
            done.append("started")

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        disturbed()
    assert done == ["started"]
    assert signal.getsignal(number) is before


def test_the_help_names_every_key() -> None:
    text = cli.explore.help
    assert text is not None
    assert [key for key in KEYS if f" {key} " not in text] == []


def test_a_rate_below_its_goal_is_missed_and_said() -> None:
    goal = Goal(Of.RATE, 150)
    rows = [
        measured("slow", Unit.PER_S, Samples((100.0,)), goal=goal),
        measured("fast", Unit.PER_S, Samples((150.0,)), goal=goal),
        not_measured("absent", Unit.S, "found nothing", Goal(Of.MEDIAN, 3)),
    ]
    assert [row.met for row in rows] == [False, True, None]
    assert explore.missed(rows) == [
        "slow: 100 /s, where the goal is >= 150 /s",
        "absent: not measured; found nothing",
    ]


@pytest.fixture
def found() -> dict[str, Any]:
    value = token.Token(
        backend="b", identity="b@1", scenario="s", tree="empty", grain=Grain.METADATA,
        locks="real", seed=0, bound="at most 2 preemptions", choices=("A",),
    )  # fmt: skip
    return {
        "requirement": "P2", "rule": "winners", "scenario": "s", "tree": "empty",
        "after_runs": 7, "token": value.encode(),
    }  # fmt: skip


def searched(tree: str, bound: int, runs: int) -> dict[str, Any]:
    plural = "" if bound == 1 else "s"
    scheduler = f"at most {bound} preemption{plural}"
    return {"scenario": "s", "tree": tree, "scheduler": scheduler, "runs": runs}


def test_the_schedules_until_a_finding_are_those_of_all_searches_before(
    found: dict[str, Any],
) -> None:
    searches = [searched("empty", 1, 10), searched("harvest", 1, 5), searched("empty", 2, 20)]
    assert explore_finding.runs_until({"searches": searches}, found) == 22


def test_a_finding_of_no_search_is_an_error(found: dict[str, Any]) -> None:
    with pytest.raises(MeasureError, match="P2 winners in s from empty"):
        explore_finding.runs_until({"searches": [searched("empty", 1, 10)]}, found)


def test_a_finding_is_sought_by_its_row_and_rule(found: dict[str, Any]) -> None:
    race, *_, collection = explore_finding.SOUGHT
    other = {**found, "rule": "nobody"}
    assert race.among({"found": [other, found]}) == found
    assert race.among({"found": [other]}) is None
    assert collection.among({"found": [other, found]}) == other


def test_the_loop_makes_as_many_calls_as_it_is_asked_for(tmp_path: Path) -> None:
    assert explore_loop.seconds_a_call("mkdir", str(tmp_path), 3) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def test_a_pinned_process_has_its_processors_back_afterwards() -> None:
    before = os.sched_getaffinity(0)
    with pinned():
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before
