"""The parts of a campaign that decide: durations, seeds, turns, verdicts, the corpus. All pure."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.contract import Capability
from untorn_stress import duration
from untorn_stress.campaign import corpus, hands, record, room, sharing, summary, task, verdicts
from untorn_stress.campaign.corpus import CorpusEntry
from untorn_stress.campaign.hands import ExecutorError
from untorn_stress.campaign.record import CampaignRecord
from untorn_stress.campaign.shard import SHARED, Shard, Strand, seed_of
from untorn_stress.campaign.sharing import Known, Night
from untorn_stress.campaign.verdicts import ShardVerdict
from untorn_stress.duration import DurationError

FOUND = {"requirement": "P2", "rule": "winners", "message": "two", "scenario": "writer-writer"}
FINDING = {"checker": "H1", "requirements": ["R1"], "message": "half", "replay": "untorn storm"}


# --- durations, sizes, addresses ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("40s", 40), ("10m", 600), ("8h", 28_800), ("1h30m", 5_400), ("0.5s", 0.5), ("1d", 86_400)],
)
def test_a_duration_carries_its_unit(text: str, seconds: float) -> None:
    assert duration.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8",
        "0s",
        "0h0m",
        "-5s",
        "8 h",
        "soon",
        "1e9s",
        "inf",
        "nan",
        "10m1h",
        "31d",
        "5.s",
        "٣s",
    ],
)
def test_what_is_no_duration_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(DurationError) as caught:
        duration.parse(text)
    assert ascii(text) in str(caught.value)


@pytest.mark.parametrize("seconds", [1, 59, 60, 3_661, 28_800, 90_061])
def test_a_duration_is_told_as_it_is_read(seconds: int) -> None:
    assert duration.parse(duration.told(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "0GiB", "-1GiB", "2", "2GB", "many"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        room.parse_size(text)


@pytest.mark.parametrize(
    "text", ["dask", "dask://", "dask://host", "dask://host:0", "dask://host:70000", "tcp://h:1"]
)
def test_what_is_no_executor_is_refused(text: str) -> None:
    with pytest.raises(ExecutorError, match="neither local nor dask"):
        hands.address_of(text)


# --- whose turn it is -----------------------------------------------------------------------------


def wanted(**more: Any) -> Night:
    return Night(**{"backend": "b", "canary": "broken", "seed": 7, "asked_s": 3_600.0, **more})


def night(wanted: Night, cost_s: dict[Strand, float]) -> list[Shard]:
    """The shards of a campaign in which each shard takes as long as its strand's do."""
    known = Known(number=1, used_s=0.0)
    made: list[Shard] = []
    while (shard := sharing.following(wanted, known)) is not None:
        made.append(shard)
        seconds = cost_s[shard.strand]
        charged = Counter(known.charged_s)
        charged[shard.strand] += seconds  # type: ignore[assignment]
        known = replace(
            known,
            number=known.number + 1,
            used_s=known.used_s + seconds,
            charged_s=charged,
            longest_s={**known.longest_s, shard.strand: seconds},
            begun=known.begun | {shard.about},
        )
    return made


COST_S = dict(zip(Strand, (9.0, 0.0, 150.0, 20.0, 7.0, 30.0), strict=True))


def test_time_is_shared_fairly_whatever_a_shard_of_each_takes() -> None:
    made = [each for each in night(wanted(), COST_S) if each.strand in SHARED]
    spent = Counter[Strand]()
    for shard in made:
        spent[shard.strand] += COST_S[shard.strand]  # type: ignore[assignment]
    endless = spent[Strand.STORMS], spent[Strand.PCT]
    assert max(endless) - min(endless) <= COST_S[Strand.STORMS]
    assert spent[Strand.BOUNDS] >= min(endless) - COST_S[Strand.STORMS]
    assert spent[Strand.FAIL_NTH] == COST_S[Strand.FAIL_NTH] * len(sharing._failing(wanted()))


def test_each_strand_has_its_canary_and_all_canaries_come_first() -> None:
    made = night(wanted(), COST_S)
    assert [each.strand for each in made[:5]] == [Strand.CANARY] * 4 + [Strand.STORMS]
    assert all("broken" in each.command for each in made[:4])


def test_an_exhaustive_search_is_made_once() -> None:
    made = night(wanted(asked_s=200_000.0), COST_S)
    counts = Counter(each.about for each in made if each.strand in (Strand.FAIL_NTH, Strand.BOUNDS))
    assert counts
    assert set(counts.values()) == {1}


def test_an_exhaustive_search_that_would_not_fit_is_not_begun() -> None:
    known = Known(number=9, used_s=90.0, longest_s={Strand.FAIL_NTH: 8.0})
    alone = wanted(asked_s=100.0, strands=(Strand.FAIL_NTH,))
    known = replace(known, begun=frozenset(sharing.canary_commands(alone)))
    assert sharing.following(alone, known) is None
    assert sharing.following(alone, replace(known, used_s=80.0)) is not None


def test_the_corpus_goes_before_all_but_the_canaries_for_half_of_the_time() -> None:
    entry = ("untorn", "explore", "--seed", "3")
    known = Known(number=5, used_s=0.0, begun=frozenset(sharing.canary_commands(wanted())))
    known = replace(known, corpus=[("e1", entry, 3)])
    first = sharing.following(wanted(), known)
    assert first is not None
    assert (first.strand, first.command, first.entry) == (Strand.CORPUS, entry, "e1")
    later = sharing.following(wanted(), replace(known, charged_s={Strand.CORPUS: 1_800.0}))
    assert later is not None
    assert later.strand is not Strand.CORPUS


def test_shards_draw_from_seeds_of_their_own_that_any_machine_draws() -> None:
    assert len({seed_of(7, number) for number in range(1_000)}) == 1_000
    assert seed_of(7, 1) == PINNED_SEED
    assert seed_of(7, 1) != seed_of(8, 1)
    made, again = night(wanted(), COST_S), night(wanted(), COST_S)
    assert made == again
    assert all(str(each.seed) == each.command[-1] for each in made)


PINNED_SEED = 576663442
"""An older campaign's shards must be drawn again by a newer untorn."""


def test_what_the_backend_does_not_claim_is_not_drawn() -> None:
    plain = [each.line for each in night(wanted(), COST_S)]
    assert not [each for each in plain if "single-flight" in each]
    able = wanted(capabilities=frozenset({Capability.EXTRACT, Capability.SINGLE_FLIGHT}))
    assert [each.line for each in night(able, COST_S) if "single-flight" in each.line]


# --- what came of a shard -------------------------------------------------------------------------


def storm(word: str, **more: Any) -> dict[str, Any]:
    return {"untorn_storm": 1, "verdict": word, "reason": "", "rounds": 3, "findings": [], **more}


def search(**more: Any) -> dict[str, Any]:
    base = {"schema": "untorn/exploration/1", "searches": [{"tree": "empty"}], "runs": 5}
    return {**base, "found": [], "stopped": "", "not_applicable": [], **more}


@pytest.mark.parametrize(
    ("document", "code", "verdict"),
    [
        (storm("pass"), 0, "pass"),
        (storm("fail", findings=[FINDING]), 1, "fail"),
        (storm("unknown"), 6, "unknown"),
        (storm("invalid"), 7, "invalid"),
        (storm("pass", rounds=0), 0, "unknown"),
        (None, 0, "invalid"),
        ({}, 0, "invalid"),
        (["pass"], 0, "invalid"),
        (storm("pass"), -9, "invalid"),
        (storm("pass"), 1, "invalid"),
        (storm("fail"), 1, "invalid"),
        (storm("pass", findings=[FINDING]), 0, "invalid"),
        (storm("fail", findings=[FINDING]), 0, "invalid"),
        (storm("fine"), 0, "invalid"),
        (storm("not-applicable"), 0, "invalid"),
        (storm("pass", untorn_storm=2), 0, "invalid"),
    ],
)
def test_a_storm_is_judged_by_its_file_and_its_code_must_agree(
    document: object, code: int, verdict: str
) -> None:
    assert verdicts.of_storm(document, code).verdict == verdict


@pytest.mark.parametrize(
    ("document", "code", "verdict"),
    [
        (search(), 0, "pass"),
        (search(found=[FOUND]), 1, "fail"),
        (search(stopped="the budget ended"), 6, "unknown"),
        (
            {"schema": "untorn/exploration/1", "verdict": "unknown", "reason": "no gate"},
            6,
            "unknown",
        ),
        ({"schema": "untorn/exploration/1", "verdict": "invalid", "reason": "x"}, 7, "invalid"),
        (search(searches=[], not_applicable=["single-flight"]), 6, "not-applicable"),
        (
            {"schema": "untorn/error/1", "error": "TokenError", "message": "no such tree"},
            2,
            "not-applicable",
        ),
        ({"schema": "untorn/error/1", "error": "UnwritableError", "message": "m"}, 2, "invalid"),
        (None, 0, "invalid"),
        (search(), 7, "invalid"),
        (search(), -9, "invalid"),
        (search(runs=0), 0, "invalid"),
        (search(stopped="interrupted"), 0, "invalid"),
        (search(found=[FOUND]), 0, "invalid"),
        (search(schema="untorn/exploration/9"), 0, "invalid"),
    ],
)
def test_a_search_is_judged_by_what_it_printed_and_its_code_must_agree(
    document: object, code: int, verdict: str
) -> None:
    assert verdicts.of_search(document, code).verdict == verdict


def test_what_a_shard_found_counts_though_it_died() -> None:
    assert verdicts.of_storm(storm("fail", findings=[FINDING]), -11).findings == (FINDING,)
    assert len(verdicts.of_search(search(found=[FOUND]), -9).findings) == 1


def test_a_searchs_finding_has_the_form_of_a_storms() -> None:
    (finding,) = verdicts.of_search(search(found=[FOUND]), 1).findings
    assert finding.keys() >= {"checker", "requirements", "message", "history", "at_s", "replay"}
    assert verdicts.kind_of(finding) == "P2 winners writer-writer"


def test_a_storms_finding_is_replayed_by_its_shards_line(tmp_path: Path) -> None:
    shard = Shard(
        number=3,
        strand=Strand.STORMS,
        command=("untorn", "storm", "--seed", "5"),
        seed=5,
        expected_s=1.0,
        limit_s=1.0,
    )
    found = {**FINDING, "history": "rounds/0001.jsonl", "replay": "untorn storm --dir /gone"}
    directory = tmp_path / "shards" / "00003"
    (told,) = task.told_of(shard, directory, "/mnt/my disk", [found])
    assert told["replay"] == "untorn storm --seed 5 --dir '/mnt/my disk'"
    assert told["history"] == "shards/00003/rounds/0001.jsonl"


def test_of_many_findings_each_kind_is_told() -> None:
    many = [{**FINDING, "message": f"frame {number}"} for number in range(500)]
    other = {**FINDING, "checker": "H2"}
    told = verdicts.of_storm(storm("fail", findings=[*many, other]), 1).findings
    assert len(told) == verdicts.MOST_FINDINGS
    assert told[:2] == (many[0], other)


# --- the campaign's verdict -----------------------------------------------------------------------


def folded(*shards: tuple[str, str, list[dict[str, Any]]], ended: bool = True) -> CampaignRecord:
    made = CampaignRecord()
    for number, (strand, verdict, findings) in enumerate(shards, 1):
        shard = Shard(
            number=number,
            strand=Strand(strand),
            command=("untorn", "explore", "--seed", "1"),
            seed=1,
            expected_s=1.0,
            limit_s=1.0,
            about=f"{strand} {number}",
        )
        made.apply({"event": "planned", **shard.to_json()})
        made.apply({"event": "started", "number": number, "attempt": 1})
        if verdict:
            told = {"verdict": verdict, "reason": "why", "seconds": 1.0, "host": "h"}
            made.apply({"event": "finished", "number": number, "findings": findings, **told})
    if ended:
        made.apply({"event": "ended", "why": "time"})
    return made


Told = tuple[str, str, list[dict[str, Any]]]
CANARY: Told = ("canary", "fail", [FINDING])
PASSED: Told = ("pct", "pass", [])


@pytest.mark.parametrize(
    ("shards", "verdict"),
    [
        ([CANARY, PASSED], "pass"),
        ([CANARY, PASSED, ("pct", "fail", [FINDING])], "fail"),
        ([CANARY, PASSED, ("pct", "invalid", [])], "invalid"),
        ([CANARY, PASSED, ("pct", "unknown", [])], "unknown"),
        ([CANARY, PASSED, ("pct", "not-applicable", [])], "pass"),
        ([CANARY, ("pct", "not-applicable", [])], "unknown"),
        ([CANARY], "unknown"),
        ([PASSED], "unknown"),
        ([], "unknown"),
        ([("canary", "pass", []), PASSED], "invalid"),
        ([("canary", "pass", []), ("pct", "fail", [FINDING])], "invalid"),
        ([("canary", "unknown", []), PASSED], "unknown"),
        ([("canary", "invalid", []), PASSED], "unknown"),
        ([("canary", "", []), PASSED], "unknown"),
        ([CANARY, ("pct", "fail", [FINDING]), ("pct", "invalid", [])], "fail"),
        ([CANARY, ("pct", "invalid", [FINDING])], "fail"),
        ([CANARY, ("pct", "unknown", [FINDING])], "fail"),
        ([CANARY, ("pct", "invalid", []), ("pct", "unknown", [])], "invalid"),
    ],
)
def test_the_worst_decides_and_only_what_was_decided_passes(
    shards: list[tuple[str, str, list[dict[str, Any]]]], verdict: str
) -> None:
    word, reason = summary.verdict_of(folded(*shards), (Strand.PCT,))
    assert word == verdict
    assert reason


def test_a_scenario_without_a_shard_is_no_pass() -> None:
    word, reason = summary.verdict_of(folded(CANARY, PASSED), (Strand.PCT, Strand.BOUNDS))
    assert (word, reason) == ("unknown", "no shard of bounds was begun: the time was too short")


def test_a_campaign_that_has_not_ended_is_no_pass() -> None:
    word, _ = summary.verdict_of(folded(CANARY, PASSED, ended=False), (Strand.PCT,))
    assert word == "unknown"


def test_a_finding_that_many_shards_show_is_told_once_with_all_of_them() -> None:
    twice = ("pct", "fail", [FINDING])
    (told,) = summary.findings_of(folded(CANARY, twice, twice))
    assert told["shards"] == [2, 3]


def test_a_shard_whose_worker_was_lost_is_made_again_once() -> None:
    made = folded(("pct", "", []), ended=False)
    lost = {"event": "lost", "number": 1, "reason": "gone", "findings": []}
    made.apply(lost)
    assert [each.shard.number for each in made.open_shards()] == [1]
    made.apply({"event": "started", "number": 1, "attempt": 2})
    made.apply(lost)
    assert made.open_shards() == []
    assert made.shards[1].verdict is ShardVerdict.INVALID


def test_being_cut_short_does_not_count_as_being_lost() -> None:
    made = folded(("pct", "", []), ended=False)
    for attempt in itertools.repeat(2, 5):
        made.apply({"event": "cut", "number": 1, "reason": "killed", "findings": [FINDING]})
        made.apply({"event": "started", "number": 1, "attempt": attempt})
    made.apply({"event": "cut", "number": 1, "reason": "killed", "findings": [FINDING]})
    assert len(made.open_shards()) == 1
    assert made.shards[1].findings == [FINDING]


def test_the_time_of_shards_that_still_run_is_charged() -> None:
    made = folded(PASSED, ("storms", "", []), ended=False)
    assert record.known(made, ()).charged_s == {Strand.PCT: 1.0, Strand.STORMS: 1.0}


# --- the corpus -----------------------------------------------------------------------------------


def entry(name: str = "e", **more: Any) -> CorpusEntry:
    known: dict[str, Any] = {
        "id": name,
        "backend": "b",
        "strand": "pct",
        "command": ("untorn", "explore"),
        "seed": 1,
        "found": ("P2 winners",),
        "message": "m",
        "replay": "r",
        "added_at": "t",
    }
    return CorpusEntry(**{**known, **more})


def test_an_entry_that_fails_no_more_is_kept_for_some_nights_and_then_goes() -> None:
    entries, nights = {"e": entry()}, 0
    while entries:
        nights += 1
        aged = corpus.aged(entries, {"e": ShardVerdict.PASS}, f"night {nights}")
        assert aged.quiet == ("e",)
        entries = corpus.latest(aged.entries)
    assert (nights, aged.gone) == (corpus.QUIET_NIGHTS, ("e",))


def test_an_entry_that_fails_again_begins_anew_and_one_not_decided_stays_as_it_was() -> None:
    before = {"e": entry(quiet=5)}
    failed = corpus.aged(before, {"e": ShardVerdict.FAIL}, "n")
    assert [each.quiet for each in failed.entries] == [0]
    for verdicts_so_far in ({}, {"e": ShardVerdict.UNKNOWN}, {"e": ShardVerdict.INVALID}):
        assert corpus.aged(before, verdicts_so_far, "n").entries == (before["e"],)


def test_a_campaign_counts_once_however_often_it_ends() -> None:
    first = corpus.aged({"e": entry()}, {"e": ShardVerdict.PASS}, "n")
    again = corpus.aged(corpus.latest(first.entries), {"e": ShardVerdict.PASS}, "n")
    assert [each.quiet for each in again.entries] == [1]


def test_of_one_kind_of_finding_a_few_are_kept() -> None:
    entries: dict[str, CorpusEntry] = {}
    for number in range(10):
        new = entry(f"e{number}")
        if corpus.is_news(new, entries):
            entries[new.id] = new
    assert len(entries) == corpus.MOST_OF_A_KIND
    assert corpus.is_news(entry("other", found=("R1 H1",)), entries)
    assert corpus.is_news(entry("theirs", backend="other"), entries)


def test_an_entry_is_read_as_it_was_written() -> None:
    assert CorpusEntry.of_json(entry(quiet=2, judged_in="n").to_json()) == entry(
        quiet=2, judged_in="n"
    )


def test_a_shard_of_what_is_drawn_takes_a_part_of_the_night_within_bounds() -> None:
    assert [wanted(asked_s=each).shard_s for each in (40.0, 2_400.0, 28_800.0)] == [5, 100, 300]
    assert math.isfinite(wanted(asked_s=duration.MAX_S).shard_s)
