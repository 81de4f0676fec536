"""Reading a verdict that somebody hands us: what is none is refused with a word on what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
from untorn_reports.verdict_file import VerdictFileError, VerdictSchemaError, read


def written(folder: Path, document: Any) -> Path:
    (folder / "verdict.json").write_text(json.dumps(document))
    return folder


def test_the_directory_or_the_file_may_be_named(tmp_path: Path, document: dict[str, Any]) -> None:
    written(tmp_path, document)
    assert read(tmp_path) == read(tmp_path / "verdict.json") == json.loads(json.dumps(document))


def test_another_schema_version_has_a_name_of_its_own(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    with pytest.raises(VerdictSchemaError, match=r"is of schema 'untorn/verdict/9'.*verify again"):
        read(written(tmp_path, document | {"schema": "untorn/verdict/9"}))


@pytest.mark.parametrize("broken", [[], {}, 3, "{", {"schema": "untorn/verdict/1"}])
def test_what_is_no_verdict_is_refused(tmp_path: Path, broken: Any) -> None:
    with pytest.raises(VerdictFileError):
        read(written(tmp_path, broken))


@pytest.mark.parametrize("part", ["contract", "measurements", "provenance", "requirements"])
def test_a_verdict_without_a_part_is_refused(
    tmp_path: Path, document: dict[str, Any], part: str
) -> None:
    for broken in ({key: value for key, value in document.items() if key != part},
                   document | {part: 3}):  # fmt: skip
        with pytest.raises(VerdictFileError, match="not a verdict"):
            read(written(tmp_path, broken))


def test_no_file_and_no_json_say_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(VerdictFileError, match="name the directory of a run"):
        read(tmp_path)
    (tmp_path / "verdict.json").write_bytes(b"\xff{")
    with pytest.raises(VerdictFileError, match="is not JSON"):
        read(tmp_path)
