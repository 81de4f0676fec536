"""What is below the root, and which steps touch the same objects, on real processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn_stress.gate.supervisor import Rules
from untorn_stress.gate.world import Place, World

Watching = Callable[..., Any]


def two_directories(root: Path) -> None:
    for name in ("d", "e", "d/sub"):
        (root / name).mkdir()
    for name in ("d/f", "e/f", "g"):
        (root / name).touch()
    (root / "link").symlink_to("d")


def touched(bench: Any, watch: Watching, text: str, **rules: Any) -> Any:
    """What the last step of a program really touched; its end counts where it is asked for."""
    watched = watch()
    run = bench.run(text, watch=watched, prepare=two_directories, rules=Rules(**rules))
    assert run.ends == ("exit 0",), bench.stderr()
    executed = [*watched.executed, run.ending.executed]
    ends_unasked = run.steps[-1].call == "exit_group" and "_exit" not in text
    return executed[-2 if ends_unasked else -1].footprint


# --- inode numbers ----------------------------------------------------------------------------


def place_of(world: World, path: Path) -> Place:
    status = path.stat()
    number = status.st_ino
    return Place(".", path.name, world.name_of(status), status.st_mode, status.st_nlink, (), number)


def of_another(status: os.stat_result) -> os.stat_result:
    """What a new file elsewhere looks like that got the inode number."""
    return os.stat_result((status.st_mode, status.st_ino, status.st_dev, 1, *status[4:]))


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "file").touch()
    made = World(str(tmp_path))
    made.begin()
    return made


def test_a_file_elsewhere_that_got_the_number_of_a_removed_one_is_outside(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    status = file.stat()
    world.unlinked(place_of(world, file))
    assert world.name_of(of_another(status)) == ""


def test_a_removed_file_that_is_still_open_keeps_its_name(world: World, tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open() as opened:
        world.unlinked(place_of(world, file))
        file.unlink()
        assert world.name_of(os.fstat(opened.fileno())) == "file"


def test_a_file_that_has_another_name_keeps_its_own(world: World, tmp_path: Path) -> None:
    file = tmp_path / "file"
    os.link(file, tmp_path / "other")
    world.unlinked(place_of(world, file))
    file.unlink()
    assert world.name_of((tmp_path / "other").stat()) == "file"


def test_a_nameless_temporary_file_elsewhere_that_got_the_number_is_outside(
    world: World, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As tempfile makes them: a link count of 0 is not that of the file that was removed."""
    file, elsewhere = tmp_path / "file", tmp_path_factory.mktemp("elsewhere")
    mine = os.open(file, os.O_RDONLY)
    number = file.stat().st_ino
    world.unlinked(place_of(world, file))
    file.unlink()
    theirs = os.open(elsewhere, os.O_RDWR | os.O_TMPFILE)
    try:
        doors = {fd: f"/proc/{os.getpid()}/fd/{fd}" for fd in (mine, theirs)}
        seen = os.fstat(theirs)
        taken = os.stat_result((seen.st_mode, number, seen.st_dev, 0, *seen[4:]))
        assert world.name_of(taken, doors[theirs]) == ""
        assert world.name_of(os.fstat(mine), doors[mine]) == "file"
    finally:
        os.close(mine)
        os.close(theirs)


def test_a_number_that_is_taken_again_below_the_root_has_a_new_name(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    world.unlinked(place_of(world, file))
    world.born(of_another(file.stat()), "A")
    assert world.name_of(of_another(file.stat())) == "A1"


def test_what_is_exchanged_keeps_its_name(bench: Any, watch: Watching) -> None:
    text = """
names = [name.encode() for name in ("d", "e")]
libc.renameat2(-100, names[0], -100, names[1], 2)
os.stat("d")
"""
    found = touched(bench, watch, text)
    assert "i:e" in found.reads


# --- inside or outside ------------------------------------------------------------------------


def test_a_neighbour_with_the_same_prefix_is_outside(bench: Any) -> None:
    Path(f"{bench.root}-2").mkdir()
    text = 'os.mkdir(root + "-2/x"); os.chdir(root + "-2"); os.mkdir("y"); os.mkdir("../cache/z")'
    assert bench.steps(text) == ["A mkdir z = 0", "exit 0"]


@pytest.mark.parametrize("spelling", ["root", "os.path.realpath(root)"])
def test_a_root_below_a_link_is_held_under_both_names(bench: Any, spelling: str) -> None:
    way = bench.folder / "way"
    way.symlink_to(bench.folder)
    bench.root = way / "cache"
    made = [each for each in bench.steps(f'os.mkdir({spelling} + "/x")') if " mkdir " in each]
    assert len(made) == 1


def test_a_link_from_outside_leads_inside(bench: Any) -> None:
    (bench.folder / "door").symlink_to(bench.root)
    text = f'os.mkdir("{bench.folder}/door/x"); os.stat("{bench.folder}/door/x/..")'
    assert [each.split()[1] for each in bench.steps(text)[:-1]] == ["mkdir", "newfstatat"]


def test_a_link_that_leads_out_is_read_and_what_is_there_is_no_object(
    bench: Any, watch: Watching
) -> None:
    (bench.folder / "outside").touch()
    text = 'os.symlink("../outside", "l"); os.close(os.open("l", os.O_WRONLY))'
    footprint = touched(bench, watch, text)
    assert footprint.reads == {"i:.", "p:.", "e:./l"}
    assert footprint.writes == frozenset()


def test_a_descriptor_of_a_renamed_directory_means_the_same_directory(
    bench: Any, watch: Watching
) -> None:
    text = 'fd = os.open("d", 0); os.rename("d", "k"); os.mkdir("new", dir_fd=fd)'
    footprint = touched(bench, watch, text)
    assert {"e:d/new", "o:d"} <= footprint.writes


def test_what_is_made_is_named_after_its_maker(bench: Any, watch: Watching) -> None:
    footprint = touched(bench, watch, 'os.mkdir("k"); os.rename("k", "l"); os.mkdir("l/m")')
    assert "e:A1/m" in footprint.writes


@pytest.mark.parametrize(
    "path", ["d/sub/x", "link/sub/x", "e/../d/sub/x", "./d//sub/x", "/proc/self/cwd/d/sub/x"]
)
def test_each_entry_on_the_way_is_read(bench: Any, watch: Watching, path: str) -> None:
    footprint = touched(bench, watch, f'os.mkdir("{path}")')
    assert {"e:./d", "e:d/sub"} <= footprint.reads
    assert "e:d/sub/x" in footprint.writes


def test_entries_on_the_way_from_a_descriptor_are_read(bench: Any, watch: Watching) -> None:
    text = 'fd = os.open("d", 0); os.mkdir("sub/x", dir_fd=fd)'
    assert "e:d/sub" in touched(bench, watch, text).reads


def test_a_way_that_ends_early_is_a_step_and_reads_what_is_missing(
    bench: Any, watch: Watching
) -> None:
    text = 'fd = os.open("d", 0); tell(os.mkdir, "none/x", dir_fd=fd)'
    assert touched(bench, watch, text).reads == {"p:d", "e:d/none"}


def test_the_way_through_a_descriptor_passes_no_entry_of_ours(bench: Any, watch: Watching) -> None:
    text = 'fd = os.open("d", os.O_DIRECTORY); os.lstat(f"/proc/self/fd/{fd}/.")'
    assert touched(bench, watch, text).reads == {"i:d", "t:d", "d:d"}


def test_a_descriptor_leads_to_a_directory_that_has_no_name_any_more(
    bench: Any, watch: Watching
) -> None:
    text = """
os.mkdir("gone"); fd = os.open("gone", os.O_DIRECTORY); os.rmdir("gone")
tell(os.mkdir, f"/proc/self/fd/{fd}/new")"""
    assert touched(bench, watch, text).reads == {"p:A1", "e:A1/new"}


# --- dependence -------------------------------------------------------------------------------

MAKE_D, MAKE_E = 'os.mkdir("d/x")', 'os.mkdir("e/x")'
LOCK = 'fd = os.open("g", 0); fcntl.flock(fd, fcntl.LOCK_EX)'
SHARE = 'fd = os.open("g", 0); fcntl.flock(fd, fcntl.LOCK_SH)'
CONFLICTS = {
    "a removal and a look": ('os.unlink("d/f")', 'os.stat("d/f")'),
    "two new entries of one directory": (MAKE_D, 'os.mkdir("d/y")'),
    "a new entry and a listing": (MAKE_D, 'os.listdir("d")'),
    "a rename over a file and a look at it": ('os.rename("e/f", "d/f")', 'os.stat("d/f")'),
    "a rename of a directory and a step below": ('os.rename("d", "k")', MAKE_D),
    "a rename of a link's target and a step through the link": (
        'os.rename("d", "k")',
        'os.mkdir("link/x")',
    ),
    "a release and a lock": (LOCK + "; os.close(fd)", LOCK),
    "an end and a lock": (LOCK + "; os._exit(0)", LOCK),
    "a shared and an exclusive lock": (SHARE, LOCK),
    "an entry and its hard link": ('os.link("d/f", "e/h")', 'os.chmod("d/f", 0o600)'),
    "a truncation and a look": ('os.truncate("g", 9)', 'os.stat("g")'),
    "a change of a directory's mode and a look below": ('os.chmod("d", 0o711)', 'os.stat("d/f")'),
    "a change of times and a look": ('os.utime("d")', 'os.stat("d")'),
    "a new entry and a look at its directory": (MAKE_D, 'os.stat("d")'),
    "a new entry and a removal of its directory": ('os.mkdir("d/sub/x")', 'os.rmdir("d/sub")'),
}
COMMUTES = {
    "new entries of two directories": (MAKE_D, MAKE_E),
    "a change of times and a listing": ('os.utime("d")', 'os.listdir("d")'),
    "a new entry and a way to its directory": (MAKE_D, 'os.open("d", 0)'),
    "a new entry and whether its directory may be searched": (MAKE_D, 'os.access("d", os.X_OK)'),
    "a new entry and a step into its directory": (MAKE_D, 'os.chdir("d")'),
    "a writer's step and whether its file may be read": (
        'os.open("g", os.O_WRONLY); os.mkdir("e/x")',
        'os.access("g", os.R_OK)',
    ),
    "two looks": ('os.stat("d/f")', 'os.stat("d/f")'),
    "two shared locks": (SHARE, SHARE),
    "a removal and a look elsewhere": ('os.unlink("d/f")', 'os.stat("e/f")'),
    "two renames in two directories": ('os.rename("d/f", "d/h")', 'os.rename("e/f", "e/h")'),
    "a failed removal and a look": ('tell(os.unlink, "none")', 'os.stat("g")'),
}


def pair(bench: Any, watch: Watching, texts: tuple[str, str], **rules: Any) -> Any:
    return tuple(touched(bench, watch, text, **rules) for text in texts)


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflict(bench: Any, watch: Watching, name: str) -> None:
    one, other = pair(bench, watch, CONFLICTS[name])
    assert one.conflicts(other)
    assert other.conflicts(one)


@pytest.mark.parametrize("name", COMMUTES)
def test_commute(bench: Any, watch: Watching, name: str) -> None:
    one, other = pair(bench, watch, COMMUTES[name])
    assert not one.conflicts(other)


def test_inode_numbers_are_an_object_where_they_are_seen(bench: Any, watch: Watching) -> None:
    one, other = pair(bench, watch, ('os.rmdir("d/sub")', MAKE_E), sees_inodes=True)
    assert one.conflicts(other)
    one, other = pair(bench, watch, ('os.rmdir("d/sub")', MAKE_E), sees_inodes=False)
    assert not one.conflicts(other)


@pytest.mark.parametrize(
    ("text", "frees"),
    [
        (LOCK + '; os.unlink("g"); os.close(fd)', True),
        ('fd = os.open("g", os.O_RDWR | os.O_CREAT); os.unlink("g"); os.close(fd)', True),
        (LOCK + "; os.close(fd)", False),
    ],
    ids=["locked", "not locked", "named"],
)
def test_a_close_frees_the_inode_number_of_what_has_no_name(
    bench: Any, watch: Watching, text: str, frees: bool
) -> None:
    one, other = pair(bench, watch, (text, MAKE_E), sees_inodes=True)
    assert one.conflicts(other) is frees


@pytest.mark.parametrize("see", [True, False])
def test_a_close_that_frees_nothing_looks_whether_the_file_has_a_name(
    bench: Any, watch: Watching, see: bool
) -> None:
    """It belongs to the step before it; after a removal it would have been one of its own."""
    one, other = pair(
        bench,
        watch,
        ('fd = os.open("g", 0); os.stat("d"); os.close(fd)', 'os.unlink("g")'),
        sees_inodes=see,
    )
    assert one.conflicts(other) is see
