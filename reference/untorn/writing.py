"""Stage frames and publish them; whatever happens, the caller keeps readable frames.

Publishing never raises for the cache's sake: work that could not become an entry is delivered from
its locked staging, with the errno and the step, and removed when it is released (contract P5).
"""

from __future__ import annotations

from types import TracebackType

from untorn import events, lookup, publish, staging
from untorn.access import Access
from untorn.errors import InvalidEntryError
from untorn.frames import Frames
from untorn.lookup import Leased
from untorn.manifest import Manifest
from untorn.outcome import Delivery, Failure, Miss, Step, UnpublishedReason
from untorn.publish import Adopted, Published
from untorn.reading import frames_of
from untorn.root import Root
from untorn.staging import Staging, Workdir
from untorn.upkeep import Upkeep


class StagingArea:
    """A private directory to put frames into; a context manager that abandons what is unpublished.

    Frames are named with an optional prefix, a number without gaps and an optional extension.
    """

    def __init__(
        self,
        access: Access,
        upkeep: Upkeep,
        work: Staging | Workdir,
        failure: Failure | None,
    ) -> None:
        self.work = work
        self.failure = failure
        self._access = access
        self._upkeep = upkeep
        self._count: int | None = None
        self._done = False

    @property
    def key(self) -> str:
        """The key that the frames are for."""
        return self.work.key

    @property
    def path(self) -> str:
        """The directory to write the frames into."""
        return self.work.path

    def publish(self, miss: Miss | None = None, *, count: int | None = None) -> Frames:
        """The frames, as an entry if that could be: see `delivery` and `failure` of the result.

        `count` is how many frames were written. Give it where outsiders can reach the root: what
        one of them has thinned is else taken for all there is, unless it shows a gap.

        Raises InvalidEntryError for no frame, a gap, a duplicate or an empty frame; the work can
        then be mended and published again, or abandoned. Raises OSError where it is not published
        and not even its frames can be listed, or fewer than `count`: they are lost then, and have
        to be made again.
        """
        assert not self._done, "a staging area is published or abandoned once"
        self._count = count
        if isinstance(self.work, Staging):
            frames = self._publish(self.work, miss)
        else:
            assert self.failure is not None, "work outside the cache has a reason to be there"
            frames = self._unpublished(self.failure, miss)
        self._done = True
        return frames

    def _publish(self, work: Staging, miss: Miss | None) -> Frames:
        access = self._access
        try:
            sealed = staging.seal(work, access.settings, access.clock(), self._count)
        except OSError as error:
            return self._unpublished(Failure.of(error, Step.SEAL), miss)
        budget = access.settings.budget_bytes
        if budget and sealed.entry_bytes > budget:
            detail = f"{sealed.entry_bytes} bytes, and the whole budget is {budget}"
            return self._unpublished(
                Failure(reason=UnpublishedReason.TOO_LARGE, step=Step.SEAL, detail=detail),
                miss,
                sealed,
            )
        try:
            outcome = publish.publish(work, access.policy())
        except OSError as error:
            outcome = Failure.of(error, Step.RENAME)
        if isinstance(outcome, Failure):
            return self._unpublished(outcome, miss, sealed)
        if isinstance(outcome, Adopted):
            return self._adopted(work, outcome, miss)
        return self._published(work, sealed, outcome, miss)

    def _published(
        self, work: Staging, sealed: Manifest, outcome: Published, miss: Miss | None
    ) -> Frames:
        access = self._access
        access.counters.add("published")
        if outcome.repaired:
            access.counters.add("repaired")
        events.note("published", key=work.key, frames=len(sealed.names), bytes=sealed.entry_bytes)
        # The lock that protected the staging travelled with the directory: it is the lease now.
        leased = Leased(work.claim, sealed, lookup.stamp_ns(access.clock()), work.identity)
        frames = frames_of(access, work.root, leased, Delivery.PUBLISHED, miss)
        self._upkeep.account(work.root, sealed.entry_bytes)
        return frames

    def _adopted(self, work: Staging, outcome: Adopted, miss: Miss | None) -> Frames:
        self._access.counters.add("adopted")
        events.note("adopted", key=work.key)
        frames = frames_of(self._access, work.root, outcome.winner, Delivery.ADOPTED, miss)
        work.release()
        return frames

    def _unpublished(
        self, failure: Failure, miss: Miss | None, sealed: Manifest | None = None
    ) -> Frames:
        cause = failure.errno_name or failure.reason.value
        self._access.counters.add(f"unpublished.{cause}")
        events.note("unpublished", key=self.key, cause=cause, step=failure.step)
        if failure.reason is UnpublishedReason.ERRNO and isinstance(self.work, Staging):
            self._access.degrade(cause, f"not published: {failure}")
        if sealed is not None:
            names, frame_bytes = sealed.names, sealed.frame_bytes
        else:
            found = staging.inspect(self.work.fd, self._count)
            names = tuple(name for name, _ in found)
            frame_bytes = sum(status.st_size for _, status in found)
        return Frames(
            key=self.key,
            directory=self.work.path,
            names=names,
            frame_bytes=frame_bytes,
            delivery=Delivery.UNPUBLISHED if isinstance(self.work, Staging) else Delivery.UNCACHED,
            hold=self.work,
            miss=miss,
            failure=failure,
        )

    def move_out(self, error: OSError) -> None:
        """Go on in an empty private directory outside the cache: writing here failed.

        What was written is dropped, so the caller writes its frames again; publishing them ends
        unpublished with this error (raises OSError if there is no room elsewhere either).
        """
        failure = Failure.of(error, Step.STAGE)
        self._access.degrade(failure.errno_name or "stage", f"not staged: {failure}")
        work, self.work = self.work, Workdir(self.key)
        self.failure = failure
        work.release()

    def abandon(self) -> None:
        """Drop the work; does nothing after a publish."""
        if not self._done:
            self._done = True
            self.work.release()

    def __enter__(self) -> StagingArea:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()


def stage(access: Access, upkeep: Upkeep, key: str) -> StagingArea:
    """Locked staging for `key`; a private directory elsewhere if the root cannot be used."""
    try:
        root = access.complete_root()
        if root is not None:
            return StagingArea(access, upkeep, _make(access, root, key), None)
        failure = no_root(access)
    except OSError as error:
        failure = Failure.of(error, Step.STAGE)
        access.degrade(failure.errno_name or "stage", str(failure))
    return StagingArea(access, upkeep, Workdir(key), failure)


def no_root(access: Access) -> Failure:
    """Why the root cannot be used; without an errno where the cache is off or its root refused."""
    return Failure(
        reason=UnpublishedReason.ERRNO,
        step=Step.ROOT,
        error=access.root_error,
        detail=access.degraded,
    )


def _make(access: Access, root: Root, key: str) -> Staging:
    """Staging below the root; if something below it was removed, it is made again, once."""
    try:
        return staging.make(root, key)
    except FileNotFoundError:
        reopened = access.reopen()
    if reopened is None:
        raise FileNotFoundError(2, access.degraded, access.settings.root)
    return staging.make(reopened, key)


__all__ = ["InvalidEntryError", "StagingArea", "stage"]
