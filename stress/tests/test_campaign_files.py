"""The files of a campaign are cut short, damaged and too many: nothing found is lost.

The shards are stand-ins that end at once (``programs/shard.py``), below real wardens.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from untorn_stress.campaign import journal, place
from untorn_stress.campaign.journal import DamagedFileError, Journal

OVER = 0.001
"""So short a campaign that only what was begun before is still done."""

LONG = 3_600.0


# --- files cut short, and damaged -----------------------------------------------------------------


def test_a_journal_cut_short_anywhere_is_gone_on_with(
    program: ModuleType, out: Path, tmp_path: Path
) -> None:
    program.some(out, 3)
    whole = (out / "journal.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole), 7):
        content = whole[:length]
        lines = journal.parse(content, "journal.jsonl")
        place.replayed(lines.objects, tmp_path)
        assert lines.whole_bytes == content.rindex(b"\n") + 1
        assert bool(lines.note) == (not content.endswith(b"\n"))
        assert not lines.damage


def test_a_torn_last_line_is_dropped_with_a_note_and_not_built_upon(
    program: ModuleType, out: Path
) -> None:
    program.some(out, 3)
    with open(out / "journal.jsonl", "ab") as file:
        file.write(b'{"event":"finished","number":2,"verd')
    document = program.session(out, OVER)
    assert any("was cut short" in each for each in document["notes"])
    program.events(out)  # each line is whole


def test_a_torn_last_line_of_the_corpus_is_dropped_with_a_note(
    program: ModuleType, out: Path
) -> None:
    program.orders("fail")
    program.some(out, 2)
    before = (out / "corpus.jsonl").read_bytes()
    with open(out / "corpus.jsonl", "ab") as file:
        file.write(before[:40])
    document = program.session(out, OVER)
    assert any("corpus.jsonl: its last line" in each for each in document["notes"])
    assert (out / "corpus.jsonl").read_bytes().count(b"\n") == before.count(b"\n")


@pytest.mark.parametrize(
    "line", [b'{"event":"fini\n', b"[]\n", b'{"event":"started","number":99}\n', b'{"a":1}\n']
)
def test_a_damaged_middle_is_named_and_nothing_is_deleted(
    program: ModuleType, out: Path, line: bytes
) -> None:
    program.some(out, 2)
    path = out / "journal.jsonl"
    damaged = [*path.read_bytes().splitlines(keepends=True)]
    damaged.insert(3, line)
    path.write_bytes(b"".join(damaged))
    with pytest.raises(DamagedFileError, match=r"line 4.*--fresh"):
        program.session(out, OVER)
    assert path.read_bytes() == b"".join(damaged)
    document = program.session(out, OVER, fresh=True)
    (aside,) = (out / "earlier").iterdir()
    assert (aside / "journal.jsonl").read_bytes() == b"".join(damaged)
    assert len(list((aside / "shards").iterdir())) >= 2
    assert document["sessions"] == 1


@pytest.mark.parametrize("line", [b"half\n", b'{"untorn_corpus":9}\n', b'{"untorn_corpus":1}\n'])
def test_a_damaged_corpus_is_named_and_left_as_it_is(
    program: ModuleType, out: Path, line: bytes
) -> None:
    out.mkdir()
    path, before = out / "corpus.jsonl", line + b'{"whole":"but no entry"}\n'
    path.write_bytes(before)
    with pytest.raises(DamagedFileError, match=r"corpus\.jsonl', line 1.*--corpus"):
        program.session(out, OVER)
    assert path.read_bytes() == before


def test_a_line_that_could_not_be_written_leaves_no_half_of_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    code = f"""
import resource, signal, sys
from pathlib import Path
from untorn_stress.campaign.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = Journal(Path({str(path)!r}), whole_bytes=0)
file.append({{"first": 1}})
resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))
try:
    file.append({{"second": "x" * 100}})
except OSError as error:
    print(error.errno)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True
    )
    assert done.stdout
    assert journal.parse(path.read_bytes(), "").objects == ({"first": 1},)
    assert path.read_bytes().endswith(b"\n")


def test_what_is_appended_follows_the_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":"longer than what follows')
    lines = journal.read(path, advice="")
    file = Journal(path, whole_bytes=lines.whole_bytes)
    file.append({"c": 3})
    file.close()
    assert path.read_bytes() == b'{"a":1}\n{"c":3}\n'


# --- room -----------------------------------------------------------------------------------------


def test_what_passed_is_dropped_for_room_and_said(program: ModuleType, out: Path) -> None:
    program.orders("large")
    said = program.some(out, 4, max_disk_bytes=1_500_000)
    assert any(line.startswith("dropped ") for line in said)
    document = program.summary(out)
    dropped = [each for each in document["shards"] if each["dropped_bytes"]]
    assert dropped
    assert not any((out / each["directory"] / "history").exists() for each in dropped)


def test_findings_are_kept_whatever_they_take(program: ModuleType, out: Path) -> None:
    program.orders("fail")
    document = program.session(out, LONG, max_disk_bytes=1)
    assert document["ended"] == "findings alone take more than --max-disk"
    assert [each["dropped_bytes"] > 0 for each in document["shards"]] == [True, False]
    assert (out / document["shards"][1]["directory"] / "stdout.json").is_file()
    assert document["verdict"] == "fail"
