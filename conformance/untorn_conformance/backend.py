"""What a cache under test can be asked, and what it can answer.

The protocols below *are* the protocol: ``wire`` reads the verbs' arguments and answers from their
signatures, so that a Python class, the JSON schema of a line and this page cannot disagree.

Rule 1: every argument is named and always sent; None means "as configured" or "does not apply".
Rule 2: an expected outcome is an answer (a miss, an eviction, an unpublished entry); only what
        keeps a verb from answering is a ``BackendError``.
Rule 3: a handle is the backend's own string, usable until ``release``, ``abandon`` or ``close``.
Rule 4: payloads travel as files, by path; only names, sizes and digests are in the messages.

Who has more than these verbs declares a capability: ``optional_verbs`` says what they take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from untorn_conformance.contract import Capability

PROTOCOL_VERSION: Final = 1


class Verb(StrEnum):
    """Everything that a backend can be asked."""

    HELLO = "hello"
    OPEN = "open"
    LOOKUP = "lookup"
    READ = "read"
    RELEASE = "release"
    STAGE = "stage"
    PUBLISH = "publish"
    ABANDON = "abandon"
    COLLECT = "collect"
    STATS = "stats"
    CLOSE = "close"
    KEY = "key"
    EXTRACT = "extract"
    RENDER = "render"
    LOG = "log"
    PLANT = "plant"
    FORK = "fork"
    AGE = "age"


VERB_CAPABILITY: Final[Mapping[Verb, Capability]] = MappingProxyType(
    {
        Verb.KEY: Capability.KEY,
        Verb.EXTRACT: Capability.EXTRACT,
        Verb.RENDER: Capability.RENDER,
        Verb.LOG: Capability.LOG,
        Verb.PLANT: Capability.PLANT,
        Verb.FORK: Capability.FORK,
        Verb.AGE: Capability.VIRTUAL_CLOCK,
    }
)
"""The capability that each optional verb belongs to; a verb that is not here is for everyone."""


class MissReason(StrEnum):
    """Why a lookup did not hit (R6)."""

    ABSENT = "absent"
    INCOMPLETE = "incomplete"
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    STALE_GENERATION = "stale-generation"
    UNVERIFIED = "unverified"
    BUSY = "busy"


class UnpublishedReason(StrEnum):
    """Why a publish left nothing behind; ``errno`` comes with its name and its step (P5)."""

    ERRNO = "errno"
    BUSY = "busy"
    UNTRUSTED = "untrusted"
    TOO_LARGE = "too-large"


class BytesMeaning(StrEnum):
    """What counts as an entry's bytes: ``st_size`` summed over its links, or allocated blocks."""

    ST_SIZE = "st_size"
    ALLOCATED = "allocated"


class ExtractOutcome(StrEnum):
    """Where the frames of an extraction came from, and whether they are in the cache now.

    ``unpublished`` frames are in the backend's staging, ``uncached`` ones outside the cache.
    """

    HIT = "hit"
    PUBLISHED = "published"
    ADOPTED = "adopted"
    UNPUBLISHED = "unpublished"
    UNCACHED = "uncached"


class FailedCode(StrEnum):
    """Why one request of a render could not be met: the errors of the same names say so alone."""

    INVALID_KEY = "invalid-key"
    BAD_CLIP = "bad-clip"
    DECODER_FAILED = "decoder-failed"
    SOURCE_CHANGED = "source-changed"


class PlantKind(StrEnum):
    """A state that ``plant`` puts in the place of a key's entry (K4, K7, P4, G6)."""

    OLD_GENERATION = "old-generation"
    WRONG_KEY = "wrong-key"
    DAMAGED = "damaged"
    STRAY_DIRECTORY = "stray-directory"
    STRAY_FILE = "stray-file"
    STRAY_SYMLINK = "stray-symlink"


class Axis(StrEnum):
    """The inputs of a key (K2). Times and rates are exact text: ``"1.5"``, ``"30000/1001"``.

    ``extract`` is given the clip's axes and finds the source's identity and the decoder itself;
    ``key`` may be given every axis, so that golden vectors depend on no file and no decoder.
    """

    PATH = "path"
    MTIME_NS = "mtime_ns"
    SIZE_BYTES = "size_bytes"
    CONTENT_SHA256 = "content_sha256"
    START_S = "start_s"
    DURATION_S = "duration_s"
    FPS = "fps"
    FORMAT = "format"
    QUALITY = "quality"
    TRANSFORM = "transform"
    DECODER = "decoder"


class Setting(StrEnum):
    """A setting that a backend reads from an environment variable [config], [verify].

    ``Hello.variables`` says which. ``root`` is the directory or a word that switches the cache off,
    ``budget_mb`` the budget in 2**20 bytes, ``min_age_s`` seconds, ``verify`` is ``1`` to check the
    bytes of every hit. ``flight_wait_s`` are the seconds that stand for the limit of that name
    [single-flight]: a case that waits for them need not wait for long.
    """

    ROOT = "root"
    BUDGET_MB = "budget_mb"
    MIN_AGE_S = "min_age_s"
    VERIFY = "verify"
    FLIGHT_WAIT_S = "flight_wait_s"


class SourceKind(StrEnum):
    """What a clip is, by how its code values mean light."""

    SDR = "sdr"
    PQ = "pq"
    HLG = "hlg"


Inputs: TypeAlias = Mapping[Axis, str | int | float | None]
"""Values by axis; an axis that is absent keeps the keys made before it existed (K4)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a backend promises about its times (seconds) and sizes; the contract's rows use it."""

    reap_grace_s: float
    recency_resolution_s: float
    flight_wait_s: float
    max_entry_bytes: int | None = None
    bytes_meaning: BytesMeaning = BytesMeaning.ST_SIZE


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """Who the backend is, what it declares and what it promises.

    ``transforms`` are the texts of the axis of that name that it knows [transform], each with the
    kind of clip that it is for: ``{"hdr2sdr": "pq"}``. They are made from that clip as png.
    """

    name: str
    version: str
    language: str
    capabilities: frozenset[Capability]
    limits: Limits
    protocol: int = PROTOCOL_VERSION
    variables: Mapping[Setting, str] = field(default_factory=dict)
    transforms: Mapping[str, SourceKind] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """The entry is there: its file names in frame order, readable through the handle."""

    handle: str
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Miss:
    """There is no entry to serve, and why."""

    reason: MissReason
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameRead:
    """The bytes of one frame, as the backend's own process read them: digest and count."""

    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Evicted:
    """The entry was evicted under a reader that holds no lease; this is no error (R5)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Damaged:
    """The entry was found damaged by an outsider while it was read."""

    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedFile:
    """A payload: ``name`` is its name in the entry, ``path`` where the backend copies it from."""

    name: str
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A writer's unpublished work."""

    handle: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The writer's own entry became visible."""

    handle: str
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """Another writer's complete entry was there first; the handle reads that one."""

    handle: str
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpublished:
    """Nothing became visible, and why; the handle still reads the caller's own frames (P5).

    When the reason is errno, ``errno`` is its name, such as ``ENOSPC``, and ``step`` where it was.
    """

    handle: str
    files: tuple[str, ...]
    reason: UnpublishedReason
    errno: str | None = None
    step: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What one collect did (or, in a dry run, would do).

    ``evicted`` counts entries, ``reaped`` counts stagings; bytes have the meaning of ``Limits``.
    ``protected`` counts by reason the entries that could not be evicted, such as ``{"leased": 2}``.
    """

    evicted: int
    freed_bytes: int
    reaped: int
    over_budget_bytes: int = 0
    protected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """The collect did nothing, and why: another collector is at work, collect is off, and so on."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Monotonic counters since ``open``, under the names that ``counters`` lists (O1)."""

    counters: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """The key of the given inputs."""

    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """The frames of a clip: names in frame order, readable through the handle until released.

    ``reason`` says why an outcome is ``unpublished`` or ``uncached``, and is empty otherwise.
    """

    handle: str
    files: tuple[str, ...]
    outcome: ExtractOutcome
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """One request of a render that could not be met; the others are."""

    code: FailedCode
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """One item for each request of a render, in their order, each with a handle of its own.

    Requests that are equal in all axes have an item each, too.
    """

    items: tuple[Extracted | Failed, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEvent:
    """One structured event: ``level`` as in syslog's words, ``cause`` groups equal causes (D3)."""

    level: str
    cause: str
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """The events since the last ``log``; draining forgets them."""

    events: tuple[LogEvent, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """Where the state was put: the path of the key's entry, relative to the root."""

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Forked:
    """The child: it keeps what it inherited and waits until it is killed."""

    pid: int


class Backend(Protocol):
    """The verbs that every backend has."""

    def hello(self) -> Hello:
        """Say who you are; answered before ``open`` and without touching any file."""

    def open(self, *, root: str | None, env: Mapping[str, str], clock_offset_s: float) -> None:
        """Use the cache at ``root`` (None: as configured), configured by ``env`` alone.

        ``clock_offset_s`` is added to the backend's clock [virtual-clock]; else it is 0.
        Errors: root-refused, bad-config.
        """

    def lookup(self, *, key: str) -> Hit | Miss:
        """Find the entry of ``key`` and, with the capability lease, hold it until released."""

    def read(self, *, handle: str, index: int) -> FrameRead | Evicted | Damaged:
        """Read file ``index`` (from 0) of the handle's ``files``, in the backend's own process."""

    def release(self, *, handle: str) -> None:
        """Give up a handle of lookup, publish or extract."""

    def stage(self, *, key: str, files: Sequence[StagedFile]) -> Staged:
        """Copy the files into private staging, in the backend's own process.

        Errors: invalid-entry, invalid-key.
        """

    def publish(self, *, handle: str) -> Published | Adopted | Unpublished:
        """Make the staged work visible at once; whatever the answer, its files are readable."""

    def abandon(self, *, handle: str) -> None:
        """Give up staged work without publishing it."""

    def collect(
        self, *, budget_bytes: int | None, min_age_s: float | None, dry_run: bool
    ) -> Collected | Skipped:
        """Evict least recently used entries down to the budget (None: as configured), and reap."""

    def stats(self) -> Stats:
        """Report the counters."""

    def close(self) -> None:
        """Release everything; the next verb may be ``open`` again."""
