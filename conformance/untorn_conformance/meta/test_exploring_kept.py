"""What was found is kept: without a place for its file, and if it never comes again."""

from __future__ import annotations

from pathlib import Path

import pytest
from untorn_conformance import exploring
from untorn_conformance.done import UnwritableError
from untorn_conformance.meta.asking import FIRST, explore, replay
from untorn_stress import counterexample, explorer
from untorn_stress.gate.availability import probe

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


def test_a_folder_that_cannot_be_is_refused_before_the_search() -> None:
    with pytest.raises(UnwritableError, match="--out '/proc/nope' cannot be written to"):
        explore(FIRST, Path("/proc/nope"), "reader-collector", runs=30)


def test_a_finding_that_cannot_be_written_is_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_folder: Path, _found: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exploring, "write_finding", full)
    done = explore(FIRST, tmp_path, "reader-collector", runs=30)
    assert (done.exit_code, done.document["found"][0]["file"]) == (1, None)
    assert "NOT WRITTEN: [Errno 28] No space left on device" in done.text
    assert done.text.splitlines()[-1].startswith("untorn replay u1.reader-collector.")
    assert not done.document["searches"][0]["undecided"]


def test_a_finding_that_never_came_again_makes_a_file_that_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(explorer, "record", lambda _system, _run: None)
        done = explore(FIRST, tmp_path, "reader-collector", runs=30)
    path = Path(done.document["found"][0]["file"])
    saved = counterexample.read(path)
    assert saved.run.steps == ()
    assert max(each.ended for each in saved.run.operations) > 0
    assert replay(saved.token, file=path).exit_code == 1
