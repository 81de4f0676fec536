"""Small programs at the gate, and small caches in a laboratory.

``bench`` runs Python text, each below one directory; ``laboratory_of`` makes a laboratory of a good
cache with one method of its own, and ``explore`` searches it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from untorn_conformance.backend import Limits
from untorn_conformance.contract import Capability
from untorn_conformance.registry import parse
from untorn_conformance.storming import spool_beside, stormed_of
from untorn_conformance.subjects import ask_hello
from untorn_stress.ensemble import Cast
from untorn_stress.explore import Budget
from untorn_stress.explorer import Exploration, Explored, bounded
from untorn_stress.gate.hosting import FOREIGN_KEEPER, Keeper
from untorn_stress.gate.supervisor import Rules
from untorn_stress.gated_programs import GatedPrograms, ProgramsRun
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory, Patience, Subject
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.protocol import Executed, Moment, Option
from untorn_stress.schedulers.replay import Replay
from untorn_stress.storm.ledger import StormLedger
from untorn_stress.storm.plan import Wanted
from untorn_stress.storm.series import Series
from untorn_stress.storm.storm import Storm
from untorn_stress.storm.summary import Account

CAMPAIGN = Path(__file__).with_name("programs") / "campaign.py"
PREAMBLE = """
import ctypes, errno, fcntl, mmap, os, select, signal, struct, sys, threading, time
root = sys.argv[1]
os.chdir(root)
libc = ctypes.CDLL(None, use_errno=True)
def tell(make, *arguments, **named):
    try:
        print(make(*arguments, **named), flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
def tell_raw(value):
    print(value if value >= 0 else errno.errorcode[ctypes.get_errno()], flush=True)
"""


@dataclass
class Watch:
    """Follows a schedule of labels and remembers what was on offer and what was touched."""

    labels: Sequence[str] = ()
    offers: list[tuple[str, ...]] = field(default_factory=list)
    executed: list[Executed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._replay = Replay(self.labels)

    def choose(self, moment: Moment) -> Option | None:
        self.offers.append(tuple(option.label for option in moment.options))
        if moment.executed is not None:
            self.executed.append(moment.executed)
        return self._replay.choose(moment)

    def touched(self, run: ProgramsRun, line: str) -> Executed:
        """What the step of this line really touched."""
        executed = [*self.executed, run.ending.executed]
        at = run.log.index(line)
        found = executed[at]
        assert found is not None
        return found


class Bench:
    """One directory and the keeper of the programs that work below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "cache"
        self.root.mkdir()
        path = os.pathsep.join(sys.path)
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        self.keeper = Keeper(FOREIGN_KEEPER, env=environment, stderr=folder / "stderr")

    def python(self, text: str) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", PREAMBLE + text, str(self.root)]

    def system(self, *programs: str | Sequence[str], **how: Any) -> GatedPrograms:
        argvs = [self.python(each) if isinstance(each, str) else list(each) for each in programs]
        how.setdefault("rules", Rules(deadline_s=20.0))
        return GatedPrograms(argvs, root=self.root, keeper=self.keeper, **how)

    def run(
        self, *programs: str | Sequence[str], watch: Watch | None = None, **how: Any
    ) -> ProgramsRun:
        return self.system(*programs, **how).run((watch or Watch()).choose)

    def steps(self, *programs: str, watch: Watch | None = None, **how: Any) -> list[str]:
        """The log without how all programs come to their directory, and end."""
        return [
            each for each in self.run(*programs, watch=watch, **how).log if " chdir " not in each
        ]

    def bare(self, program: str) -> list[str]:
        """What a program prints that runs without a gate."""
        done = subprocess.run(self.python(program), capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    with made.keeper:
        yield made


@pytest.fixture
def watch() -> Callable[..., Watch]:
    """A watch for a schedule: ``watch("3A 2B At1")``."""

    def make(schedule: str = "") -> Watch:
        labels: list[str] = []
        for count, label in re.findall(r"([0-9]*)([A-Z][^ ]*)", schedule):
            labels += [label] * int(count or 1)
        return Watch(tuple(labels))

    return make


# --- caches ---------------------------------------------------------------------------------------

CACHE = """
import errno, fcntl, os, shutil
from pathlib import Path
from untorn_conformance.specimens.after_review import AfterReview
from untorn_conformance.specimens.removal import DeletionOrder

class Cache(AfterReview):
    def __init__(self):
        super().__init__(DeletionOrder.{order})
    {method}

factory = Cache
"""


@pytest.fixture
def laboratory_of(tmp_path: Path) -> Iterator[Callable[..., Laboratory]]:
    """Makes the laboratory of a good cache with one method of its own."""
    made: list[Laboratory] = []

    def make(
        method: str = "pass",
        *,
        order: str = "SORTED",
        capabilities: frozenset[Capability] = frozenset(),
        limits: Limits | None = None,
        clip: str = "",
        base: Path | None = None,
        grain: Grain = Grain.METADATA,
        **patience: Any,
    ) -> Laboratory:
        body = textwrap.indent(textwrap.dedent(method), "    ").strip()
        (tmp_path / "cache_of_a_test.py").write_text(CACHE.format(order=order, method=body))
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        cast = Cast(
            name="test",
            identity="test@1",
            env={**os.environ, "PYTHONPATH": path},
            zygote=(
                *(sys.executable, "-m", "untorn_conformance.zygote"),
                "cache_of_a_test:factory",
            ),
        )
        subject = Subject(
            spec="test", identity="test@1", cast=cast, capabilities=capabilities, limits=limits
        )
        made.append(
            Laboratory(
                subject,
                base=base or tmp_path,
                clip=clip,
                grain=grain,
                patience=Patience(**patience),
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def explore() -> Callable[..., Explored]:
    """Searches a laboratory: a few runs with at most one preemption, unless told otherwise."""

    def search(
        laboratory: Laboratory,
        name: str,
        tree: str = "",
        runs: int | None = 3,
        *,
        preemptions: int = 1,
        kills: int = 0,
    ) -> Explored:
        played = scenario(name)
        scheduler, described = bounded(preemptions, kills)
        return Exploration(
            laboratory,
            played,
            laboratory.start(tree or played.tree),
            scheduler,
            described=described,
            budget=Budget(runs=runs),
            kills=kills > 0,
        ).run()

    return search


# --- campaigns ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def program() -> ModuleType:
    """``programs/campaign.py``, which is no module of a package: campaigns of stand-ins."""
    spec = importlib.util.spec_from_file_location("campaign_of_a_test", CAMPAIGN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def out(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A campaign's directory; orders are beside it, where the test is now."""
    monkeypatch.chdir(tmp_path)
    program.orders("some-fail")
    return tmp_path / "out"


# --- storms --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def passable() -> Iterator[Callable[[], Path]]:
    """Makes folders that workers of another user can pass; pytest closes its own to them."""
    made: list[Path] = []

    def folder() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="untorn-test-")))
        made[-1].chmod(0o755)
        return made[-1]

    yield folder
    for each in made:
        shutil.rmtree(each)


@pytest.fixture(scope="session")
def storm() -> Callable[..., Account]:
    """Makes a storm in a folder: ``until`` is asked between rounds whether that was enough."""

    def rage(
        folder: Path,
        wanted: Wanted,
        *,
        backend: str = "reference",
        until: Callable[[Account], bool],
        **how: Any,
    ) -> Account:
        account = Account(wanted, StormLedger(folder, "", time.monotonic_ns()), Series())
        spec = parse(backend)
        Storm(
            stormed_of(spec, ask_hello(spec, folder), folder),
            account,
            directory=folder,
            spool_directory=spool_beside(folder),
            tell=lambda _line: None,
            is_stopped=lambda: until(account),
            **how,
        ).rage()
        return account

    return rage
