"""One worker of a storm, asked without ever waiting: a loop serves a dozen of them.

Rule 1: a worker has at most one request outstanding.
Rule 2: what has come before its end is believed, also after a SIGKILL was sent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from untorn_conformance import wire
from untorn_conformance.backend import Verb
from untorn_conformance.errors import BackendError, ErrorCode, ProtocolError
from untorn_conformance.history import Op

from untorn_stress.storm.arena import Streams
from untorn_stress.storm.roles import Errand, Part, Role

_CHUNK_BYTES: Final = 1024 * 1024
_MAX_LINE_BYTES: Final = 64 * 1024 * 1024


class StormWorker:
    """A process, its part and its role. ``pid`` is 0 until the nursery has told it."""

    def __init__(self, part: Part, role: Role, slot: int, streams: Streams) -> None:
        self.part: Final = part
        self.role: Final = role
        self.slot: Final = slot
        self.streams: Final = streams
        self.pid = 0
        self.op: Op | None = None
        self.errand: Errand | None = None
        self.killed = False
        self.stopped = False
        self.hung_up = False
        self.leaves_children = False
        self.offset_s = 0.0
        self.is_open = False
        self.answers = 0
        self.turns = 0
        self._request = 0
        self._incoming = bytearray()
        self._outgoing = bytearray()

    @property
    def name(self) -> str:
        """The process' name in the history."""
        return self.part.process

    @property
    def wants_room(self) -> bool:
        """Whether a part of a request is still to be sent."""
        return bool(self._outgoing)

    def send(self, verb: Verb, args: Mapping[str, object]) -> None:
        """Send a request as far as there is room; ``flush`` sends the rest."""
        self._request += 1
        self._outgoing += wire.encode_request(self._request, verb, args)
        self.flush()

    def flush(self) -> None:
        """Send what there is room for."""
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self.streams.to_worker, self._outgoing)]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._outgoing.clear()  # it is gone: the reading side tells, after its last words

    def receive(self, verb: Verb) -> tuple[bool, object]:
        """Take an answer if one is there: (True, value); a line that is none is a protocol error.

        ``hung_up`` is set when no further line will come.
        """
        if not self.hung_up:
            self._read()
        newline = self._incoming.find(b"\n")
        if newline < 0:
            if len(self._incoming) > _MAX_LINE_BYTES:
                return True, BackendError(ErrorCode.PROTOCOL, "a line that does not end")
            return False, None
        line = bytes(self._incoming[:newline])
        del self._incoming[: newline + 1]
        return True, self._value(line, verb)

    def _value(self, line: bytes, verb: Verb) -> object:
        try:
            answer = wire.decode_answer(line, verb=verb)
        except ProtocolError as error:
            return BackendError(ErrorCode.PROTOCOL, str(error))
        if answer.id != self._request:
            message = f"an answer to request {answer.id}, asked was {self._request}"
            return BackendError(ErrorCode.PROTOCOL, message)
        self.answers += 1
        return answer.value

    def _read(self) -> None:
        try:
            chunk = os.read(self.streams.from_worker, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self.hung_up = True
        self._incoming += chunk

    def drain(self) -> None:
        """Read all that is there."""
        size = -1
        while size != len(self._incoming) and not self.hung_up:
            size = len(self._incoming)
            self._read()

    def note_kill(self) -> None:
        """Remember that a SIGKILL was sent."""
        self.killed = True
