"""Names on disk: frames are ordered by number, and nothing foreign is taken for ours."""

from collections.abc import Callable

import pytest
from untorn import layout


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("frame_00001.png", ("frame_", 1, ".png")),
        ("frame_100000.jpg", ("frame_", 100000, ".jpg")),
        ("frame_00001", ("frame_", 1, "")),
        ("00001.png", ("", 1, ".png")),
        ("7", ("", 7, "")),
        ("a1b2.png", ("a1b", 2, ".png")),
        ("clip.v2_0003.mp4", ("clip.v2_", 3, ".mp4")),
        ("frame-0.tiff", ("frame-", 0, ".tiff")),
        ("x" * 195 + "1.png", ("x" * 195, 1, ".png")),
        ("f" + "9" * 18, ("f", 10**18 - 1, "")),
    ],
)
def test_name_of_a_frame_is_prefix_number_extension(name: str, parts: tuple[str, int, str]) -> None:
    assert layout.frame_number(name) == parts


@pytest.mark.parametrize(
    "name",
    [
        "",
        "frame",
        "frame.png",
        "manifest",
        ".reservation",
        ".hidden_0001.png",
        "a/frame_0001.png",
        "../frame_0001.png",
        "frame_0001.png\n",
        "frame_0001\n.png",
        "frame 0001.png",
        "frame_0001.tar.gz",
        "frame_0001.",
        "frame_\u0661.png",
        "fr\udcffme_0001.png",
        "frame\0_1.png",
        "x" * 196 + "1.png",
    ],
    ids=ascii,
)
def test_other_names_are_no_frames(name: str) -> None:
    assert layout.frame_number(name) is None


def test_staging_name_tells_its_key(key_of: Callable[[int], str]) -> None:
    assert layout.staging_key(layout.staging_name(key_of(7))) == key_of(7)


def test_staging_names_of_one_key_differ(key_of: Callable[[int], str]) -> None:
    assert len({layout.staging_name(key_of(7)) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "name",
    ["animated-gif", "photos.partial-2019", "a" * 64, "a" * 64 + ".", "a" * 64 + "." + "g" * 32],
)
def test_foreign_name_is_nobodys_staging(name: str) -> None:
    assert layout.staging_key(name) is None


@pytest.mark.parametrize(
    ("name", "number"), [("v0", 0), ("v1", 1), ("v12", 12), ("v", None), ("v1.old", None)]
)
def test_generation_is_read_from_the_name(name: str, number: int | None) -> None:
    assert layout.generation_of(name) == number


def test_trash_name_is_short_enough_for_any_file_system() -> None:
    assert len(layout.trash_name("n" * 255)) < 255
