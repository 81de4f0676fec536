"""From a tree that differs only in what nobody touched, a search goes the same way."""

from __future__ import annotations

import random
from typing import Any

import pytest
from untorn_conformance.probe import Kind
from untorn_stress.resemblance import SAME_AGE_NS, Difference, difference, spliced
from untorn_stress.schedulers.dfs_bounded import BoundedDfs
from untorn_stress.schedulers.protocol import Footprint
from untorn_stress.toy_programs import random_program
from untorn_stress.toys import Act, Program, ToyStep, outcomes
from untorn_stress.tree import Node, Tree, file_node

FOLDER = Node(Kind.DIRECTORY, 0o755, 0)
PARTS = 4
PROGRAMS = 1000 // PARTS
VARIABLES = ("x", "y", "own A", "own B", "nobody's")


def tree(**nodes: Node) -> Tree:
    """The tree of these names; ``__`` is a slash."""
    return Tree({"": FOLDER, **{name.replace("__", "/"): node for name, node in nodes.items()}})


def objects(one: Tree, other: Tree, later_ns: int = 0) -> set[str]:
    return set(difference(one, other, later_ns=later_ns).objects)


# --- what differs ---------------------------------------------------------------------------------


def test_the_same_tree_differs_in_nothing() -> None:
    one = tree(a=FOLDER, a__f=file_node(b"x"))
    assert objects(one, one) == set()


def test_other_bytes_are_other_data_and_attributes() -> None:
    assert objects(tree(f=file_node(b"x")), tree(f=file_node(b"y"))) == {"d:f", "i:f"}


def test_a_name_that_is_in_one_only_is_an_entry_a_listing_and_all_of_its_node() -> None:
    found = objects(tree(a=FOLDER), tree(a=FOLDER, a__f=file_node(b"x")))
    assert found == {*("e:a/f", "o:a", "t:a", "i:a/f", "o:a/f", "t:a/f", "p:a/f", "d:a/f", "l:a/f")}


def test_another_kind_is_another_node() -> None:
    assert "e:./f" in objects(tree(f=FOLDER), tree(f=file_node(b"")))


def test_other_permissions_decide_who_may_search() -> None:
    assert objects(tree(a=FOLDER), tree(a=Node(Kind.DIRECTORY, 0, 0))) == {"i:a", "p:a"}


def test_another_order_is_another_listing() -> None:
    one, other = tree(f=FOLDER, g=FOLDER), tree(g=FOLDER, f=FOLDER)
    assert objects(one, other) == {"o:.", "t:."}


def test_a_link_that_leads_elsewhere_is_another_entry() -> None:
    one, other = (tree(n=Node(Kind.SYMLINK, 0o777, 0, target=to)) for to in ("f", "g"))
    assert objects(one, other) == {"i:n", "e:./n"}


def test_ages_count_and_not_times() -> None:
    old, new = (tree(f=file_node(b"", mtime_ns=at)) for at in (0, SAME_AGE_NS))
    assert objects(old, new) == {"i:f", "t:f"}
    assert objects(old, tree(f=file_node(b"", mtime_ns=SAME_AGE_NS - 1))) == set()
    later = Tree({path: file_node(b"", mtime_ns=SAME_AGE_NS) for path in ("f",)})
    assert objects(Tree({"f": old.nodes["f"]}), later, later_ns=SAME_AGE_NS) == set()


# --- what was touched -----------------------------------------------------------------------------


def untouched(differs: Difference, *, reads: str = "", writes: str = "") -> bool:
    return differs.is_untouched(Footprint(frozenset(reads.split()), frozenset(writes.split())))


DEBRIS = difference(
    tree(a=FOLDER, a__d=FOLDER), tree(a=FOLDER, a__d=FOLDER, a__d__f=FOLDER), later_ns=0
)


def test_what_is_read_or_written_elsewhere_leaves_a_difference_untouched() -> None:
    assert untouched(DEBRIS, reads="e:a/d i:a/d l:a/d", writes="o:a e:a/n i:a/n")


@pytest.mark.parametrize("name", ["o:a/d", "e:a/d/f"])
def test_a_difference_that_was_read_or_written_is_touched(name: str) -> None:
    assert not untouched(DEBRIS, reads=name)
    assert not untouched(DEBRIS, writes=name)


@pytest.mark.parametrize("moved", ["i:a", "i:a/d"])
def test_who_moves_a_directory_moves_the_difference_below_it(moved: str) -> None:
    assert not untouched(DEBRIS, writes=moved)


@pytest.mark.parametrize("moved", ["i:a", "i:a/b"])
def test_who_moves_a_directory_moves_the_order_of_its_listing(moved: str) -> None:
    one, other = (
        tree(a=FOLDER, a__b=FOLDER, **dict.fromkeys(names, FOLDER))
        for names in (("a__b__f", "a__b__g"), ("a__b__g", "a__b__f"))
    )
    differs = difference(one, other, later_ns=0)
    assert untouched(differs, writes="i:a/b/f i:.")
    assert not untouched(differs, writes=moved)


def test_an_opaque_step_touches_everything() -> None:
    assert not DEBRIS.is_untouched(Footprint(opaque=True))


def test_trees_with_hard_links_are_not_compared() -> None:
    link = Node(Kind.FILE, 0o644, 0, group=1)
    linked = tree(f=link, g=link)
    assert not untouched(difference(linked, linked, later_ns=0))


# --- what is left ---------------------------------------------------------------------------------


def test_of_the_other_tree_a_run_leaves_the_differences_and_what_it_did() -> None:
    one = tree(s=FOLDER, s__old=FOLDER, s__old__f=file_node(b"1"), v=FOLDER, gone=FOLDER)
    other = tree(
        s=FOLDER,
        s__old=FOLDER,
        s__old__g=FOLDER,
        s__old__g__h=file_node(b"2"),
        s__old__f=file_node(b"3"),
        v=FOLDER,
        gone=FOLDER,
    )
    left = tree(s=FOLDER, s__old=FOLDER, s__old__f=file_node(b"1"), v=FOLDER, v__k=FOLDER)
    made = spliced(left, other, difference(one, other, later_ns=0))
    assert list(made.nodes.items()) == [
        ("", FOLDER),
        ("s", FOLDER),
        ("s/old", FOLDER),
        ("s/old/g", FOLDER),
        ("s/old/g/h", file_node(b"2")),
        ("s/old/f", file_node(b"3")),
        ("v", FOLDER),
        ("v/k", FOLDER),
    ]


def test_of_the_same_tree_a_run_leaves_the_same() -> None:
    one = tree(a=FOLDER, a__f=file_node(b"x"), b=FOLDER)
    left = tree(a=FOLDER, b=FOLDER, b__g=file_node(b"y"))
    made = spliced(left, one, difference(one, one, later_ns=0))
    assert dict(made.nodes) == dict(left.nodes)


# --- the claim, of a thousand programs ------------------------------------------------------------


def memories(seed: int) -> tuple[dict[str, int], dict[str, int]]:
    """What variables hold first, twice: they differ in one or two of them."""
    rng = random.Random(seed)
    one = {name: rng.randint(0, 2) for name in VARIABLES}
    changed = rng.sample(VARIABLES, rng.choice((1, 1, 2)))
    return one, one | {name: one[name] + rng.randint(1, 2) for name in changed}


def moved(outcome: str, to: dict[str, int]) -> str:
    """The outcome, had the variables held this."""
    parts = (part.partition("=") for part in outcome.split("; "))
    return "; ".join(
        f"{name}={to[name]}" if name in to else f"{name}{sign}{rest}" for name, sign, rest in parts
    )


def searched(program: Program, memory: dict[str, int], faults: int) -> tuple[set[str], Footprint]:
    scheduler = BoundedDfs(preemptions=1, faults=faults)
    return outcomes(program, scheduler, memory), scheduler.objects.touched_by_all


def alike_and_right(seed: int, touched_of: Any = lambda touched: touched) -> tuple[bool, bool]:
    """Whether the searches from two memories count as alike, and whether they came to the same."""
    program, (one, other), faults = random_program(seed), memories(seed), seed % 2
    found, touched = searched(program, one, faults)
    changed = {name: value for name, value in other.items() if one[name] != value}
    differs = Difference(nodes=frozenset(), listings=frozenset(), objects=frozenset(changed))
    expected = {moved(each, changed) for each in found}
    right = searched(program, other, faults)[0] == expected
    return differs.is_untouched(touched_of(touched)), right


@pytest.mark.parametrize("part", range(PARTS))
def test_a_thousand_programs_come_to_the_same_where_nobody_touched_the_difference(
    part: int,
) -> None:
    alike = 0
    for seed in range(part * 10_000, part * 10_000 + PROGRAMS):
        is_alike, right = alike_and_right(seed)
        alike += is_alike
        assert right or not is_alike, f"seed {seed}:\n{random_program(seed)}"
    assert PROGRAMS / 10 < alike < PROGRAMS * 9 / 10


@pytest.mark.parametrize(
    "unsound",
    [
        lambda touched: Footprint(writes=touched.writes, opaque=touched.opaque),
        lambda touched: Footprint(touched.reads, opaque=touched.opaque),
    ],
    ids=["reads", "writes"],
)
def test_to_leave_out_any_of_what_was_touched_is_noticed(unsound: Any) -> None:
    found = (alike_and_right(seed, unsound) for seed in range(PROGRAMS))
    assert any(is_alike and not right for is_alike, right in found)


def test_of_a_search_with_an_opaque_step_it_is_not_known_what_it_touched() -> None:
    hidden = Program(actors=((ToyStep(kind=Act.READ, variable="x", opaque=True),),))
    assert searched(hidden, {}, faults=0)[1].opaque
