"""Extract a clip range through the cache: look up, wait for others, decode, publish.

    E1 resolve the request, fingerprint the decoder        -> the key
    E2 look it up                                          hit: done
    E3 single-flight: wait for whoever is at it, look up again
       Is it part of a longer entry? Then cut it out of that (see warm)
    E4 room for it? collect once if not; still not: uncached
    E5 decode into locked staging, which the decoder's own lock keeps alive
    E6 count the frames, see that the clip held still      else nothing is published
    E7 publish

E2 to E5 and E7 never fail the caller: an OSError of the cache turns into frames from staging, or
from a private directory. The decoder's and the clip's own errors fly.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from untorn import (
    clip,
    command,
    decoder,
    estimate,
    events,
    extraction,
    flight,
    probes,
    reading,
    space,
    staging,
    syscalls,
    transform,
    warm,
    writing,
)
from untorn.access import Access, errno_name
from untorn.cancel import Cancel
from untorn.clip import ClipInfo
from untorn.decoder import Decoder
from untorn.errors import DecoderError, InvalidEntryError, SourceChangedError
from untorn.extraction import Progress
from untorn.flight import Flight
from untorn.frames import Frames
from untorn.key import KeyInputs, compute_key, derive_key
from untorn.outcome import Delivery, Failure, Miss, MissReason, Step, UnpublishedReason
from untorn.request import Request, Resolved, resolve
from untorn.root import Root
from untorn.staging import Staging, Workdir
from untorn.stopwatch import Phase
from untorn.upkeep import Upkeep
from untorn.warm import Cut
from untorn.writing import StagingArea

_SOURCE_TRIES = 2


class Busy(Exception):  # noqa: N818 - an answer to who did not want to wait, and no error
    """Somebody else is at this work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One request on its way: what it means, who decodes it, under which key, who is told.

    `inputs` are the key's axes; both are None where there is no cache just now. `cancel` ends it
    from another thread. One that is not `patient` does not wait for whoever is at the same work: it
    is Busy. `lost` is how it had its frames, where it had them and somebody took them.
    """

    resolved: Resolved
    decoder: Decoder
    inputs: KeyInputs | None
    key: str | None
    progress: Progress | None = None
    cancel: Cancel | None = None
    patient: bool = True
    lost: Delivery | None = None

    @property
    def entry_key(self) -> str:
        """The key that frames are staged under; outside of the cache it means nothing."""
        return self.key or derive_key("uncached")


def extract(
    access: Access, upkeep: Upkeep, request: Request, progress: Progress | None = None
) -> Frames:
    """See Cache.extract."""
    ffmpeg = decoder.find(os.environ)
    return obtain(access, upkeep, request, job_of(access, resolve(request), ffmpeg, progress))


def job_of(
    access: Access,
    resolved: Resolved,
    ffmpeg: Decoder,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Job:
    """The job of a request as it was resolved (E1; ClipError if its clip cannot be identified)."""
    inputs = _inputs(access, access.root(), resolved, ffmpeg, cancel)
    return Job(
        resolved=resolved,
        decoder=ffmpeg,
        inputs=inputs,
        key=None if inputs is None else compute_key(inputs),
        progress=progress,
        cancel=cancel,
    )


def with_range(job: Job, resolved: Resolved) -> Job:
    """The job of another range of the same clip, for nobody's progress (KeyInputError)."""
    inputs = job.inputs
    if inputs is not None:
        wanted = resolved.range
        inputs = replace(inputs, start_s=wanted.start_s, duration_s=wanted.duration_s)
    return replace(
        job,
        resolved=resolved,
        inputs=inputs,
        key=None if inputs is None else compute_key(inputs),
        progress=None,
    )


def obtain(access: Access, upkeep: Upkeep, request: Request, job: Job) -> Frames:
    """The frames of `job`, which `request` became; Busy, Cancelled, or as Cache.extract raises.

    A clip that changes under the decoder is tried once more, as it is then.
    """
    for _ in range(_SOURCE_TRIES - 1):
        try:
            return _obtain(access, upkeep, job)
        except SourceChangedError:
            access.counters.add("source_changed")
        again = job_of(access, resolve(request), job.decoder, job.progress, job.cancel)
        job = replace(again, patient=job.patient)
    try:
        return _obtain(access, upkeep, job)
    except SourceChangedError:
        access.counters.add("source_changed")
        raise


def _obtain(access: Access, upkeep: Upkeep, job: Job) -> Frames:
    root = access.root()
    if root is None or job.key is None:
        return _uncached(access, upkeep, job, writing.no_root(access), None)
    found = find_whole(access, job.key)
    if isinstance(found, Frames):
        reading.count(access, found, lost=job.lost)
        return found
    with access.phase(Phase.EXTRACT):
        turn = wait_for_turn(access, root, job)
        try:
            # Also where nobody was waited for: he may have published between our look and our turn.
            again = find_whole(access, job.key)
            reading.count(access, again, lost=job.lost)
            if isinstance(again, Frames):
                return again
            if again.taken:
                access.counters.add("evicted_under_reader")
                access.counters.add("re_extracted")
            return _make(access, upkeep, job, again)
        finally:
            turn.land()


def _inputs(
    access: Access, root: Root | None, resolved: Resolved, ffmpeg: Decoder, cancel: Cancel | None
) -> KeyInputs | None:
    """The key's axes; None where there is no root, and so no need to fingerprint the decoder."""
    if root is None:
        return None
    try:
        return resolved.key_inputs(decoder.fingerprint(ffmpeg, root.ctl_fd), cancel)
    except OSError as error:
        access.degrade(errno_name(error), f"the decoder cannot be fingerprinted: {error}")
        return None


def find_whole(access: Access, key: str) -> Frames | Miss:
    """Look up; a hit whose files an outsider has taken is a miss, and extracted again (R5)."""
    with access.phase(Phase.LOOKUP):
        return _find_whole(access, key)


def _find_whole(access: Access, key: str) -> Frames | Miss:
    found = reading.find(access, key)
    if isinstance(found, Miss):
        return found
    try:
        require_there(found, (found.names[0], found.names[-1]))
    except OSError as error:
        found.release()
        detail = f"{errno_name(error)} on a frame"
        return Miss(reason=MissReason.DAMAGED, detail=detail, taken=True)
    return found


def are_there(frames: Frames) -> bool:
    """Whether frames that are held still are where they were, by a look at the first and last."""
    try:
        require_there(frames, (frames.names[0], frames.names[-1]))
    except OSError:
        return False
    return True


def require_there(frames: Frames, names: Sequence[str]) -> None:
    """OSError if a frame that is held is gone: leases bind processes of ours alone."""
    for name in names:
        os.stat(name, dir_fd=frames.directory_fd, follow_symlinks=False)


def wait_for_turn(access: Access, root: Root, job: Job, also: Sequence[str] = ()) -> Flight:
    """Our turn at the job's key, and at the keys `also`; Busy, or Cancelled.

    Single-flight is thrift: where its lock fails we go without.
    """
    pause = None if job.cancel is None else job.cancel.pause
    wait_s = access.settings.flight_wait_s if job.patient else 0
    try:
        there = access.complete_root() or root
        turn = flight.take_off(there, job.entry_key, wait_s, pause, also=also)
    except OSError as error:
        events.warn_once("flight", f"single-flight is off: {error}")
        turn = Flight(flight.Role.LED, None)
    if turn.role is flight.Role.TIMED_OUT and not job.patient:
        raise Busy
    access.counters.add(f"flight.{turn.role}")
    return turn


def examined(job: Job) -> clip.ClipInfo:
    """What the clip is; ClipError or DecoderError where it cannot become what is asked for."""
    path, wanted = job.resolved.path, job.resolved.range.transform
    info = probes.probe(path, job.resolved.state)
    transform.require_fit(wanted, info, path)
    if wanted is not None:
        decoder.require_filters(job.decoder, transform.filters(wanted, info).names)
    return info


def _make(access: Access, upkeep: Upkeep, job: Job, miss: Miss) -> Frames:
    """Cut it out of a longer entry, or decode it."""
    info = examined(job)
    assert job.inputs is not None, "what is looked up has a key"
    wanted = Cut(inputs=job.inputs, resolved=job.resolved, info=info)
    sliced = warm.cut(access, upkeep, wanted, miss)
    if sliced is not None:
        return sliced
    frames = _decode_and_publish(access, upkeep, job, info, miss)
    warm.note(access, wanted, frames)
    return frames


def _decode_and_publish(
    access: Access, upkeep: Upkeep, job: Job, info: ClipInfo, miss: Miss
) -> Frames:
    expected = estimate.expected_frames(info, job.resolved.range)
    need = estimate.need(info, job.resolved.range, expected)
    failure = room(access, upkeep, need)
    if failure is None:
        area = writing.stage(access, upkeep, job.entry_key)
        if isinstance(area.work, Workdir):
            assert area.failure is not None
            area.abandon()
            return _uncached(access, upkeep, job, area.failure, miss)
        with area:
            try:
                space.reserve(area.work, need)
                count = decode(job, area, info, expected)
                access.counters.add("extracted")
                return _publish(access, area, miss, count)
            except DecoderError:
                failure = _staging_trouble(area.work)
                if failure is None:
                    raise
            except OSError as error:
                failure = Failure.of(error, Step.STAGE)
    access.degrade(failure.errno_name or failure.reason, str(failure))
    return _uncached(access, upkeep, job, failure, miss)


def _publish(access: Access, area: StagingArea, miss: Miss | None, count: int) -> Frames:
    """E7; OSError if the frames are gone, as when an outsider deletes the root under us (D1)."""
    try:
        with access.phase(Phase.PUBLISH):
            frames = area.publish(miss, count=count)
    except InvalidEntryError as error:
        raise DecoderError(f"the decoder wrote no sound frames: {error}") from error
    if frames.failure is not None:
        try:
            require_there(frames, frames.names)
        except OSError:
            frames.release()
            raise
    return frames


def decode(job: Job, area: StagingArea, info: clip.ClipInfo, expected: int | None) -> int:
    """E5 and E6: how many frames there are (DecoderError, SourceChangedError, OSError)."""
    try:
        extraction.run(
            command.command(job.decoder, job.resolved.path, job.resolved.range, info),
            area.path,
            keep_fds=[area.work.fd],
            expected=expected,
            progress=job.progress,
            cancel=job.cancel,
        )
    except DecoderError:
        # A clip that is being written can make the decoder fail: then the clip is tried again.
        clip.require_unchanged(job.resolved.path, job.resolved.state)
        raise
    clip.require_unchanged(job.resolved.path, job.resolved.state)
    frames = sum(name.startswith("frame_") for name in os.listdir(area.work.fd))
    estimate.require_enough(frames, info, job.resolved.range, expected)
    return frames


def room(access: Access, upkeep: Upkeep, need: space.Need) -> Failure | None:
    """E4: None if there is room, after one collect if need be; else why not (contract D4).

    Before anything is staged: without a free inode there is no staging directory either.
    """
    root = access.root()
    if root is None:
        return None  # staging will say why
    try:
        short = space.missing(root, need)
        if short is not None:
            usage = upkeep.used_bytes(root)
            if short.size <= usage:  # what no eviction can make room for evicts nothing
                upkeep.collect(usage - short.size if short.size else 0)
            short = space.missing(root, need)
        if short is None:
            return None
    except OSError as error:
        return Failure.of(error, Step.STAGE)
    return Failure(
        reason=UnpublishedReason.ERRNO,
        step=Step.STAGE,
        error=errno.ENOSPC,
        detail=f"short of {short.size} bytes and {short.files} files on the cache's disk",
    )


def _staging_trouble(work: Staging) -> Failure | None:
    """Whether it was our disk that failed the decoder: None if staging can be written all right."""
    probe = ".probe"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with syscalls.opened(probe, flags, dir_fd=work.fd) as fd:
            os.write(fd, bytes(65536))
            os.fsync(fd)
        os.unlink(probe, dir_fd=work.fd)
    except OSError as error:
        return Failure.of(error, Step.STAGE)
    return None


def _uncached(
    access: Access, upkeep: Upkeep, job: Job, failure: Failure, miss: Miss | None
) -> Frames:
    """Decode into a private directory outside the cache."""
    with access.phase(Phase.EXTRACT):
        return _decode_outside(access, upkeep, job, failure, miss)


def _decode_outside(
    access: Access, upkeep: Upkeep, job: Job, failure: Failure, miss: Miss | None
) -> Frames:
    info = examined(job)
    expected = estimate.expected_frames(info, job.resolved.range)
    access.counters.add("uncached")
    with contextlib.ExitStack() as stack:
        area = stack.enter_context(
            StagingArea(access, upkeep, staging.Workdir(job.entry_key), failure)
        )
        _require_room(area, estimate.need(info, job.resolved.range, expected))
        count = decode(job, area, info, expected)
        access.counters.add("extracted")
        return _publish(access, area, miss, count)


def _require_room(area: StagingArea, need: space.Need) -> None:
    """DecoderError if there is no room outside of the cache either, before anything is written."""
    try:
        short = space.missing_outside(area.work.fd, need)
    except OSError:  # not to be known: the decoder will show it
        return
    if short is not None:
        raise DecoderError(
            f"there is no room for the frames: {os.path.dirname(area.path)} is short of "
            f"{short.size} bytes and {short.files} files (TMPDIR names another place)"
        )
