"""A campaign is killed, cut short, filled up and started twice: nothing found is lost or doubled.

The shards are stand-ins that end at once (``programs/shard.py``), below real wardens.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from untorn_stress import supervise
from untorn_stress.campaign import hands, journal, place
from untorn_stress.campaign.hands import ExecutorError
from untorn_stress.campaign.place import OtherCampaignError
from untorn_stress.campaign.task import private_name
from untorn_stress.campaign.warden import CAMPAIGN_VARIABLE

OVER = 0.001
"""So short a campaign that only what was begun before is still done."""

LONG = 3_600.0
LIMIT_S = 120.0


def found_in(lines: list[dict[str, Any]]) -> Counter[tuple[int, str]]:
    return Counter(
        (each["number"], finding["message"])
        for each in lines
        for finding in each.get("findings", ())
    )


def starts() -> Counter[str]:
    """How often each shard was started, by its directory's name."""
    return Counter(line.split()[0] for line in Path("ran").read_text().splitlines())


def nothing_is_left(campaign: str) -> bool:
    marked = supervise.marked(campaign, CAMPAIGN_VARIABLE)
    files = list(Path(tempfile.gettempdir()).glob(private_name(campaign, "*")))
    return not marked and not files


# --- what comes of one ----------------------------------------------------------------------------


def test_a_campaign_says_what_it_found_and_what_each_shard_was(
    program: ModuleType, out: Path
) -> None:
    program.some(out, 6)
    document = program.session(out, OVER)
    assert document["verdict"] == "fail"
    assert document == program.summary(out)
    assert document["untorn_campaign"] == 1
    shards = document["shards"]
    assert [each["number"] for each in shards] == list(range(1, len(shards) + 1))
    assert {each["verdict"] for each in shards} == {"pass", "fail"}
    failing = [each["number"] for each in shards[1:] if each["findings"]]
    (finding,) = document["findings"]
    assert finding["shards"] == failing
    assert document["canary"]["found_out"] == 1
    assert document["scenarios"]["fail_nth"]["shards"] == len(shards) - 1
    assert all((out / each["directory"] / "stdout.json").is_file() for each in shards)
    assert nothing_is_left(document["id"])


def test_a_canary_that_passes_ends_it(program: ModuleType, out: Path) -> None:
    program.orders("pass", canary=False)
    document = program.session(out, LONG)
    assert document["verdict"] == "invalid"
    assert "a broken cache was not found out" in document["reason"]
    assert len(document["shards"]) == 1


@pytest.mark.parametrize(
    ("how", "verdict"), [("crash", "invalid"), ("undecided", "unknown"), ("no-such", "invalid")]
)
def test_a_shard_that_says_nothing_is_never_a_pass(
    program: ModuleType, out: Path, how: str, verdict: str
) -> None:
    program.orders(how)
    program.some(out, 2)
    document = program.session(out, OVER)
    assert document["shards"][1]["verdict"] == verdict
    assert document["verdict"] == verdict


def test_a_shard_that_kills_its_warden_is_made_again_once_and_then_invalid(
    program: ModuleType, out: Path
) -> None:
    program.orders("kills-its-warden")
    said = program.some(out, 4)
    assert sum("its worker is lost" in line for line in said) == 2
    document = program.session(out, OVER)
    (shard,) = [each for each in document["shards"] if each["lost"]]
    assert (shard["lost"], shard["attempts"], shard["state"]) == (2, 2, "lost")
    assert shard["verdict"] == document["verdict"] == "invalid"
    assert nothing_is_left(document["id"])


# --- killed, and started again --------------------------------------------------------------------


def started(program: ModuleType, out: Path, jobs: int = 1, *more: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with open("stderr", "ab") as errors:  # where its wardens write, too
        return subprocess.Popen(
            [
                sys.executable,
                str(program.__file__),
                str(Path.cwd()),
                str(out),
                str(LONG),
                str(jobs),
                *more,
            ],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def until(reached: Callable[[], bool], campaign: subprocess.Popen[bytes]) -> None:
    """Wait for a state of the files; the deadline is for a campaign that hangs."""
    end_s = time.monotonic() + LIMIT_S
    while not reached():
        assert campaign.poll() is None, "the campaign ended by itself"
        assert time.monotonic() < end_s, "that state was never reached"


def has_lines(out: Path, least: int) -> bool:
    return lines_in(out) >= least


def lines_in(out: Path) -> int:
    try:
        return (out / "journal.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_it_loses_nothing_and_does_nothing_twice(
    program: ModuleType, out: Path, seed: int
) -> None:
    draw = random.Random(seed)
    wanted, seen = 0, Counter[tuple[int, str]]()
    for _ in range(2):
        wanted = max(wanted, lines_in(out)) + draw.randint(1, 9)
        campaign = started(program, out, jobs=draw.randint(1, 2))
        until(partial(has_lines, out, wanted), campaign)
        campaign.kill()
        campaign.wait()
        seen |= found_in(events_that_are_whole(out))
    document = program.session(out, OVER)
    finished = Counter(
        each["number"] for each in program.events(out) if each["event"] == "finished"
    )
    assert set(finished.values()) == {1}
    assert found_in(program.events(out)) >= seen
    told = {each["number"]: each for each in document["shards"]}
    assert all(told[number]["findings"] for number, _ in seen)
    assert all(len(each["findings"]) <= 1 for each in document["shards"])
    assert all(each["state"] == "finished" for each in document["shards"])
    once = [each for each in document["shards"] if each["attempts"] == 1]
    assert all(starts()[Path(each["directory"]).name] == 1 for each in once)
    in_corpus = [
        json.loads(line)["id"] for line in (out / "corpus.jsonl").read_bytes().splitlines()
    ]
    assert len(in_corpus) == len(set(in_corpus))
    assert bool(in_corpus) == any(each["findings"] for each in document["shards"][1:])
    assert nothing_is_left(document["id"])


def events_that_are_whole(out: Path) -> list[dict[str, Any]]:
    return list(journal.parse((out / "journal.jsonl").read_bytes(), "").objects)


def test_what_a_running_shard_had_found_is_kept_and_its_processes_end(
    program: ModuleType, out: Path
) -> None:
    program.orders("waits")
    campaign = started(program, out)
    until(lambda: Path("waiting").exists(), campaign)
    mine = json.loads((out / "journal.jsonl").read_text().splitlines()[0])["id"]
    watched = supervise.marked(mine, CAMPAIGN_VARIABLE)
    assert len(watched) >= 3  # the warden, the shard and what that has started
    campaign.kill()
    campaign.wait()
    gone, alive = psutil.wait_procs(watched, timeout=LIMIT_S)
    assert (len(gone), alive) == (len(watched), [])
    assert Path("ended-well").exists()
    assert Path("stderr").read_text() == ""
    program.orders("pass")
    document = program.session(out, OVER)
    cut = document["shards"][1]
    assert (cut["attempts"], cut["verdict"], len(cut["findings"])) == (2, "pass", 1)
    assert document["verdict"] == "fail"
    assert nothing_is_left(mine)


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_ctrl_c_ends_all_and_leaves_a_summary(program: ModuleType, out: Path, number: int) -> None:
    program.orders("waits")
    campaign = started(program, out)
    until(lambda: Path("waiting").exists(), campaign)
    campaign.send_signal(number)
    campaign.wait(LIMIT_S)
    assert Path("ended-well").exists()
    document = program.summary(out)
    assert document["verdict"] == "fail"  # by what the running shard had found
    assert document["shards"][1]["state"] == "planned"
    assert document["corpus"]["entries"] == 1
    assert nothing_is_left(document["id"])


def test_a_disk_that_fills_up_ends_it_and_what_was_found_is_kept(
    program: ModuleType, out: Path
) -> None:
    program.orders("fail")
    campaign = started(program, out, 1, str(4_000))  # no file may have more bytes
    assert campaign.wait(LIMIT_S) != 0
    seen = found_in(program.events(out))  # each line is whole
    assert len(seen) > 1
    document = program.session(out, OVER)
    assert found_in(program.events(out)) >= seen
    assert document["verdict"] == "fail"
    assert nothing_is_left(document["id"])


def test_a_session_goes_on_with_the_seed_and_the_time_of_the_one_before(
    program: ModuleType, out: Path
) -> None:
    program.some(out, 3)
    before = program.summary(out)
    program.some(out, 2, seed=None)
    after = program.summary(out)
    assert (after["id"], after["seed"], after["sessions"]) == (before["id"], before["seed"], 2)
    assert after["used_s"] > before["used_s"]
    assert after["shards"][:3] == before["shards"][:3]


# --- two of them, and other ones ------------------------------------------------------------------


def test_two_campaigns_on_one_directory_or_corpus_are_told_of_each_other(out: Path) -> None:
    where = place.CampaignPlace.at(out, None)
    other = place.CampaignPlace.at(out.with_name("other"), where.corpus)
    with journal.locked(where.locks(), "process 77 on here"):
        assert [lock_elsewhere(each) for each in (where, other)] == ["process 77 on here"] * 2
    assert lock_elsewhere(where) == ""


def lock_elsewhere(where: place.CampaignPlace) -> str:
    """Another process locks the same: who is in its way?"""
    code = f"""
import re, sys
from pathlib import Path
from untorn_stress.campaign import journal
try:
    with journal.locked([Path(each) for each in {list(map(str, where.locks()))!r}], "second"):
        pass
except journal.LockedError as error:
    sys.stdout.write(re.search(r"\\((.*)\\)", str(error))[1])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("other", [{"seed": 8}, {"backend": "another"}, {"strands": ("pct",)}])
def test_an_unfinished_campaign_of_another_kind_is_not_gone_on_with(
    program: ModuleType, out: Path, other: dict[str, Any]
) -> None:
    program.some(out, 1)
    with pytest.raises(OtherCampaignError, match="--fresh"):
        program.session(out, OVER, **other)
    assert program.session(out, OVER, fresh=True, **other)["sessions"] == 1


def test_the_next_campaign_tries_the_corpus_first_and_says_what_fails_no_more(
    program: ModuleType, out: Path
) -> None:
    program.orders("fail")
    program.some(out, 3)
    first = program.session(out, OVER)
    added = first["corpus"]["added"]
    assert len(added) == 2
    program.orders("pass")
    program.some(out, 3)
    second = program.session(out, OVER)
    assert second["id"] != first["id"]
    tried = [each for each in second["shards"] if each["scenario"] == "corpus"]
    assert [each["number"] for each in tried] == [2, 3]
    commands = [each["command"] for each in first["shards"] if each["scenario"] == "fail_nth"]
    assert [each["command"] for each in tried] == commands
    assert [each["quiet"] for each in second["corpus"]["no_longer_failing"]] == [1, 1]
    assert second["corpus"]["entries"] == 2
    assert (out / "earlier" / first["id"] / "campaign.json").is_file()


def test_what_failed_in_the_corpus_and_fails_again_is_a_finding(
    program: ModuleType, out: Path
) -> None:
    program.orders("fail")
    program.some(out, 2)
    program.session(out, OVER)
    program.some(out, 2)
    document = program.session(out, OVER)
    assert document["verdict"] == "fail"
    assert len(document["corpus"]["still_failing"]) == 1
    assert document["corpus"]["no_longer_failing"] == []


# --- who is not there -----------------------------------------------------------------------------


def test_without_the_extra_a_cluster_is_refused_with_the_line_that_installs_it() -> None:
    code = """
import sys
sys.modules["distributed"] = None
from untorn_stress.campaign import hands
try:
    hands.hands("dask://127.0.0.1:9", None).__enter__()
except hands.ExecutorError as error:
    sys.exit(str(error))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "pip install 'untorn[dask]'" in done.stderr


def test_a_scheduler_that_nobody_runs_is_said_at_once() -> None:
    pytest.importorskip("distributed", reason="UNKNOWN: distributed is not installed")
    began_s = time.monotonic()
    with pytest.raises(ExecutorError, match="dask scheduler"), hands.hands("dask://127.0.0.1:9", 1):
        pytest.fail("it connected")
    assert time.monotonic() - began_s < LIMIT_S
