"""A campaign on a real Dask cluster on loopback: a scheduler and two workers, each a process.

A worker is killed by the shard that it runs; nothing here waits for a while.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from untorn_stress import supervise
from untorn_stress.campaign import hands
from untorn_stress.campaign.hands import ExecutorError
from untorn_stress.campaign.warden import CAMPAIGN_VARIABLE

pytest.importorskip("distributed", reason="UNKNOWN: distributed is not installed (untorn[dask])")

LIMIT_S = 120.0


@contextmanager
def process(*arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with (
        open(log, "wb") as output,
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "dask", *arguments],
            env={
                **os.environ,
                "PYTHONPATH": path,
                "DASK_TEMPORARY_DIRECTORY": str(log.parent),
            },
            stdout=output,
            stderr=output,
        ) as started,
    ):
        try:
            yield started
        finally:
            started.kill()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Its address, for ``--executor``."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "scheduler.json"
    here = ("--host", "127.0.0.1", "--no-dashboard")
    with ExitStack() as running:
        scheduler = ("scheduler", *here, "--port", "0", "--scheduler-file", str(file))
        running.enter_context(process(*scheduler, log=tmp_path / "scheduler.log"))
        for name in ("one", "two"):
            worker = ["worker", "--scheduler-file", str(file), *here, "--no-nanny"]
            worker += ["--nthreads", "1", "--name", name, "--local-directory", str(tmp_path / name)]
            running.enter_context(process(*worker, log=tmp_path / f"{name}.log"))
        address = address_in(file).removeprefix("tcp://")
        both_are_there(address)
        yield f"dask://{address}"


def address_in(file: Path) -> str:
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s:
        if file.exists() and (text := file.read_text()):
            return str(json.loads(text)["address"])
    raise AssertionError("the scheduler did not start")


def both_are_there(address: str) -> None:
    import distributed  # noqa: PLC0415 (an extra, which need not be there)

    with distributed.Client(f"tcp://{address}", set_as_default=False) as client:
        client.wait_for_workers(2, timeout=LIMIT_S)


def test_shards_run_on_the_workers_and_a_lost_workers_shard_is_made_again(
    program: ModuleType, cluster: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program.orders("some-fail")
    program.some(out, 5, executor=cluster, jobs=None)
    document = json.loads((out / "campaign.json").read_text())
    assert document["canary"]["found_out"] == 1
    assert {each["verdict"] for each in document["shards"]} >= {"pass", "fail"}

    program.orders("kills-its-worker", once=True)
    said = program.some(out, 4, executor=cluster, jobs=None)
    (told,) = [line for line in said if "its worker is lost" in line]
    assert "KilledWorker" in told  # by the cluster, which did not try three others first
    document = program.session(out, 0.001, executor=cluster, jobs=None)
    (lost,) = [each for each in document["shards"] if each["lost"]]
    assert (lost["state"], lost["verdict"], lost["lost"]) == ("finished", "pass", 1)
    assert all(each["state"] == "finished" for each in document["shards"])
    ran = [line.split()[0] for line in Path("ran").read_text().splitlines()]
    assert len(ran) == len(set(ran))  # no attempt was made twice by the cluster itself
    assert supervise.marked(document["id"], CAMPAIGN_VARIABLE) == []


def test_a_cluster_that_loses_all_its_workers_ends_the_session_and_no_finding(
    program: ModuleType, cluster: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program.orders("fail")
    program.some(out, 3, executor=cluster, jobs=None)
    before = json.loads((out / "campaign.json").read_text())
    program.orders("kills-its-worker")
    with pytest.raises(ExecutorError, match=r"no worker is left|connection"):
        program.session(out, 3_600.0, executor=cluster, jobs=None)
    program.orders("pass")
    document = program.session(out, 0.001)
    assert document["verdict"] == "fail"
    assert before["findings"][0]["shards"] == document["findings"][0]["shards"]


def test_a_worker_that_stands_still_is_not_waited_for(cluster: str) -> None:
    """The scheduler tries for half a minute to reach it, and would let us wait as long."""
    (two,) = [each for each in psutil.Process().children() if "two" in each.cmdline()]
    two.suspend()
    with hands.hands(cluster, None) as workers:
        assert workers.jobs == 1


def test_a_scheduler_without_workers_is_said(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    here = ("--host", "127.0.0.1", "--no-dashboard", "--port", "0")
    arguments = ("scheduler", *here, "--scheduler-file", str(file))
    with process(*arguments, log=tmp_path / "log"):
        address = address_in(file).removeprefix("tcp://")
        with (
            pytest.raises(ExecutorError, match="has no worker"),
            hands.hands(f"dask://{address}", None),
        ):
            pytest.fail("it has nobody to run shards")
