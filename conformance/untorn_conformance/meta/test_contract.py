"""The contract is well formed, and the page that people read is what the modules say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from untorn_conformance import contract
from untorn_conformance.contract import (
    CHAPTERS,
    REQUIREMENTS,
    Capability,
    Level,
    render_markdown,
    select,
)

CHECKOUT = Path(__file__).parents[3]

# Ids are stable for ever: a row may be added at the end of its chapter, none may go.
LAST_OF_CHAPTER = {
    "K": 7, "P": 8, "R": 6, "G": 15, "C": 5, "L": 5, "W": 2, "D": 5,
    "T": 3, "N": 2, "E": 3, "X": 2, "O": 2, "S": 3, "F": 4,
}  # fmt: skip
LAW = {"contract", "backend", "optional_verbs", "errors", "json_line", "wire", "verdict"}


def test_no_requirement_is_missing_and_the_order_is_kept() -> None:
    expected = [
        f"{letter}{n}" for letter, last in LAST_OF_CHAPTER.items() for n in range(1, last + 1)
    ]
    assert list(REQUIREMENTS) == expected
    assert list(CHAPTERS) == list(LAST_OF_CHAPTER)


@pytest.mark.parametrize("row", REQUIREMENTS.values(), ids=lambda row: row.id)
def test_a_row_says_how_it_is_judged(row: contract.Requirement) -> None:
    assert all((row.text, row.observed_by, row.brought_about_by, row.oracle))
    assert row.text.endswith((".", ".)"))
    assert row.chapter == row.id[0]


def test_only_o2_is_a_should() -> None:
    assert [row.id for row in REQUIREMENTS.values() if row.level is Level.SHOULD] == ["O2"]


@pytest.mark.parametrize(
    ("row", "needs"),
    [
        ("K1", {Capability.KEY}),
        ("K3", {Capability.KEY, Capability.EXTRACT}),
        ("K4", {Capability.KEY}),
        ("K7", {Capability.KEY, Capability.PLANT}),
        ("P1", set()),
        ("P7", {Capability.SINGLE_FLIGHT}),
        ("R4", {Capability.LEASE}),
        ("D3", {Capability.LOG}),
        ("X2", {Capability.EXTRACT, Capability.SLICE}),
        ("S2", {Capability.SHARED_ROOT}),
    ],
)
def test_a_row_needs_what_its_chapter_and_its_own_brackets_say(
    row: str, needs: set[Capability]
) -> None:
    assert REQUIREMENTS[row].needs == needs


def test_the_core_is_the_rows_of_nine_chapters_without_brackets() -> None:
    core = {row.chapter for row in REQUIREMENTS.values() if not row.needs}
    assert core == set("PRGCDLTNE")


@pytest.mark.parametrize("row", REQUIREMENTS.values(), ids=lambda row: row.id)
def test_a_dependency_comes_first_in_force_and_applies_wherever_its_dependent_does(
    row: contract.Requirement,
) -> None:
    for needed in row.depends_on:
        assert REQUIREMENTS[needed].needs <= row.needs
        assert REQUIREMENTS[needed].level is Level.MUST
        assert row.id not in _all_below(needed), "a cycle"


def _all_below(name: str) -> set[str]:
    below = {name}
    for needed in REQUIREMENTS[name].depends_on:
        below |= _all_below(needed)
    return below


def test_the_page_at_the_top_of_the_checkout_is_rendered_from_the_rows() -> None:
    page = (CHECKOUT / "CONTRACT.md").read_text(encoding="utf-8")
    assert page == render_markdown(), "run: python -m untorn_conformance.contract > CONTRACT.md"


def test_the_page_shows_every_part_of_every_row() -> None:
    page = " ".join(render_markdown().split())
    for row in REQUIREMENTS.values():
        shown = (row.text, row.observed_by, row.brought_about_by, row.oracle, row.untested)
        assert all(part in page for part in shown), row.id
        assert f"### {row.id} {row.level}" in page


def test_running_the_module_prints_the_page() -> None:
    command = [sys.executable, "-m", "untorn_conformance.contract"]
    run = subprocess.run(command, capture_output=True, check=True, env=_environment())
    assert run.stdout.decode() == render_markdown()


def test_the_law_loads_nothing_but_itself_and_the_standard_library() -> None:
    program = (
        "import sys, json\n"
        f"for name in {sorted(LAW)!r}: __import__('untorn_conformance.' + name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    command = [sys.executable, "-S", "-c", program]
    run = subprocess.run(command, capture_output=True, check=True, env=_environment())
    loaded = {name for name in json.loads(run.stdout) if not name.startswith("_")}
    foreign = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert foreign == {"untorn_conformance"}
    ours = {name for name in loaded if name.startswith("untorn_conformance.")}
    assert ours == {f"untorn_conformance.{name}" for name in LAW}


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(contract.__file__).parents[1]), "PYTHONUTF8": "1"}


def test_select_takes_chapters_ids_and_lists_and_answers_in_contract_order() -> None:
    assert [row.id for row in select(["G2,G1", "R"])] == [
        "R1",
        "R2",
        "R3",
        "R4",
        "R5",
        "R6",
        "G1",
        "G2",
    ]
    assert [row.id for row in select(["P3", "P3"])] == ["P3"]


def test_select_without_a_pattern_is_the_whole_contract() -> None:
    assert select([]) == tuple(REQUIREMENTS.values())


@pytest.mark.parametrize(
    ("pattern", "near"),
    [("P9", "P1, P2"), ("p3", "P3"), ("Z1", "chapters: K, P"), ("", "chapters: K, P")],
)
def test_select_refuses_an_unknown_name_and_says_what_is_near(pattern: str, near: str) -> None:
    with pytest.raises(ValueError, match="the contract has no requirement") as caught:
        select([pattern])
    assert near in str(caught.value)
