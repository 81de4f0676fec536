"""The kill matrix: what it says of literal rows; with ``--nightly``, that it is whole.

`pytest --nightly -m nightly meta/test_matrix.py` prints the table, as the command does.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest
from untorn_conformance.meta import matrix
from untorn_conformance.meta.matrix import Row

DEAD = Row(
    name="no_lease",
    is_mutant=True,
    rows=("R4",),
    by=("R4.what_a_writer_was_given_stays[adopted]", "reader-collector, 1 preemption"),
    word="killed",
    why="",
    core_s=3.0,
)
ALIVE = replace(DEAD, name="immortal", word="ALIVE", why="no case failed", core_s=11.0)
UNKNOWN = replace(DEAD, name="gateless", word="unknown", why="the gate cannot be used here")
RIGHT = replace(DEAD, name="slow_motion", is_mutant=False, rows=(), word="accepted", core_s=20.0)
ALARM = replace(RIGHT, name="other_names", word="FALSE ALARM", why="{'G5.x': 'FAIL'}")


def test_the_table_names_rows_and_what_shows_them_and_sums_up() -> None:
    text = matrix.render([DEAD, RIGHT], 12.0, 2)
    assert "no_lease     R4         R4.what_a_writer_was_given_stays[adopted]     3.0" in text
    assert "1 of 1 mutants are killed (100 %), by 1 rows, in 3 core-seconds" in text
    assert "0 false alarms on 1 right caches, in 20 core-seconds" in text
    assert text.endswith("12 s in all, 2 at a time\n")


def test_the_table_says_what_is_wrong() -> None:
    text = matrix.render([DEAD, ALIVE, ALARM], 12.0, 2)
    assert "ALIVE: immortal: no case failed" in text
    assert "FALSE ALARM: other_names: {'G5.x': 'FAIL'}" in text
    assert "1 of 2 mutants are killed (50 %)" in text
    assert "the longest takes 11.0 (immortal), more than 10 take immortal" in text
    assert "1 false alarms on 1 right caches" in text


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([DEAD, RIGHT], 0),
        ([DEAD, UNKNOWN], 6),
        ([DEAD, UNKNOWN, ALIVE], 1),
        ([DEAD, ALARM], 1),
    ],
)
def test_what_is_wrong_counts_more_than_what_is_unknown(rows: list[Row], code: int) -> None:
    assert matrix.exit_code(rows) == code


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["no_such"], "no mutant or variant no_such"), (["--jobs", "0"], "--jobs must be 1 or more")],
)
def test_what_cannot_be_meant_is_an_error_of_usage(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        matrix.main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_every_mutant_is_killed_and_no_variant_alarms(capsys: pytest.CaptureFixture[str]) -> None:
    text, code = matrix.make(matrix.ALL, os.cpu_count() or 1)
    with capsys.disabled():
        sys.stderr.write(f"\n{text}")
    assert code == 0, text
