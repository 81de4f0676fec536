"""What can go wrong, and whose fault it is.

Trouble with the cache itself is never raised from `extract`: it degrades to "uncached" (contract
D1). What is raised is either a mistake of the caller (a bad value, a clip that is no video, a root
that is not safe to use) or the decoder's own failure.
"""

from __future__ import annotations

import errno


class UntornError(Exception):
    """Anything that untorn raises on purpose; the message is one sentence for a person."""


class ConfigError(UntornError):
    """A setting has a value that means nothing; the message names the variable or argument."""


class CompositionError(ConfigError):
    """A composition file that cannot be read or asks for nothing; the message names the place."""


class KeyInputError(UntornError):
    """A key, or an input of a key, is out of range (NaN, infinity, a path in place of a digest)."""


class RootRefusedError(UntornError):
    """The cache root is not safe to use: not ours, a symlink, or writable by others."""


class ClipError(UntornError):
    """The clip cannot be used as asked: missing, not a video, or the range lies outside it."""


class SourceChangedError(ClipError):
    """The clip changed while it was being decoded; its frames would be of two versions."""


class DecoderError(UntornError):
    """The decoder is missing, failed, or delivered fewer frames than the clip holds."""


class ExhaustedError(UntornError):
    """The process or its system has run out of something: descriptors, threads, or room."""


class InvalidEntryError(UntornError):
    """Staged files that cannot become an entry: none, a gap, a duplicate or an empty frame."""


def explained(error: OSError) -> Exception:
    """What to tell of trouble that left one item of a render without frames."""
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return error
    told = ExhaustedError(
        f"no descriptor is left ({error.strerror}): each item of a render holds one until it is "
        "released; render fewer at a time, or raise the limit (ulimit -n)"
    )
    told.__cause__ = error
    return told
