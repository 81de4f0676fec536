"""The documents of storms and campaigns are what their schemas say, and what is read of them."""

import dataclasses
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from untorn_reports.storms import document
from untorn_reports.storms.document import StormWord

SHAPES = {
    "storm": (
        document.Storm,
        {
            "strike": document.Delivered,
            "checker": document.CheckerCount,
            "series": document.Series,
            "band": document.Band,
            "finding": document.StormFinding,
        },
    ),
    "campaign": (
        document.Campaign,
        {
            "shard": document.Shard,
            "scenario": document.ScenarioShare,
            "canary": document.CanaryCount,
            "finding": document.StormFinding,
        },
    ),
}


def schema_of(name: str) -> Any:
    file = resources.files("untorn_reports").joinpath(f"schema/{name}.schema.json")
    return json.loads(file.read_text(encoding="utf-8"))


def refused(written: Any, name: str) -> bool:
    return not jsonschema.Draft202012Validator(schema_of(name)).is_valid(written)


@pytest.mark.parametrize("name", SHAPES)
def test_the_schema_is_a_schema_with_the_words_of_verdicts(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of(name))
    assert set(schema_of(name)["properties"]["verdict"]["enum"]) == set(StormWord)


def test_a_storm_and_a_campaign_fit_their_schemas(storm: Path, campaign: Path) -> None:
    for folder, name in ((storm, "storm"), (campaign, "campaign")):
        written = json.loads((folder / f"{name}.json").read_text())
        jsonschema.Draft202012Validator(schema_of(name)).validate(written)


@pytest.mark.parametrize("name", SHAPES)
def test_the_schema_names_what_is_read_and_asks_for_what_is_needed(name: str) -> None:
    schema = schema_of(name)
    whole, parts = SHAPES[name]
    assert set(parts) == set(schema["$defs"])
    for shape, told in ((whole, schema), *((parts[each], schema["$defs"][each]) for each in parts)):
        fields = dataclasses.fields(shape)
        assert set(told["properties"]) == {each.name for each in fields}, shape
        needed = {
            each.name
            for each in fields
            if each.default is each.default_factory is dataclasses.MISSING
        }
        assert set(told["required"]) == needed, shape


@pytest.mark.parametrize(
    ("part", "value"),
    [("verdict", "well"), ("seed", "7"), ("series", {}), ("findings", [{}]), ("untorn_storm", 2)],
)
def test_schema_and_reader_refuse_the_same(
    storm_document: dict[str, Any], part: str, value: object
) -> None:
    wrong = storm_document | {part: value}
    assert refused(wrong, "storm")
    if part != "untorn_storm":  # the version is looked at before the rest is
        with pytest.raises(ValueError, match="storm"):
            document.storm_of(wrong)


def test_a_storm_may_say_more(storm_document: dict[str, Any]) -> None:
    more = storm_document | {"weather": "fair"}
    more["findings"] = [{**each, "mood": 1} for each in more["findings"]]
    assert not refused(more, "storm")
    assert document.storm_of(more) == document.storm_of(storm_document)
