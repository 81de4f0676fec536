"""Chapter F, and the budget's values (G10): what the environment can say, and how it is told off.

A backend says by `hello` which variables it reads. The default root is looked for in the workers'
temporary directory, which each case has to itself.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from untorn_conformance import moves, probe
from untorn_conformance.backend import Published, Setting, Unpublished, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.farm import Farm
from untorn_conformance.holdings import fill, is_present, kept, payload
from untorn_conformance.moves import collect
from untorn_conformance.plugin import requires
from untorn_stress.worker import Worker

DAY_S = 24 * 3600.0

OFF_WORDS = ("off", "OFF", "Off ", "none", "None", " none", "false", "FALSE", "0", " 0 ")
NOT_A_BUDGET = ("-1", "-0.5", "nan", "NaN", "lots", "10 GB", "1e")
NOT_SECONDS = ("-1", "nan", "soon", "1h")
NOT_A_FLAG = ("maybe", "2", "-1")


def open_as(worker: Worker, root: Path | None, env: dict[str, str]) -> None:
    """Open again under another environment; the root is the environment's where it is None."""
    worker.call(Verb.OPEN, root=None if root is None else str(root), env=env, clock_offset_s=0.0)


def refusals(farm: Farm, setting: Setting, values: tuple[str, ...]) -> dict[str, str]:
    """Open with each value: how it was answered."""
    worker, name = farm.worker(open_root=False), moves.variable(farm, setting)
    answers = {}
    for value in values:
        try:
            open_as(worker, farm.root, {name: value})
            answers[value] = "accepted"
        except BackendError as error:
            is_named = error.code is ErrorCode.BAD_CONFIG and name in error.message
            answers[value] = "told" if is_named else str(error)
    return answers


@requires("G10", evidence="two old entries, one collect as configured, sequential")
@pytest.mark.parametrize(
    ("budget_mb", "survivors"),
    [("0", ""), ("unlimited", "ab"), (None, "ab"), ("1", "ab")],
    ids=["nothing", "unlimited", "unset", "one"],
)
def test_G10_budget(farm: Farm, budget_mb: str | None, survivors: str) -> None:
    """0 evicts everything, `unlimited` nothing, and neither does a budget that is not reached."""
    farm.needs(Capability.CONFIG)
    env = {} if budget_mb is None else {moves.variable(farm, Setting.BUDGET_MB): budget_mb}
    worker = farm.worker(env)
    fill(farm, worker, "ab")
    farm.age(DAY_S)
    done = collect(worker, budget_bytes=None)
    assert (kept(farm, "ab"), done.over_budget_bytes) == (survivors, 0)


@requires("G10", evidence="13 entries of 96 KiB and a budget of 1 MB, one collect, sequential")
def test_G10_a_megabyte_is_2_to_the_20_bytes(farm: Farm) -> None:
    """Thirteen entries need 1.22 MB, and are cut to the ten that 1 MB has room for."""
    farm.needs(Capability.CONFIG)
    labels = "abcdefghijklm"
    fill(farm, farm.worker(), labels)
    farm.age(DAY_S)
    worker = farm.worker({moves.variable(farm, Setting.BUDGET_MB): "1"})
    collect(worker, budget_bytes=None)
    assert len(kept(farm, labels)) == 10


@requires("G10", "F3", evidence=f"{len(NOT_A_BUDGET)} values that are no budget, one open each")
def test_G10_what_is_no_budget_is_an_error_naming_the_variable(farm: Farm) -> None:
    """Negative numbers, NaN and text are refused, and whoever wrote them is told where."""
    farm.needs(Capability.CONFIG)
    answers = refusals(farm, Setting.BUDGET_MB, NOT_A_BUDGET)
    assert answers == dict.fromkeys(NOT_A_BUDGET, "told")


@requires("F1", evidence="one publish with an empty environment, the temporary directory compared")
def test_F1_on_by_default_below_the_temporary_directory(farm: Farm) -> None:
    """Nobody configures anything: the entry is in `<tmpdir>/<name>-<uid>`, alone."""
    farm.needs(Capability.CONFIG)
    worker = farm.worker(open_root=False)
    open_as(worker, None, {})
    moves.put(farm, worker, "a", payload("a"))
    assert moves.has(worker, "a")
    (root,) = farm.tmp.iterdir()
    assert root.name.endswith(f"-{os.getuid()}")
    assert root.stat().st_uid == os.getuid()
    assert is_present(probe.take(root), payload("a"))


@requires("F2", evidence=f"{len(OFF_WORDS)} spellings, one publish and one lookup each, sequential")
def test_F2_off(farm: Farm) -> None:
    """Frames are delivered, nothing hits, and once released nothing of them is left anywhere."""
    farm.needs(Capability.CONFIG)
    worker, name = farm.worker(open_root=False), moves.variable(farm, Setting.ROOT)
    for word in OFF_WORDS:
        open_as(worker, None, {name: word})
        answer = moves.publish(farm, worker, word, payload(word))
        assert isinstance(answer, Unpublished), (word, answer)
        assert moves.read_all(worker, answer) == moves.digests(payload(word).values())
        assert not moves.has(worker, word)
        worker.call(Verb.RELEASE, handle=answer.handle)
    worker.call(Verb.CLOSE)
    assert (probe.take(farm.tmp).entries, farm.tree().entries) == ({}, {})


OTHER_VALUES = {
    "empty": "",
    "space": " ",
    "home": "~",
    "below-home": "~/cache",
    "relative": "cache",
    "dot-relative": "./cache",
}


@requires("F2", evidence="each value in two processes with the same home and current directory")
@pytest.mark.parametrize("value", OTHER_VALUES.values(), ids=OTHER_VALUES.keys())
def test_F2_other_values_mean_one_thing(farm: Farm, value: str) -> None:
    """Two processes agree whether and where there is a cache, and no `~` is taken for a name."""
    farm.needs(Capability.CONFIG)
    home = farm.outside / "home"
    home.mkdir(mode=0o700)
    env = {moves.variable(farm, Setting.ROOT): value}
    first, second = (farm.worker(open_root=False, home=home) for _ in range(2))
    is_allowed = opens(first, env)
    assert opens(second, env) == is_allowed
    if is_allowed:
        answer = moves.publish(farm, first, "a", payload("a"))
        assert moves.has(second, "a") == isinstance(answer, Published)
    around = probe.take(farm.root.parent)
    assert not [path for path in around.entries if "~" in Path(path).parts]


def opens(worker: Worker, env: dict[str, str]) -> bool:
    """Whether the environment is accepted; what is not is a configuration's or a root's error."""
    try:
        open_as(worker, None, env)
    except BackendError as error:
        if error.code not in {ErrorCode.BAD_CONFIG, ErrorCode.ROOT_REFUSED}:
            raise
        return False
    return True


@requires("F3", evidence=f"{len(NOT_SECONDS)} values that are no seconds, one open each")
def test_F3_what_is_no_age_is_an_error_naming_the_variable(farm: Farm) -> None:
    """An age that is negative, NaN or text is refused."""
    farm.needs(Capability.CONFIG)
    answers = refusals(farm, Setting.MIN_AGE_S, NOT_SECONDS)
    assert answers == dict.fromkeys(NOT_SECONDS, "told")


@requires("F3", evidence=f"{len(NOT_A_FLAG)} values that are no switch, one open each")
def test_F3_what_is_no_switch_is_an_error_naming_the_variable(farm: Farm) -> None:
    """Whoever asks for verification in a word that is not understood must not go without."""
    farm.needs(Capability.CONFIG, Capability.VERIFY)
    answers = refusals(farm, Setting.VERIFY, NOT_A_FLAG)
    assert answers == dict.fromkeys(NOT_A_FLAG, "told")


@requires("F4", evidence="one process that opens with the switch on, off and on again, sequential")
def test_F4_the_switch_is_read_at_each_open(farm: Farm) -> None:
    """Rolling back is a change of the environment, not a new process."""
    farm.needs(Capability.CONFIG)
    name, worker = moves.variable(farm, Setting.ROOT), farm.worker(open_root=False)
    on, off = {name: str(farm.root)}, {name: "off"}
    open_as(worker, None, on)
    moves.put(farm, worker, "a", payload("a"))
    open_as(worker, None, off)
    assert not moves.has(worker, "a")
    assert isinstance(moves.publish(farm, worker, "b", payload("b")), Unpublished)
    open_as(worker, None, on)
    assert (moves.has(worker, "a"), moves.has(worker, "b")) == (True, False)


@requires("F4", evidence="one process that opens with two budgets, two collects, sequential")
def test_F4_the_budget_is_read_at_each_open(farm: Farm) -> None:
    """The same for a setting that is a number."""
    farm.needs(Capability.CONFIG)
    name = moves.variable(farm, Setting.BUDGET_MB)
    worker = farm.worker({name: "unlimited"})
    fill(farm, worker, "ab")
    farm.age(DAY_S)
    collect(worker, budget_bytes=None)
    assert kept(farm, "ab") == "ab"
    open_as(worker, farm.root, {name: "0"})
    collect(worker, budget_bytes=None)
    assert kept(farm, "ab") == ""
