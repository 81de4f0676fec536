"""Two storms side by side: what is new in the second, and when that fails."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from untorn_reports.storms.comparing import (
    ConditionError,
    Measured,
    UnjudgedError,
    conditions_of,
    holdings_of,
    measured,
    new_findings,
    text,
    to_json,
    values_of,
)
from untorn_reports.storms.document import StormFinding
from untorn_reports.storms.files import path_of, read


def measured_of(run: Path) -> Measured:
    path = path_of(run)
    assert path is not None
    return measured(str(run), read(path))


@pytest.fixture
def before() -> Measured:
    return Measured(
        run="a",
        kind="storm",
        backend="reference",
        verdict="fail",
        findings=(StormFinding(checker="H1", message="a hit on k3 read writer2.5/1"),),
        unknown=2,
        throughput=1000.0,
        p50_ms=1.0,
        p99_ms=10.0,
        hit_ratio=0.5,
    )


def held(condition: str, before: Measured, after: Measured) -> bool:
    (holding,) = holdings_of(conditions_of(condition), before, after)
    return holding.holds


def test_a_finding_is_known_whatever_its_numbers_are(before: Measured) -> None:
    again = StormFinding(checker="H1", message="a hit on k71 read writer10.22/9")
    other = StormFinding(checker="H2", message="a hit on k3 read writer2.5/1")
    after = replace(before, findings=(again, other))
    assert new_findings(before, after) == [other]
    assert held("findings", before, after)
    assert not held("findings>1", before, after)
    assert not held("findings", before, replace(before, findings=(again,)))


def test_a_finding_is_known_wherever_its_files_were(before: Measured) -> None:
    def lost(where: str) -> StormFinding:
        return StormFinding(checker="H10", message=f"read: no such file: '{where}', twice")

    after = replace(before, findings=(lost("/tmp/uc-6b0a/cache"), lost("/var/x")))
    assert new_findings(replace(before, findings=(lost("/tmp/uc-77/other"),)), after) == []
    relative = StormFinding(checker="H10", message="read: no such file: 'writer2.5/9', once")
    assert new_findings(after, replace(before, findings=(relative,))) == [relative]


@pytest.mark.parametrize(
    ("condition", "changed", "holds"),
    [
        ("p99>1.5", {"p99_ms": 15.1}, True),
        ("p99>1.5", {"p99_ms": 15.0}, False),
        ("p50>2", {"p50_ms": 2.5}, True),
        ("throughput<0.8", {"throughput": 799.0}, True),
        ("throughput<0.8", {"throughput": 800.0}, False),
        ("throughput>1.1", {"throughput": 1200.0}, True),
        ("unknown", {"unknown": 3}, True),
        ("unknown", {"unknown": 2}, False),
        ("unknown", {"unknown": 0}, False),
        ("unknown>5", {"unknown": 7}, False),
    ],
)
def test_a_condition_is_on_the_second_in_terms_of_the_first(
    before: Measured, condition: str, changed: dict[str, float], holds: bool
) -> None:
    assert held(condition, before, replace(before, **changed)) is holds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    ["", "p99", "p99>", "p99>x", "p99>>1", "findings<1", "hits>1", "p99>-1", "p99>1e9", "p99=1",
     "a,findings", "findings,", "p99>1.5;unknown"],
)  # fmt: skip
def test_what_is_no_condition_is_refused_with_what_is_one(wrong: str) -> None:
    with pytest.raises(ConditionError, match=r"is no condition; write findings.*p99>1\.5"):
        conditions_of(wrong)


@pytest.mark.parametrize(
    ("condition", "missing"),
    [
        ("p99>1", "p99_ms"),
        ("throughput<1", "throughput"),
        ("unknown", "unknown"),
        ("p50<2", "p50_ms"),
    ],
)
def test_a_condition_on_what_is_not_told_is_no_pass(
    before: Measured, condition: str, missing: str
) -> None:
    without = replace(before, **{missing: None})  # type: ignore[arg-type]
    for one, other in ((before, without), (without, before)):
        with pytest.raises(UnjudgedError, match="is not told by both a and a"):
            holdings_of(conditions_of(condition), one, other)
    nothing = replace(before, throughput=0.0)
    assert values_of(nothing, before)["throughput"] is None


def test_storms_and_campaigns_tell_what_is_compared(storm: Path, campaign: Path) -> None:
    one, night = measured_of(storm), measured_of(campaign)
    assert (one.kind, len(one.findings), one.unknown) == ("storm", 3, 3)
    assert (night.kind, len(night.findings), night.unknown) == ("campaign", 4, 9)
    assert one.throughput is not None
    assert 3686 < one.throughput < 3688
    assert one.p99_ms is not None
    assert 10 < one.p99_ms < 20
    for path in campaign.glob("shards/*/storm.json"):
        path.unlink()
    bare = measured_of(campaign)
    assert (bare.throughput, bare.p99_ms, bare.unknown) == (None, None, None)


def test_the_text_has_both_runs_what_is_new_and_the_conditions(
    storm: Path, write_storm: Callable[..., Path], tmp_path: Path
) -> None:
    clean = measured_of(write_storm(tmp_path / "clean", findings=0))
    fail = measured_of(storm)
    holdings = holdings_of(conditions_of("findings,p99>1.5"), clean, fail)
    told = text([clean, fail], holdings)
    assert told.startswith("1  reference, storm: unknown   ")
    assert "findings                           0             3\n" in told
    assert "new findings in 2: 3\n  H1 a hit on k3" in told
    assert "FAIL  findings: 3\n" in told
    assert "well  p99>1.5: 1\n" in told
    assert "new findings in 2: none" in text([fail, clean])


def test_the_values_are_json_with_a_schema(storm: Path, before: Measured) -> None:
    told = json.loads(json.dumps(to_json([before, measured_of(storm)])))
    assert told["schema"] == "untorn/storm-comparison/1"
    assert [each["findings"] for each in told["runs"]] == [1, 3]
    assert len(told["new_findings"]) == 3


def test_a_terminal_gets_nothing_to_obey(before: Measured) -> None:
    bad = StormFinding(checker="\x1b[2J", message="\x1b]0;x\a\n\r")
    told = text([replace(before, run="\x1b", findings=()), replace(before, findings=(bad,))])
    assert not {char for char in told if not char.isprintable()} - {"\n"}
