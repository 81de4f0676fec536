"""The plain text: the verdict first, nothing hidden, nothing that a terminal obeys."""

from collections.abc import Callable
from typing import Any

from untorn_conformance.verdict import Outcome
from untorn_reports.summary import text


def test_the_first_line_is_the_verdict_and_its_profile(document: dict[str, Any]) -> None:
    first = text(document).splitlines()[0]
    assert first == "verdict: invalid   profile: core + single-flight + lease + stats"


def test_outcomes_are_counted_and_the_selection_is_named(document: dict[str, Any]) -> None:
    words = " ".join(text(document).split())
    assert "24 requirements of 72, the others not selected: 1 PASS, 1 FAIL, 1 UNKNOWN" in words
    assert "10 cases: 4 PASS, 1 FAIL, 1 UNKNOWN, 1 NOT_APPLICABLE" in words


def test_what_did_not_go_well_is_shown_with_its_reason(document: dict[str, Any]) -> None:
    lines = text(document).splitlines()
    assert "HARNESS_ERROR R2: R2.hits: the fixture failed" in lines
    assert "UNKNOWN P3: P3.untouched: UNKNOWN: the fault never fired" in lines
    assert "BLOCKED R1: means nothing while P1 does not hold" in lines
    assert "DEVIATION P5: P5.says_why: known: #12" in lines
    assert any(line.startswith("NOT_RUN E2: ") for line in lines)
    fail = lines.index("FAIL P1:")
    assert lines[fail + 1 : fail + 3] == [
        "    P1.whole_or_absent: seen: frame_00002.png",
        "    missing: frame_00003.png",
    ]


def test_a_harness_error_is_shown_though_no_requirement_applies(
    document_of: Callable[..., Any],
) -> None:
    document = document_of(
        ("O1.counted", Outcome.PASS, ""), ("K1.vectors", Outcome.HARNESS_ERROR, "no file")
    )
    assert "HARNESS_ERROR K1.vectors: no file" in text(document).splitlines()


def test_measurements_are_aligned(document: dict[str, Any]) -> None:
    lines = text(document).splitlines()
    head = next(n for n, line in enumerate(lines) if "cold (s)" in line)
    assert lines[head].split() == ["cold", "(s)", "warm", "(s)", "ratio", "PSNR", "(dB)"]
    assert lines[head + 2].split() == ["sky", "12.2", "0.0620", "198", "inf"]
    assert len({len(line) for line in lines[head : head + 5]}) == 1


def test_untested_rows_are_listed_with_their_reasons(document: dict[str, Any]) -> None:
    lines = text(document).splitlines()
    untested = " ".join(" ".join(lines[lines.index("untested:") :]).split())
    assert "O2: no verb hands out a log file" in untested
    assert "P7: its durations are judged by a storm" in untested


def test_the_last_line_is_the_command_that_does_it_again(document: dict[str, Any]) -> None:
    last = text(document).splitlines()[-1]
    assert last == "reproduce: untorn verify --backend reference --dir /dev/shm"


def test_a_long_reason_is_cut_and_says_so(document_of: Callable[..., Any]) -> None:
    document = document_of(("P1.a", Outcome.FAIL, "\n".join(f"line {n}" for n in range(40))))
    shown = text(document)
    assert "line 11" in shown
    assert "line 12" not in shown
    assert "(28 more lines are in the report)" in shown


def test_lines_are_wrapped(document: dict[str, Any]) -> None:
    assert max(map(len, text(document, width=72).splitlines())) <= 72


def test_nothing_that_a_backend_says_reaches_the_terminal_raw(
    document_of: Callable[..., Any],
) -> None:
    document = document_of(("P1.a", Outcome.FAIL, "\x1b[2Jgone \udce9\x07"))
    shown = text(document)
    assert r"\x1b[2Jgone \udce9\x07" in shown
    assert shown.encode("utf-8")
