"""All nemeses, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from untorn_stress.storm.nemesis.cleaner import Cleaner
from untorn_stress.storm.nemesis.clock import ClockOffset
from untorn_stress.storm.nemesis.collect_burst import CollectBurst
from untorn_stress.storm.nemesis.disk_full import DiskFull
from untorn_stress.storm.nemesis.inodes_full import InodesFull
from untorn_stress.storm.nemesis.kill_parent import KillParent
from untorn_stress.storm.nemesis.kill_tree import KillTree
from untorn_stress.storm.nemesis.kill_worker import KillWorker
from untorn_stress.storm.nemesis.mtimes import ShiftMtimes
from untorn_stress.storm.nemesis.permissions import Permissions
from untorn_stress.storm.nemesis.protocol import Nemesis
from untorn_stress.storm.nemesis.root_removed import RootRemoved
from untorn_stress.storm.nemesis.stop import StopAwhile

_ALL: Final[tuple[Nemesis, ...]] = (
    KillWorker(),
    KillTree(),
    KillParent(),
    StopAwhile(),
    CollectBurst(),
    DiskFull(),
    InodesFull(),
    ShiftMtimes(),
    ClockOffset(),
    Cleaner(),
    RootRemoved(),
    Permissions(),
)

NEMESES: Final[Mapping[str, Nemesis]] = MappingProxyType({each.name: each for each in _ALL})
"""Every nemesis; ``kill`` strikes all the time, as often as --kills-per-s says."""

SMALL_DISK: Final = frozenset({"disk-full", "inodes-full"})
"""Those that need a file system of the storm's own."""
