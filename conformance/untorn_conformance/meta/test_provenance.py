from __future__ import annotations

from pathlib import Path

from untorn_conformance import provenance

MOUNTS = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/root rw,discard
30 22 0:25 / /mnt rw,nosuid - tmpfs tmpfs rw,size=1m
31 30 0:26 / /mnt ro,nosuid - xfs /dev/sdb rw,noquota
32 22 0:27 / /with\040space rw - btrfs /dev/sdc rw
""".strip()


def test_the_innermost_mount_holds_a_directory() -> None:
    assert provenance.file_system_of(Path("/usr/lib"), MOUNTS).type == "ext4"
    assert provenance.file_system_of(Path("/mnt/deep/down"), MOUNTS).mount_point == "/mnt"


def test_of_two_mounts_on_one_place_the_later_is_on_top() -> None:
    assert provenance.file_system_of(Path("/mnt"), MOUNTS).type == "xfs"


def test_a_mount_is_not_told_by_the_beginning_of_a_name() -> None:
    assert provenance.file_system_of(Path("/mntx"), MOUNTS).mount_point == "/"


def test_escapes_in_mount_points_are_undone() -> None:
    assert provenance.file_system_of(Path("/with space/x"), MOUNTS).type == "btrfs"


def test_options_are_those_of_the_mount_and_of_the_file_system() -> None:
    found = provenance.file_system_of(Path("/mnt"), MOUNTS)
    assert found.options == ("ro", "nosuid", "rw", "noquota")


def test_a_real_directory_has_a_file_system(tmp_path: Path) -> None:
    (found,) = provenance.file_systems([tmp_path])
    assert found.type


def test_workers_are_counted() -> None:
    assert provenance.worker_count(["popen"] * 3) == 3
    assert provenance.worker_count(None) == 1
