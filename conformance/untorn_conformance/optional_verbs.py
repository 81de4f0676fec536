"""The verbs that come with a capability, and which protocol says what each verb takes and answers.

``backend`` has the verbs of everybody, and its rules hold here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from untorn_conformance.backend import (
    Backend,
    Extracted,
    Forked,
    Inputs,
    Key,
    Logged,
    Planted,
    PlantKind,
    Rendered,
    Verb,
)


class KeyedBackend(Backend, Protocol):
    """A backend that makes keys [key]."""

    def key(self, *, inputs: Inputs) -> Key:
        """Make the key of the inputs. Errors: invalid-key."""


class ExtractingBackend(Backend, Protocol):
    """A backend that extracts clips itself [extract]."""

    def extract(self, *, inputs: Inputs) -> Extracted:
        """Deliver the frames of a clip, from the cache or the decoder.

        Errors: bad-clip, decoder-failed, source-changed.
        """


class RenderingBackend(Backend, Protocol):
    """A backend that extracts many clips at once [render]."""

    def render(self, *, requests: Sequence[Inputs]) -> Rendered:
        """Deliver the frames of every request, merged where that changes no pixel of any.

        A request that cannot be met is an item that failed, and leaves the others alone.
        """


class LoggingBackend(Backend, Protocol):
    """A backend whose structured log can be read [log]."""

    def log(self) -> Logged:
        """Drain the events since the last call."""


class PlantingBackend(Backend, Protocol):
    """A backend that can put a described state in the place of an entry [plant]."""

    def plant(self, *, key: str, kind: PlantKind) -> Planted:
        """Put the state in place, replacing what is there."""


class ForkingBackend(Backend, Protocol):
    """A backend whose process can fork while it holds entries [fork]."""

    def fork(self, *, exec: bool) -> Forked:  # noqa: A002 (the contract's own word)
        """Fork a child that keeps what it inherits or, with ``exec``, runs a program; it waits."""


class AgingBackend(Backend, Protocol):
    """A backend whose clock can be moved [virtual-clock]; for others the harness shifts mtimes."""

    def age(self, *, seconds: float) -> None:
        """Make everything in the cache older by ``seconds``."""


VERB_PROTOCOL: Final[Mapping[Verb, type[object]]] = MappingProxyType(
    {
        **dict.fromkeys(Verb, Backend),
        Verb.KEY: KeyedBackend,
        Verb.EXTRACT: ExtractingBackend,
        Verb.RENDER: RenderingBackend,
        Verb.LOG: LoggingBackend,
        Verb.PLANT: PlantingBackend,
        Verb.FORK: ForkingBackend,
        Verb.AGE: AgingBackend,
    }
)
"""The protocol whose method says what a verb takes and answers."""
