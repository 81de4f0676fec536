"""Where a run lands: never in another's directory, never half written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.verdict import from_json
from untorn_reports import run_directory
from untorn_reports.run_directory import RunDirectory, default_base

# A process of its own that says it is ready, waits for the word, and prints the ids it was given.
CREATOR = """
import sys
from pathlib import Path
from untorn_reports.run_directory import RunDirectory
print("ready", flush=True)
sys.stdin.readline()
print(*[RunDirectory.create(Path(sys.argv[1]), "reference").id for _ in range(20)], flush=True)
"""


def test_runs_created_at_once_by_two_processes_never_share_an_id(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATOR, str(tmp_path / "runs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ids = [name for process in processes for name in process.communicate()[0].split()]
    assert len(set(ids)) == len(ids) == 40
    assert {path.name for path in (tmp_path / "runs").iterdir()} == set(ids)


def test_an_id_that_is_taken_is_not_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["same", "same", "other"])
    monkeypatch.setattr(run_directory, "_new_id", lambda _backend: next(drawn))
    ids = [RunDirectory.create(tmp_path, "reference").id for _ in range(2)]
    assert ids == ["same", "other"]


@pytest.mark.parametrize(
    ("backend", "plain"),
    [
        ("reference", "reference"),
        ("cmd:node ../adapter.mjs", "cmd-node-adapter-mjs"),
        ("/../../etc", "etc"),
        ("\udce9", "backend"),
        ("a" * 300, "a" * 40),
    ],
)
def test_an_id_is_utc_time_backend_and_chance(tmp_path: Path, backend: str, plain: str) -> None:
    run = RunDirectory.create(tmp_path / "runs", backend)
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}Z-{plain}-[0-9a-f]{{6}}", run.id)
    assert run.path.parent == tmp_path / "runs"


def test_a_run_leaves_its_verdict_its_page_and_its_environment(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    run = RunDirectory.create(tmp_path, "reference")
    run.write(document)
    assert sorted(path.name for path in run.path.iterdir()) == [
        "env.json",
        "junit.xml",
        "report.html",
        "summary.md",
        "verdict.json",
    ]
    verdict = json.loads((run.path / "verdict.json").read_bytes())
    assert from_json(verdict) == from_json(document)
    assert json.loads((run.path / "env.json").read_bytes()) == document["provenance"]
    assert (run.path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_reader_of_a_file_that_is_written_again_keeps_the_whole_old_one(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    run = RunDirectory.create(tmp_path, "reference")
    run.write(document)
    with (run.path / "verdict.json").open("rb") as reading:
        run.write(document | {"measurements": []})
        assert json.loads(reading.read()) == json.loads(json.dumps(document))


def test_latest_is_the_run_that_finished_last(tmp_path: Path, document: dict[str, Any]) -> None:
    first, second = (RunDirectory.create(tmp_path, "reference") for _ in range(2))
    for run in (second, first):
        run.write(document)
        assert (tmp_path / "latest").readlink() == Path(run.id)
    assert {path.name for path in tmp_path.iterdir()} == {"latest", first.id, second.id}


def test_a_document_that_is_no_verdict_leaves_nothing(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "reference")
    with pytest.raises(ValueError, match="not a verdict"):
        run.write({"schema": "junit"})
    assert list(run.path.iterdir()) == []
    assert not (tmp_path / "latest").is_symlink()


def test_runs_land_in_reports_in_a_checkout_and_beside_us_elsewhere(tmp_path: Path) -> None:
    assert default_base(tmp_path) == tmp_path / "untorn-runs"
    (tmp_path / "reports" / "untorn_reports").mkdir(parents=True)
    assert default_base(tmp_path) == tmp_path / "reports" / "runs"
