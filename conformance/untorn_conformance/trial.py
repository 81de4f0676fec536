"""One run of the suite against one backend, as each pytest process of the run knows it."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from untorn_stress import supervise
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory

from untorn_conformance.backend import Hello
from untorn_conformance.baseline import Baseline
from untorn_conformance.contract import Requirement
from untorn_conformance.errors import BackendError
from untorn_conformance.farm import Farm, remove_tree
from untorn_conformance.registry import BackendSpec
from untorn_conformance.results import Manifest, Results
from untorn_conformance.starting import RUN_VARIABLE, identify, start_worker
from untorn_conformance.subjects import subject_of
from untorn_conformance.warmth import Warmth
from untorn_conformance.wire import from_plain, to_plain


@dataclass(frozen=True, kw_only=True, slots=True)
class Greeting:
    """What came of asking the backend who it is: ``hello``, or None and the ``problem``."""

    hello: Hello | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Passport:
    """What the controlling process tells those that it starts, so that all are of one run."""

    run_token: str
    greeting: Greeting
    machine_seed: int

    def to_text(self) -> str:
        """Write it as a JSON string: nothing richer may cross processes."""
        return json.dumps(to_plain(self))

    @staticmethod
    def from_text(text: str) -> Passport:
        """Read what ``to_text`` wrote."""
        return from_plain(Passport, json.loads(text), where="passport")


@dataclass(kw_only=True)
class Trial:
    """The run: what is tried (``spec``, ``selected``), where, what is known, and what came of it.

    ``is_controller`` is False in the processes that pytest-xdist starts. ``machine_seed`` is what
    the machines of all processes draw from.
    """

    spec: BackendSpec
    directories: tuple[Path, ...]
    selected: tuple[Requirement, ...]
    require_evidence: bool
    baseline: Baseline = field(default_factory=Baseline)
    machine_seed: int = 0
    is_controller: bool = True
    run_token: str = field(default_factory=lambda: secrets.token_hex(8))
    greeting: Greeting | None = None
    collected: Manifest = field(default_factory=Manifest)
    results: Results = field(default_factory=Results)
    warmth: Warmth = field(default_factory=Warmth)
    started_utc: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_s: float = field(default_factory=time.monotonic)

    def passport(self) -> Passport:
        """Make what another process of the same run needs to know."""
        return Passport(
            run_token=self.run_token, greeting=self.greet(), machine_seed=self.machine_seed
        )

    def adopt(self, passport: Passport) -> None:
        """Become a part of the run that the passport was issued by."""
        self.is_controller = False
        self.run_token = passport.run_token
        self.greeting = passport.greeting
        self.machine_seed = passport.machine_seed

    def greet(self) -> Greeting:
        """Ask the backend who it is, once a run."""
        if self.greeting is None:
            with tempfile.TemporaryDirectory(prefix="untorn-hello-") as scratch:
                self.greeting = _greet(self.spec, self.run_token, Path(scratch))
        return self.greeting

    def of(self, spec: BackendSpec) -> Trial:
        """The same run with another backend; what it leaves is swept with the rest."""
        return replace(self, spec=spec, greeting=None, collected=Manifest(), results=Results())

    def farm(self, directory: Path) -> Farm:
        """Make the farm of one case. Raises RuntimeError when the backend did not say who it is."""
        greeting = self.greet()
        if greeting.hello is None:
            raise RuntimeError(f"backend {self.spec.name} did not say hello: {greeting.problem}")
        base = self._base(directory)
        base.mkdir(exist_ok=True)
        base.chmod(0o755)
        return Farm(
            base=base,
            spec=self.spec,
            hello=greeting.hello,
            run_token=self.run_token,
            spawn=self.warmth.spawn,
        )

    def laboratory(
        self, directory: Path, *, clip: str = "", grain: Grain = Grain.METADATA
    ) -> Laboratory:
        """The backend under the gate, held at the calls of ``grain``, to extract ``clip``.

        Raises RuntimeError when it did not say who it is.
        """
        greeting = self.greet()
        if greeting.hello is None:
            raise RuntimeError(f"backend {self.spec.name} did not say hello: {greeting.problem}")
        base = self._base(directory)
        base.mkdir(exist_ok=True)
        base.chmod(0o755)
        subject = subject_of(
            self.spec,
            greeting.hello,
            env={RUN_VARIABLE: self.run_token},
            preload=bool(clip),
            spawn=self.warmth.spawn,
        )
        return Laboratory(subject, base=base, clip=clip, grain=grain)

    @property
    def findings(self) -> Path:
        """Where counterexamples are written in the course of the run."""
        return Path(tempfile.gettempdir()) / f"untorn-{self.run_token}-findings"

    def hand_over_findings(self, run: Path) -> None:
        """Move the counterexamples into the run's directory."""
        if self.findings.is_dir():
            shutil.move(self.findings, run / "counterexamples")

    def note_collected(self, manifest: Manifest, process: str) -> None:
        """Note what this process collected, where the controlling one finds it."""
        self.collected = manifest
        if not self.is_controller:
            manifest.write(self._manifests, process)

    def all_collected(self) -> Manifest:
        """Return what was collected, by whichever process."""
        return self.collected or Manifest.read_all(self._manifests)

    def sweep(self) -> int:
        """Kill what a case or a dead process left, remove its files; returns how many died."""
        left = supervise.kill_all(lambda: supervise.marked(self.run_token, RUN_VARIABLE))
        for path in (*map(self._base, self.directories), self._manifests):
            if path.exists():
                remove_tree(path)
        return left

    def _base(self, directory: Path) -> Path:
        return directory / f"untorn-{self.run_token}"

    @property
    def _manifests(self) -> Path:
        return Path(tempfile.gettempdir()) / f"untorn-{self.run_token}-cases"


def _greet(spec: BackendSpec, run_token: str, scratch: Path) -> Greeting:
    try:
        with start_worker(
            spec, run_token=run_token, scratch=scratch, stderr_path=scratch / "stderr"
        ) as worker:
            return Greeting(hello=identify(spec, worker))
    except BackendError as error:
        return Greeting(problem=str(error))
