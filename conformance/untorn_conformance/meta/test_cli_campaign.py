"""`untorn campaign` as a person types it: what is refused, and how, and one that is real."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rich_click as click
from untorn_conformance.cli_campaign import campaign
from untorn_conformance.meta.command import untorn
from untorn_stress import supervise
from untorn_stress.campaign import journal, place
from untorn_stress.campaign.warden import CAMPAIGN_VARIABLE
from untorn_stress.gate.availability import probe

CHECKOUT = Path(__file__).resolve().parents[3]
LIMIT_S = 120.0
FIRST_POSTED = "py:untorn_conformance.specimens.first_posted:factory"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "duration"),
        ("--duration 0s", "no time at all"),
        ("--duration -5s", "no duration"),
        ("--duration 8", "no duration"),
        ("--duration soon", "no duration"),
        ("--duration 1m --jobs 0", "jobs"),
        ("--duration 1m --jobs -1", "jobs"),
        ("--duration 1m --jobs many", "jobs"),
        ("--duration 1m --seed -1", "seed"),
        ("--duration 1m --seed x", "seed"),
        ("--duration 1m --max-disk 0GiB", "no size"),
        ("--duration 1m --max-disk lots", "no size"),
        ("--duration 1m --executor ray", "neither local nor dask"),
        ("--duration 1m --scenario storm", "storm"),
        ("--duration 1m --backend py:", "backend"),
        ("--duration 1m --dir /no/such/place", "dir"),
    ],
)
def test_what_is_not_right_is_refused_before_anything_is_made(
    typed: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.UsageError) as caught:
        campaign.make_context("campaign", shlex.split(typed))
    assert caught.value.exit_code == 2
    assert told in caught.value.format_message()
    assert list(tmp_path.iterdir()) == []


def test_the_workflow_types_what_there_is() -> None:
    text = (CHECKOUT / ".github" / "workflows" / "nightly.yml").read_text("utf-8")
    (typed,) = re.findall(r"untorn campaign ((?:.+\n)+?) +- ", text)
    words = [each.replace("$DURATION", "5h") for each in shlex.split(typed)]
    context = campaign.make_context("campaign", words)
    assert context.params["asked_s"] == 5 * 3600


def test_what_hinders_it_is_an_error_in_a_line_and_code_7(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    where = place.CampaignPlace.at(tmp_path / "out", None)
    with journal.locked(where.locks(), "process 77"):
        busy = untorn("campaign", "--duration", "1s", "--out", "out", "--json", cwd=tmp_path)
    assert busy.returncode == 7
    assert json.loads(busy.stdout)["error"] == "LockedError"
    assert "process 77" in busy.stderr
    unreachable = untorn(
        *("campaign", "--duration", "1s", "--out", "out", "--json"),
        *("--executor", f"dask://127.0.0.1:{port}"),
        cwd=tmp_path,
    )
    assert unreachable.returncode == 7
    assert json.loads(unreachable.stdout)["error"] == "ExecutorError"


def test_a_backend_that_does_not_start_allows_no_verdict(tmp_path: Path) -> None:
    done = untorn(
        *("campaign", "--duration", "1s", "--out", "out", "--backend", "cmd:false"), cwd=tmp_path
    )
    assert done.returncode == 7
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_real_one_finds_a_real_race(tmp_path: Path) -> None:
    """The one test with real shards: two canaries and one search at the gate."""
    if not probe().ok:
        pytest.skip(f"UNKNOWN: no gate here: {probe().reason}")
    done = untorn(
        *("campaign", "--duration", "2s", "--seed", "4", "--scenario", "pct", "--json"),
        *("--backend", FIRST_POSTED, "--out", "out"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "out" / "campaign.json").read_text())
    assert document["canary"] == {"asked": 1, "found_out": 1, "missed": [], "unjudged": []}
    finding = document["findings"][0]
    assert finding["replay"].startswith("untorn replay u1.")
    assert (tmp_path / "out" / finding["history"]).is_file()


def begun(out: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "untorn_conformance.cli", "campaign", "--out", str(out), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=out.parent,
    )


def until_lines(out: Path, least: int, campaign: subprocess.Popen[str]) -> None:
    end_s = time.monotonic() + LIMIT_S
    path = out / "journal.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < least:
        assert campaign.poll() is None, "it ended by itself"
        assert time.monotonic() < end_s, "it never came that far"


def test_ctrl_c_ends_it_with_130_and_what_it_has(tmp_path: Path) -> None:
    campaign = begun(tmp_path / "out", "--duration", "1h", "--scenario", "pct", "--json")
    until_lines(tmp_path / "out", 4, campaign)  # its first shard has begun
    campaign.send_signal(signal.SIGINT)
    stdout, _ = campaign.communicate(timeout=LIMIT_S)
    assert campaign.returncode == 130
    document = json.loads(stdout)
    assert document["verdict"] == "unknown"
    assert supervise.marked(document["id"], CAMPAIGN_VARIABLE) == []


@pytest.mark.nightly
def test_a_real_one_that_is_killed_three_times_ends_as_any_other(tmp_path: Path) -> None:
    """All four scenarios, storms among them, on a cache that is broken."""
    if not probe().ok:
        pytest.skip(f"UNKNOWN: no gate here: {probe().reason}")
    out, draw, seen = tmp_path / "out", random.Random(7), set[str]()
    arguments = ("--seed", "7", "--backend", FIRST_POSTED, "--json", "--jobs", "2")
    lines = 0
    for _ in range(3):
        lines += draw.randint(3, 12)
        campaign = begun(out, "--duration", "1h", *arguments)
        until_lines(out, lines, campaign)
        campaign.kill()
        campaign.communicate()
        seen |= found(out)
        lines = (out / "journal.jsonl").read_bytes().count(b"\n")
    last = begun(out, "--duration", "30s", *arguments)
    stdout, _ = last.communicate()
    document = json.loads(stdout)
    assert last.returncode == 1
    assert document["ended"]
    assert found(out) >= seen
    assert {each["state"] for each in document["shards"]} == {"finished"}
    assert "HARNESS_ERROR" not in stdout
    assert supervise.marked(document["id"], CAMPAIGN_VARIABLE) == []


def found(out: Path) -> set[str]:
    """Each finding of each line that is whole."""
    lines = journal.parse((out / "journal.jsonl").read_bytes(), "journal.jsonl")
    return {
        json.dumps(finding, sort_keys=True)
        for each in lines.objects
        for finding in each.get("findings", ())
    }
