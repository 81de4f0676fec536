"""How storms end: whole, with findings, interrupted, killed, without a disk; nothing is left."""

from __future__ import annotations

import json
import os
import re
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from untorn_conformance import history
from untorn_stress import supervise
from untorn_stress.storm.judging import StormFinding
from untorn_stress.storm.ledger import MOST_KEPT, StormLedger
from untorn_stress.storm.owning import PREFIX, own, remove_stale
from untorn_stress.storm.solo import await_true

MARK = "UNTORN_TEST_MARK"
PATIENCE_S = 60.0


class Command:
    """`untorn storm` as a process, all of whose children carry a mark."""

    def __init__(self, folder: Path, *options: str, **how: Any) -> None:
        self.mark = secrets.token_hex(8)
        self.out = folder / "out"
        command = [sys.executable, "-m", "untorn_conformance.cli", "storm", "--out", str(self.out)]
        self.process = subprocess.Popen(
            [*command, "--dir", str(folder), *options],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **how,
        )
        self.told: list[str] = []

    def read_until(self, pattern: str) -> None:
        """Read its progress up to a line with this in it."""
        assert self.process.stderr is not None  # it is a pipe
        for line in self.process.stderr:
            self.told.append(line)
            if re.search(pattern, line):
                return
        raise AssertionError(f"no {pattern!r} in {''.join(self.told)}")

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it wrote on stdout."""
        output, errors = self.process.communicate(timeout=300)
        self.told.append(errors)
        return self.process.returncode, output

    def others(self) -> list[psutil.Process]:
        """All of its processes but itself."""
        found = supervise.marked(self.mark, MARK)
        return [each for each in found if each.pid != self.process.pid]

    def folders(self) -> list[Path]:
        """The directories that its nurseries work in."""
        words = {word for each in self.others() for word in each.cmdline()}
        return [Path(word) for word in words if "untorn-storm-" in word and "disk" not in word]

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.out / "storm.json").read_text())
        return document


@pytest.fixture
def folder(passable: Callable[[], Path]) -> Path:
    return passable()


@pytest.fixture(scope="module")
def whole(passable: Callable[[], Path]) -> Mapping[str, Any]:
    """A storm of some seconds on the reference: exit code, document on stdout, what was left."""
    folder = passable()
    command = Command(folder, "--duration", "4s", "--seed", "7", "--json")
    code, output = command.end()
    return {
        "code": code,
        "said": json.loads(output),
        "kept": command.document,
        "left": supervise.marked(command.mark, MARK),
        "names": sorted(os.listdir(folder)),
        "files": sorted(os.listdir(command.out)),
        "told": "".join(command.told),
    }


def test_a_storm_on_the_reference_finds_nothing(whole: Mapping[str, Any]) -> None:
    assert (whole["code"], whole["said"]["verdict"]) == (0, "pass"), whole["said"]["reason"]


def test_a_storm_does_what_it_is_for(whole: Mapping[str, Any]) -> None:
    said = whole["said"]
    counts = {
        "rounds": said["rounds"],
        "reads": said["operations"]["read"]["read"],
        "published": said["operations"]["publish"]["published"],
        "kills": said["strikes"]["kill"]["bit"],
        "series": sum(said["series"]["operations"]),
        "samples": said["resources"]["peak_rss_bytes"],
    }
    assert all(count > 0 for count in counts.values()), counts


def test_every_checker_judged_every_round(whole: Mapping[str, Any]) -> None:
    checkers = whole["said"]["checkers"]
    judged = {(each["rounds"], each["unknown"]) for each in checkers.values()}
    assert (len(checkers), judged) == (12, {(whole["said"]["rounds"], 0)})


def test_json_is_what_the_run_directory_holds(whole: Mapping[str, Any]) -> None:
    assert whole["said"] == whole["kept"]


def test_the_seed_and_every_option_are_told_first(whole: Mapping[str, Any]) -> None:
    first = whole["told"].splitlines()[0]
    assert all(word in first for word in ("seed 7", "4 s", "6 readers", "10 kills a second"))


def test_a_run_directory_has_a_summary_and_a_page(whole: Mapping[str, Any]) -> None:
    assert whole["files"] == ["progress.json", "report.html", "storm.json"]


def test_a_storm_leaves_nothing_but_its_run(whole: Mapping[str, Any]) -> None:
    assert (whole["left"], whole["names"]) == ([], ["out"])


@pytest.mark.parametrize("specimen", ["first_posted", "after_review"])
def test_a_specimen_fails_at_once(folder: Path, specimen: str) -> None:
    backend = f"py:untorn_conformance.specimens.{specimen}:factory"
    command = Command(
        folder, "--duration", "3s", "--seed", "1", "--backend", backend, "--nemesis", "kill"
    )
    code, _ = command.end()
    found = command.document["findings"]
    kept = (command.out / "findings.jsonl").read_text().splitlines()
    histories = {each["history"] for each in found}
    assert (code, command.document["verdict"]) == (1, "fail")
    assert [json.loads(each) for each in kept] == found
    assert histories
    assert all((command.out / each).exists() for each in histories)


def test_an_interrupt_writes_what_there_is(folder: Path) -> None:
    command = Command(folder, "--duration", "10m", "--seed", "7", "--nemesis", "kill,stop")
    command.read_until("round 1 ")
    command.process.send_signal(signal.SIGINT)
    code, _ = command.end()
    said = command.document
    assert (code, said["verdict"]) == (130, "unknown")
    assert said["rounds"] >= 1
    assert "interrupted (SIGINT)" in said["reason"]
    assert (command.others(), sorted(os.listdir(folder))) == ([], ["out"])


def test_a_killed_driver_leaves_no_process_and_no_directory(folder: Path) -> None:
    command = Command(folder, "--duration", "10m", "--seed", "7")
    command.read_until("round 1 ")
    folders = command.folders()
    assert folders
    assert await_true(
        lambda: any(path.stat().st_size for each in folders for path in each.glob("*.jsonl")),
        PATIENCE_S,
    )
    command.process.kill()
    command.end()
    assert await_true(lambda: not command.others(), PATIENCE_S)
    assert await_true(lambda: not any(each.exists() for each in folders), PATIENCE_S)
    (kept,) = (command.out / "rounds").iterdir()
    with kept.open() as lines:
        assert not history.read(lines).is_whole


def test_a_killed_nursery_ends_all_without_a_verdict(folder: Path) -> None:
    command = Command(folder, "--duration", "10m", "--seed", "7", "--nemesis", "kill")
    command.read_until("round 1 ")
    (nursery,) = (
        each
        for each in command.others()
        if "untorn_conformance.nursery" in each.cmdline() and each.ppid() == command.process.pid
    )
    nursery.kill()
    code, _ = command.end()
    assert (code, "the nursery" in command.document["reason"]) == (7, True)
    assert (command.others(), sorted(os.listdir(folder))) == ([], ["out"])


def test_a_history_that_cannot_be_written_is_told_and_loses_nothing(folder: Path) -> None:
    most = 128 * 1024
    command = Command(
        folder,
        *("--duration", "1s", "--seed", "7", "--nemesis", "kill"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    code, _ = command.end()
    said = command.document
    assert (code, said["verdict"]) == (6, "unknown")
    assert "cannot be written" in said["reason"]
    assert said["checkers"]["H1"]["unknown"] == 0


def test_findings_are_kept_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    ledger = StormLedger(tmp_path / "out", "untorn storm", time.monotonic_ns())
    found = StormFinding(checker="H1", requirements=("P1",), message="torn", operations=(3,))
    ledger.keep([found], 1, lambda: ["{}\n"])
    assert [each["message"] for each in ledger.findings] == ["torn"]
    assert "cannot be written" in ledger.trouble


def test_one_kind_of_finding_hides_no_other(tmp_path: Path) -> None:
    ledger = StormLedger(tmp_path, "untorn storm", time.monotonic_ns())
    noise = StormFinding(checker="H1", requirements=("P1",), message="torn")
    other = StormFinding(checker="H1", requirements=("R1",), message="other")
    ledger.keep([noise] * (MOST_KEPT + 1) + [other], 1, list)
    kept = [each["message"] for each in ledger.findings]
    assert (kept.count("torn"), kept.count("other")) == (MOST_KEPT, 1)


def test_a_nemesis_that_was_named_and_never_bit_leaves_the_storm_open(folder: Path) -> None:
    command = Command(folder, "--duration", "1s", "--seed", "1", "--nemesis", "kill-parent")
    code, _ = command.end()
    assert (code, command.document["verdict"]) == (6, "unknown")
    assert "kill-parent was asked for and never bit (nobody" in command.document["reason"]


def test_directories_of_drivers_that_are_gone_are_removed(tmp_path: Path) -> None:
    gone, living, unlocked = (tmp_path / f"{PREFIX}{number}" for number in range(3))
    for each in (gone, living, unlocked):
        each.mkdir()
    os.close(own(gone))
    fd = own(living)
    assert (remove_stale(tmp_path), gone.exists()) == ([gone], False)
    assert living.exists()
    assert unlocked.exists()
    os.close(fd)


@pytest.mark.parametrize(
    "options",
    [
        ("--duration", "0s"),
        ("--duration", "-1"),
        ("--duration", "soon"),
        ("--workers", "0,0,0"),
        ("--workers", "-1,2,2"),
        ("--nemesis", "kil"),
        ("--kills-per-s", "-1"),
        ("--kills-per-s", "nan"),
        ("--backend", "nobody"),
    ],
    ids=" ".join,
)
def test_what_is_typed_wrong_is_a_usage_error(folder: Path, options: tuple[str, ...]) -> None:
    command = Command(folder, *options)
    code, output = command.end()
    assert (code, output, command.out.exists()) == (2, "", False)
    assert "Error: Invalid value" in command.told[-1]


def test_no_second_storm_in_one_run_directory(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "findings.jsonl").write_text("")
    command = Command(folder)
    code, _ = command.end()
    assert (code, "holds a storm already" in command.told[-1]) == (2, True)


def test_a_backend_that_cannot_start_has_no_verdict(folder: Path) -> None:
    command = Command(folder, "--duration", "3s", "--backend", "cmd:false")
    code, _ = command.end()
    assert (code, command.document["verdict"]) == (7, "invalid")


def test_extract_needs_a_backend_that_extracts(folder: Path) -> None:
    backend = "py:untorn_conformance.specimens.first_posted:factory"
    command = Command(folder, "--duration", "3s", "--extract", "--backend", backend)
    code, _ = command.end()
    assert (code, "declares extract" in command.document["reason"]) == (7, True)


@pytest.mark.parametrize(
    "options",
    [
        ("--storm", "0"),
        ("--storm", "-1"),
        ("--storm", "x"),
        ("--storm", "1s", "--seed", "-1"),
    ],
    ids=" ".join,
)
def test_what_is_typed_wrong_for_storms_as_tests_is_one_line(options: tuple[str, ...]) -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_storm.py", *options],
        cwd=here,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if "rror: " in line or "ERROR: " in line]
    assert (done.returncode, len(lines), "Traceback" in done.stderr) == (4, 1, False)
    assert options[-2] in lines[0]
