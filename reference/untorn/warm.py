"""A range that a longer entry already holds: cut out of it in place of a decode.

Asked for after a miss alone, so that a hit costs nothing more. Whatever is in doubt (the longer
entry, the clip's time stamps, the cache itself) ends here, and the range is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from untorn import cadence, clip, events, lookup, slicing, spans, superset
from untorn.access import Access
from untorn.clip import ClipInfo
from untorn.errors import InvalidEntryError, RootRefusedError
from untorn.frames import Frames
from untorn.key import KeyInputs, compute_key
from untorn.lookup import Leased
from untorn.manifest import ManifestError
from untorn.outcome import Delivery, Miss
from untorn.request import Resolved
from untorn.root import Root
from untorn.stopwatch import Phase
from untorn.superset import Offset
from untorn.upkeep import Upkeep


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """What is to be cut: the axes of its key, what they mean, what its clip holds."""

    inputs: KeyInputs
    resolved: Resolved
    info: ClipInfo


def cut(access: Access, upkeep: Upkeep, wanted: Cut, miss: Miss) -> Frames | None:
    """The frames of a range as a slice of a longer entry; None if it has to be decoded.

    Raises SourceChangedError if the clip is no longer the one that the key is of.
    """
    root = access.root()
    if root is None or superset.kept(wanted.info, wanted.resolved.range) is None:
        return None
    with access.phase(Phase.SLICE):
        try:
            for longer in spans.recall(root, wanted.inputs):
                frames = _cut_from(access, upkeep, root, longer, wanted, miss)
                if frames is not None:
                    return frames
        except OSError as error:
            _count(access, f"ranges are not cut out of longer ones: {error}")
    return None


def note(access: Access, wanted: Cut, frames: Frames) -> None:
    """Note what was decoded, if it became an entry that others can be cut from."""
    if frames.delivery not in (Delivery.PUBLISHED, Delivery.ADOPTED):
        return
    if superset.kept(wanted.info, wanted.resolved.range) is None:
        return
    try:
        root = access.root()
        if root is not None:
            spans.note(root, wanted.inputs)
    except (OSError, RootRefusedError) as error:
        _count(access, f"shorter ranges will not find what was decoded: {error}")


def _count(access: Access, what: str) -> None:
    """It is thrift, and costs a decode where it fails."""
    access.counters.add("slice_failed")
    events.warn_once("slice", what)


def _cut_from(
    access: Access, upkeep: Upkeep, root: Root, longer: KeyInputs, wanted: Cut, miss: Miss
) -> Frames | None:
    """The slice of one longer entry, if there is one; leased while it is cut."""
    resolved = wanted.resolved
    whole = replace(resolved.range, start_s=longer.start_s, duration_s=longer.duration_s)
    kept = superset.kept(wanted.info, whole)
    offset = superset.sliceable(wanted.info, whole, resolved.range)
    if kept is None or offset is None:
        return None
    leased = lookup.lease_entry(root, compute_key(longer), access.policy())
    if isinstance(leased, Miss):
        return None
    try:
        if len(leased.manifest.names) != kept.count:
            return None  # the decoder did not do what was reckoned with
        holds = cadence.holds(resolved.path, wanted.info, whole, resolved.range, offset)
        clip.require_unchanged(resolved.path, resolved.state)
        return _publish(access, upkeep, leased, offset, wanted, miss) if holds else None
    finally:
        leased.claim.release()


def _publish(
    access: Access, upkeep: Upkeep, leased: Leased, offset: Offset, wanted: Cut, miss: Miss
) -> Frames | None:
    try:
        source = slicing.source_of_entry(leased)
        return slicing.publish(access, upkeep, source, offset, compute_key(wanted.inputs), miss)
    except (ManifestError, InvalidEntryError) as error:
        _count(access, f"a longer entry is damaged: {error}")
        return None
