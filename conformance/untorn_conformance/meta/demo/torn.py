"""The same cache with one bug: entries lose their last file. Asked for the key ``die``, it dies."""

from __future__ import annotations

import os

from untorn_conformance.backend import Adopted, Hit, Miss, Published, Unpublished
from untorn_conformance.meta.demo.directory import DirectoryCache


class TornCache(DirectoryCache):
    """Leaves out the last file of every entry, as a crash in the middle of its publish would."""

    def publish(self, *, handle: str) -> Published | Adopted | Unpublished:
        names = sorted(os.listdir(self._held(handle)))
        (self._held(handle) / names[-1]).unlink()
        return super().publish(handle=handle)

    def lookup(self, *, key: str) -> Hit | Miss:
        if key == "die":
            os._exit(3)
        return super().lookup(key=key)
