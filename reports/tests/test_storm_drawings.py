"""What is drawn of a storm over time and around a finding, as plain values on literal inputs."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from untorn_conformance.history import (
    Audit,
    Death,
    Op,
    OpOutcome,
    Round,
    RoundStart,
    Seen,
    Strike,
)
from untorn_reports.storms.around import WIDE as DRAWING_WIDE
from untorn_reports.storms.around import Fate, Lane, around, fate_of, natural
from untorn_reports.storms.charts import WIDE
from untorn_reports.storms.document import Band, Series, Storm, StormFinding, StormWord
from untorn_reports.storms.merged import located, one_after_another
from untorn_reports.storms.over_time import OverTime, clock, over_time

MS = 1_000_000
START = RoundStart(number=1, seed=1, backend="b", keys=("k0", "k1"), frames=2)


def op(number: int, process: str, began_ms: int, ended_ms: int = -1, **said: object) -> Op:
    plain = Op(
        id=number, process=process, verb="lookup", began_ns=began_ms * MS,
        ended_ns=ended_ms * MS if ended_ms >= 0 else -1,
        outcome=OpOutcome.HIT if ended_ms >= 0 else None,
    )  # fmt: skip
    return replace(plain, **said)  # type: ignore[arg-type]


def lane_of(lanes: Sequence[Lane], process: str) -> Lane:
    (found,) = [each for each in lanes if each.process == process]
    return found


# --- around a finding ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (OpOutcome.PUBLISHED, Fate.OK),
        (OpOutcome.MISS, Fate.OK),
        (OpOutcome.ERROR, Fate.FAIL),
        (OpOutcome.UNPUBLISHED, Fate.FAIL),
        (OpOutcome.EVICTED, Fate.FAIL),
        (None, Fate.INDETERMINATE),
    ],
)
def test_a_miss_is_an_answer_and_what_never_returned_is_indeterminate(
    outcome: OpOutcome | None, fate: Fate
) -> None:
    assert fate_of(op(0, "w1", 0, -1 if outcome is None else 1, outcome=outcome)) is fate


def test_what_never_returned_goes_on_to_the_death_of_its_process() -> None:
    judged = Round(
        start=START,
        ops=(op(0, "w1", 10), op(1, "r1", 20, 40)),
        deaths=(Death(process="w1", at_ns=30 * MS, how="SIGKILL"),),
        audit=Audit(at_ns=100 * MS),
    )
    drawn = around(judged, [0, 1])
    writer, reader = lane_of(drawn.lanes, "w1"), lane_of(drawn.lanes, "r1")
    assert writer.acts[0].end == writer.death
    assert writer.death is not None
    assert reader.acts[0].x < writer.death < reader.acts[0].end
    assert reader.death is None
    assert "SIGKILL" in writer.death_told


def test_named_operations_are_numbered_in_the_order_of_time_and_told_with_their_key() -> None:
    ops = (
        op(0, "r1", 5, 6, key="k1"),
        op(1, "w1", 1, 9, key="k0"),
        op(
            2,
            "r1",
            7,
            8,
            verb="read",
            via=0,
            outcome=OpOutcome.READ,
            seen=Seen(key="k1", version="w9/1", index=0),
        ),
    )
    drawn = around(Round(start=START, ops=ops, audit=Audit(at_ns=20 * MS)), [2, 1])
    assert [(each.number, each.id, each.key) for each in drawn.named] == [
        (1, 1, "k0"),
        (2, 2, "k1"),
    ]
    assert drawn.named[1].version == "w9/1"
    acts = [act for lane in drawn.lanes for act in lane.acts]
    assert sorted(act.number for act in acts) == [0, 1, 2]


def test_strikes_of_the_time_are_drawn_and_one_that_did_not_bite_is_told_so() -> None:
    judged = Round(
        start=START,
        ops=(op(0, "r1", 100, 110),),
        strikes=(
            Strike(name="full", begin_ns=95 * MS, end_ns=105 * MS, bit=True),
            Strike(name="flip", begin_ns=100 * MS, end_ns=101 * MS),
            Strike(name="stop", begin_ns=104 * MS, bit=True, processes=("r1",)),
            Strike(name="early", begin_ns=0, end_ns=MS, bit=True),
        ),
        audit=Audit(at_ns=200 * MS),
    )
    drawn = around(judged, [0])
    assert drawn.strike_names == ("flip", "full", "stop")
    assert {each.name: each.bit for each in drawn.strikes} == {
        "flip": False, "full": True, "stop": True,
    }  # fmt: skip
    told = {each.name: each for each in drawn.strikes}
    assert told["full"].x == 0.0
    assert "did not bite" in told["flip"].told
    assert "not healed" in told["stop"].told
    assert told["stop"].x + told["stop"].width == DRAWING_WIDE


def test_what_is_left_out_is_of_other_keys_and_is_counted() -> None:
    others = tuple(op(n, f"r{n % 3}", n % 200, n % 200 + 1, key="k1") for n in range(998))
    mine = (op(998, "w1", 50, 60, key="k0"), op(999, "w2", 190, 199, key="k0"))
    judged = Round(start=START, ops=(*others, *mine), audit=Audit(at_ns=300 * MS))
    drawn = around(judged, [998])
    shown = sum(len(lane.acts) for lane in drawn.lanes)
    inside = sum(1 for each in judged.ops if each.ended_ns >= 46 * MS and each.began_ns <= 64 * MS)
    assert shown == min(inside, 240)
    everything = around(judged, [998, 999])
    shown = sum(len(lane.acts) for lane in everything.lanes)
    assert shown < 1000
    assert (
        everything.left_out
        == f"{_inside(judged) - shown} more operations of this time are not drawn"
    )
    assert {each.id for each in everything.named} == {998, 999}
    assert {"w1", "w2"} <= {lane.process for lane in everything.lanes}


def _inside(judged: Round) -> int:
    pad = round(0.12 * 149 * MS)
    begin, end = 50 * MS - pad, 199 * MS + pad
    return sum(1 for each in judged.ops if each.began_ns <= end and each.ended_ns >= begin)


def test_the_processes_of_named_operations_always_have_lanes() -> None:
    ops = tuple(op(n, f"r{n}", n % 10, n % 10 + 1) for n in range(100))
    drawn = around(Round(start=START, ops=ops, audit=Audit(at_ns=MS)), [97, 98])
    processes = {lane.process for lane in drawn.lanes}
    assert len(processes) == 24
    assert {"r97", "r98"} <= processes


def test_without_named_operations_the_end_of_the_round_is_drawn() -> None:
    ops = (op(0, "r1", 0, 10), op(1, "r1", 1900, 1990))
    drawn = around(Round(start=START, ops=ops, audit=Audit(at_ns=2000 * MS)), [])
    assert [act.told.split()[0] for lane in drawn.lanes for act in lane.acts] == ["1"]
    assert around(Round(start=START, ops=()), [3, -1]).lanes == ()


def test_lanes_are_in_the_order_of_numbers() -> None:
    names = ["writer10.2", "writer2.11", "writer2.9", "reader1"]
    assert sorted(names, key=natural) == ["reader1", "writer2.9", "writer2.11", "writer10.2"]


def test_what_is_of_a_named_key_is_near_and_what_goes_on_has_no_end_here() -> None:
    ops = (
        op(0, "r1", 100, 110, key="k0"),
        op(1, "w1", 101, 500, key="k0"),
        op(2, "w2", 101, 105, key="k1"),
        op(3, "w2", 106, 107, verb="read", via=1),
    )
    drawn = around(Round(start=START, ops=ops, audit=Audit(at_ns=900 * MS)), [0])
    acts = {int(act.told.split()[0]): act for lane in drawn.lanes for act in lane.acts}
    assert {number: act.is_near for number, act in acts.items()} == {
        0: True, 1: True, 2: False, 3: True,
    }  # fmt: skip
    assert [number for number, act in acts.items() if act.is_cut] == [1]


def test_a_handle_that_leads_in_a_circle_ends() -> None:
    ops = (op(0, "r1", 0, 1, via=1), op(1, "r1", 2, 3, via=0), op(2, "r1", 4, 5, via=2))
    drawn = around(Round(start=START, ops=ops, audit=Audit(at_ns=10 * MS)), [0, 1, 2])
    assert [each.key for each in drawn.named] == ["", "", ""]


# --- over time -----------------------------------------------------------------------------------


def laid_out(series: Series, *bands: Band, **also: object) -> OverTime:
    found = over_time(series, bands, **also)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_bins_are_joined_to_what_tells_of_trouble_and_counts_are_added() -> None:
    count = 1000
    series = Series(
        bin_s=1.0,
        operations=(10.0,) * count,
        p99_ms=tuple(900.0 if n == 501 else 1.0 for n in range(count)),
        p50_ms=(1.0,) * count,
        disk_bytes=tuple(2e6 if n == 7 else 1e6 for n in range(count)),
    )
    drawn = laid_out(series)
    assert drawn.joined == "5 s"
    assert len(drawn.numbers.lines) == 200
    assert dict(zip(drawn.numbers.columns, drawn.numbers.lines[100], strict=True)) == {
        "from": "500 s", "operations": "50", "p50 (ms)": "1", "p99 (ms)": "900",
        "on disk (bytes)": "1,000,000",
    }  # fmt: skip
    assert drawn.numbers.lines[1][-1] == "2,000,000"
    (operations, *_) = drawn.charts
    assert operations.note == "median 10"  # a second, however many are joined


def test_what_was_not_measured_is_a_gap_and_no_zero() -> None:
    drawn = laid_out(Series(bin_s=1.0, p99_ms=(1.0, 2.0, None, 4.0, 5.0), p50_ms=(None,) * 5))
    (latency,) = drawn.charts
    assert latency.traces[0].path.count("M") == 2
    assert latency.traces[1].path == ""
    assert drawn.numbers.lines[2][1:] == ("none", "none")
    ratio = laid_out(Series(bin_s=1.0, hits=(3, 0, 0), misses=(1, 0, 4))).charts[0]
    assert ratio.note == "38 % of all lookups"
    assert ratio.traces[0].path.count("M") == 2


def test_a_scale_ends_at_a_round_number_that_nothing_passes() -> None:
    for most, top in ((3, "5"), (5, "5"), (1801, "2,000"), (2100, "2,500"), (0, "1"), (9.1, "10")):
        drawn = laid_out(Series(bin_s=1.0, operations=(float(most),)))
        assert drawn.charts[0].labels[0] == top, most


def test_bytes_have_the_budget_in_their_chart() -> None:
    series = Series(bin_s=1.0, disk_bytes=(40e6, 70e6))
    (disk,) = laid_out(series, budget_bytes=64_000_000).charts
    assert [trace.name for trace in disk.traces] == ["on disk", "budget"]
    assert disk.traces[1].path == "M0.0 36.0h1000.0"
    assert disk.note == "peak 70 MB, budget 64 MB"
    assert len(laid_out(series).charts[0].traces) == 1


def test_a_fault_has_a_row_and_shades_the_charts_if_it_is_long() -> None:
    drawn = laid_out(
        Series(bin_s=1.0, operations=(1.0,) * 100),
        Band(name="stop", begin_s=10.0, end_s=20.0),
        Band(name="kill", begin_s=50.0, end_s=50.0),
        Band(name="full", begin_s=90.0, end_s=None),
        Band(name="late", begin_s=95.0, end_s=-0.5),
        Band(name="wild", begin_s=float("inf"), end_s=float("inf")),
    )
    rows = {row.name: [(span.x, span.width) for span in row.spans] for row in drawn.rows}
    assert rows["stop"] == [(100.0, 100.0)]
    assert rows["kill"] == [(500.0, 1.5)]
    assert rows["full"] == [(900.0, 100.0)]
    assert rows["late"] == [(950.0, 50.0)]
    assert [(span.x, span.width) for span in drawn.shades] == [(100.0, 100.0), (900.0, 100.0)]


def test_a_finding_is_marked_where_it_was_made() -> None:
    found = [
        StormFinding(checker="H1", message="a", at_s=25.0),
        StormFinding(checker="H2", message="b"),
        StormFinding(checker="H3", message="c", at_s=1e9),
    ]
    series = Series(bin_s=1.0, operations=(1.0,) * 100)
    drawn = laid_out(series, findings=found, found_s=[25.0, 25.1, 70.0])
    assert drawn.marks == (250.0, WIDE)
    assert [(label.text, label.percent) for label in drawn.labels] == [("1", 25.0), ("3", 100.0)]
    assert len(drawn.found) == 2


def test_numbers_that_would_cover_each_other_are_one_label() -> None:
    found = [
        StormFinding(checker="H1", message="", at_s=at_s) for at_s in (10.0, 11.0, 12.0, 50.0, 11.5)
    ]
    drawn = laid_out(Series(bin_s=1.0, operations=(1.0,) * 100), findings=found)
    assert [label.text for label in drawn.labels] == ["1,2,3,5", "4"]
    assert len(drawn.marks) == 5
    fewer = laid_out(Series(bin_s=1.0, operations=(1.0,) * 100), findings=found[:3])
    assert [label.text for label in fewer.labels] == ["1\N{EN DASH}3"]


def test_a_budget_far_above_what_is_there_is_told_and_not_drawn() -> None:
    (disk,) = laid_out(Series(bin_s=1.0, disk_bytes=(1e6, 2e6)), budget_bytes=64_000_000).charts
    assert [trace.name for trace in disk.traces] == ["on disk"]
    assert disk.note == "peak 2 MB, budget 64 MB"


def test_nothing_measured_is_nothing_drawn() -> None:
    assert over_time(Series(bin_s=1.0), [Band(name="a", begin_s=0.0, end_s=1.0)]) is None


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (61.25, "61.2 s"), (119.4, "119 s"), (540.2, "9:00 min"), (28800, "8:00 h")],
)
def test_time_is_told_as_people_do(seconds: float, told: str) -> None:
    assert clock(seconds) == told


def storm(series: Series, *bands: Band) -> Storm:
    return Storm(
        untorn_storm=1, verdict=StormWord.PASS, reason="", backend="b", seed=1, asked_s=1.0,
        duration_s=1.0, rounds=1, series=series, bands=bands,
    )  # fmt: skip


def test_the_storms_of_a_campaign_follow_each_other_in_the_order_of_shards() -> None:
    merged = one_after_another(
        {
            4: storm(Series(bin_s=2.0, operations=(3.0, 4.0)), Band(name="a", begin_s=1.0)),
            1: storm(Series(bin_s=2.0, operations=(1.0,), hits=(9.0,))),
            9: storm(Series(bin_s=1.0, operations=(5.0,))),
        }
    )
    assert merged.series == Series(bin_s=2.0, operations=(1.0, 3.0, 4.0), hits=(9.0, None, None))
    assert merged.bands == (Band(name="a", begin_s=3.0, end_s=6.0),)
    assert merged.left_out == (9,)
    found = StormFinding(checker="H1", message="", at_s=1.5)
    at = [each.at_s for each in located([replace(found, shard=n) for n in (1, 4, 9)], merged)]
    assert at == [1.5, 3.5, None]
