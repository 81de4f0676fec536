from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from untorn_conformance.backend_file import UnusableBackendError
from untorn_conformance.contract import REQUIREMENTS, RESERVED, Capability
from untorn_conformance.meta.command import untorn
from untorn_conformance.registry import parse

FAKE = Path(__file__).parent / "programs" / "fake_adapter.py"
INVALID, USAGE = 7, 2


def test_a_python_backend_is_hosted_in_a_process_of_its_own() -> None:
    command = parse("py:package.module:Factory").command()
    assert command == [sys.executable, "-m", "untorn_conformance.serve", "package.module:Factory"]


def test_the_reference_is_a_python_backend() -> None:
    command = parse("reference").command()
    assert command[-1] == "untorn_conformance.backends.reference:factory"


def test_a_hosted_backend_drops_to_the_user_by_itself() -> None:
    spec = parse("py:module:factory")
    assert spec.command(uid=7, gid=8)[-4:] == ["--uid", "7", "--gid", "8"]
    assert spec.drops_privileges_itself


def test_a_foreign_program_is_split_as_in_a_shell() -> None:
    assert parse("cmd:node 'my adapter.mjs'").command() == ["node", "my adapter.mjs"]


def test_a_foreign_program_must_be_started_as_the_user() -> None:
    spec = parse("cmd:node adapter.mjs")
    assert spec.command(uid=7, gid=8) == ["node", "adapter.mjs"]
    assert not spec.drops_privileges_itself


@pytest.mark.parametrize(
    "spec",
    ["", "nonsense", "py:", "py:module", "py:module:", "py:mod ule:f", "cmd:", "cmd: ", 'cmd:"x'],
)
def test_what_is_no_backend_is_refused_with_a_word_on_what_is_allowed(spec: str) -> None:
    with pytest.raises(ValueError, match=r"py:MODULE:FACTORY|cmd:COMMAND|as in a shell"):
        parse(spec)


# --- a file that describes a backend


def described(folder: Path, text: str) -> str:
    (folder / "backend.toml").write_text(text)
    return f"file:{folder / 'backend.toml'}"


def test_a_pipe_is_no_file_that_describes_a_backend(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "backend.toml")
    with pytest.raises(UnusableBackendError, match="it is no regular file"):
        parse(f"file:{tmp_path / 'backend.toml'}")


def adapter(folder: Path, way: str = "well") -> Path:
    """A program of its own, which can be started as it is."""
    program = folder / "adapter"
    paths = os.pathsep.join(filter(None, sys.path))
    start = f"PYTHONPATH='{paths}' exec '{sys.executable}' '{FAKE}' {way}"
    program.write_text(f"#!/bin/sh\n{start}\n")
    program.chmod(0o755)
    return program


def test_a_program_runs_in_its_files_directory_with_its_environment(tmp_path: Path) -> None:
    spec = described(tmp_path, 'name = "x"\ncommand = ["./adapter", "a b"]\n[env]\nA = "1"\n')
    adapter(tmp_path)
    parsed = parse(spec)
    assert parsed.command()[-3:] == [str(tmp_path), "./adapter", "a b"]
    assert (parsed.environment(), parsed.name) == ({"A": "1"}, spec)


def test_a_factory_is_imported_from_its_files_directory(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    spec = described(tmp_path, 'name = "x"\nfactory = "acme.adapter:make"\ncwd = "code"\n')
    parsed = parse(spec)
    assert parsed.factory == "acme.adapter:make"
    assert parsed.environment()["PYTHONPATH"].split(os.pathsep)[0] == str(tmp_path / "code")


@pytest.mark.parametrize("command", ["verify", "explore"])
def test_a_described_program_is_judged(tmp_path: Path, command: str) -> None:
    adapter(tmp_path)
    spec = described(
        tmp_path, 'name = "demo-directory"\nversion = "1.0"\ncommand = ["./adapter"]\n'
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    how = {
        "verify": ["--req", "P8", "-n", "0", "--run-dir", str(tmp_path / "runs"), "--json"],
        "explore": ["--scenario", "reader-writer", "--tree", "empty", "--preemptions", "0"],
    }[command]
    done = untorn(command, "--backend", spec, *how, cwd=elsewhere)
    assert "no verdict" not in done.stderr + done.stdout, done.stderr
    assert ("P8" if command == "verify" else "schedules in") in done.stdout


FILES = {
    "malformed": ("name = [", "it is not TOML"),
    "odd variable": ('name = "x"\ncommand = ["sh"]\n[env]\n"A=B" = "c"', "env has 'A=B'"),
    "unknown key": ('nam = "x"', "unknown key 'nam'; did you mean name?"),
    "no name": ('command = ["true"]', "it has no name"),
    "neither": ('name = "x"', "it must have either command or factory"),
    "both": ('name = "x"\ncommand = ["a"]\nfactory = "a:b"', "either command or factory"),
    "text as command": ('name = "x"\ncommand = "node a.mjs"', "command must be a list of words"),
    "number in env": ('name = "x"\ncommand = ["true"]\n[env]\nA = 1', "a table of texts"),
    "factory": ('name = "x"\nfactory = "no factory"', "is not MODULE:FACTORY"),
    "cwd": ('name = "x"\ncommand = ["true"]\ncwd = "nowhere"', "there is no directory"),
    "missing program": ('name = "x"\ncommand = ["./nope"]', "its program './nope' is not there"),
    "not executable": ('name = "x"\ncommand = ["./backend.toml"]', "is not executable; chmod +x"),
}


@pytest.mark.parametrize(("text", "told"), FILES.values(), ids=list(FILES))
def test_a_file_that_describes_no_backend_is_told_of_in_a_line(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(UnusableBackendError) as refused:
        parse(described(tmp_path, text))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("command", ["verify", "explore"])
def test_no_verdict_is_possible_on_a_file_that_is_not_there(tmp_path: Path, command: str) -> None:
    done = untorn(command, "--backend", "file:nope.toml", cwd=tmp_path)
    said = done.stderr.strip().splitlines()
    assert (done.returncode, len(said)) == (INVALID, 1), done.stderr
    assert said[0] == "untorn: no verdict: nope.toml: it cannot be read: No such file or directory"


NO_ADAPTERS = {
    "dies-at-once": "acme: no licence found",
    "protocol-2": "it speaks protocol 2, this harness speaks 1",
    "unknown-capability": "hello.capabilities[0] must not be 'teleport'",
    "reserved-capability": "it declares durable, which is reserved",
}


@pytest.mark.parametrize(("way", "told"), NO_ADAPTERS.items(), ids=list(NO_ADAPTERS))
def test_no_verdict_is_possible_on_who_cannot_say_hello(
    tmp_path: Path, way: str, told: str
) -> None:
    backend = f"cmd:{adapter(tmp_path, way)}"
    for command in ("verify", "explore"):
        done = untorn(command, "--backend", backend, cwd=tmp_path)
        assert done.returncode == INVALID, done.stderr
        assert told in done.stderr + done.stdout


@pytest.mark.parametrize("program", ["missing", "not-executable"])
def test_no_verdict_is_possible_on_who_cannot_be_started(tmp_path: Path, program: str) -> None:
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    done = untorn("verify", "--backend", f"cmd:{tmp_path / program}", cwd=tmp_path)
    said = done.stderr.strip().splitlines()
    assert (done.returncode, len(said)) == (INVALID, 1), done.stderr
    assert "cannot be started" in said[0]


def test_a_file_may_not_pass_one_cache_off_as_another(tmp_path: Path) -> None:
    adapter(tmp_path)
    spec = described(tmp_path, 'name = "acme"\ncommand = ["./adapter"]\n')
    done = untorn("verify", "--backend", spec, cwd=tmp_path)
    assert done.returncode == INVALID
    assert "hello says name 'demo-directory'" in done.stderr


# --- what an installed package names


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that names the demo cache, as its wheel would."""
    info = tmp_path / "site" / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    factory = "untorn_conformance.meta.demo.directory:DirectoryCache"
    (info / "entry_points.txt").write_text(f"[untorn.backends]\nacme = {factory}\nodd = no\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return info


def test_an_entry_point_is_a_backend(installed: Path) -> None:
    del installed
    assert parse("acme").factory == "untorn_conformance.meta.demo.directory:DirectoryCache"
    with pytest.raises(UnusableBackendError, match=r"'odd' of untorn\.backends is 'no'"):
        parse("odd")


def test_two_packages_may_not_claim_one_name(installed: Path) -> None:
    other = installed.parent / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[untorn.backends]\nacme = other.adapter:make\n")
    with pytest.raises(UnusableBackendError, match=r"by several packages: other\.adapter"):
        parse("acme")


# --- capabilities without cases


def test_what_is_reserved_has_rows_and_none_that_is_judged() -> None:
    for capability in RESERVED:
        rows = [row for row in REQUIREMENTS.values() if capability in row.needs]
        assert rows
        assert all(row.untested for row in rows), capability


def test_what_is_not_reserved_is_asked_for_by_a_case() -> None:
    suite = Path(__file__).resolve().parents[1] / "suite"
    asked = "".join(each.read_text() for each in suite.glob("test_*.py"))
    judged = {row for row in REQUIREMENTS.values() if not row.untested}
    for capability in set(Capability) - RESERVED:
        by_row = any(capability in row.needs for row in judged)
        assert by_row or f"Capability.{capability.name}" in asked, capability
