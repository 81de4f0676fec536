"""The document of a verdict is what its published schema says."""

import json
from importlib import resources
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from untorn_conformance.verdict import Outcome, VerdictWord


@pytest.fixture
def schema() -> Any:
    file = resources.files("untorn_reports").joinpath("schema/verdict.schema.json")
    return json.loads(file.read_text(encoding="utf-8"))


def refused(document: dict[str, Any], schema: Any) -> bool:
    return not jsonschema.Draft202012Validator(schema).is_valid(document)


def test_the_schema_is_a_schema(schema: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_a_real_verdict_fits_its_schema(document: dict[str, Any], schema: Any) -> None:
    read_back = json.loads(json.dumps(document, allow_nan=False))
    jsonschema.Draft202012Validator(schema).validate(read_back)


def test_the_schema_knows_the_words_of_the_law(schema: Any) -> None:
    assert set(schema["$defs"]["outcome"]["enum"]) == set(Outcome)
    assert set(schema["properties"]["word"]["enum"]) == set(VerdictWord)


def test_an_unknown_field_is_refused(document: dict[str, Any], schema: Any) -> None:
    assert refused(document | {"percentage": 97}, schema)


@pytest.mark.parametrize("name", ["schema", "word", "requirements", "cases", "provenance"])
def test_a_missing_part_is_refused(document: dict[str, Any], schema: Any, name: str) -> None:
    del document[name]
    assert refused(document, schema)


def test_an_invented_outcome_is_refused(document: dict[str, Any], schema: Any) -> None:
    document["cases"][0]["outcome"] = "PASSED"
    assert refused(document, schema)
