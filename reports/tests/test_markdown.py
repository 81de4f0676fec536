"""The Markdown page: the verdict first, what to look at, and text that stays text."""

from collections.abc import Callable
from typing import Any

from untorn_conformance.verdict import Outcome
from untorn_reports.drawing import Drawing
from untorn_reports.markdown import render


def test_the_verdict_comes_first(document: dict[str, Any]) -> None:
    lines = render(document).splitlines()
    assert lines[0] == "## invalid: reference"
    assert lines[2] == r"**core \+ single\-flight \+ lease \+ stats**"


def test_what_did_not_go_well_is_a_line_of_the_table(document: dict[str, Any]) -> None:
    lines = render(document).splitlines()
    assert r"| **UNKNOWN** | P3 | P3.untouched: UNKNOWN: the fault never fired |" in lines
    assert r"| **HARNESS\_ERROR** | R2 | R2.hits: the fixture failed |" in lines
    assert any(line.startswith(r"| **NOT\_RUN** | E2 |") for line in lines)


def test_a_pass_is_counted_and_nothing_else_is_called_one(document: dict[str, Any]) -> None:
    text = render(document)
    assert "1 PASS, 1 FAIL, 1 UNKNOWN" in text
    assert text.count("PASS") == 1


def test_untested_rows_have_their_reasons(document: dict[str, Any]) -> None:
    assert "- **O2** no verb hands out a log file" in render(document)


def test_a_counterexample_has_the_line_that_replays_it(document: dict[str, Any]) -> None:
    drawing = Drawing(
        name="counterexamples/P3.json",
        requirements=("P3",),
        text="...",
        replay="untorn replay u1.x",
    )
    lines = render(document, [drawing]).splitlines()
    head = lines.index("Counterexample counterexamples/P3.json (P3)")
    assert lines[head + 2] == "    untorn replay u1.x"


def test_the_last_line_does_it_again(document: dict[str, Any]) -> None:
    last = render(document).splitlines()[-1]
    assert last == "    untorn verify --backend reference --dir /dev/shm"


def test_hostile_text_is_no_mark(document_of: Callable[..., Any]) -> None:
    hostile = "| a | b |\n# big [x](http://x) <img src=x> `c` @everyone \udce9 \x1b"
    text = render(document_of(("P1.a", Outcome.FAIL, hostile)))
    (line,) = [line for line in text.splitlines() if line.startswith("| **FAIL**")]
    assert r"\| a \| b \| \# big \[x\]\(http://x\) &lt;img src=x&gt; \`c\` \@everyone" in line
    assert text.encode("utf-8")


def test_a_long_reason_is_cut(document_of: Callable[..., Any]) -> None:
    text = render(document_of(("P1.a", Outcome.FAIL, "x" * 10_000)))
    assert max(map(len, text.splitlines())) < 400
    assert "xxx… |" in text


def test_of_many_lines_the_first_are_shown(document_of: Callable[..., Any]) -> None:
    text = render(document_of(("P1.a", Outcome.FAIL, "\n".join("abcde"))))
    assert "| **FAIL** | P1 | P1.a: a b c… |" in text
