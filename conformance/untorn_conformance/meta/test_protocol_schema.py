"""The published schema: fresh, satisfied by a real conversation, and as strict as the reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from untorn_conformance import protocol_schema, wire
from untorn_conformance.backend import Verb
from untorn_conformance.errors import ProtocolError

SCHEMA: dict[str, Any] = json.loads(protocol_schema.published())
KEY = "ab" * 32


def validator(of: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{of}"})


def test_it_is_fresh() -> None:
    assert protocol_schema.published() == protocol_schema.render(), (
        "run python -m untorn_conformance.protocol_schema > schema/protocol-1.schema.json"
    )


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def questions(root: Path, frame: Path) -> Iterator[tuple[Verb, dict[str, object]]]:
    """A conversation with the reference in which each kind of answer but a few is given."""
    files = [{"name": "frame_00001.png", "path": str(frame)}]
    opened: dict[str, object] = {"root": str(root), "env": {}, "clock_offset_s": 0.0}
    order: dict[str, object] = {"budget_bytes": 0, "min_age_s": 0.0, "dry_run": False}
    yield Verb.HELLO, {}
    yield Verb.OPEN, opened
    yield Verb.LOOKUP, {"key": KEY}
    yield Verb.STAGE, {"key": KEY, "files": files}
    yield Verb.PUBLISH, {"handle": "h1"}
    yield Verb.STAGE, {"key": KEY, "files": []}
    yield Verb.LOOKUP, {"key": KEY}
    yield Verb.READ, {"handle": "h2", "index": 0}
    yield Verb.RELEASE, {"handle": "no such handle"}
    yield Verb.COLLECT, order
    yield Verb.KEY, {"inputs": {"path": "/a", "mtime_ns": 1, "size_bytes": 2, "fps": "30"}}
    yield Verb.EXTRACT, {"inputs": {"path": "/there/is/no/clip", "fps": "30", "format": "png"}}
    yield Verb.PLANT, {"key": "cd" * 32, "kind": "stray-file"}
    yield Verb.AGE, {"seconds": 60.0}
    yield Verb.LOG, {}
    yield Verb.STATS, {}
    yield Verb.CLOSE, {}


def test_every_message_of_a_conversation_satisfies_it(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir(mode=0o700)
    (tmp_path / "frame").write_bytes(b"frame")
    asked = list(questions(tmp_path / "root", tmp_path / "frame"))
    lines = [wire.encode_request(n, verb, args) for n, (verb, args) in enumerate(asked, start=1)]
    done = subprocess.run(
        [sys.executable, "-m", "untorn_conformance.cli", "adapter", "reference"],
        input=b"".join(lines),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=True,
    )
    answers = done.stdout.splitlines()
    assert len(answers) == len(asked)
    kinds = set()
    for (verb, _), question, line in zip(asked, lines, answers, strict=True):
        answer = json.loads(line)
        validator("message").validate(json.loads(question))
        validator(f"request-{verb}").validate(json.loads(question))
        validator("message").validate(answer)
        validator(f"answer-{verb}").validate(answer)
        kinds.add(answer.get("ok", {}).get("kind", "error"))
    assert {"hit", "published", "frame", "collected", "error"} <= kinds, done.stdout


RIGHT_REQUEST = {"id": 1, "verb": "lookup", "args": {"key": KEY}}
RIGHT_ANSWER = {"id": 1, "ok": {"kind": "miss", "reason": "absent"}}
WRONG = [
    {**RIGHT_REQUEST, "verb": "look"},
    {**RIGHT_REQUEST, "args": {}},
    {**RIGHT_REQUEST, "args": {"key": KEY, "more": 1}},
    {**RIGHT_REQUEST, "args": {"key": 7}},
    {"verb": "lookup", "args": {"key": KEY}},
    {**RIGHT_ANSWER, "id": "1"},
    {**RIGHT_ANSWER, "ok": {"kind": "miss"}},
    {**RIGHT_ANSWER, "ok": {"kind": "miss", "reason": "nowhere"}},
    {**RIGHT_ANSWER, "ok": {"kind": "miss", "reason": "absent", "more": 1}},
    {**RIGHT_ANSWER, "ok": {"kind": "missed"}},
    {"id": 1, "ok": {"kind": "rendered"}},
    {"id": 1, "ok": {"kind": "rendered", "items": [{"kind": "miss", "reason": "absent"}]}},
    {"id": 1, "ok": {"kind": "failed", "code": "bad-clip", "message": ""}},
    {"id": 1, "error": {"code": "died", "message": "only the harness says so"}},
    {"id": 1, "error": {"code": "internal"}},
    {**RIGHT_ANSWER, "error": {"code": "internal", "message": ""}},
]


@pytest.mark.parametrize("message", WRONG, ids=json.dumps)
def test_it_refuses_what_the_reader_refuses(message: dict[str, Any]) -> None:
    validator("message").validate(RIGHT_REQUEST)
    validator("message").validate(RIGHT_ANSWER)
    assert not validator("message").is_valid(message)
    read = wire.decode_request if "verb" in message else wire.decode_answer
    with pytest.raises(ProtocolError):
        read(json.dumps(message))


def test_the_items_of_a_render_are_told_apart() -> None:
    found = {"kind": "extracted", "handle": "h", "files": ["a"], "outcome": "published"}
    failed = {"kind": "failed", "code": "bad-clip", "message": "no such file"}
    rendered: dict[str, Any] = {"id": 1, "ok": {"kind": "rendered", "items": [found, failed]}}
    assert validator("answer-render").is_valid(rendered)
    rendered["ok"]["items"][1] = {**failed, "code": "internal"}
    assert not validator("answer-render").is_valid(rendered)


def test_an_answer_of_another_verb_is_none_of_this_one() -> None:
    assert not validator("answer-publish").is_valid(RIGHT_ANSWER)
