"""The catalogue: which scenarios there are, from which trees they begin, and what is harvested.

    pairs    at most 2 preemptions from the natural tree, 1 from each harvested one
    triples  at most 1 from the natural tree; harvested ones are sampled at most
    locks    a pair again where lock calls do nothing, or fail; from harvested trees two writers
    lone     one worker, for who asks for it by name: killed before each step, alone, it leaves
             what everybody's death leaves
    failing  one worker whose calls fail

Source of the bounds: Musuvathi and Qadeer, CHESS (OSDI 2008): most races need two preemptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from untorn_conformance.contract import Capability

from untorn_stress.payloads import HARVEST_WRITER, LABELS, LARGE_WRITER, NATURAL_WRITER
from untorn_stress.programs import (
    afterwards,
    collector,
    in_turn,
    reader,
    renderer,
    requester,
    writer,
)
from untorn_stress.scenario import (
    KeyState,
    Locks,
    NaturalTree,
    Play,
    Program,
    Scenario,
    Source,
    Thin,
)

_PAIR: Final = 2
_PAIR_HARVESTED: Final = 1
_TRIPLE: Final = 1
_UNTRUSTED: Final = 1

_HARVEST: Final = "harvest-"
_HARVEST_OF_DAMAGED: Final = "harvest-damaged-"

_first: Final = Play(program=writer("k", NATURAL_WRITER))
_second: Final = Play(program=writer("l", NATURAL_WRITER))
_writers: Final = (writer("k", "wA"), writer("k", "wB"))

TREES: Final[Mapping[str, NaturalTree]] = MappingProxyType(
    {
        each.name: each
        for each in (
            NaturalTree(name="empty", steps=(), holds={}),
            NaturalTree(name="published", steps=(_first,), holds={"k": KeyState.COMPLETE}),
            NaturalTree(
                name="two-published",
                steps=(_first, _second),
                holds={"k": KeyState.COMPLETE, "l": KeyState.COMPLETE},
            ),
            NaturalTree(
                name="damaged", steps=(_first, Thin(label="k")), holds={"k": KeyState.DAMAGED}
            ),
        )
    }
)
"""The natural trees by name."""

EXTRACTED_TREES: Final[Mapping[str, NaturalTree]] = MappingProxyType(
    {"extracted": NaturalTree(name="extracted", steps=(Play(program=requester()),), holds={})}
)
"""Trees that take a decoder to make: for scenarios that have one, and never harvested from."""

EVICTED_TREES: Final[Mapping[str, NaturalTree]] = MappingProxyType(
    {"evicted": NaturalTree(name="evicted", steps=(_first, Play(program=collector())), holds={})}
)
"""Trees that look empty, and where something was: for who remembers, and never harvested from."""

NATURAL: Final[Mapping[str, NaturalTree]] = MappingProxyType(
    {**TREES, **EXTRACTED_TREES, **EVICTED_TREES}
)
"""All trees that are made and not harvested."""

SOURCES: Final = (
    Source(
        name="collect",
        title="A collector evicts everything, alone.",
        tree="published",
        program=collector(),
    ),
    Source(
        name="repair",
        title="A writer publishes a key whose entry is damaged, alone.",
        tree="damaged",
        program=writer("k", HARVEST_WRITER),
    ),
    Source(
        name="adopt",
        title="A writer publishes a key whose entry is complete, alone.",
        tree="published",
        program=writer("k", HARVEST_WRITER),
    ),
    Source(
        name="publish",
        title="A writer publishes an absent key, alone.",
        tree="empty",
        program=writer("k", HARVEST_WRITER),
    ),
    Source(
        name="lookup",
        title="A reader looks a complete entry up, alone.",
        tree="published",
        program=reader("k"),
    ),
)
"""Whose crash states become initial trees: each run once, alone, under the gate.

What removes comes first: others stumble over the half that it left in an entry's place.
"""


def prepare(tree_name: str) -> tuple[Play | Thin, ...]:
    """The steps that make a natural tree of a root that was opened once.

    Raises KeyError for a name that is not in ``NATURAL``.
    """
    return NATURAL[tree_name].steps


def harvest_name(digest: str, *, of_damaged: bool) -> str:
    """How a crash state is called; its name says whether an outsider had damaged its source."""
    return f"{_HARVEST_OF_DAMAGED if of_damaged else _HARVEST}{digest}"


def starts_of(tree_name: str) -> Mapping[str, KeyState]:
    """What each label holds at the start of a run from this tree, natural or harvested."""
    natural = NATURAL.get(tree_name)
    if natural is not None:
        return {label: natural.holds.get(label, KeyState.ABSENT) for label in LABELS}
    is_of_sound = tree_name.startswith(_HARVEST) and not tree_name.startswith(_HARVEST_OF_DAMAGED)
    return dict.fromkeys(LABELS, KeyState.CRASHED if is_of_sound else KeyState.UNKNOWN)


def is_damaged(tree_name: str) -> bool:
    """Whether an outsider harmed an entry of the natural tree."""
    return KeyState.DAMAGED in starts_of(tree_name).values()


def labels_of(scenario: Scenario, tree_name: str) -> tuple[str, ...]:
    """The labels whose keys a run from this tree touches: those to look at when it is over.

    They are what the tree holds, what a crash left of ``k``, and what the programs use; a crash
    leaves no more than the scenario's own tree holds. None where workers extract, since the backend
    makes that key itself.
    """
    if Capability.EXTRACT in scenario.needs:
        return ()
    begins = NATURAL.get(tree_name, NATURAL[scenario.tree])
    return tuple(sorted({"k", *begins.holds, *scenario.labels}))


def asked_afterwards(scenario: Scenario, tree_name: str) -> tuple[Program, ...]:
    """What fresh workers are asked when a run is over: each label, or the same render again."""
    if Capability.RENDER in scenario.needs:
        return scenario.programs
    return tuple(
        program for label in labels_of(scenario, tree_name) for program in afterwards(label)
    )


def _pair(
    name: str,
    title: str,
    tree: str,
    programs: tuple[Program, Program],
    requirements: str,
    *,
    harvested: bool = True,
) -> Scenario:
    """A pair; not ``harvested`` where another scenario has the same workers, and with that all."""
    return Scenario(
        name=name,
        title=title,
        programs=programs,
        tree=tree,
        requirements=(*requirements.split(), "L2", "L5"),
        preemptions=_PAIR,
        harvest_preemptions=_PAIR_HARVESTED if harvested else None,
    )


def _untrusted(trusted: Scenario, locks: Locks) -> Scenario:
    how = "do nothing" if locks is Locks.NOOP else f"fail with {locks}"
    return replace(
        trusted,
        name=f"{trusted.name}-{locks.lower()}",
        title=f"{trusted.title.removesuffix('.')}, where lock calls {how}.",
        requirements=("P1", "P2", "P3", "N1", "L5"),
        preemptions=_UNTRUSTED,
        # After a crash of everything (C1 of N1), the two writers of one key are telling enough.
        harvest_preemptions=0 if locks is Locks.NOOP and trusted is _WRITER_WRITER else None,
        locks=locks,
    )


_WRITER_WRITER: Final = _pair(
    "writer-writer",
    "Two writers publish one absent key.",
    "empty",
    _writers,
    "P1 P2 P3 P5 R1 R2",
)
_WRITER_COLLECTOR: Final = _pair(
    "writer-collector",
    "A writer publishes an absent key while a collector evicts everything.",
    "empty",
    (writer("k", "wA"), collector()),
    "P1 P2 P5 R1 R4 G7",
)
_ADOPT: Final = _pair(
    "adopt",
    "Two writers publish a key whose entry is complete already.",
    "published",
    _writers,
    "P1 P2 P3 P5 R1 R2",
    harvested=False,
)
_REPAIR: Final = _pair(
    "repair",
    "Two writers publish a key whose entry is damaged.",
    "damaged",
    _writers,
    "P1 P2 P3 P4 P5 R1 R2",
    harvested=False,
)

SCENARIOS: Final = (
    _WRITER_WRITER,
    _pair(
        "reader-writer",
        "A reader looks an absent key up while a writer publishes it.",
        "empty",
        (reader("k"), writer("k", "wB")),
        "P1 P2 P5 R1 R2 R6",
    ),
    _WRITER_COLLECTOR,
    _pair(
        "reader-collector",
        "A reader looks an entry up while a collector evicts everything.",
        "published",
        (reader("k"), collector()),
        "R1 R2 R4 R6 G2 G7 G9",
    ),
    _pair(
        "collector-collector",
        "Two collectors evict two entries.",
        "two-published",
        (collector(), collector()),
        "G7 G8",
    ),
    _ADOPT,
    _pair(
        "adopt-reader",
        "A reader looks a complete entry up while a writer publishes its key again.",
        "published",
        (reader("k"), writer("k", "wB")),
        "P1 P2 P3 P5 R1 R2 R6",
        harvested=False,
    ),
    _pair(
        "adopt-collector",
        "A writer publishes a key whose entry is complete while a collector evicts everything.",
        "published",
        (writer("k", "wA"), collector()),
        "P1 P2 P3 P5 R1 R4 G7",
        harvested=False,
    ),
    _REPAIR,
    _pair(
        "repair-reader",
        "A reader looks a damaged entry up while a writer publishes its key.",
        "damaged",
        (reader("k"), writer("k", "wB")),
        "P1 P2 P3 P4 P5 R1 R2 R6",
        harvested=False,
    ),
    Scenario(
        name="reader-writer-collector",
        title="A reader and a writer use a complete entry while a collector evicts everything.",
        programs=(reader("k"), writer("k", "wB"), collector()),
        tree="published",
        requirements=("P1", "P2", "P3", "P5", "R1", "R2", "R4", "R6", "G7", "G9", "L2", "L5"),
        preemptions=_TRIPLE,
    ),
    Scenario(
        name="single-flight",
        title="Two requests extract one clip that is not in the cache.",
        programs=(requester(), requester()),
        tree="empty",
        requirements=("P7", "R1", "L5"),
        preemptions=_PAIR,
        needs=frozenset({Capability.EXTRACT, Capability.SINGLE_FLIGHT}),
    ),
    *(
        _untrusted(trusted, locks)
        for locks in (Locks.NOOP, Locks.ENOLCK, Locks.EOPNOTSUPP)
        for trusted in (_WRITER_WRITER, _WRITER_COLLECTOR, _ADOPT, _REPAIR)
    ),
)
"""Every scenario, in the order in which they are run and listed."""


def alone(source: Source) -> Scenario:
    """The operation whose crash states are harvested, as a scenario of its own."""
    return _lone(source.name, source.title, source.tree, source.program)


def _lone(name: str, title: str, tree: str, program: Program) -> Scenario:
    return Scenario(
        name=f"{name}-alone",
        title=title,
        programs=(program,),
        tree=tree,
        requirements=("C1", "C2", "C3", "C4"),
        preemptions=0,
    )


RECOVERY: Final = _lone("recovery", "A writer publishes a key, alone.", "empty", writer("k", "wA"))
"""Who publishes what a harvested writer was to: told from it by its bytes."""

OUTGROWN: Final = replace(
    _lone(
        "outgrown",
        "A writer publishes a key whose last entry, evicted, was smaller, alone.",
        "evicted",
        writer("k", LARGE_WRITER),
    ),
    requirements=("C1", "C2", "C3", "G2"),
)
"""Who finds out whether a cache remembers of an entry what is true of another one."""

LONE: Final = (*map(alone, SOURCES), RECOVERY, OUTGROWN)
"""Scenarios of one worker. They are run by name, and count with no default."""


def _failing(name: str, title: str, tree: str, program: Program) -> Scenario:
    return Scenario(
        name=f"failing-{name}",
        title=f"{title.removesuffix('.')}, where calls may fail.",
        programs=(program,),
        tree=tree,
        requirements=("D2", "P5", "L2"),
        preemptions=0,
    )


FAILING: Final = (
    _failing(
        "publish",
        "One writer publishes an absent key, and looks it up.",
        "empty",
        in_turn(writer("k", "wA"), reader("k")),
    ),
    _failing("adopt", "One writer publishes a complete entry's key.", "published", _writers[0]),
    _failing("repair", "One writer publishes a damaged entry's key.", "damaged", _writers[0]),
    _failing("lookup", "One reader looks a complete entry up.", "published", reader("k")),
    _failing("collect", "One collector evicts two entries.", "two-published", collector()),
)
"""What one worker does while a call of it is made to fail."""

FAILING_EXTRACTION: Final = replace(
    _failing("extraction", "One request extracts a clip.", "empty", requester()),
    requirements=("D2", "D5"),
    needs=frozenset({Capability.EXTRACT}),
)
"""The same with a decoder."""

_RENDERS: Final = frozenset({Capability.EXTRACT, Capability.RENDER})
_render: Final = renderer()

FAILING_RENDER: Final = replace(
    _failing("render", "A render of four requests, one of them warm.", "extracted", _render),
    requirements=("D2", "D3", "L2", "X1", "O1"),
    needs=_RENDERS,
)
"""The same with several."""

RENDER_ALONE: Final = replace(
    _lone("render", "A render of four requests, one of them warm, alone.", "extracted", _render),
    requirements=("C1", "C2", "C3"),
    needs=_RENDERS,
)
"""A render that may be killed."""

ALL: Final = (
    *SCENARIOS,
    *LONE,
    *FAILING,
    FAILING_EXTRACTION,
    FAILING_RENDER,
    RENDER_ALONE,
)
"""Every scenario that has a name."""


def scenario(name: str) -> Scenario:
    """The scenario of that name. Raises KeyError with the names that there are."""
    for each in ALL:
        if each.name == name:
            return each
    raise KeyError(f"no scenario {name!r}; there are: {', '.join(s.name for s in ALL)}")
