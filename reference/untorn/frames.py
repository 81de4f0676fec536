"""What a caller gets: ordered frames that stay readable until released."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol

from untorn import syscalls
from untorn.errors import UntornError
from untorn.outcome import Delivery, Failure, Miss


class EvictedError(UntornError):
    """The frames left the cache while they were held without a lease; extract again."""


class Hold(Protocol):
    """What keeps frames readable: a leased entry, locked staging or a private directory."""

    @property
    def fd(self) -> int:
        """A descriptor of the directory that holds the frames; negative once released."""

    def release(self) -> None:
        """Let go; a second call does nothing."""


class _Share:
    """One of several holders of one hold, which ends with the last of them.

    Taking from a list is one step, so that no lock is needed: `__del__` may run inside of any.
    """

    __slots__ = ("_hold", "_others", "_ours")

    def __init__(self, hold: Hold, others: list[int]) -> None:
        self._hold = hold
        self._others = others
        self._ours = [True]

    @property
    def fd(self) -> int:
        """The directory's descriptor; negative once this share is released."""
        return self._hold.fd if self._ours else -1

    def release(self) -> None:
        """Let go of this share; a second call does nothing."""
        try:
            self._ours.pop()
        except IndexError:
            return
        if self._others.pop() == 0:
            self._hold.release()


class Frames:
    """The frames of one extraction, in order; a context manager whose end releases them.

    `names` are in numeric frame order and `paths` are theirs. `delivery` says where they come from,
    `miss` why they were not a hit, `failure` why they were not published; `is_slice` says that they
    were cut out of a longer range. Until `release` the files stay readable under their paths. After
    a fork the child holds nothing: only the parent does.
    """

    __slots__ = (
        "_hold",
        "_paths",
        "delivery",
        "directory",
        "failure",
        "frame_bytes",
        "is_slice",
        "key",
        "miss",
        "names",
    )

    def __init__(
        self,
        *,
        key: str,
        directory: str,
        names: tuple[str, ...],
        frame_bytes: int,
        delivery: Delivery,
        hold: Hold,
        miss: Miss | None = None,
        failure: Failure | None = None,
        is_slice: bool = False,
    ) -> None:
        self.key = key
        self.directory = directory
        self.names = names
        self.frame_bytes = frame_bytes
        self.delivery = delivery
        self.miss = miss
        self.failure = failure
        self.is_slice = is_slice
        self._hold = hold
        self._paths: list[str] | None = None

    @property
    def paths(self) -> list[str]:
        """Absolute paths of the frames, in frame order."""
        if self._paths is None:
            prefix = self.directory + os.sep
            self._paths = [prefix + name for name in self.names]
        return self._paths

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    @property
    def directory_fd(self) -> int:
        """A descriptor of the frames' directory, which follows it wherever it is renamed."""
        return self._hold.fd

    @property
    def released(self) -> bool:
        """Whether the frames may be gone by now."""
        return self._hold.fd < 0

    def read(self, index: int) -> bytes:
        """The bytes of the frame at `index`, from 0.

        Raises EvictedError if the frames were released or evicted, IndexError outside the range.
        """
        name = self.names[index]
        if self.released:
            raise EvictedError(f"{name}: these frames were released")
        try:
            with syscalls.opened(
                name, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=self._hold.fd
            ) as file:
                chunks = []
                while chunk := os.read(file, 1 << 20):
                    chunks.append(chunk)
                return b"".join(chunks)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                raise EvictedError(f"{name} was evicted while it was in use") from error
            raise

    def release(self) -> None:
        """Let go of the frames; a second call does nothing."""
        self._hold.release()

    def shared(self, count: int) -> list[Frames]:
        """These frames for `count` holders, this one among them, each of whom releases its own.

        The files stay readable until the last one has.
        """
        if count == 1:
            return [self]
        hold, others = self._hold, list(range(count))
        self._hold = _Share(hold, others)
        return [self, *[self._with(_Share(hold, others)) for _ in range(count - 1)]]

    def _with(self, hold: Hold) -> Frames:
        return Frames(
            key=self.key,
            directory=self.directory,
            names=self.names,
            frame_bytes=self.frame_bytes,
            delivery=self.delivery,
            hold=hold,
            miss=self.miss,
            failure=self.failure,
            is_slice=self.is_slice,
        )

    def __enter__(self) -> Frames:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __del__(self) -> None:
        hold = getattr(self, "_hold", None)
        if hold is not None and hold.fd >= 0:
            hold.release()  # first: where warnings are errors, nothing behind one is done
            warnings.warn(f"frames of {self.key[:12]} were never released", ResourceWarning)  # noqa: B028

    def __repr__(self) -> str:
        return f"<Frames {self.key[:12]} {len(self.names)} {self.delivery}>"
