import dataclasses
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from untorn import Request, memory
from untorn import clip as clips
from untorn.composition import parse
from untorn.request import resolve
from untorn_conformance.bench import extract, extract_crowd, population
from untorn_conformance.bench.extract_plan import TINY, Studio
from untorn_conformance.bench.row import Row, Unit
from untorn_conformance.meta.test_bench import (
    LIMIT_S,
    MACHINE,
    processes_that_name,
    start,
)
from untorn_fixtures.clips import clip
from untorn_fixtures.errors import FixtureError

COMMAND = [sys.executable, "-m", "untorn_conformance.bench", "extract", "--quick", "--tiny"]
ENDLESS = [
    *(sys.executable, "-c"),
    (
        "import dataclasses; from untorn_conformance.bench import cli; "
        "cli.EXTRACT_TINY = dataclasses.replace(cli.EXTRACT_TINY, crowd_rounds=10**9); cli.bench()"
    ),
    *COMMAND[3:],
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def document(home: Path) -> Any:
    with start(home, "--json", "--rounds", "1", command=COMMAND) as process:
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    return json.loads(out)


def test_json_names_its_schema_the_machine_and_the_plan(document: Any) -> None:
    assert document["schema"] == "untorn/bench/1"
    assert set(document["machine"]) >= MACHINE
    assert document["plan"]["rounds"] == 1 != TINY.rounds


def test_every_row_of_the_goals_is_there_once(document: Any) -> None:
    names = [row["name"] for row in document["rows"]]
    text = "\n".join(names)
    assert len(set(names)) == len(names)
    for part in (
        "cold render of four_clips, one slot", "default slots", "clips new to the process",
        "each clip opened",
        "clips known to the process", "a cache.extract each", "that overlap", "one range 2 times",
        "1 cold render at once", "2 cold renders at once",
    ):  # fmt: skip
        assert part in text, part


def test_every_row_is_measured(document: Any) -> None:
    for row in document["rows"]:
        assert set(row) == set(Row(name="", unit=Unit.MS).to_json())
        assert row["median"] > 0


def test_each_extraction_is_counted_where_its_decoder_starts(document: Any) -> None:
    rows = [row for row in document["rows"] if row["unit"] == Unit.DECODES]
    assert [row["median"] for row in rows] == [1, 1]
    assert [row["met"] for row in rows] == [True, True]


def test_nothing_is_left_behind(document: Any, home: Path) -> None:
    assert document
    assert list(home.iterdir()) == []


def test_an_interrupt_leaves_neither_files_nor_processes(tmp_path: Path) -> None:
    with start(tmp_path, "--rounds", "1", command=ENDLESS) as process:
        assert process.stderr is not None
        assert any("renders at once" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (130, "")
    assert list(tmp_path.iterdir()) == []
    assert processes_that_name(str(tmp_path)) == []


def test_clips_that_cannot_be_had_are_rows_that_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(_: str) -> Path:
        raise FixtureError("the registry cannot be reached")

    monkeypatch.setattr(extract, "real_clip", no_network)
    rows = extract.measure(Studio(home=tmp_path, plan=TINY, say=lambda _: None))
    assert rows
    assert {(row.median, row.met, row.note) for row in rows} == {
        (None, None, "the registry cannot be reached")
    }


def test_decoders_are_counted_one_a_start_whoever_starts_them(tmp_path: Path) -> None:
    """Two renders of two ranges in roots of their own share nothing: four starts."""
    requests = [Request(clip=clip("sdr"), fps=fps, duration="0.2") for fps in (30, 15)]
    counted = extract_crowd.Counter(tmp_path)
    composition = tmp_path / "c.toml"
    composition.write_text(extract_crowd.written(requests), "utf-8")
    for name in ("one", "two"):
        extract_crowd.render(composition, tmp_path / name, counted, processes=1)
    assert counted.starts() == 4


def test_relative_place_counts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = dataclasses.replace(TINY, crowds=(1,))
    studio = Studio(home=Path(), plan=plan, say=lambda _: None)
    started, _ = extract_crowd.measure(studio, [Request(clip=clip("sdr"), fps=5)])
    assert (started.unit, started.median) == (Unit.DECODES, 1)


def test_written_composition_asks_for_the_very_requests() -> None:
    requests = [
        Request(clip=clip("sdr"), fps="30000/1001", start="1/3", duration="1001/30000"),
        Request(clip=clip("sdr"), fps=25, format="jpg", quality=40),
    ]
    again = parse(extract_crowd.written(requests), directory="/").requests
    assert [resolve(one) for one in again] == [resolve(one) for one in requests]


def test_what_opens_a_clip_and_what_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cold render and an opening one open it; the first of a process asks the cache's memory."""
    opened: list[str] = []
    probe = clips.probe

    def counted(path: str) -> clips.ClipInfo:
        opened.append(path)
        return probe(path)

    monkeypatch.setattr(clips, "probe", counted)
    monkeypatch.setattr(memory, "SETTLED_NS", 0)
    requests = [Request(clip=clip("sdr"), fps=fps, duration="0.2") for fps in (30, 15)]
    counts = []
    with population.open_cache(tmp_path / "cache") as cache:
        scene = extract.Scene(cache, tmp_path)
        for way in (scene.cold, scene.render, scene.anew, scene.opening, scene.cold):
            way(requests)
            counts.append(len(opened))
    assert counts == [1, 1, 1, 2, 3]
