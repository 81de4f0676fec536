"""The same cache, which says something else of itself each time that it is started."""

from __future__ import annotations

import dataclasses
import os

from untorn_conformance.backend import Hello
from untorn_conformance.meta.demo.directory import DirectoryCache


class FickleCache(DirectoryCache):
    """Names its process id as its version."""

    def hello(self) -> Hello:
        return dataclasses.replace(super().hello(), version=str(os.getpid()))
