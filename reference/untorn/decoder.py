"""The decoder: which ffmpeg is used, and the fingerprint that goes into every key.

`UNTORN_FFMPEG` names a file, or a command that is looked up in PATH; else the complete ffmpeg
inside the imageio-ffmpeg wheel is used. Two builds may encode the same frame into other bytes, so
what the binary says of itself and the SHA-256 of its file are both part of the fingerprint.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass

import imageio_ffmpeg

from untorn import layout, syscalls
from untorn.config import VAR_FFMPEG
from untorn.errors import DecoderError
from untorn.layout import is_key

_VERSION_TIMEOUT_S = 30.0
_PAGE_BYTES = 65536
_MAX_REMEMBERED = 32
_FILTER_WORDS = 2  # flags and name, before "V->V"


@dataclass(frozen=True, slots=True)
class Decoder:
    """An ffmpeg that runs: its path and what `-version` prints."""

    path: str
    version: str

    @property
    def version_line(self) -> str:
        """The first line of `ffmpeg -version`."""
        return self.version.splitlines()[0] if self.version else "unknown"


def find(environ: dict[str, str] | os._Environ[str]) -> Decoder:
    """The ffmpeg to use; DecoderError if there is none that runs."""
    path = _locate(environ.get(VAR_FFMPEG, "").strip())
    try:
        state = os.stat(path)
    except OSError as error:
        raise DecoderError(f"{VAR_FFMPEG}: {path}: {error.strerror}") from None
    return Decoder(path, _version(path, state.st_mtime_ns, state.st_size))


def _locate(chosen: str) -> str:
    if chosen and os.sep not in chosen:
        found = shutil.which(chosen)
        if found is None:
            raise DecoderError(f"{VAR_FFMPEG}: no command {chosen!r} in PATH")
        return os.path.abspath(found)
    if chosen:
        return os.path.abspath(os.path.expanduser(chosen))
    try:
        return os.path.abspath(str(imageio_ffmpeg.get_ffmpeg_exe()))
    except RuntimeError as error:
        raise DecoderError(f"no ffmpeg found: {error}; set {VAR_FFMPEG}") from None


@functools.lru_cache(maxsize=8)
def _version(path: str, _mtime_ns: int, _size: int) -> str:
    """Asked once a process and file: it costs 13 ms, or 80 where linked dynamically."""
    return _told(path, "-version")


def _told(path: str, question: str) -> str:
    try:
        done = subprocess.run(
            [path, "-hide_banner", question],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else "did not answer"
        raise DecoderError(f"cannot run {path}: {reason}") from None
    if done.returncode != 0 or not done.stdout:
        raise DecoderError(f"{path} {question} failed with exit code {done.returncode}")
    return done.stdout.decode("utf-8", "replace")


def require_filters(decoder: Decoder, names: frozenset[str]) -> None:
    """DecoderError naming the filters that this ffmpeg was built without."""
    try:
        state = os.stat(decoder.path)
    except OSError as error:
        raise DecoderError(f"{VAR_FFMPEG}: {decoder.path}: {error.strerror}") from None
    missing = names - _filters(decoder.path, state.st_mtime_ns, state.st_size)
    if missing:
        words = ", ".join(sorted(missing))
        raise DecoderError(f"{decoder.path} was built without the filter {words}; set {VAR_FFMPEG}")


@functools.lru_cache(maxsize=8)
def _filters(path: str, _mtime_ns: int, _size: int) -> frozenset[str]:
    lines = (line.split() for line in _told(path, "-filters").splitlines())
    return frozenset(words[1] for words in lines if len(words) > _FILTER_WORDS and "->" in words[2])


def acquaint(environ: dict[str, str] | os._Environ[str]) -> None:
    """Ask the decoder and hash its file now: a fork of this process need not (DecoderError)."""
    decoder = find(environ)
    try:
        _file_hash(decoder.path, _identity(decoder.path))
    except OSError as error:
        raise DecoderError(f"{decoder.path} cannot be read: {error.strerror}") from None


def fingerprint(decoder: Decoder, ctl_fd: int) -> str:
    """64 hexadecimal digits that change when the decoder does.

    The file's hash (0.6 s for 170 MB) is remembered below `ctl_fd` under the file's identity, ctime
    included; a memory that cannot be read or written only costs the hashing.
    """
    return _fingerprint(decoder, _identity(decoder.path), ctl_fd)


def _identity(path: str) -> str:
    status = os.stat(path)
    return ":".join(
        str(part)
        for part in (
            os.path.realpath(path),
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
    )


@functools.lru_cache(maxsize=8)
def _file_hash(path: str, _identity: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_known: dict[tuple[str, str], str] = {}


def _fingerprint(decoder: Decoder, identity: str, ctl_fd: int) -> str:
    known = _known.get((decoder.version, identity))
    if known is None:
        remembered = _recall(ctl_fd)
        file_hash = remembered.get(identity)
        if file_hash is None:
            file_hash = _file_hash(decoder.path, identity)
            _remember(ctl_fd, {**remembered, identity: file_hash})
        text = f"{decoder.version}\n{file_hash}"
        known = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        _known[(decoder.version, identity)] = known
    return known


def _recall(ctl_fd: int) -> dict[str, str]:
    try:
        with syscalls.opened(
            layout.DECODERS, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=ctl_fd
        ) as fd:
            values = json.loads(os.pread(fd, _PAGE_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    # Half of another's page must not become a hash: this process alone would have such keys.
    return {
        name: value for name, value in values.items() if isinstance(value, str) and is_key(value)
    }


def _remember(ctl_fd: int, values: dict[str, str]) -> None:
    kept = dict(list(values.items())[-_MAX_REMEMBERED:])
    page = json.dumps(kept).encode("ascii")
    if len(page) >= _PAGE_BYTES:
        return
    flags = os.O_WRONLY | os.O_CREAT | syscalls.FILE_FLAGS
    try:
        with syscalls.opened(layout.DECODERS, flags, dir_fd=ctl_fd) as fd:
            os.pwrite(fd, page.ljust(_PAGE_BYTES - 1) + b"\n", 0)  # one write: never half a page
    except OSError:
        return  # a read-only or full root: the next process hashes again
