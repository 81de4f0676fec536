"""Reading a storm or a campaign that somebody hands us: what is none is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from untorn_reports.storms.document import storm_of
from untorn_reports.storms.files import (
    CampaignRun,
    StormFileError,
    StormRun,
    StormVersionError,
    path_of,
    read,
    read_round,
)


def read_run(run: Path) -> StormRun | CampaignRun:
    path = path_of(run)
    assert path is not None
    return read(path)


def rewrite(run: Path, name: str, **parts: Any) -> None:
    told = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps(told | parts))


def test_the_directory_or_the_file_may_be_named(storm: Path, campaign: Path) -> None:
    assert read_run(storm) == read_run(storm / "storm.json")
    assert isinstance(read_run(campaign), CampaignRun)
    assert path_of(storm.parent) is None
    assert path_of(storm / "rounds" / "0012.jsonl") is None


def test_another_version_has_a_name_of_its_own(storm: Path, campaign: Path) -> None:
    rewrite(storm, "storm.json", untorn_storm=2)
    with pytest.raises(StormVersionError, match=r"storm.json is of version 2.*reads 1"):
        read_run(storm)
    rewrite(campaign, "campaign.json", untorn_campaign="new")
    with pytest.raises(StormVersionError, match="is of version 'new'"):
        read_run(campaign)


@pytest.mark.parametrize(
    "broken", ["", "{", "[]", "{}", '{"untorn_storm": 1}', '{"untorn_storm": NaN}', "[" * 100_000]
)
def test_what_is_no_storm_is_refused(storm: Path, broken: str) -> None:
    (storm / "storm.json").write_text(broken)
    with pytest.raises(StormFileError, match=r"storm\.json"):
        read_run(storm)


def test_a_pass_with_findings_is_refused(storm: Path, campaign: Path) -> None:
    rewrite(storm, "storm.json", verdict="pass")
    with pytest.raises(StormFileError, match="a pass, and there are findings"):
        read_run(storm)
    rewrite(storm, "storm.json", findings=[])
    with pytest.raises(StormFileError, match="a pass, and there are findings"):
        read_run(storm)  # the checkers have counted them
    canary = {"asked": 1, "found_out": 0, "missed": ["no-lease"]}
    rewrite(campaign, "campaign.json", verdict="pass", findings=[], canary=canary)
    with pytest.raises(StormFileError, match="a canary missed"):
        read_run(campaign)


def test_a_series_is_of_one_length_and_steps_that_go_on(storm_document: dict[str, Any]) -> None:
    for wrong in ({"bin_s": 0.0}, {"bin_s": -1.0}, {"bin_s": 1e300}, {"p50_ms": [1.0]}):
        series = storm_document["series"] | wrong
        with pytest.raises(ValueError, match=r"storm\.series"):
            storm_of(storm_document | {"series": series})


def test_what_was_not_asked_took_no_time(storm_document: dict[str, Any]) -> None:
    series = storm_document["series"]
    series["operations"][5] = 0
    taken = storm_of(storm_document).series
    assert taken.p99_ms[5] is taken.p50_ms[5] is None
    assert taken.p99_ms[4] == series["p99_ms"][4]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(storm: Path, number: str) -> None:
    text = (storm / "storm.json").read_text()
    (storm / "storm.json").write_text(text.replace('"asked_s": 60.0', f'"asked_s": {number}'))
    with pytest.raises(StormFileError, match=f"is not JSON: {number} is no number"):
        read_run(storm)


@pytest.mark.parametrize(
    "name", ["../storm.json", "/etc/passwd", "a\0b", "rounds/no.jsonl", "rounds"]
)
def test_only_histories_below_the_run_are_read(storm: Path, name: str) -> None:
    with pytest.raises(StormFileError):
        read_round(storm, name)
    if "/" in name:
        with pytest.raises(StormFileError):
            read_round(storm / "rounds", f"../{name}.jsonl")


def test_a_link_out_of_the_run_is_not_followed(storm: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.jsonl"
    outside.write_text((storm / "rounds/0012.jsonl").read_text())
    (storm / "rounds/0099.jsonl").symlink_to(outside)
    with pytest.raises(StormFileError, match="leads out of the run's directory"):
        read_round(storm, "rounds/0099.jsonl")


def test_a_history_that_is_none_is_named(storm: Path) -> None:
    (storm / "rounds/0012.jsonl").write_bytes(b'{"round": {}}\n')
    with pytest.raises(StormFileError, match=r"0012\.jsonl: line 1 is no line of a history"):
        read_round(storm, "rounds/0012.jsonl")
    (storm / "rounds/0012.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(StormFileError, match=r"0012\.jsonl"):
        read_round(storm, "rounds/0012.jsonl")


def test_a_shard_that_cannot_be_read_costs_itself_alone(campaign: Path) -> None:
    (campaign / "shards/0002/storm.json").write_text("{")
    held = read_run(campaign)
    assert isinstance(held, CampaignRun)
    assert sorted(held.storms) == [0, 5]
    assert "is not JSON" in held.problems[2]


def test_the_storm_of_a_canary_is_none_of_the_backends(campaign: Path) -> None:
    told = json.loads((campaign / "campaign.json").read_text())
    told["shards"][0]["scenario"] = "canary"
    (campaign / "campaign.json").write_text(json.dumps(told))
    held = read_run(campaign)
    assert isinstance(held, CampaignRun)
    assert sorted(held.storms) == [2, 5]


def test_findings_that_a_campaign_counts_alone_are_those_of_its_storms(campaign: Path) -> None:
    rewrite(campaign, "campaign.json", findings=4)
    held = read_run(campaign)
    assert isinstance(held, CampaignRun)
    assert [(each.shard, each.checker) for each in held.findings] == [
        (2, "H1"), (2, "H3"), (2, "H9"), (5, "H1"),
    ]  # fmt: skip
