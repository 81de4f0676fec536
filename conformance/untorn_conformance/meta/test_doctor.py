"""`untorn doctor --backend` on adapters that are wrong in one way each."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance import doctor
from untorn_conformance.doctor import examine
from untorn_conformance.meta.command import untorn

PROGRAM = Path(__file__).parent / "programs" / "fake_adapter.py"
INVALID, USAGE = 7, 2


def fake(way: str) -> str:
    return f"cmd:{shlex.join([sys.executable, str(PROGRAM), way])}"


def words(backend: str) -> dict[str, tuple[str, str]]:
    return {each.name: (each.word, each.seen) for each in examine(backend)}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is importable here must be importable for the fakes; nobody else uses the directory."""
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("way", ["well", "renders"])
def test_a_good_adapter_is_well(tmp_path: Path, way: str) -> None:
    done = untorn("doctor", "--backend", fake(way), "--json", cwd=tmp_path)
    document: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, document["well"]) == (0, True), done.stdout
    assert {each["word"] for each in document["checks"]} == {"ok"}


@pytest.mark.parametrize(
    ("way", "check", "told"),
    [
        ("banner", "stdout", "'acme cache 1.0, ready' is no message; print such things to stderr"),
        ("wrong-ids", "ids", "request 4711 was answered with id 1; repeat the request's own"),
        ("errors-without-id", "ids", "request 4712 was answered with id 0"),
        ("dies-at-once", "hello", "its stderr ends with: acme: no licence found"),
        ("closes-stdout", "hello", "it ended, or closed its stdout, before it answered hello"),
        ("protocol-2", "hello", "it speaks protocol 2, this harness speaks 1"),
        ("unknown-capability", "hello", "hello.capabilities[0] must not be 'teleport'"),
        ("reserved-capability", "hello", "durable, which is reserved"),
        ("unknown-handles", "round trip", "a handle that never was is to be bad-request, not odd"),
        ("forgets", "round trip", "a lookup after the publish answered Miss"),
        ("invents-bytes", "round trip", "a read of 23 published bytes answered FrameRead"),
        ("renders-not", "round trip", "render: this backend has no render"),
        ("renders-all-or-nothing", "round trip", "render: there is no such clip"),
        ("renders-too-few", "round trip", "a render of 2 requests answered Rendered"),
        ("starts-once", "SIGKILL", "its second start: the worker died in hello"),
        ("writes-outside", "outside", ".acme-state; keep everything below the root"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(way: str, check: str, told: str) -> None:
    found = words(fake(way))
    assert found[check][0] == "FAIL", found
    assert told in found[check][1]


@pytest.mark.parametrize(
    ("way", "check", "told"),
    [
        ("never-flushes", "flush", "came only at the end of the input; flush stdout"),
        ("hangs", "hello", "no answer of hello in 2 s"),
        ("ignores-eof", "end of input", "it still ran 2 s after the end of its input"),
        ("leaves-a-child", "SIGKILL", "1 processes outlive it; start the adapter itself"),
        ("leaves-a-child", "end of input", "1 processes that it started run on; end them when"),
    ],
)
def test_what_never_comes_is_named_too(
    monkeypatch: pytest.MonkeyPatch, way: str, check: str, told: str
) -> None:
    monkeypatch.setattr(doctor, "DEADLINE_S", 2.0)
    monkeypatch.setattr(doctor, "KILL_GRACE_S", 0.5)
    found = words(fake(way))
    assert found[check][0] == "FAIL", found
    assert told in found[check][1]


def test_the_directory_that_a_file_names_is_watched_too(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    command = json.dumps([sys.executable, str(PROGRAM), "writes-where-it-runs"])
    (place / "backend.toml").write_text(f'name = "demo-directory"\ncommand = {command}\n')
    word, seen = words(f"file:{place / 'backend.toml'}")["outside"]
    assert (word, ".acme-state" in seen) == ("FAIL", True)


def test_what_was_not_reached_is_unknown_and_the_exit_code_is_7(tmp_path: Path) -> None:
    done = untorn("doctor", "--backend", fake("dies-at-once"), cwd=tmp_path)
    assert done.returncode == INVALID
    lines = [line.split()[0] for line in done.stdout.splitlines()]
    assert lines.count("FAIL") == 1
    assert lines.count("UNKNOWN") == len(lines) - 2, done.stdout


def test_a_text_that_names_no_backend_is_a_usage_error(tmp_path: Path) -> None:
    done = untorn("doctor", "--backend", "sqlite", cwd=tmp_path)
    assert (done.returncode, "allowed are reference" in done.stderr) == (USAGE, True)


def test_without_a_backend_it_looks_at_the_cache(tmp_path: Path) -> None:
    done = untorn("doctor", "--cache-dir", str(tmp_path / "cache"), "--json", cwd=tmp_path)
    names = [each["name"] for each in json.loads(done.stdout)["checks"]]
    assert names[0] == "root"
    both = untorn("doctor", "--backend", "reference", "--cache-dir", "x", cwd=tmp_path)
    assert (both.returncode, "gets its own root" in both.stderr) == (USAGE, True)
