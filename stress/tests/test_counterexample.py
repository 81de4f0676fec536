"""Counterexample files: what is written is read, and what cannot be used is said to be so."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import untorn_stress
from untorn_conformance.backend import Adopted, Miss, MissReason, Staged, StagedFile, Verb
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_stress import counterexample, run_json
from untorn_stress.counterexample import Counterexample, CounterexampleError, MadeWith
from untorn_stress.run import Finding, FindingKind, Operation, Run, Step
from untorn_stress.token import Token

SCHEMA = Path(untorn_stress.__file__).parent / "schema" / "counterexample-1.schema.json"
MADE_WITH = MadeWith(untorn="0.1.0", kernel="6.18.0", python="3.11.4")
KEY: dict[str, object] = {"key": "k1"}
STAGE: dict[str, object] = {
    **KEY,
    "files": (StagedFile(name="f0", path="/tmp/pytest-7/payloads/k.A.0"),),
}


def step(number: int, actor: str, call: str, detail: str, **more: Any) -> Step:
    given = {"label": actor, "operation": 0, "result": "0", **more}
    return Step(number=number, actor=actor, call=call, detail=detail, **given)


def asked(index: int, worker: str, verb: Verb, **more: Any) -> Operation:
    return Operation(index=index, worker=worker, verb=verb, **more)


RUN = Run(
    scenario="writer-gc",
    tree="published",
    seed=3,
    choices=("A", "B", "A!EIO"),
    steps=(
        step(0, "A", "mkdir", "staging/k1.1"),
        step(1, "B", "openat", "v1/\udcff", operation=1, result="?"),
        step(2, "A", "rename", "staging/k1.1 -> v1/k1", label="A!EIO", result="EIO"),
    ),
    operations=(
        asked(0, "A", Verb.STAGE, args=STAGE, ended=1, answer=Staged(handle="h1")),
        asked(1, "B", Verb.LOOKUP, args=KEY, ended=3, answer=Miss(reason=MissReason.BUSY)),
        asked(2, "A", Verb.PUBLISH, began=1, ended=3, answer=Adopted(handle="h1", files=("f0",))),
        asked(3, "A", Verb.RELEASE, began=3, ended=3),
        asked(4, "B", Verb.CLOSE, began=3),
    ),
    findings=(
        Finding(kind=FindingKind.VIOLATION, requirement="P3", rule="kept", message="gone", step=2),
    ),
    unobserved=("a shared mapping",),
)
FOUND = Counterexample(
    token=Token(
        backend="py:a.b:factory",
        identity="posted@1901",
        scenario="writer-gc",
        tree="published",
        seed=3,
        bound=1,
        choices=("A", "B"),
    ),
    run=RUN,
    tree={"entries": [["v1", "d", 448]]},
    made_with=MADE_WITH,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "found" / "P3.json"


@pytest.fixture
def edited(path: Path) -> Callable[[Callable[[Any], object]], Path]:
    """Write the file, change its document by hand, and return the path."""

    def edit(change: Callable[[Any], object]) -> Path:
        counterexample.write(path, FOUND)
        document = json.loads(path.read_bytes())
        change(document)
        path.write_text(json.dumps(document), "ascii")
        return path

    return edit


def plain(run: Run) -> Any:
    return run_json.to_json(run)


def with_answer(answer: object) -> Counterexample:
    operation = Operation(index=0, worker="A", verb=Verb.PUBLISH, ended=3, answer=answer)
    steps = tuple(dataclasses.replace(each, operation=0) for each in RUN.steps)
    return dataclasses.replace(
        FOUND, run=dataclasses.replace(RUN, operations=(operation,), steps=steps)
    )


def test_what_is_written_is_read(path: Path) -> None:
    counterexample.write(path, FOUND)
    back = counterexample.read(path)
    assert (back.token, back.tree, back.made_with) == (FOUND.token, FOUND.tree, MADE_WITH)
    assert plain(back.run) == plain(RUN)


def test_answers_come_back_as_what_they_were(path: Path) -> None:
    counterexample.write(path, FOUND)
    back = counterexample.read(path).run.operations
    assert [each.answer for each in back] == [each.answer for each in RUN.operations]


def test_an_error_that_was_answered_comes_back(path: Path) -> None:
    error = BackendError(ErrorCode.INTERNAL, "disk full", definite=True)
    counterexample.write(path, with_answer(error))
    back = counterexample.read(path).run.operations[0].answer
    assert isinstance(back, BackendError)
    assert back.args == error.args


def test_a_run_without_its_steps_counts_them_all_the_same(path: Path) -> None:
    unrecorded = dataclasses.replace(FOUND, run=dataclasses.replace(RUN, steps=()))
    counterexample.write(path, unrecorded)
    assert plain(counterexample.read(path).run) == plain(unrecorded.run)


def test_equal_runs_make_equal_files(path: Path) -> None:
    other = path.with_name("other.json")
    counterexample.write(path, FOUND)
    counterexample.write(other, FOUND)
    assert path.read_bytes() == other.read_bytes()


def test_the_file_names_no_path_and_no_process_of_this_machine(path: Path) -> None:
    counterexample.write(path, dataclasses.replace(FOUND, made_with=MadeWith.here()))
    text = path.read_text("ascii")
    assert str(path.parent) not in text
    assert "/tmp" not in text
    assert "k.A.0" in text
    assert str(os.getpid()) not in text


def test_a_step_is_a_line(path: Path) -> None:
    counterexample.write(path, FOUND)
    lines = [line for line in path.read_text("ascii").splitlines() if '"call"' in line]
    assert len(lines) == len(RUN.steps)


def test_the_file_has_the_published_form(path: Path) -> None:
    schema = json.loads(SCHEMA.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    for found in (FOUND, with_answer(BackendError(ErrorCode.DIED, "it died"))):
        counterexample.write(path, found)
        jsonschema.validate(json.loads(path.read_bytes()), schema)


def test_a_new_file_replaces_the_old_one_and_leaves_nothing_aside(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("old", "ascii")
    counterexample.write(path, FOUND)
    assert counterexample.read(path).token == FOUND.token
    assert os.listdir(path.parent) == [path.name]


def test_who_reads_the_old_file_reads_it_to_its_end(path: Path) -> None:
    counterexample.write(path, FOUND)
    before = path.read_bytes()
    with open(path, "rb") as old:
        counterexample.write(path, dataclasses.replace(FOUND, tree={}))
        assert old.read() == before


def test_an_answer_that_never_came_is_not_one_that_says_nothing(path: Path) -> None:
    counterexample.write(path, FOUND)
    operations = json.loads(path.read_bytes())["operations"]
    assert [each["answer"] for each in operations[3:]] == [{"kind": "done"}, None]


def test_a_file_that_cannot_be_finished_leaves_the_old_one(path: Path) -> None:
    counterexample.write(path, FOUND)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        counterexample.write(path, dataclasses.replace(FOUND, tree={"what": object()}))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scenario": "adopt"}, "the token says scenario 'writer-gc' and the run 'adopt'"),
        ({"seed": 4}, "seed 3 and the run 4"),
        ({"tree": "empty"}, "tree 'published' and the run 'empty'"),
        ({"choices": ("B", "A")}, "the token's schedule is not that of the run"),
    ],
)
def test_a_token_of_another_run_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(FOUND, run=dataclasses.replace(RUN, **change))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no counterexample: it is not JSON"),
        (b"\xff{}", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it is JSON, but no object"),
        (b"{}", "the field 'schema' is missing"),
        (b'{"schema": "untorn/verdict/1"}', "its schema is 'untorn/verdict/1', and this untorn"),
    ],
)
def test_a_file_of_something_else_is_refused(path: Path, content: bytes, said: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(CounterexampleError, match=said):
        counterexample.read(path)


def test_a_file_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(CounterexampleError, match=r"P3\.json' cannot be read: No such file"):
        counterexample.read(path)


def test_a_file_that_is_too_large_is_not_read_in(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counterexample.write(path, FOUND)
    monkeypatch.setattr(counterexample, "BYTES_MAX", 100)
    with pytest.raises(CounterexampleError, match="larger than 100 bytes"):
        counterexample.read(path)


def test_a_file_cut_short_is_refused(path: Path) -> None:
    counterexample.write(path, FOUND)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CounterexampleError):
            counterexample.read(path)


@pytest.mark.parametrize("name", sorted(counterexample.to_json(FOUND)))
def test_every_field_must_be_there(edited: Any, name: str) -> None:
    with pytest.raises(CounterexampleError, match=f"the field '{name}' is missing"):
        counterexample.read(edited(lambda document: document.pop(name)))


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("schema",), "untorn/counterexample/2", "its schema is 'untorn/counterexample/2', and"),
        (("token",), 7, "token must be a string, not an integer"),
        (("token",), "u1.x", "holds a token that cannot be used: 'u1.x' is cut short"),
        (("note",), "hi", "the field 'note' is unknown"),
        (("backend", "spec"), "reference", "contradicts itself: the token is for posted@1901"),
        (("scenario",), "adopt", "contradicts itself: the token says scenario"),
        (("schedule",), "3B", "contradicts itself: the token's schedule is not"),
        (("schedule",), "3", "'3' in a schedule is no count and actor"),
        (("made_with",), {}, "made_with has no field 'untorn'"),
        (("steps", 0, "number"), 7, r"steps\[0\] has a number or an operation"),
        (("steps", 0, "operation"), 5, r"steps\[0\] has a number or an operation"),
        (("steps", 0, "call"), None, r"steps\[0\].call must be a string, not null"),
        (("operations", 1, "index"), 0, r"operations\[1\] has an index"),
        (("operations", 1, "ended"), 4, r"operations\[1\] has an index, beginning or end"),
        (("operations", 2, "ended"), 0, r"operations\[2\] has an index, beginning or end"),
        (("operations", 0, "verb"), "stag", r"operations\[0\].verb .* did you mean 'stage'\?"),
        (("operations", 0, "answer", "kind"), "no", r"operations\[0\].answer is of no known kind"),
        (("findings", 0, "step"), 3, r"findings\[0\] is beside a step that is not there"),
        (("findings", 0, "kind"), "bad", r"findings\[0\].kind must not be 'bad'"),
    ],
)
def test_a_file_edited_by_hand_says_what_is_wrong(
    edited: Any, where: tuple[Any, ...], value: object, said: str
) -> None:
    def change(document: Any) -> None:
        for part in where[:-1]:
            document = document[part]
        document[where[-1]] = value

    with pytest.raises(CounterexampleError, match=said):
        counterexample.read(edited(change))


def test_the_replay_line_takes_a_token() -> None:
    line = counterexample.replay_line(FOUND.token)
    assert line == f"untorn replay {FOUND.token.encode()}"


def test_the_replay_line_takes_a_file_of_any_name() -> None:
    line = counterexample.replay_line(Path("runs/my run/P3.json"))
    assert shlex.split(line) == ["untorn", "replay", "runs/my run/P3.json"]
