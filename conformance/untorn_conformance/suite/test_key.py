"""Chapter K: what identifies an entry, and what happens to a clip that does not hold still.

The golden vectors are the reference's own and are compared with it in its own tests. Here every
backend answers for the same inputs: alike in every process, and differently for different inputs.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from untorn_conformance.backend import (
    Axis,
    Extracted,
    ExtractOutcome,
    Hit,
    Miss,
    PlantKind,
    Published,
    Verb,
)
from untorn_conformance.barriers import Amid, Inputs, stop_amid_extraction
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.farm import Farm
from untorn_conformance.moves import digests, frames, key, look, read_all
from untorn_conformance.plugin import requires, unknown
from untorn_fixtures.clips import clip as made_clip
from untorn_fixtures.real import real_clip
from untorn_fixtures.vectors import load_vectors
from untorn_stress.worker import Worker

BASE: Inputs = {
    Axis.PATH: "/clips/a.mp4",
    Axis.MTIME_NS: 1_751_414_400_123_456_789,
    Axis.SIZE_BYTES: 1_055_736,
    Axis.START_S: "1",
    Axis.DURATION_S: "2",
    Axis.FPS: "30000/1001",
    Axis.FORMAT: "jpg",
    Axis.QUALITY: 90,
    Axis.TRANSFORM: "hdr-to-sdr",
    Axis.DECODER: "ab" * 32,
}
OTHER: Inputs = {
    Axis.PATH: "/clips/b.mp4",
    Axis.MTIME_NS: 1_751_414_400_123_456_790,  # one nanosecond: no double tells these two apart
    Axis.SIZE_BYTES: 1_055_737,
    Axis.START_S: "1.000000001",
    Axis.DURATION_S: "2.000000001",
    Axis.FPS: "29.97002997002997",  # 30000/1001 as a double prints it
    Axis.FORMAT: "png",
    Axis.QUALITY: 91,
    Axis.TRANSFORM: "hdr-to-sdr-2",
    Axis.DECODER: "ab" * 31 + "ac",
}
OPTIONAL = (Axis.CONTENT_SHA256, Axis.DURATION_S, Axis.QUALITY, Axis.TRANSFORM)

NOT_NUMBERS = ("nan", "NaN", "inf", "-inf", "Infinity", "1e400/1", "", "abc", "1/0")
NEGATIVE_ZEROS = ("-0", "-0.0", -0.0)
BAD: Mapping[Axis, tuple[str | int | float, ...]] = {
    Axis.FPS: (*NOT_NUMBERS, *NEGATIVE_ZEROS, "0", "-30", "1e400"),
    Axis.START_S: (*NOT_NUMBERS, *NEGATIVE_ZEROS, "-1", "1e400"),
    Axis.DURATION_S: (*NOT_NUMBERS, *NEGATIVE_ZEROS, "0", "-1", "1e400"),
    Axis.QUALITY: ("nan", "inf", -1, 10**9, 90.5),
    Axis.SIZE_BYTES: ("nan", "inf", -1, 0.5),
    Axis.MTIME_NS: ("nan", "inf", 0.5),
    Axis.FORMAT: ("", "exe", "png\njpg"),
}

FPS = "50"  # two hundred frames: the decoder is held amid them


def ask(worker: Worker, inputs: Mapping[Axis, object]) -> str:
    """The key of the inputs."""
    return str(worker.call(Verb.KEY, inputs=inputs).key)


def refusal(worker: Worker, inputs: Mapping[Axis, object]) -> ErrorCode | str:
    """The code that the inputs are refused with, or the key that they were given."""
    try:
        return ask(worker, inputs)
    except BackendError as error:
        return error.code


def assert_distinct(worker: Worker, variants: Iterable[Mapping[Axis, object]]) -> None:
    """No two of the inputs share a key; one that is refused as no key at all shares none."""
    asked = [(inputs, refusal(worker, inputs)) for inputs in variants]
    alike = [
        (one, other)
        for (one, this), (other, that) in itertools.combinations(asked, 2)
        if this == that and this is not ErrorCode.INVALID_KEY
    ]
    assert not alike, f"one key for different inputs: {alike}"


# --- K1, K2, K4: the key


@requires("K1", evidence="22 inputs, 2 processes: other hash seed, locale, time zone, folder")
def test_K1_processes_agree(farm: Farm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the process that asks gets into a key."""
    farm.needs(Capability.KEY)
    vectors = [vector["inputs"] for vector in load_vectors("keys")]
    answers = []
    for seed, locale, zone in (("1", "C", "UTC"), ("2", "C.UTF-8", "Asia/Tokyo")):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        monkeypatch.setenv("LC_ALL", locale)
        monkeypatch.setenv("TZ", zone)
        worker = farm.worker()
        answers.append([refusal(worker, inputs) for inputs in vectors])
        monkeypatch.chdir(tmp_path)
    assert answers[0][0] not in list(ErrorCode), "a plain request has a key"
    assert answers[0] == answers[1]


@requires("K1", evidence="22 inputs with their axes in two orders, one process")
def test_K1_the_order_of_the_axes_means_nothing(farm: Farm) -> None:
    """Inputs are a mapping: who builds it in another order gets the same key."""
    farm.needs(Capability.KEY)
    worker = farm.worker()
    for vector in load_vectors("keys"):
        turned = dict(reversed(vector["inputs"].items()))
        assert refusal(worker, turned) == refusal(worker, vector["inputs"]), vector["name"]


@requires("K2", evidence="each of 10 axes changed alone by the smallest step, once with 22 vectors")
def test_K2_every_axis_changes_the_key(farm: Farm) -> None:
    """Each input that can change an output byte is in the key, with all its digits."""
    farm.needs(Capability.KEY)
    variants = [BASE, *({**BASE, axis: value} for axis, value in OTHER.items())]
    variants += [{**BASE, axis: None} for axis in (Axis.DURATION_S, Axis.TRANSFORM)]
    worker = farm.worker()
    refused = [inputs for inputs in variants if refusal(worker, inputs) in list(ErrorCode)]
    # A quality of png, or a transform that this backend does not know, may be refused.
    assert BASE not in refused
    assert_distinct(worker, variants)
    assert_distinct(worker, [vector["inputs"] for vector in load_vectors("keys")])


@pytest.mark.parametrize("axis", BAD)
@requires("K2", evidence="up to 15 bad values an axis: NaN, infinity, -0, out of range, no number")
def test_K2_bad_values_are_errors(farm: Farm, axis: Axis) -> None:
    """A value that no clip can mean is refused as such, and never hashed."""
    farm.needs(Capability.KEY)
    worker = farm.worker()
    answers = {value: refusal(worker, {**BASE, axis: value}) for value in BAD[axis]}
    accepted = {value: each for value, each in answers.items() if each != ErrorCode.INVALID_KEY}
    assert not accepted


@requires("K2", evidence="20 inputs whose fields concatenate alike, with separators in texts")
def test_K2_field_boundaries_are_unambiguous(farm: Farm) -> None:
    """Text that wanders from one field into the next makes another key."""
    farm.needs(Capability.KEY)
    path, decoder = str(BASE[Axis.PATH]), str(BASE[Axis.DECODER])
    seams = ["", "\0", "\n", "|", ":", ",", "\\", '"', '","decoder":"', "\x1f", "/"]
    variants = [
        *({**BASE, Axis.PATH: f"{path}{seam}1", Axis.MTIME_NS: 23} for seam in seams if seam),
        {**BASE, Axis.PATH: f"{path}1", Axis.MTIME_NS: 23, Axis.SIZE_BYTES: 4},
        {**BASE, Axis.PATH: f"{path}12", Axis.MTIME_NS: 3, Axis.SIZE_BYTES: 4},
        {**BASE, Axis.MTIME_NS: 12, Axis.SIZE_BYTES: 34},
        {**BASE, Axis.MTIME_NS: 123, Axis.SIZE_BYTES: 4},
        {**BASE, Axis.START_S: "1", Axis.DURATION_S: "23"},
        {**BASE, Axis.START_S: "12", Axis.DURATION_S: "3"},
        {**BASE, Axis.TRANSFORM: "x", Axis.DECODER: f"y{decoder}"},
        {**BASE, Axis.TRANSFORM: "xy", Axis.DECODER: decoder},
        {**BASE, Axis.TRANSFORM: "None"},
        {**BASE, Axis.TRANSFORM: "null"},
        {**BASE, Axis.TRANSFORM: None},
    ]
    assert_distinct(farm.worker(), variants)


@requires("K4", evidence="4 optional axes, absent and null, together and alone")
def test_K4_an_absent_axis_is_the_same_as_none(farm: Farm) -> None:
    """Who knows of an axis and does not use it gets the key of those who never heard of it."""
    farm.needs(Capability.KEY)
    worker = farm.worker()
    old = {axis: value for axis, value in BASE.items() if axis not in OPTIONAL}
    old |= {Axis.FORMAT: "png"}
    bare = ask(worker, old)
    assert {axis: ask(worker, {**old, axis: None}) for axis in OPTIONAL} == dict.fromkeys(
        OPTIONAL, bare
    )
    assert ask(worker, {**old, **dict.fromkeys(OPTIONAL)}) == bare


# --- K4, K7: whose entry it is


@requires("K4", evidence="one planted old generation, looked up by a second process")
def test_K4_an_old_generation_is_a_miss(farm: Farm) -> None:
    """What an older schema left under the key is never served."""
    farm.needs(Capability.KEY, Capability.PLANT)
    farm.worker().call(Verb.PLANT, key=key("old"), kind=PlantKind.OLD_GENERATION)
    assert isinstance(look(farm.worker(), "old"), Miss)


@requires("K4", evidence="one planted old generation, aged by a day, one collect with budget 0")
def test_K4_gc_reclaims_an_old_generation(farm: Farm) -> None:
    """A schema bump does not leave its past on the disk for ever."""
    farm.needs(Capability.KEY, Capability.PLANT)
    worker = farm.worker()
    planted = worker.call(Verb.PLANT, key=key("old"), kind=PlantKind.OLD_GENERATION)
    assert planted.path in farm.tree().entries, "nothing was planted there"
    farm.age(86400)
    worker.call(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False)
    assert planted.path not in farm.tree().entries


@requires("K7", evidence="one planted entry of another key, looked up by a second process")
def test_K7_another_keys_entry_is_a_miss(farm: Farm) -> None:
    """The full key is in the entry: one that came into the wrong place is not believed."""
    farm.needs(Capability.KEY, Capability.PLANT)
    farm.worker().call(Verb.PLANT, key=key("wrong"), kind=PlantKind.WRONG_KEY)
    assert isinstance(look(farm.worker(), "wrong"), Miss)


@requires("K7", evidence="4 keys that differ in one character, first, middle or last")
def test_K7_keys_are_used_whole(farm: Farm) -> None:
    """No key is cut or folded on its way to a name."""
    farm.needs(Capability.KEY, Capability.PLANT)
    worker, full = farm.worker(), "a" * 64
    keys = [full, "b" + full[1:], full[:32] + "b" + full[33:], full[:-1] + "b"]
    contents = {each: frames(f"of {each}") for each in keys}
    for each in keys:
        staged = worker.call(Verb.STAGE, key=each, files=farm.files(contents[each]))
        answer = worker.call(Verb.PUBLISH, handle=staged.handle)
        assert isinstance(answer, Published), answer
    for each in keys:
        hit = worker.call(Verb.LOOKUP, key=each)
        assert isinstance(hit, Hit), hit
        assert read_all(worker, hit) == digests(contents[each].values())


# --- K3: a source that changes


def request(clip: Path) -> Inputs:
    """The clip, whole."""
    return {Axis.PATH: str(clip), Axis.FPS: FPS, Axis.FORMAT: "png"}


def at_home(farm: Farm) -> Path:
    """A copy of the clip that the case may change."""
    return Path(shutil.copyfile(real_clip("carphone_pristine"), farm.outside / "clip.mp4"))


def finish(amid: Amid) -> None:
    """Let the worker go on and see that the change came in time."""
    try:
        answer = amid.finish()
    except BackendError as error:
        assert error.code is ErrorCode.SOURCE_CHANGED, error  # noqa: PT017 - nothing is raised, too
        return
    amid.worker.call(Verb.RELEASE, handle=answer.handle)
    if not amid.is_held and amid.seen >= len(answer.files):
        unknown("every frame was there before the clip could be changed")


def put_back(clip: Path, content: bytes, status: os.stat_result) -> None:
    """Make the clip what it was, as far as its path, mtime and size tell."""
    clip.write_bytes(content)
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))


def append(clip: Path) -> None:
    """Somebody still writes the clip."""
    with clip.open("ab") as file:
        file.write(bytes(4096))


def replace(clip: Path) -> None:
    """Somebody renders the clip anew and moves it into place."""
    new = Path(shutil.copyfile(made_clip("sdr"), clip.with_name("new.mp4")))
    new.rename(clip)


def touch(clip: Path) -> None:
    """Somebody writes the same bytes again."""
    os.utime(clip)


@pytest.mark.parametrize("change", [append, replace, touch])
@requires("K3", evidence="one change while the extracting process is stopped amid its frames")
def test_K3_a_clip_that_changes_is_not_published(farm: Farm, change: object) -> None:
    """Frames of half the old and half the new clip never come to lie under the old identity."""
    farm.needs(Capability.KEY, Capability.EXTRACT)
    assert callable(change)
    worker, clip = farm.worker(), at_home(farm)
    content, status = clip.read_bytes(), clip.stat()
    amid = stop_amid_extraction(farm, worker, request(clip))
    change(clip)
    finish(amid)
    put_back(clip, content, status)
    again = worker.call(Verb.EXTRACT, inputs=request(clip))
    assert again.outcome is not ExtractOutcome.HIT


@requires("K3", evidence="one swap of equal path, size and mtime, the extracting process stopped")
def test_K3_a_swap_of_equal_size_and_mtime_is_noticed(farm: Farm) -> None:
    """Inode and ctime tell a clip from one that replaced it with the same size and mtime."""
    farm.needs(Capability.KEY, Capability.EXTRACT)
    worker, clip = farm.worker(), at_home(farm)
    other = Path(shutil.copyfile(made_clip("sdr"), farm.outside / "other.mp4"))
    size = max(clip.stat().st_size, other.stat().st_size)
    for path in (clip, other):
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))  # no demuxer minds
        os.utime(path, ns=(0, 10**18))
    right = read_all(worker, worker.call(Verb.EXTRACT, inputs=request(other)))
    amid = stop_amid_extraction(farm, worker, request(clip))
    other.rename(clip)
    finish(amid)
    assert read_all(worker, worker.call(Verb.EXTRACT, inputs=request(clip))) == right


@requires("K3", evidence="one clip that became another between the renders of two processes")
def test_K3_a_clip_that_became_another_is_rendered_as_it_is(farm: Farm) -> None:
    """What one process has found in a clip is not what the next one finds in other bytes."""
    farm.needs(Capability.KEY, Capability.EXTRACT, Capability.RENDER)
    worker, clip = farm.worker(), at_home(farm)
    worker.call(Verb.RENDER, requests=[request(clip)])
    replace(clip)
    right = read_all(worker, worker.call(Verb.EXTRACT, inputs=request(made_clip("sdr"))))
    another = farm.worker()
    (item,) = another.call(Verb.RENDER, requests=[request(clip)]).items
    assert isinstance(item, Extracted), item
    assert read_all(another, item) == right
