"""What is left of a specimen's entry when its removal in place dies, or an outsider was at it.

Rule 1: an entry without its sentinel is a miss, and the next publish replaces it.
Rule 2: an entry that has kept its sentinel is a hit, however little is left; who publishes its key
        adopts that. So it never recovers: upstream, an entry without frames was a hit for ever
        (heygen-com/hyperframes issues #3372 and #3434).
Rule 3: hence a death amid an eviction tears the entry if a frame is removed before the sentinel.
        Sorted, none is; reversed, each is; as listed, the file system decides.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from untorn_conformance import registry, subjects
from untorn_conformance.backend import Adopted, Hit, Miss, Published, StagedFile
from untorn_conformance.meta.inner_run import run_pytest
from untorn_conformance.specimens import after_review, first_posted
from untorn_conformance.specimens.removal import DeletionOrder
from untorn_conformance.specimens.seed_algorithm import SeedAlgorithm
from untorn_stress.explorer import Exploration, bounded
from untorn_stress.gate.availability import probe
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.replay import Replay

KEY = "a clip"
SENTINEL = ".hf-complete"
FRAMES = ("frame_00001.png", "frame_00002.png")
FACTORIES = ("factory", "factory_reversed", "factory_as_listed")
VERSIONS = (first_posted.FirstPosted, after_review.AfterReview)
TORN = ("C1", "in-part")
SUITE = Path(subjects.__file__).parent / "suite"

gated = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


# --- a death amid an eviction, at the gate


@pytest.fixture
def laboratory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Laboratory]:
    spec = registry.parse(f"py:untorn_conformance.specimens.after_review:{request.param}")
    subject = subjects.subject_of(spec, subjects.ask_hello(spec, tmp_path))
    with Laboratory(subject, base=tmp_path) as made:
        yield made


def removed(laboratory: Laboratory) -> list[str]:
    """The names that an eviction which nobody disturbs removes, in its order."""
    played = scenario("reader-collector")
    system = laboratory.system(played, laboratory.natural(played.tree))
    system.record = True
    steps = system.run(Replay(("B",)).choose).run.steps
    details = [each.detail for each in steps if each.actor == "B" and each.call == "unlink"]
    return [name for text in details for name in (SENTINEL, *FRAMES) if name in text]


@gated
@pytest.mark.parametrize("laboratory", FACTORIES, indirect=True)
def test_a_death_tears_an_entry_if_a_frame_goes_before_the_sentinel(
    laboratory: Laboratory,
) -> None:
    order = removed(laboratory)
    assert sorted(order) == [SENTINEL, *FRAMES]
    played = scenario("reader-collector")
    scheduler, described = bounded(0, kills=1)
    explored = Exploration(
        laboratory,
        played,
        laboratory.natural(played.tree),
        scheduler,
        described=described,
        kills=True,
    ).run()
    is_torn = order[0] != SENTINEL
    found = {(each.finding.requirement, each.finding.rule) for each in explored.found}
    assert (explored.exhaustive, found) == (True, {TORN} if is_torn else set())
    assert all("B!kill" in each.token.choices for each in explored.found)


@gated
@pytest.mark.parametrize(
    ("laboratory", "goes_first"),
    [("factory", True), ("factory_reversed", False)],
    indirect=["laboratory"],
)
def test_sorted_the_sentinel_goes_first_and_reversed_last(
    laboratory: Laboratory, goes_first: bool
) -> None:
    assert removed(laboratory).index(SENTINEL) == (0 if goes_first else 2)


# --- what becomes of what is left


@pytest.fixture(params=[(version, order) for version in VERSIONS for order in DeletionOrder])
def specimen(request: pytest.FixtureRequest, tmp_path: Path) -> SeedAlgorithm:
    version, order = request.param
    made: SeedAlgorithm = version(order)
    made.open(root=str(tmp_path / "root"), env={}, clock_offset_s=0.0)
    return made


@pytest.fixture
def entry(specimen: SeedAlgorithm, tmp_path: Path) -> Path:
    """A published entry."""
    assert isinstance(publish(specimen, tmp_path), Published)
    (path,) = (tmp_path / "root").iterdir()
    return path


def publish(specimen: SeedAlgorithm, folder: Path) -> object:
    source = folder / "pixels"
    source.write_bytes(b"pixels")
    files = [StagedFile(name=name, path=str(source)) for name in FRAMES]
    return specimen.publish(handle=specimen.stage(key=KEY, files=files).handle)


def recovers(specimen: SeedAlgorithm, folder: Path) -> bool:
    """Whether a miss, then a publish bring all frames back; never half of the way."""
    looked, answer, again = (
        specimen.lookup(key=KEY),
        publish(specimen, folder),
        specimen.lookup(key=KEY),
    )
    assert isinstance(again, Hit)
    if isinstance(looked, Miss) and isinstance(answer, Published):
        assert again.files == FRAMES
        return True
    assert isinstance(looked, Hit)
    assert isinstance(answer, Adopted)
    assert looked.files == answer.files == again.files != FRAMES
    return False


@pytest.mark.parametrize("deaths_after", [1, 2, 3])
def test_what_a_dead_removal_leaves_recovers_only_without_the_sentinel(
    specimen: SeedAlgorithm,
    entry: Path,
    deaths_after: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unlink, done = os.unlink, 0

    def die(path: str) -> None:
        nonlocal done
        if done == deaths_after:
            raise PermissionError(errno.EACCES, "refused", path)
        done += 1
        unlink(path)

    monkeypatch.setattr(os, "unlink", die)
    monkeypatch.setattr(os, "rmdir", lambda _path: None)
    specimen.collect(budget_bytes=0, min_age_s=0, dry_run=False)
    monkeypatch.undo()
    left = os.listdir(entry)
    assert len(left) == 3 - deaths_after
    assert recovers(specimen, tmp_path) == (SENTINEL not in left)


def test_an_entry_that_was_emptied_altogether_recovers(
    specimen: SeedAlgorithm, entry: Path, tmp_path: Path
) -> None:
    for path in entry.iterdir():
        path.unlink()
    assert recovers(specimen, tmp_path)


def test_an_entry_that_has_only_its_sentinel_left_never_recovers(
    specimen: SeedAlgorithm, entry: Path, tmp_path: Path
) -> None:
    for name in FRAMES:
        (entry / name).unlink()
    assert not recovers(specimen, tmp_path)


def test_the_suite_tells_the_two_apart(tmp_path: Path) -> None:
    ran = run_pytest(
        tmp_path,
        *("--import-mode=importlib", "-p", "no:cacheprovider", "-k", "T3"),
        str(SUITE / "test_third_party.py"),
        backend="py:untorn_conformance.specimens.after_review:factory",
    )
    judged = {case: how for case, how in ran.outcomes.items() if case.startswith("T3.")}
    assert judged == {
        "T3.an_emptied_entry_recovers": "PASS",
        "T3.an_entry_without_its_frames_recovers": "FAIL",
    }
    assert "Hit(handle='h1', files=())" in ran.detail("T3.an_entry_without_its_frames_recovers")
