from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from untorn_stress.gate import abi, availability
from untorn_stress.gate.availability import Hurdle, Outcome, explain

NO_GATE = Path(__file__).parent / "programs" / "no_gate.py"
SETPRIV = "/usr/bin/setpriv"
NOBODY = (SETPRIV, "--reuid=65534", "--regid=65534", "--clear-groups")
SOURCES = str(Path(availability.__file__).parents[2])
HERE = abi.MACHINES["x86_64"]
NEW = "6.8.0-45-generic"

pytestmark = pytest.mark.skipif(abi.machine() is None, reason="the gate has no table for it")


def ask(command: Sequence[str] = (), python: str = sys.executable) -> dict[str, Any]:
    """What the probe says in a process that ``command`` starts."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [*command, python, "-m", "untorn_stress.gate.availability"],
        env=environment,
        cwd="/",
        capture_output=True,
        timeout=availability.PROBE_DEADLINE_S + 30,
        check=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def refusing(refusal: str, python: str = sys.executable) -> list[str]:
    return [python, str(NO_GATE), refusal]


@pytest.fixture(scope="module")
def python_of_nobody() -> str:
    """An interpreter that an unprivileged user can run, with our code readable to it."""
    if os.geteuid() != 0 or not os.path.exists(SETPRIV):
        pytest.skip("only root with setpriv(1) can become somebody else")
    # Only the first exec after setpriv's may have root's rights: so the second is tried.
    check = (
        "import subprocess, sys; assert sys.version_info >= (3, 11); "
        "subprocess.run([sys.executable, '-c', 'import untorn_stress.gate.filter'], check=True)"
    )
    for python in (sys.executable, "/usr/bin/python3"):
        tried = subprocess.run(
            [*NOBODY, python, "-c", check],
            env={"PYTHONPATH": SOURCES},
            cwd="/",
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0:
            return python
    pytest.skip(f"uid 65534 can run no interpreter of ours: {tried.stderr.decode()[-200:]}")


# --- the real thing -------------------------------------------------------------------------------


def test_a_probe_says_what_a_fresh_process_says() -> None:
    assert availability.probe().as_json() == ask()


def test_a_probe_is_made_once_a_process() -> None:
    assert availability.probe() is availability.probe()


def seccomp_mode() -> str:
    return (
        Path("/proc/self/status").read_text(encoding="ascii").partition("\nSeccomp:")[2].split()[0]
    )


def test_an_asking_process_stays_ungated_and_childless() -> None:
    before = seccomp_mode()
    availability.probe.cache_clear()
    availability.probe()
    assert (seccomp_mode(), psutil.Process().children(recursive=True)) == (before, [])


def test_a_probe_leaves_no_descriptor_open() -> None:
    availability.probe()
    before = sorted(os.listdir("/proc/self/fd"))
    availability.probe.cache_clear()
    availability.probe()
    assert sorted(os.listdir("/proc/self/fd")) == before


REFUSALS = [
    ("listener=EPERM", "with a listener is refused (EPERM)", "seccomp=unconfined"),
    ("listener=EACCES", "with a listener is refused (EACCES)", "seccomp=unconfined"),
    ("listener=ENOSYS", "with a listener is refused (ENOSYS)", "CONFIG_SECCOMP_FILTER"),
    ("listener=EINVAL", "with a listener is refused (EINVAL)", "CONFIG_SECCOMP_FILTER"),
    ("taken", "with a listener is refused (EBUSY)", "security.syscalls.intercept"),
    ("receive=EPERM", "no held call arrived", "seccomp=unconfined"),
    ("pidfd_getfd=EPERM", "pidfd_getfd(2) on a held process is refused", "ptrace_scope"),
    ("addfd=EPERM", "cannot be answered with a descriptor", "NOTIF_ADDFD"),
    ("send=EPERM", "cannot be let go on", "NOTIF_SEND"),
]


@pytest.fixture(scope="module")
def works_here() -> None:
    """What is refused on purpose shows only where nothing is refused already."""
    if not availability.probe().ok:
        pytest.skip(f"no gate here: {availability.probe().reason}")


@pytest.mark.usefixtures("works_here")
@pytest.mark.parametrize(("refusal", "reason", "advice"), REFUSALS, ids=lambda each: each[:20])
def test_a_refused_step_is_named_with_advice(refusal: str, reason: str, advice: str) -> None:
    said = ask(refusing(refusal))
    assert (said["ok"], reason in said["reason"], advice in said["advice"]) == (False, True, True)


@pytest.mark.usefixtures("works_here")
def test_a_kernel_without_sync_wake_up_is_only_slower() -> None:
    said = ask(refusing("wake_up=EINVAL"))
    assert (said["ok"], "SYNC_WAKE_UP" in said["notes"][0]) == (True, True)


@pytest.mark.usefixtures("works_here")
def test_an_unprivileged_user_has_a_gate_too(python_of_nobody: str) -> None:
    assert ask(NOBODY, python_of_nobody)["reason"] == "the gate works here"


@pytest.mark.usefixtures("works_here")
@pytest.mark.parametrize(("refusal", "reason", "advice"), REFUSALS, ids=lambda each: each[:20])
def test_an_unprivileged_user_is_told_of_a_refusal_too(
    python_of_nobody: str, refusal: str, reason: str, advice: str
) -> None:
    said = ask([*NOBODY, *refusing(refusal, python_of_nobody)], python_of_nobody)
    assert (said["ok"], reason in said["reason"], advice in said["advice"]) == (False, True, True)


# --- a trial that goes wrong ----------------------------------------------------------------------


@pytest.fixture
def fresh_probe() -> Any:
    """The probe without what it remembers, before and after."""
    availability.probe.cache_clear()
    yield availability.probe
    availability.probe.cache_clear()


def test_a_trial_that_hangs_is_ended_at_its_deadline(
    fresh_probe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 600\n", encoding="ascii")
    hanging.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(hanging))
    monkeypatch.setattr(availability, "PROBE_DEADLINE_S", 0.2)
    found = fresh_probe()
    assert ("timed out" in found.reason, psutil.Process().children()) == (True, [])


def test_a_target_that_is_never_held_is_ended_at_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = (
        "import signal\n"
        "from untorn_stress.gate import availability\n"
        "availability._STEP_DEADLINE_S = 0.2\n"
        "availability.abi.syscall = lambda *_: signal.pause()\n"
        "availability.Prepared.install = lambda _: __import__('os').pipe()[0]\n"
        "print(availability.try_gate().error)\n"
        "import os\n"
        "try: os.waitpid(-1, 0)\n"
        "except ChildProcessError: print('and nothing is left')\n"
    )
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=60, text=True, check=True
    )
    assert done.stdout == "ETIMEDOUT\nand nothing is left\n"


@pytest.mark.parametrize("code", ["print('no json')", "import sys; sys.exit('it broke')"])
def test_a_trial_that_says_nothing_sensible_is_no_gate(
    fresh_probe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(f"#!{sys.executable}\n{code}\n", encoding="utf-8")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    found = fresh_probe()
    assert (found.ok, found.reason[:27]) == (False, "the gate could not be tried")


def test_a_missing_interpreter_is_no_gate(
    fresh_probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "No such file" in fresh_probe().reason


def test_a_machine_without_a_table_has_no_gate(
    fresh_probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    found = fresh_probe()
    assert (found.reason, found.advice) == (
        "there is no gate for Linux on riscv64",
        "run it on Linux; the machines in the table are x86_64, aarch64",
    )


# --- in words -------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [step for step in Hurdle if step is not Hurdle.MACHINE])
def test_each_step_has_a_sentence_and_an_advice_of_its_own(step: Hurdle) -> None:
    others = {
        explain(Outcome(failed=each, error="EIO"), release=NEW, machine=HERE).reason
        for each in Hurdle
        if each is not step
    }
    found = explain(Outcome(failed=step, error="EIO"), release=NEW, machine=HERE)
    assert (found.ok, found.reason not in others, "EIO" in found.reason, bool(found.advice)) == (
        False, True, True, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("step", "release", "needed"),
    [
        (Hurdle.INSTALL, "5.15.0-1-amd64", "5.19"),
        (Hurdle.RECEIVE, "4.19.0", "5.0"),
        (Hurdle.DESCRIPTOR, "5.5.19", "5.6"),
        (Hurdle.ADDFD, "5.13.0", "5.14"),
        (Hurdle.CONTINUE, "5.4.0-200-generic", "5.5"),
    ],
)
def test_an_old_kernel_is_told_which_one_is_needed(step: Hurdle, release: str, needed: str) -> None:
    found = explain(Outcome(failed=step, error="EINVAL"), release=release, machine=HERE)
    assert found.advice == f"Linux {needed} or newer is needed, this is {release}"


@pytest.mark.parametrize("release", ["5.19.0", "6.1.0", "10.0", "6.8-rc1"])
def test_a_new_enough_kernel_is_not_blamed(release: str) -> None:
    found = explain(Outcome(failed=Hurdle.INSTALL, error="EPERM"), release=release, machine=HERE)
    assert "is needed" not in found.advice


def test_memory_out_of_reach_is_a_matter_of_ptrace() -> None:
    found = explain(Outcome(failed=Hurdle.MEMORY, error="EACCES"), release=NEW, machine=HERE)
    assert "/proc/sys/kernel/yama/ptrace_scope" in found.advice


def test_an_untested_machine_is_noted_though_the_gate_works() -> None:
    found = explain(Outcome(), release=NEW, machine=abi.MACHINES["aarch64"])
    assert (found.ok, found.notes) == (
        True,
        ("aarch64: the table of system calls was never run on this machine",),
    )


def test_as_json_is_plain() -> None:
    found = explain(Outcome(has_sync_wake_up=False), release=NEW, machine=HERE)
    again = json.loads(json.dumps(found.as_json()))
    assert again == {**dataclasses.asdict(found), "notes": list(found.notes)}
