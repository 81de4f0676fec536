from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from untorn_conformance import wire
from untorn_conformance.backend import (
    Collected,
    FrameRead,
    Hit,
    Miss,
    MissReason,
    Published,
    Staged,
    Verb,
)
from untorn_conformance.contract import REQUIREMENTS
from untorn_stress.payloads import LABELS, WRITERS, Origin, Payloads, content
from untorn_stress.programs import afterwards, collector, reader, requester, writer
from untorn_stress.scenario import Ask, KeyState, Locks, Program, Scenario, Thin
from untorn_stress.scenarios import (
    ALL,
    LONE,
    NATURAL,
    SCENARIOS,
    SOURCES,
    TREES,
    harvest_name,
    labels_of,
    prepare,
    scenario,
    starts_of,
)


def played(program: Program, payloads: Payloads, answers: Sequence[object]) -> list[Ask]:
    """Everything that a program asks when it is answered so."""
    playing = program(payloads)
    asked = [next(playing)]
    for answer in answers:
        try:
            asked.append(playing.send(answer))
        except StopIteration:
            break
    return asked


@pytest.fixture
def payloads(tmp_path: Path) -> Payloads:
    return Payloads(tmp_path / "payload", clip="/clips/a.mp4")


def verbs(asked: list[Ask]) -> list[Verb]:
    return [each.verb for each in asked]


# --- payloads


def test_each_digest_belongs_to_one_file_of_one_writer(payloads: Payloads) -> None:
    owners = {
        digest: Origin(label, writer, index)
        for label in LABELS
        for writer in WRITERS
        for index, digest in enumerate(payloads.digests(label, writer))
    }
    assert len(owners) == len(LABELS) * len(WRITERS) * len(payloads.names)
    assert all(payloads.origin(digest) == owner for digest, owner in owners.items())


def test_bytes_that_nobody_writes_have_no_origin(payloads: Payloads) -> None:
    assert payloads.origin(hashlib.sha256(content("k", "wA", 0)[:-1]).hexdigest()) is None


def test_what_is_staged_has_the_bytes_of_its_origin(payloads: Payloads) -> None:
    staged = payloads.files("k", "wA")
    digests = [hashlib.sha256(Path(each["path"]).read_bytes()).hexdigest() for each in staged]
    assert tuple(digests) == payloads.digests("k", "wA")
    assert tuple(each["name"] for each in staged) == payloads.names


def test_payloads_touch_nothing_before_files_are_asked_for(tmp_path: Path) -> None:
    Payloads(tmp_path / "payload").digests("k", "wA")
    assert list(tmp_path.iterdir()) == []


def test_an_unlisted_writer_is_refused(payloads: Payloads) -> None:
    with pytest.raises(KeyError, match="wX"):
        payloads.files("k", "wX")


def test_keys_are_told_from_one_another(payloads: Payloads) -> None:
    assert [payloads.label(payloads.key(label)) for label in LABELS] == list(LABELS)
    assert payloads.label("0" * 64) is None
    assert all(len(bytes.fromhex(payloads.key(label))) == 32 for label in LABELS)


# --- programs


def test_a_writer_stages_publishes_reads_all_and_releases(payloads: Payloads) -> None:
    answers = [
        Staged(handle="s"),
        Published(handle="h", files=payloads.names),
        *[FrameRead(sha256="", bytes=1)] * 2,
        None,
    ]
    asked = played(writer("k", "wA"), payloads, answers)
    assert verbs(asked) == [Verb.STAGE, Verb.PUBLISH, Verb.READ, Verb.READ, Verb.RELEASE]
    assert [each.args.get("handle") for each in asked[1:]] == ["s", "h", "h", "h"]
    assert [each.tag for each in asked[:2]] == ["wA", "wA"]


def test_a_reader_ends_at_a_miss(payloads: Payloads) -> None:
    assert verbs(played(reader("k"), payloads, [Miss(reason=MissReason.ABSENT)])) == [Verb.LOOKUP]


def test_a_reader_reads_what_the_hit_lists(payloads: Payloads) -> None:
    asked = played(reader("k"), payloads, [Hit(handle="h", files=("a",)), None, None])
    assert verbs(asked) == [Verb.LOOKUP, Verb.READ, Verb.RELEASE]


def test_a_writer_whose_staging_failed_ends(payloads: Payloads) -> None:
    assert verbs(played(writer("k", "wA"), payloads, [None])) == [Verb.STAGE]


@pytest.mark.parametrize(
    ("program", "answers"),
    [
        (writer("k", "wA"), [Staged(handle="s"), Published(handle="h", files=("a",)), None, None]),
        (reader("k"), [Hit(handle="h", files=("a",)), None, None]),
        (collector(), [Collected(evicted=0, freed_bytes=0, reaped=0)]),
        (requester(), [None]),
    ],
)
def test_every_ask_is_a_request_of_the_protocol(
    program: Program, answers: list[object], payloads: Payloads
) -> None:
    for asked in played(program, payloads, answers):
        line = wire.encode_request(1, asked.verb, asked.args)
        assert wire.decode_request(line).verb is asked.verb


def test_the_aftermath_reads_writes_and_reads() -> None:
    assert len(afterwards("k")) == 3


# --- the catalogue


def test_names_are_distinct_and_fit_a_token() -> None:
    names = [each.name for each in ALL]
    assert len(set(names)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz-") for name in names)


def test_a_scenario_is_found_by_name_and_another_is_refused() -> None:
    assert scenario("repair").tree == "damaged"
    with pytest.raises(KeyError, match=r"nonsense.*writer-writer"):
        scenario("nonsense")


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_a_scenario_names_rows_and_a_tree_that_exist(each: Scenario) -> None:
    assert each.tree in NATURAL
    assert set(each.requirements) <= set(REQUIREMENTS)
    assert len(set(each.requirements)) == len(each.requirements)
    assert each.title.endswith(".")


@pytest.mark.parametrize("each", SCENARIOS, ids=lambda each: each.name)
def test_bounds_are_those_of_the_goals(each: Scenario) -> None:
    is_pair = len(each.programs) == 2
    assert each.preemptions <= (2 if is_pair else 1)
    assert (each.harvest_preemptions or 0) <= 1
    assert is_pair or each.harvest_preemptions is None


def test_who_works_alone_is_found_by_name_and_not_among_those_that_are_run_anyway() -> None:
    assert all(scenario(each.name) is each and len(each.programs) == 1 for each in LONE)
    assert not set(LONE) & set(SCENARIOS)


def test_each_source_of_crash_states_is_a_scenario_of_its_own() -> None:
    made = LONE[: len(SOURCES)]
    assert [each.name for each in made] == [f"{each.name}-alone" for each in SOURCES]
    assert [each.tree for each in made] == [each.tree for each in SOURCES]


def test_untrusted_locks_are_judged_by_N1_in_each_of_their_forms() -> None:
    forms = {each.locks for each in SCENARIOS if "N1" in each.requirements}
    assert forms == set(Locks) - {Locks.REAL}


def test_the_rows_of_the_gate_are_all_judged_by_some_scenario() -> None:
    judged = {row for each in SCENARIOS for row in each.requirements}
    assert judged >= {"P1", "P2", "P3", "P4", "P5", "P7", "R1", "R2", "R4", "R6", "G7", "G8", "G9"}
    assert judged >= {"N1", "L2", "L5"}


# --- trees


def test_the_damaged_tree_is_published_and_then_thinned() -> None:
    first, second = prepare("damaged")
    assert first == prepare("published")[0]
    assert second == Thin(label="k", writer="w0", index=0)


def test_what_a_natural_tree_holds_is_known_and_what_a_crash_left_is_not() -> None:
    assert starts_of("published") == {"k": KeyState.COMPLETE, "l": KeyState.ABSENT}
    assert set(starts_of("publish-3").values()) == {KeyState.UNKNOWN}


@pytest.mark.parametrize(
    ("of_damaged", "start"), [(False, KeyState.CRASHED), (True, KeyState.UNKNOWN)]
)
def test_a_crash_state_says_whether_its_source_was_damaged(
    of_damaged: bool, start: KeyState
) -> None:
    assert set(starts_of(harvest_name("1a2b3c4d", of_damaged=of_damaged)).values()) == {start}


@pytest.mark.parametrize(
    ("name", "tree", "labels"),
    [
        ("collector-collector", "two-published", ("k", "l")),
        ("collector-collector", "harvest-1a2b3c4d", ("k", "l")),
        ("collector-collector", "published", ("k",)),
        ("reader-collector", "two-published", ("k", "l")),
        ("writer-writer", "empty", ("k",)),
        ("single-flight", "empty", ()),
    ],
)
def test_the_labels_to_look_at_are_those_of_the_tree(
    name: str, tree: str, labels: tuple[str, ...]
) -> None:
    assert labels_of(scenario(name), tree) == labels


def test_harvest_begins_from_natural_trees() -> None:
    assert {each.tree for each in SOURCES} <= set(TREES)
    assert [each.name for each in SOURCES] == ["collect", "repair", "adopt", "publish", "lookup"]
