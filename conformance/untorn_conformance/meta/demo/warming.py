"""Backends that do something while they are loaded, or remember what they did, to fork or not."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import threading

from untorn_conformance.backend import Miss, MissReason
from untorn_conformance.meta.demo.directory import DirectoryCache

_said: list[str] = []
_shared: list[int] = []


class Telling(DirectoryCache):
    """Answers each lookup with a word on its process."""

    def lookup(self, *, key: str) -> Miss:
        _said.append(key)
        program = os.path.basename(sys.argv[0])
        told = {
            "who": f"{program} {os.getppid()}",
            "said": f"{len(_said)}",
            "hash": f"{hash('a string')}",
            "shared": f"{len(_shared)}",
            "home": f"{os.getcwd()} {os.path.expanduser('~')}",
            "where": f"{os.getcwd()} {tempfile.gettempdir()} {os.environ['TMPDIR']}",
        }
        return Miss(reason=MissReason.ABSENT, detail=told[key])


class Threaded(Telling):
    """Begins a thread when it is made."""

    def __init__(self) -> None:
        super().__init__()
        threading.Thread(target=threading.Event().wait, daemon=True).start()


class Parental(Telling):
    """Runs a program when it is made."""

    def __init__(self) -> None:
        super().__init__()
        subprocess.run(["/bin/true"], check=True)


class Holding(Telling):
    """Opens a file when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.null = os.open(os.devnull, os.O_RDONLY)


class Leaving(Telling):
    """Has something to do when its process ends."""

    def __init__(self) -> None:
        super().__init__()
        atexit.register(str)


class Placed(Telling):
    """Asks where temporary files go when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.told_place = os.environ.get("TMPDIR")


class Sharing(Telling):
    """Works once for all forks, and has others do a part of it."""

    def share(self) -> None:
        subprocess.run(["/bin/true"], check=True)
        _shared.append(os.getpid())


class Clinging(Telling):
    """Leaves a descriptor open that its forks would share."""

    def share(self) -> None:
        self.null = os.open(os.devnull, os.O_RDONLY)
        _shared.append(self.null)


class Unloadable(Telling):
    """Fails when it is made."""

    def __init__(self) -> None:
        super().__init__()
        raise RuntimeError("nothing can be made of this")
