"""What a writer of the reference does: copy its frames into staging, and publish them.

Where the cache's disk fails it, it does what `untorn.extract` does with a decoder: it makes its
frames again, outside of the cache.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import untorn
from untorn import layout
from untorn.frames import Frames
from untorn.writing import StagingArea

from untorn_conformance.backend import StagedFile
from untorn_conformance.errors import BackendError, ErrorCode

_CHUNK_BYTES = 1 << 20


class Work:
    """The files of one stage, in a staging area of the cache or outside of it."""

    def __init__(self, area: StagingArea, files: Sequence[StagedFile]) -> None:
        self.area = area
        self._files = files

    def copy(self) -> None:
        """Copy all files. Raises BackendError for names that are not frames', or come twice."""
        for count, file in enumerate(self._files, 1):
            if layout.frame_number(file.name) is None:
                raise BackendError(ErrorCode.INVALID_ENTRY, f"not a frame's name: {file.name!r}")
            try:
                self._copy_file(file)
            except FileExistsError:
                detail = f"twice: {file.name!r}"
                raise BackendError(ErrorCode.INVALID_ENTRY, detail) from None
            except OSError as error:
                if self.area.failure is not None:
                    raise
                self._start_over(error, self._files[:count])

    def publish(self) -> Frames:
        """Publish them; what is not all there any more is copied again, outside."""
        count = len(self._files)
        try:
            return self.area.publish(count=count)
        except untorn.InvalidEntryError:
            self.area.abandon()
            raise
        except OSError as error:
            self._start_over(error, self._files)
            return self.area.publish(count=count)

    def _start_over(self, error: OSError, files: Sequence[StagedFile]) -> None:
        self.area.move_out(error)
        for each in files:
            self._copy_file(each)

    def _copy_file(self, file: StagedFile) -> None:
        """Copy a payload into a new file, read-only as the decoder leaves its frames.

        By hand, because each call below the root is a step of a schedule: shutil.copyfile takes
        five.
        """
        with open(file.path, "rb", buffering=0) as payload:
            target = os.path.join(self.area.path, file.name)
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
            try:
                while chunk := payload.read(_CHUNK_BYTES):
                    left = memoryview(chunk)
                    while left:
                        left = left[os.write(fd, left) :]
            finally:
                os.close(fd)
