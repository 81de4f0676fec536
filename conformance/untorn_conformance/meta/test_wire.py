"""The protocol: all that the law can say survives a line, and nothing else is taken for it."""

import dataclasses
import inspect
import json
import os
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from untorn_conformance import backend, optional_verbs, wire
from untorn_conformance.backend import PROTOCOL_VERSION, Hello, Hit, Miss, MissReason, Verb
from untorn_conformance.errors import ERROR_KINDS, BackendError, ErrorCode, ProtocolError

# Whatever os.fsdecode can give: all characters, and bytes that are no UTF-8 as lone surrogates.
names = st.one_of(st.binary(max_size=6).map(os.fsdecode), st.text(max_size=6))
LEAVES: Mapping[Any, st.SearchStrategy[Any]] = {
    str: names,
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """A strategy for the values of a type annotation of the law."""
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values_of(option) for option in inner])
    if origin in (tuple, Sequence):
        return st.lists(values_of(inner[0]), max_size=3).map(tuple)
    if origin is frozenset:
        return st.frozensets(values_of(inner[0]))
    if origin is Mapping:
        return st.dictionaries(values_of(inner[0]), values_of(inner[1]), max_size=3)
    if isinstance(origin, type) and dataclasses.is_dataclass(origin):
        hints = typing.get_type_hints(origin)
        return st.builds(origin, **{name: values_of(each) for name, each in hints.items()})
    return LEAVES[origin] if origin in LEAVES else st.sampled_from(list(origin))


ANSWERS = [each for each in wire.KINDS.values() if each is not None]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.__name__)
@given(st.data())
def test_every_answer_round_trips(answer: type, data: st.DataObject) -> None:
    value = data.draw(values_of(answer))
    if isinstance(value, Hello):
        value = dataclasses.replace(value, protocol=PROTOCOL_VERSION)
    assert wire.decode_answer(wire.encode_answer(7, value)) == wire.Answer(id=7, value=value)


def test_a_hello_of_another_version_is_told_by_its_version_whatever_else_is_in_it() -> None:
    line = '{"id": 1, "ok": {"kind": "hello", "protocol": 2, "who": "acme"}}'
    with pytest.raises(ProtocolError, match="it speaks protocol 2, this harness speaks 1"):
        wire.decode_answer(line)


@pytest.mark.parametrize("verb", Verb)
@given(st.data())
def test_every_request_round_trips(verb: Verb, data: st.DataObject) -> None:
    args = {name: data.draw(values_of(hint)) for name, hint in wire.arguments_of(verb).items()}
    request = wire.decode_request(wire.encode_request(3, verb, args))
    assert request == wire.Request(id=3, verb=verb, args=args)


@given(st.sampled_from([code for code in ErrorCode if not ERROR_KINDS[code].harness_only]),
       st.text(max_size=6), st.booleans())  # fmt: skip
def test_every_error_of_a_backend_round_trips(code: ErrorCode, text: str, definite: bool) -> None:
    error = wire.decode_answer(wire.encode_error(1, BackendError(code, text, definite))).value
    assert isinstance(error, BackendError)
    assert (error.code, error.message, error.definite) == (code, text, definite)


def test_an_answer_of_nothing_round_trips() -> None:
    line = wire.encode_answer(1, None)
    assert json.loads(line)["ok"] == {"kind": "done"}
    assert wire.decode_answer(line, verb=Verb.CLOSE).value is None


def test_every_dataclass_of_the_backend_is_in_the_protocol() -> None:
    declared = {each for _, each in inspect.getmembers(backend, dataclasses.is_dataclass)}
    inside = {backend.Limits, backend.StagedFile, backend.LogEvent, backend.Failed}
    assert declared == {*ANSWERS, *inside}


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_has_a_method_whose_answers_are_kinds(verb: Verb) -> None:
    assert set(wire.kinds_of(verb)) <= set(wire.KINDS)
    declared = optional_verbs.VERB_PROTOCOL[verb]
    optional = verb in backend.VERB_CAPABILITY
    assert optional == (declared is not backend.Backend)


@given(names)
def test_a_line_is_ascii_and_one_line(name: str) -> None:
    line = wire.encode_answer(1, Hit(handle="h", files=(name,)))
    assert line.isascii()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


def test_a_request_carries_every_argument() -> None:
    args = {"budget_bytes": None, "min_age_s": None, "dry_run": False}
    assert json.loads(wire.encode_request(1, Verb.COLLECT, args))["args"] == args


@pytest.mark.parametrize("args", [{}, {"key": "k", "kye": "k"}])
def test_our_own_wrong_arguments_are_a_type_error(args: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        wire.encode_request(1, Verb.LOOKUP, args)


def test_fields_with_a_default_may_be_left_out() -> None:
    line = b'{"id":1,"ok":{"kind":"miss","reason":"absent"}}'
    assert wire.decode_answer(line).value == Miss(reason=MissReason.ABSENT)


def test_an_error_without_definite_has_the_certainty_of_its_code() -> None:
    line = b'{"id":1,"error":{"code":"internal","message":"?"}}'
    error = wire.decode_answer(line).value
    assert isinstance(error, BackendError)
    assert error.definite is ERROR_KINDS[ErrorCode.INTERNAL].definite is False


ITEM = '{"kind":"extracted","handle":"h","files":["a"],"outcome":"hit"}'


def rendered(*items: str) -> bytes:
    return f'{{"id":1,"ok":{{"kind":"rendered","items":[{",".join(items)}]}}}}'.encode()


def test_each_item_of_a_render_says_which_it_is() -> None:
    answer = wire.decode_answer(
        rendered(ITEM, '{"kind":"failed","code":"bad-clip","message":"no such file"}'),
        verb=Verb.RENDER,
    ).value
    assert isinstance(answer, backend.Rendered)
    found, failed = answer.items
    assert found == backend.Extracted(
        handle="h", files=("a",), outcome=backend.ExtractOutcome.HIT, reason=""
    )
    assert failed == backend.Failed(code=backend.FailedCode.BAD_CLIP, message="no such file")
    assert json.loads(wire.encode_answer(1, answer))["ok"]["items"][0]["kind"] == "extracted"


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (ITEM.replace("extracted", "published"), "allowed: extracted, failed"),
        (ITEM.replace('"kind":"extracted",', ""), "items[0].kind must not be None"),
        (ITEM.replace("hit", "found"), "rendered.items[0].outcome must not be 'found'"),
        ('{"kind":"failed","code":"internal","message":""}', "items[0].code must not be"),
        ('{"kind":"failed","code":"bad-clip"}', "items[0] has no field 'message'"),
        ("null", "items[0] must be an object, not null"),
    ],
)
def test_an_item_that_is_none_is_refused_by_its_place(item: str, told: str) -> None:
    assert told in str(refusal(rendered(item), Verb.RENDER))


def test_a_failed_item_is_no_answer_by_itself() -> None:
    line = b'{"id":1,"ok":{"kind":"failed","code":"bad-clip","message":""}}'
    assert "'failed' is not an answer" in str(refusal(line))


def test_values_that_never_were_a_line_may_be_infinite() -> None:
    assert wire.from_plain(float, float("inf")) == float("inf")


def refusal(line: bytes | str, verb: Verb | None = None) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        wire.decode_answer(line, verb=verb)
    return caught.value


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (b"starting up...\n", "meant for stderr"),
        (b"\n", "one answer is one line"),
        (b"[1, 2]\n", "meant for stderr"),
        (b"42\n", "meant for stderr"),
        (b"{\n", "over several lines"),
        (b'{"id": 1} {"id": 2}\n', "two messages in one line"),
        (b'{"id": 1, "ok": {"kind": "mi', "cut short"),
        (b'{"id":1,"ok":{"kind":"frame","sha256":"","bytes":NaN}}', "send it as text"),
        (b'{"id":1,"ok":{"kind":"miss","reason":"absnt"}}', "did you mean 'absent'?"),
        (b'{"id":1,"ok":{"kind":"hit","handle":"h","file":[]}}', "no field 'files'"),
        (b'{"id":1,"ok":{"kind":"miss","reason":"absent","detial":""}}', "did you mean 'detail'?"),
        (b"\xff\xfe\n", "meant for stderr"),
        (b'{"id":1,"ok":{"kind":"hit","handle":"h","files":["\xe9"]}}', "udcNN"),
        (b"[" * 100_000, "beyond any message"),
        (b'{"id":' + b"1" * 5_000 + b',"ok":{}}', "beyond any message"),
    ],
)
def test_a_line_that_is_no_message_gets_a_hint_and_is_quoted(line: bytes, hint: str) -> None:
    error = refusal(line)
    assert hint in str(error)
    assert error.line == line.decode("utf-8", "replace").rstrip("\n")[:200]


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":1,"ok":{"kind":"done"},"took_s":1}',
        b'{"id":1,"ok":{"kind":"done","extra":0}}',
        b'{"id":1,"ok":{"kind":"done"},"error":{"code":"internal","message":""}}',
        b'{"id":1,"error":{"code":"internal","message":"","trace":"..."}}',
        b'{"id":1,"ok":{"kind":"logged","events":[{"level":"","cause":"","pid":1}]}}',
    ],
)
def test_an_unknown_field_is_refused_wherever_it_is(line: bytes) -> None:
    assert "unknown field" in str(refusal(line))


@pytest.mark.parametrize(
    "ok",
    [
        '{"kind":"hit","handle":1,"files":[]}',
        '{"kind":"hit","handle":"h","files":"a"}',
        '{"kind":"hit","handle":"h","files":[1]}',
        '{"kind":"frame","sha256":"a","bytes":true}',
        '{"kind":"frame","sha256":"a","bytes":1.5}',
        '{"kind":"stats","counters":[]}',
        '{"kind":"unpublished","handle":"h","files":[],"reason":"errno","errno":28}',
        '"done"',
    ],
)
def test_a_value_of_another_type_is_refused(ok: str) -> None:
    assert "must be" in str(refusal(f'{{"id":1,"ok":{ok}}}'))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400])
def test_a_number_that_is_not_finite_is_refused(number: str) -> None:
    with pytest.raises(ProtocolError, match="larger than any double"):
        wire.decode_request(f'{{"id":1,"verb":"age","args":{{"seconds":{number}}}}}')


@pytest.mark.parametrize("line", ['{"ok":{"kind":"done"}}', '{"id":"1","ok":{"kind":"done"}}'])
def test_an_answer_without_a_number_as_id_is_refused(line: str) -> None:
    assert "id" in refusal(line).problem


def test_a_field_that_appears_twice_is_refused() -> None:
    assert "twice" in str(refusal('{"id":1,"id":2,"ok":{"kind":"done"}}'))


def test_an_answer_of_another_verb_is_refused() -> None:
    line = wire.encode_answer(1, backend.Staged(handle="h"))
    assert "not an answer of lookup" in str(refusal(line, Verb.LOOKUP))


@pytest.mark.parametrize("code", ["died", "deadline", "protocol"])
def test_a_backend_cannot_say_what_only_the_harness_can(code: str) -> None:
    line = f'{{"id":1,"error":{{"code":"{code}","message":""}}}}'
    assert "only the harness" in str(refusal(line))


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ('{"id":1,"verb":"lokup","args":{"key":"k"}}', "did you mean 'lookup'?"),
        ('{"id":1,"verb":"lookup","args":{}}', "no field 'key'"),
        ('{"id":1,"verb":"lookup","args":{"key":"k","x":1}}', "unknown field 'x'"),
        ('{"id":1,"verb":"lookup"}', "no field 'args'"),
        ('{"id":1,"verb":"key","args":{"inputs":{"bitrate":1}}}', "'bitrate'"),
    ],
)
def test_a_malformed_request_is_refused(line: str, hint: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        wire.decode_request(line)
    assert hint in str(caught.value)


@given(st.one_of(st.binary(max_size=30), st.text(max_size=30)))
def test_no_line_whatever_raises_anything_but_a_protocol_error(line: bytes | str) -> None:
    for decode in (wire.decode_answer, wire.decode_request):
        with pytest.raises(ProtocolError):
            decode(line)


def test_every_error_code_is_explained() -> None:
    assert set(ERROR_KINDS) == set(ErrorCode)
    assert all(kind.doc for kind in ERROR_KINDS.values())
    assert not any(kind.definite for kind in ERROR_KINDS.values() if kind.harness_only)
