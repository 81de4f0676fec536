"""What `untorn explain` and `untorn list` say: rows, cases, mutants, and what else there is."""

from __future__ import annotations

import ast
import difflib
import importlib
import pkgutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from untorn_stress import scenarios

from untorn_conformance import mutants, registry
from untorn_conformance.case_list import SUITE, cases_of_suite
from untorn_conformance.cases import Case
from untorn_conformance.contract import CHAPTERS, REQUIREMENTS, Capability, Requirement
from untorn_conformance.wire import to_plain

EXPLANATION: Final = "untorn/explanation/1"
LIST: Final = "untorn/list/1"
_WIDTH: Final = 100
_NEAR: Final = 5


class UnknownSubjectError(Exception):
    """There is no requirement or case of that name; the message names those that are near."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """A mutant of the reference: its module's name, what it is, the rows that must fail."""

    name: str
    text: str
    kills: frozenset[str]


def explain(subject: str) -> dict[str, Any]:
    """Explain a requirement or a case. Raises UnknownSubjectError and CollectionError."""
    cases = cases_of_suite()
    if row := REQUIREMENTS.get(subject.upper()):
        return {"schema": EXPLANATION, **_of_row(row, cases)}
    for case in cases:
        if case.id == subject:
            return {"schema": EXPLANATION, "case": _of_case(case, with_text=True)}
    names = [*REQUIREMENTS, *(case.id for case in cases)]
    near = _near(subject, names)
    hint = f"near: {', '.join(near)}" if near else "untorn list names them"
    raise UnknownSubjectError(f"there is no requirement or case {subject!a}; {hint}")


def _near(subject: str, names: Sequence[str]) -> list[str]:
    """Names that are alike, or that end or begin as the subject does."""
    plain = {name.lower(): name for name in names}
    close = difflib.get_close_matches(subject.lower(), plain, n=_NEAR, cutoff=0.5)
    within = [name for name in plain if subject.lower() in name]
    return [plain[name] for name in dict.fromkeys([*close, *within])][:_NEAR]


def _of_row(row: Requirement, cases: Sequence[Case]) -> dict[str, Any]:
    own = [case for case in cases if row.id in case.requirements]
    return {
        "requirement": {**to_plain(row), "chapter_title": CHAPTERS[row.chapter]},
        "needed_by": [each.id for each in REQUIREMENTS.values() if row.id in each.depends_on],
        "cases": [_of_case(case, with_text=False) for case in own],
        "mutants": [
            {"name": each.name, "text": each.text} for each in all_mutants() if row.id in each.kills
        ],
    }


def _of_case(case: Case, *, with_text: bool) -> dict[str, Any]:
    text = {"text": _docstring_of(case), "test": case.nodeid} if with_text else {}
    return {
        "id": case.id,
        "requirements": list(case.requirements),
        "evidence": to_plain(case.evidence),
        **text,
    }


def _docstring_of(case: Case) -> str:
    """The first paragraph of what its test says of itself."""
    file, _, name = case.nodeid.partition("::")
    tree = ast.parse((SUITE / Path(file).name).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name.partition("[")[0]:
            return " ".join((ast.get_docstring(node) or "").split())
    return ""


def all_mutants() -> Iterator[Mutant]:
    """Every mutant of the reference, by name."""
    for module in sorted(pkgutil.iter_modules(mutants.__path__), key=lambda each: each.name):
        loaded = importlib.import_module(f"{mutants.__name__}.{module.name}")
        first = (loaded.__doc__ or "").partition("\n\n")[0]
        yield Mutant(name=module.name, text=" ".join(first.split()), kills=loaded.KILLS)


# --- lists ---------------------------------------------------------------------------------------


def _requirements() -> list[dict[str, Any]]:
    return [
        {"id": row.id, "level": row.level.value, "needs": _needs(row), "text": row.text}
        for row in REQUIREMENTS.values()
    ]


def _needs(row: Requirement) -> list[str]:
    return [need.value for need in Capability if need in row.needs]


def _cases() -> list[dict[str, Any]]:
    return [_of_case(case, with_text=False) for case in cases_of_suite()]


def _backends() -> list[dict[str, Any]]:
    """Those with a name of their own: ours, and those that installed packages bring."""
    installed = metadata.entry_points(group=registry.GROUP)
    named = [*registry.NAMED.items(), *((each.name, each.value) for each in installed)]
    return [{"id": name, "factory": factory} for name, factory in named]


def _scenarios() -> list[dict[str, Any]]:
    return [
        {"id": each.name, "requirements": list(each.requirements), "text": each.title}
        for each in scenarios.ALL
    ]


def _capabilities() -> list[dict[str, Any]]:
    return [
        {
            "id": capability.value,
            "requirements": [row.id for row in REQUIREMENTS.values() if capability in row.needs],
        }
        for capability in Capability
    ]


KINDS: Final[dict[str, Callable[[], list[dict[str, Any]]]]] = {
    "requirements": _requirements,
    "cases": _cases,
    "backends": _backends,
    "scenarios": _scenarios,
    "capabilities": _capabilities,
}
"""What can be listed. Cases are collected by pytest, and may raise CollectionError."""


def listing(kinds: Sequence[str]) -> dict[str, Any]:
    """List these kinds of things."""
    return {"schema": LIST, **{kind: KINDS[kind]() for kind in kinds}}


def list_text(document: dict[str, Any]) -> str:
    """A listing as lines; of several kinds each under its name."""
    kinds = {kind: items for kind, items in document.items() if kind != "schema"}
    lines: list[str] = []
    for kind, items in kinds.items():
        lines += [*([""] if lines else []), *([f"{kind} ({len(items)})"] if len(kinds) > 1 else [])]
        width = max((len(item["id"]) for item in items), default=0)
        for item in items:
            told = f"{item['id']:<{width}}  {_told(item)}"
            lines.append(told if len(told) <= _WIDTH else told[: _WIDTH - 3] + "...")
    return "\n".join(line.rstrip() for line in lines)


def _told(item: dict[str, Any]) -> str:
    """What one line says of an item, after its id."""
    needs = "".join(f" [{need}]" for need in item.get("needs", ()))
    rows = " ".join(item.get("requirements", ()))
    parts = (item.get("level", "") + needs, rows, item.get("text", ""), item.get("factory", ""))
    return "  ".join(filter(None, parts))


# --- explanations --------------------------------------------------------------------------------


def explanation_text(document: dict[str, Any]) -> str:
    """An explanation as lines."""
    lines = _case_lines(document["case"]) if "case" in document else _row_lines(document)
    return "\n".join(lines)


def _row_lines(document: dict[str, Any]) -> Iterator[str]:
    row = document["requirement"]
    yield f"{row['id']} {row['level']}, chapter {row['chapter']}: {row['chapter_title']}"
    yield ""
    yield from textwrap.wrap(row["text"], _WIDTH)
    yield ""
    facts = {
        "needs": ", ".join(sorted(row["needs"])) or "nothing: it is a part of the core",
        "observed by": row["observed_by"],
        "brought about by": row["brought_about_by"],
        "oracle": row["oracle"],
        "depends on": ", ".join(row["depends_on"]),
        "needed by": ", ".join(document["needed_by"]),
        "untested": row["untested"],
    }
    for name, text in facts.items():
        if text:
            yield from _hanging(f"{name:<18}", text)
    yield from _section("cases", [(c["id"], _evidence(c)) for c in document["cases"]])
    yield from _section(
        "mutants that it kills", [(m["name"], m["text"]) for m in document["mutants"]]
    )
    yield ""
    yield f"untorn verify --req {row['id']} runs its cases"


def _case_lines(case: dict[str, Any]) -> Iterator[str]:
    yield f"{case['id']}, a case of {', '.join(case['requirements'])}"
    yield ""
    if case["text"]:
        yield from textwrap.wrap(case["text"], _WIDTH)
        yield ""
    yield from _hanging(f"{'evidence':<18}", _evidence(case))
    yield from _hanging(f"{'test':<18}", case["test"])
    yield ""
    yield f"untorn explain {case['requirements'][0]} says what it judges"


def _evidence(case: dict[str, Any]) -> str:
    return f"{case['evidence']['kind']}: {case['evidence']['detail']}"


def _section(title: str, items: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield ""
    yield f"{title} ({len(items)})"
    for name, text in items:
        yield from _hanging(f"  {name}  ", text)


def _hanging(head: str, text: str) -> Iterator[str]:
    """Put text beside its head, and what does not fit below it."""
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * min(len(head), 18),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]
