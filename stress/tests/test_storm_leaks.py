"""What a storm makes of caches that leave things behind, or take what is not theirs: E3, C3, G5."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn_stress.storm.plan import RoundPlan, Wanted
from untorn_stress.storm.summary import Account

LEAKY = """
    import os
    import shutil
    import subprocess
    import tempfile
    from untorn_conformance.backends.reference import Reference

    class DescriptorLeft(Reference):
        def lookup(self, *, key):
            os.open("/dev/null", os.O_RDONLY)
            return super().lookup(key=key)

    class NameLeft(Reference):
        def publish(self, *, handle):
            root = self._open_cache.settings.root
            os.close(tempfile.mkstemp(dir=root, prefix="left-")[0])
            return super().publish(handle=handle)

    class NumberedNameLeft(Reference):
        def stage(self, *, key, files):
            root = self._open_cache.settings.root
            open(os.path.join(root, f"staging-{os.getpid()}.tmp"), "w").close()
            return super().stage(key=key, files=files)

    class TemporaryFileLeft(Reference):
        def publish(self, *, handle):
            os.close(tempfile.mkstemp(prefix="left-")[0])
            return super().publish(handle=handle)

    class StrangerTaken(Reference):
        def collect(self, **how):
            root = self._open_cache.settings.root
            shutil.rmtree(os.path.join(root, "photos.partial-2019"), ignore_errors=True)
            return super().collect(**how)

    class NeighbourTaken(Reference):
        def collect(self, **how):
            disk = os.path.dirname(self._open_cache.settings.root)
            shutil.rmtree(os.path.join(disk, "animated-gif"), ignore_errors=True)
            return super().collect(**how)

    class LinkFollowed(Reference):
        def collect(self, **how):
            root = self._open_cache.settings.root
            open(os.path.join(root, "link-out", "precious"), "w").close()
            return super().collect(**how)

    class ProcessLeft(Reference):
        def open(self, **how):
            subprocess.Popen(["sleep", "1000"])
            super().open(**how)
"""


def quiet(_wanted: Wanted, number: int, *, has_small: bool) -> RoundPlan:
    """A round in which nothing strikes."""
    del has_small
    return RoundPlan(
        number=number, is_small=False, work_s=0.5, drains=True, spares=False, strikes=()
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("DescriptorLeft", "descriptors more"),
        ("NameLeft", "left-"),
        ("NumberedNameLeft", "staging-"),
        ("TemporaryFileLeft", "temporary files that a worker left"),
        ("ProcessLeft", "processes that outlive the worker"),
        ("StrangerTaken", "in the root: photos.partial-2019"),
        ("NeighbourTaken", "beside it: animated-gif"),
        ("LinkFollowed", "what a link out of the root points to"),
    ],
)
def test_what_is_left_behind_or_taken_is_found(
    passable: Callable[[], Path],
    storm: Callable[..., Account],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    says: str,
) -> None:
    folder = passable()
    (folder / "leaky.py").write_text(textwrap.dedent(LEAKY))
    monkeypatch.syspath_prepend(folder)
    wanted = Wanted(seed=1, duration_s=1.0, readers=1, writers=1, collectors=0, nemeses=(), keys=8)
    account = storm(
        folder,
        wanted,
        backend=f"py:leaky:{name}",
        until=lambda account: account.rounds > 0,
        planned=quiet,
    )
    told = [each for each in account.ledger.findings if says in each["message"]]
    assert {row for each in told for row in each["requirements"]} & {"E3", "C3", "G5"}
