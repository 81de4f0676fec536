"""The trial as a pytest plugin: ``pytest -p untorn_conformance.plugin --backend SPEC``.

It is loaded by name and never as an entry point: an installed plugin that owns ``--backend`` would
break other projects. For tests that are no cases (see ``requires``) it does nothing.

Rule 1: the controlling process asks the backend once who it is and tells the others, so that every
        process collects the same cases.
Rule 2: results travel as strings attached to reports, and only the controlling process judges.
Rule 3: whatever is not certain is shown as a skip that starts with UNKNOWN; it never looks like a
        pass.
"""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

import pytest
from untorn_reports import summary
from untorn_reports.run_directory import RunDirectory, default_base
from untorn_stress.gate import availability
from untorn_stress.laboratory import Laboratory

from untorn_conformance import cases, known, options, phases, registry, turns
from untorn_conformance.backend_file import UnusableBackendError
from untorn_conformance.baseline import Baseline, BaselineError, today_utc
from untorn_conformance.baseline import read as read_baseline
from untorn_conformance.cases import canary, not_applicable, requires, unknown
from untorn_conformance.conclusion import conclude
from untorn_conformance.contract import REQUIREMENTS, select
from untorn_conformance.drawings import drawings_of
from untorn_conformance.farm import Farm
from untorn_conformance.profiles import PROFILES, Profile, Wheel, examples_of, seed_of
from untorn_conformance.provenance import worker_count
from untorn_conformance.results import Excluded, Manifest, PhaseReport, Results
from untorn_conformance.trial import Passport, Trial
from untorn_conformance.verdict import EXIT_CODES, Evidence, Measurement, VerdictWord

__all__ = [
    "Farm",
    "Grounds",
    "Measure",
    "canary",
    "effort",
    "farm",
    "grounds",
    "laboratory",
    "measure",
    "not_applicable",
    "requires",
    "unknown",
    "wheel",
]

TRIAL: Final = pytest.StashKey[Trial]()
_DOCUMENT: Final = pytest.StashKey[dict[str, Any]]()
_REPORT_PATH: Final = pytest.StashKey[Path]()
_FARM: Final = pytest.StashKey[Farm]()
_MEASUREMENTS: Final = pytest.StashKey[list[Measurement]]()
_GROUNDS: Final = pytest.StashKey["Grounds"]()
_FILTERED: Final = pytest.StashKey[list[cases.Case]]()
_UNSELECTED: Final = pytest.StashKey[list[cases.Case]]()
_EXCLUDED: Final = pytest.StashKey[list[Excluded]]()
_PHASES: Final = pytest.StashKey[list[PhaseReport]]()
_NO_VERDICT: Final = pytest.StashKey[bool]()

_META: Final = Path(__file__).resolve().parent / "meta"
_PASSPORT: Final = "untorn_passport"
_LAST_WORDS_CHARACTERS: Final = 4000


# --- options and set-up
# ----------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the trial."""
    options.add(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Have idle processes take cases from busy ones, unless another way was asked for.

    A few searches cost as much as hundreds of other cases, and stand side by side.
    """
    asked = any(each.startswith("--dist") or each == "-d" for each in config.invocation_params.args)
    if getattr(config.option, "numprocesses", None) and not asked:
        config.option.dist = "worksteal"


def pytest_configure(config: pytest.Config) -> None:
    """Read the options; whatever cannot be understood is a usage error before anything runs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job ignores it, and so would every process that we start to test.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", f"{cases.MARK}(*ids, evidence): a case of these rows of the contract"
    )
    config.addinivalue_line(
        "markers", f"{cases.CANARY_MARK}(says): judges a broken cache; a pass invalidates the run"
    )
    config.addinivalue_line("markers", f"{cases.TURN_MARK}(turn): takes long, and begins early")
    config.pluginmanager.register(turns)
    option = config.option
    try:
        spec = registry.parse(option.untorn_backend)
        selected = select(option.untorn_req) if option.untorn_req else REQUIREMENTS.values()
    except UnusableBackendError as error:
        pytest.exit(f"no verdict: {error}", returncode=EXIT_CODES[VerdictWord.INVALID])
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    directories = tuple(Path(each).resolve() for each in option.untorn_dir)
    if missing := [str(each) for each in directories if not each.is_dir()]:
        raise pytest.UsageError(f"--dir is no directory: {', '.join(missing)}")
    trial = Trial(
        spec=spec,
        directories=directories or (Path(tempfile.gettempdir()).resolve(),),
        selected=tuple(selected),
        require_evidence=option.untorn_require_evidence,
        baseline=_baseline(option.untorn_baseline),
        machine_seed=seed_of(_profile(config), option.untorn_machine_seed),
    )
    worker_input: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker_input is not None:
        trial.adopt(Passport.from_text(worker_input[_PASSPORT]))
    config.stash[TRIAL] = trial
    if trial.is_controller:
        config.pluginmanager.register(_Intake(trial.results), "untorn-intake")
    config.stash[_FILTERED] = []
    config.stash[_UNSELECTED] = []
    config.stash[_EXCLUDED] = []


def _baseline(path: str | None) -> Baseline:
    try:
        return Baseline() if path is None else read_baseline(Path(path), today=today_utc())
    except BaselineError as error:
        _end_without_verdict(error)


def _end_without_verdict(error: BaselineError) -> NoReturn:
    pytest.exit(f"baseline {error}", returncode=EXIT_CODES[VerdictWord.INVALID])


def pytest_report_collectionfinish(
    config: pytest.Config, items: Sequence[pytest.Item]
) -> list[str]:
    """Say what the machines draw from before they run."""
    runs = any("wheel" in getattr(item, "fixturenames", ()) for item in items)
    seed = config.stash[TRIAL].machine_seed
    return [f"effort: {_profile(config).name}, machines draw from seed {seed}"] if runs else []


def _profile(config: pytest.Config) -> Profile:
    name = config.option.untorn_effort
    if name not in PROFILES:
        raise pytest.UsageError(f"UNTORN_EFFORT is {name!r}; there are: {', '.join(PROFILES)}")
    return PROFILES[name]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give each process that pytest-xdist starts its passport."""
    node.workerinput[_PASSPORT] = node.config.stash[TRIAL].passport().to_text()


# --- collecting
# --------------------------------------------------------------------------------------


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the tests of the suite itself; pytest does not ask when an argument leads there."""
    return True if collection_path == _META else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each case once per directory under test."""
    directories = metafunc.config.stash[TRIAL].directories
    is_case = metafunc.definition.get_closest_marker(cases.MARK) is not None
    if is_case and "farm" in metafunc.fixturenames and len(directories) > 1:
        metafunc.parametrize("farm", directories, indirect=True, ids=map(str, directories))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cases that serve none of the selected rows, or that the baseline excludes."""
    cases.check_unique(_cases_of(items))
    if not _profile(config).limits_cases and config.pluginmanager.hasplugin("timeout"):
        for item in filter(cases.case_of, items):
            item.add_marker(pytest.mark.timeout(0))
    selected = {row.id for row in config.stash[TRIAL].selected}
    baseline, left_out = config.stash[TRIAL].baseline, []
    for item in items:
        case = cases.case_of(item)
        if case is None or case.fails_with:
            continue
        if selected.isdisjoint(case.requirements):
            config.stash[_UNSELECTED].append(case)
            left_out.append(item)
        elif entry := baseline.exclusion_of(case.id):
            config.stash[_EXCLUDED].append(Excluded(case=case, reason=entry.reason))
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Note the cases that a filter of pytest's leaves out: their rows are not tested in full."""
    for item in items:
        case, stash = cases.case_of(item), item.config.stash
        excluded = [each.case for each in stash[_EXCLUDED]]
        if case is not None and case not in (*stash[_UNSELECTED], *excluded):
            stash[_FILTERED].append(case)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what was collected, before the controlling process is told that it was."""
    config = session.config
    filtered, unselected = config.stash[_FILTERED], config.stash[_UNSELECTED]
    excluded = config.stash[_EXCLUDED]
    manifest = Manifest(
        cases=tuple(_cases_of(session.items)),
        filtered=tuple(filtered),
        unselected=tuple(unselected),
        excluded=tuple(excluded),
    )
    if config.option.untorn_case_list:
        manifest.write_file(Path(config.option.untorn_case_list))
    if manifest and not config.option.collectonly:
        name = getattr(config, "workerinput", {}).get("workerid", "controller")
        config.stash[TRIAL].note_collected(manifest, name)
        if config.stash[TRIAL].is_controller:
            _check_baseline(config, manifest)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """Look at the baseline again before any process that pytest-xdist started runs a case."""
    _check_baseline(node.config, node.config.stash[TRIAL].all_collected())


def _check_baseline(config: pytest.Config, manifest: Manifest) -> None:
    """End the run, before a case is run, if the baseline speaks of cases that there are not."""
    try:
        config.stash[TRIAL].baseline.check_cases(manifest.ids())
    except BaselineError as error:
        config.stash[_NO_VERDICT] = True
        _end_without_verdict(error)


def _cases_of(items: Sequence[pytest.Item]) -> list[cases.Case]:
    return [case for item in items if (case := cases.case_of(item)) is not None]


# --- running
# -----------------------------------------------------------------------------------------


@pytest.fixture
def farm(request: pytest.FixtureRequest) -> Iterator[Farm]:
    """A private directory on the file system under test, and the workers of one case."""
    trial = request.config.stash[TRIAL]
    new = trial.farm(getattr(request, "param", trial.directories[0]))
    request.node.stash[_FARM] = new
    yield new
    new.close()


@pytest.fixture(scope="session")
def effort(request: pytest.FixtureRequest) -> Profile:
    """How much a run tries."""
    return _profile(request.config)


@pytest.fixture
def wheel(request: pytest.FixtureRequest) -> Wheel:
    """What a machine is run with; failing examples are kept only where runs are written down."""
    config = request.config
    keeps, trial = not config.option.untorn_no_report, config.stash[TRIAL]
    return Wheel(
        profile=_profile(config),
        seed=trial.machine_seed,
        examples=examples_of(_runs(config), trial.spec.name) if keeps else None,
    )


class Measure(Protocol):
    """Takes a measurement: a name and numbers whose names carry their units."""

    def __call__(self, name: str, **numbers: int | float) -> None:
        """Take one row."""


@pytest.fixture
def laboratory(request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    """The backend under the gate, on the first file system under test; UNKNOWN where refused."""
    trial = request.config.stash[TRIAL]
    gate = availability.probe()
    if not gate.ok:
        unknown(f"the gate cannot be used here: {gate.reason}; {gate.advice}")
    with trial.laboratory(trial.directories[0]) as opened:
        yield opened


class Grounds:
    """What the outcome of a case rests on, where only its run can tell."""

    def __init__(self) -> None:
        self.evidence: Evidence | None = None
        self.rows: tuple[str, ...] = ()

    def of(self, case: cases.Case) -> cases.Case:
        """The case with what its run has told."""
        return replace(
            case,
            evidence=self.evidence or case.evidence,
            requirements=self.rows or case.requirements,
        )


@pytest.fixture
def grounds(request: pytest.FixtureRequest) -> Grounds:
    """Where a case says what its evidence is, or which rows it has found to fail."""
    found: Grounds = request.node.stash.setdefault(_GROUNDS, Grounds())
    return found


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Put numbers into the report that nobody judges."""
    taken = request.node.stash.setdefault(_MEASUREMENTS, [])

    def take(name: str, **numbers: int | float) -> None:
        taken.append(Measurement(name=name, numbers=dict(numbers)))

    return take


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Classify each phase of a case, and quote its workers when it fails."""
    report = yield
    case = cases.case_of(item)
    if case is None:
        return report
    case = item.stash.get(_GROUNDS, Grounds()).of(case)
    taken = item.stash.get(_MEASUREMENTS, [])
    phase = phases.classify(case, call, report, tuple(taken))
    taken.clear()
    trial = item.config.stash[TRIAL]
    earlier = item.stash.setdefault(_PHASES, [])
    phase = known.judged_by(trial.baseline, phase, earlier)
    earlier.append(phase)
    phases.attach(phase, report, item, require_evidence=trial.require_evidence)
    if report.failed and call.excinfo is not None and _FARM in item.stash:
        for name, text in item.stash[_FARM].last_words().items():
            report.sections.append((f"stderr of {name}", text[-_LAST_WORDS_CHARACTERS:]))
    return report


# --- judging
# -----------------------------------------------------------------------------------------


class _Intake:
    """Takes in what the reports of all processes say (these hooks are not told of the config)."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of a case."""
        phase = phases.carried_by(report)
        if phase is not None:
            self._results.add(phase)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that hides its cases."""
        if report.failed:
            self._results.note_broken_file(report.nodeid, report.longreprtext)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """Note that a process died in a case."""
        self._results.note_crash(crashitem)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Judge the run and write it down, on the controlling process and if there were cases."""
    config = session.config
    trial = config.stash[TRIAL]
    trial.warmth.close()
    if not trial.is_controller:
        return
    manifest = trial.all_collected()
    trial.sweep()
    if not manifest or config.stash.get(_NO_VERDICT, False):
        return
    document = conclude(
        trial,
        manifest,
        command=config.option.untorn_run_command
        or shlex.join(["pytest", *map(str, config.invocation_params.args)]),
        workers=worker_count(getattr(config.option, "tx", None)),
        directory=config.invocation_params.dir,
    )
    config.stash[_DOCUMENT] = document
    if not config.option.untorn_no_report:
        config.stash[_REPORT_PATH] = _write(config, document)


def _write(config: pytest.Config, document: dict[str, Any]) -> Path:
    run = RunDirectory.create(_runs(config), document["provenance"]["backend"])
    config.stash[TRIAL].hand_over_findings(run.path)
    run.write(document, drawings_of(run.path))
    if config.option.untorn_run_record:
        Path(config.option.untorn_run_record).write_bytes(os.fsencode(run.path))
    return run.path


def _runs(config: pytest.Config) -> Path:
    """Where the directories of runs are."""
    chosen = config.option.untorn_run_dir
    return Path(chosen).resolve() if chosen else default_base(config.rootpath)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the verdict and where its report is."""
    document = config.stash.get(_DOCUMENT, None)
    if document is None:
        return
    terminalreporter.section("conformance")
    terminalreporter.write_line(summary.text(document))
    path = config.stash.get(_REPORT_PATH, None)
    if path is not None:
        terminalreporter.write_line(f"report: {path / 'report.html'}")
