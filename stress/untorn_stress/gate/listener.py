"""The supervisor's end of one gate: held calls come in, answers go out.

Sources: seccomp_unotify(2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Final, NamedTuple

from untorn_stress.gate import abi

_BLANK: Final = bytes(abi.NOTIFICATION.size)


class Notification(NamedTuple):
    """A held call: its id, the thread, the call's number and its six arguments."""

    id: int
    tid: int
    number: int
    arguments: tuple[int, ...]


class Listener:
    """One listener descriptor; it serves a whole process tree."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = bytearray(abi.NOTIFICATION.size)
        with contextlib.suppress(
            OSError
        ):  # Linux before 6.6: each answer costs a cross-CPU wake-up
            fcntl.ioctl(fd, abi.NOTIF_SET_FLAGS, abi.NOTIF_FD_SYNC_WAKE_UP)

    def receive(self) -> Notification | None:
        """Take one held call; None when its thread died before. Blocks if there is none."""
        buffer = self._buffer
        buffer[:] = _BLANK
        try:
            fcntl.ioctl(self.fd, abi.NOTIF_RECV, buffer)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        call = abi.CALL_OF.unpack(buffer)
        return Notification(call[0], call[1], call[2], call[3:])

    def let_go(self, ident: int) -> None:
        """Let the kernel perform the call; its result stays the target's."""
        self._send(ident, 0, 0, abi.NOTIF_FLAG_CONTINUE)

    def answer(self, ident: int, value: int, error: int = 0) -> None:
        """End the call with a value, or with an errno (positive); it is not performed."""
        self._send(ident, 0 if error else value, -error, 0)

    def answer_descriptor(self, ident: int, fd: int, *, cloexec: bool) -> int:
        """End the call with a new descriptor of the target's for our ``fd``; its number there.

        Raises OSError, such as EMFILE, which the caller then answers.
        """
        flags = os.O_CLOEXEC if cloexec else 0
        # Of a mutable buffer ioctl returns the result, of bytes a copy of the bytes.
        request = bytearray(abi.ADDFD.pack(ident, abi.ADDFD_FLAG_SEND, fd, 0, flags))
        return int(fcntl.ioctl(self.fd, abi.NOTIF_ADDFD, request))

    def replace_descriptor(self, ident: int, fd: int, number: int) -> None:
        """Have our ``fd`` in the place of the held process' descriptor of that number, as dup2."""
        request = bytearray(abi.ADDFD.pack(ident, abi.ADDFD_FLAG_SETFD, fd, number, os.O_CLOEXEC))
        fcntl.ioctl(self.fd, abi.NOTIF_ADDFD, request)

    def is_held(self, ident: int) -> bool:
        """Tell whether the call is still waiting: its thread may have been killed."""
        try:
            fcntl.ioctl(self.fd, abi.NOTIF_ID_VALID, ident.to_bytes(8, "little"))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hang up. Whoever is still held gets ENOSYS, so end the target first."""
        os.close(self.fd)

    def _send(self, ident: int, value: int, error: int, flags: int) -> None:
        try:
            fcntl.ioctl(self.fd, abi.NOTIF_SEND, abi.RESPONSE.pack(ident, value, error, flags))
        except OSError as failure:
            if failure.errno != errno.ENOENT:  # the target died meanwhile
                raise
