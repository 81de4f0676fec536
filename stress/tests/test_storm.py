"""Storms as tests: ``pytest stress/ --storm 10m --seed N``."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.storm


def test_a_storm_finds_nothing(pytestconfig: pytest.Config) -> None:
    option = pytestconfig.option
    command = [sys.executable, "-m", "untorn_conformance.cli", "storm", "--duration", option.storm]
    command += ["--backend", option.untorn_backend]
    if option.storm_seed is not None:
        command += ["--seed", str(option.storm_seed)]
    for directory in option.untorn_dir[:1]:
        command += ["--dir", directory]
    done = subprocess.run(command, check=False)
    assert done.returncode == 0, "what it found is told above, and in the run directory"
