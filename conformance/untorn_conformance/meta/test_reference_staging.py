"""The reference's adapter: a writer whose staging somebody thins still gets its frames."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from untorn_conformance.backend import FrameRead, StagedFile, Unpublished
from untorn_conformance.backends.reference import Reference


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """The adapter listens to the reference's log; here it is not alone in its process."""
    logger = logging.getLogger("untorn")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.mark.parametrize("kept", [0, 1, 2], ids=lambda kept: f"{kept}-of-3-left")
def test_thinned_staging_is_unpublished_and_the_writer_gets_its_frames(
    tmp_path: Path, kept: int
) -> None:
    backend = Reference()
    root = tmp_path / "root"
    backend.open(root=str(root), env={}, clock_offset_s=0.0)
    files = [StagedFile(name=f"frame_0000{n}.png", path=str(tmp_path / f"{n}")) for n in (1, 2, 3)]
    for each in files:
        Path(each.path).write_bytes(each.name.encode())
    staged = backend.stage(key="ab" * 32, files=files)
    for path in sorted((root / "staging").glob("*/frame_*"))[kept:]:
        path.unlink()
    answer = backend.publish(handle=staged.handle)
    assert isinstance(answer, Unpublished)
    reads = [backend.read(handle=answer.handle, index=index) for index in range(3)]
    backend.close()
    assert [each.bytes for each in reads if isinstance(each, FrameRead)] == [15, 15, 15]
