"""Runs from the warm interpreter are what a new one would have made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from untorn_conformance.meta import forked

TELLING = """
import json, os, sys, tempfile
told = [sys.argv[1:], os.getcwd(), dict(os.environ), sys.path, tempfile.gettempdir(), __name__]
print(json.dumps([*told, sys.flags.no_site, sys.orig_argv, sorted(os.listdir("/proc/self/fd"))]))
"""


def run(
    folder: Path, code: str, *arguments: str, limit_s: float = 60, fresh: bool = False
) -> forked.Ended:
    (folder / "told.py").write_text(code)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder / "first"), "TMPDIR": str(folder)}
    env["LC_ALL"] = "C.UTF-8"  # else a new interpreter chooses one for those that it starts
    return forked.run("told", *arguments, cwd=folder, env=env, limit_s=limit_s, fresh=fresh)


def test_it_is_given_what_a_new_one_is(tmp_path: Path) -> None:
    forked, started = (run(tmp_path, TELLING, "-x", "é", fresh=each) for each in (False, True))
    assert json.loads(forked.stdout) == json.loads(started.stdout)
    assert (forked.returncode, forked.stderr) == (0, "")


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise ValueError", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import atexit, os; atexit.register(os._exit, 4)", 4),
    ],
)
def test_it_ends_as_it_would(tmp_path: Path, code: str, ending: int, fresh: bool) -> None:
    assert run(tmp_path, code, fresh=fresh).returncode == ending


def test_nothing_of_one_run_is_in_the_next(tmp_path: Path) -> None:
    code = "import sys, untorn; print(hasattr(untorn, 'mark'), 'told_of' in sys.modules)\n"
    (tmp_path / "told_of.py").write_text("")
    seen = [run(tmp_path, f"{code}import told_of; untorn.mark = 1").stdout for _ in range(2)]
    assert seen == ["False False\n"] * 2


def test_what_takes_too_long_is_ended_and_the_next_run_is_its_own(tmp_path: Path) -> None:
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(3600)"
    with pytest.raises(subprocess.TimeoutExpired):
        run(tmp_path, code, limit_s=1)
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()
    assert run(tmp_path, "print('well')").stdout == "well\n"


def test_processor_time_of_children_counts(tmp_path: Path) -> None:
    busy = "import time; n = time.process_time()\nwhile time.process_time() - n < 0.3: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    assert run(tmp_path, code).core_s > 0.3


def test_no_plugin_of_pytest_is_loaded_before_it_is_asked_for(tmp_path: Path) -> None:
    """It would not be rewritten: what its assertions say would be lost."""
    plugins = ("untorn_conformance.plugin", "xdist", "hypothesis", "pytest_timeout", "numpy")
    code = f"import sys; print([each for each in {plugins} if each in sys.modules])"
    assert run(tmp_path, code).stdout == "[]\n"
