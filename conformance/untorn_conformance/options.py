"""The options that the trial adds to pytest: what is verified, how hard, and where that is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias

import pytest

from untorn_conformance.profiles import DEFAULT, PROFILES

AddOption: TypeAlias = Callable[..., None]


def add(parser: pytest.Parser) -> None:
    """Add all of them; their destinations begin with ``untorn_``."""
    group = parser.getgroup("untorn", "conformance of caches on disk")
    _add_what(group.addoption)
    _add_effort(group.addoption)
    _add_where(group.addoption)


def _add_what(option: AddOption) -> None:
    option(
        "--backend",
        dest="untorn_backend",
        metavar="SPEC",
        default="reference",
        help="the cache under test: reference, py:MODULE:FACTORY or cmd:COMMAND",
    )
    option(
        "--dir",
        dest="untorn_dir",
        metavar="PATH",
        action="append",
        default=[],
        help="a directory on the file system under test; may be repeated (default: tempfile's)",
    )
    option(
        "--req",
        dest="untorn_req",
        metavar="IDS",
        action="append",
        default=[],
        help="only cases that serve these rows of the contract, such as P or P1,G4; repeatable",
    )
    option(
        "--baseline",
        dest="untorn_baseline",
        metavar="FILE",
        help="known deviations: cases that may fail, or are not run (TOML; untorn init)",
    )
    option(
        "--require-evidence",
        dest="untorn_require_evidence",
        action="store_true",
        help="a case that ends UNKNOWN is a failure",
    )


def _add_where(option: AddOption) -> None:
    option(
        "--run-dir",
        dest="untorn_run_dir",
        metavar="DIR",
        help="where the directory of this run is made (default: reports/runs in a checkout)",
    )
    option(
        "--run-record",
        dest="untorn_run_record",
        metavar="FILE",
        help="write the path of this run's directory into FILE, for the program that started us",
    )
    option(
        "--run-command",
        dest="untorn_run_command",
        metavar="TEXT",
        help="the command that reproduces this run, where that is not this one",
    )
    option(
        "--case-list",
        dest="untorn_case_list",
        metavar="FILE",
        help="write the cases that were collected into FILE, for the program that started us",
    )
    option(
        "--no-report", dest="untorn_no_report", action="store_true", help="write no run directory"
    )


def _add_effort(option: AddOption) -> None:
    option(
        "--effort",
        dest="untorn_effort",
        metavar="PROFILE",
        choices=tuple(PROFILES),
        default=os.environ.get("UNTORN_EFFORT") or DEFAULT,
        help="how much is drawn and searched: dev, ci or nightly (default: $UNTORN_EFFORT, or dev)",
    )
    option(
        "--machine-seed",
        dest="untorn_machine_seed",
        metavar="N",
        type=int,
        help="what the machines draw from (default: the profile's; nightly draws a fresh one)",
    )
