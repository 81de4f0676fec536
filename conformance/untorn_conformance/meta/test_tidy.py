"""The house is tidy: sizes, names, and what is written nowhere. Each rule is shown to see a breach.

Source: TigerBeetle's ``tidy.zig``, in which a test reads the source.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
FOLDERS = ("reference", "conformance", "stress", "fixtures", "reports")
MODULE_LINES = 450
FUNCTION_LINES = 60

NAMES_OF_NOTHING = {"util", "utils", "common", "helper", "helpers", "base", "manager", "misc"}
"""Names of modules that say nothing of what is in them."""

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MOCKS = {"unittest.mock", "mock", "pytest_mock"}
RETRIES = {"flaky", "xfail"}
"""Marks that make green what is not."""

OWN_WORLDS = ("specimens", "mutants", "bench", "suite", "meta", "tests")
"""Folders whose names need not differ from others': each module there stands for itself."""


@dataclass(frozen=True)
class Source:
    """A Python file: where it is below the checkout, its text and its tree."""

    path: Path
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_own_world(self) -> bool:
        return not {*self.path.parts}.isdisjoint(OWN_WORLDS)


@functools.cache
def sources() -> tuple[Source, ...]:
    return tuple(
        Source(path.relative_to(CHECKOUT), path.read_text("utf-8"))
        for folder in FOLDERS
        for path in sorted((CHECKOUT / folder).rglob("*.py"))
    )


# --- rules: each names what breaks it -------------------------------------------------------------


def long_modules(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > MODULE_LINES:
        yield f"{lines} lines"


def long_functions(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{node.name} has {lines} lines"


def modules_that_say_nothing(source: Source) -> Iterator[str]:
    if source.path.stem.strip("_") in NAMES_OF_NOTHING:
        yield f"{source.path.stem} names no concept"


def swallowed_errors(source: Source) -> Iterator[str]:
    """An error is handled with a reason, or flies."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            nothing = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
            if node.type is None or nothing:
                yield f"line {node.lineno} swallows what it catches"


def mocks(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        imported: list[str] = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            imported = [node.module or "", *(f"{node.module}.{name}" for name in names)]
        yield from (f"imports {name}" for name in imported if name in MOCKS)


def retries(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Attribute) or node.attr not in RETRIES:
            continue
        if ast.unparse(node.value) == "pytest.mark":
            yield f"line {node.lineno} is marked {node.attr}"


def sleeping_tests(source: Source) -> Iterator[str]:
    """A test that waits a while passes or fails by the clock; programs that tests start may."""
    if not source.path.name.startswith("test_"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep"):
            yield f"line {node.lineno} sleeps"


def unfinished_words(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if UNFINISHED.search(line) and source.path.name != Path(__file__).name:
            yield f"line {number}: {line.strip()}"


Rule = Callable[[Source], Iterable[str]]
RULES: list[Rule] = [
    long_modules,
    long_functions,
    modules_that_say_nothing,
    swallowed_errors,
    mocks,
    retries,
    sleeping_tests,
    unfinished_words,
]


def names(source: Source) -> Iterator[str]:
    """The classes that a module shows to others."""
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def used_twice(all_sources: Iterable[Source]) -> dict[str, list[str]]:
    """Classes of one name in one package: one word a thing."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source in all_sources:
        if not source.is_own_world:
            for name in names(source):
                found[source.path.parts[0], name].append(f"{source.path}")
    return {f"{top}: {name}": where for (top, name), where in found.items() if len(where) > 1}


# --- the tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_the_house_is_tidy(rule: Rule) -> None:
    wrong = [f"{source.path}: {found}" for source in sources() for found in rule(source)]
    assert wrong == []


def test_no_two_classes_of_a_package_have_one_name() -> None:
    assert used_twice(sources()) == {}


def test_every_python_that_is_promised_is_tried() -> None:
    promised = re.findall(r"Python :: (3\.\d+)", (CHECKOUT / "pyproject.toml").read_text("utf-8"))
    workflow = (CHECKOUT / ".github" / "workflows" / "checks.yml").read_text("utf-8")
    (tried,) = re.findall(r"python: \[(.*)\]", workflow)
    assert promised == re.findall(r"3\.\d+", tried)


BREACHES: dict[Rule, str] = {
    long_modules: "x = 1\n" * (MODULE_LINES + 1),
    long_functions: "def f():\n" + "    x = 1\n" * FUNCTION_LINES,
    swallowed_errors: "try:\n    f()\nexcept OSError:\n    pass\n",
    mocks: "from unittest import mock\n",
    retries: "import pytest\n@pytest.mark.xfail\ndef test_a(): f()\n",
    sleeping_tests: "import time\ndef test_a():\n    time.sleep(1)\n",
    unfinished_words: "x = 1  # TODO: finish\n",
    modules_that_say_nothing: "",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_a_breach_is_seen(rule: Rule) -> None:
    name = "utils.py" if rule is modules_that_say_nothing else "test_breach.py"
    assert list(rule(Source(Path("stress") / name, BREACHES[rule])))


def test_a_second_class_of_a_name_is_seen() -> None:
    paths = ("stress/one.py", "stress/other.py", "reports/third.py", "stress/tests/own.py")
    found = used_twice(Source(Path(path), "class Step: ...\n") for path in paths)
    assert found == {"stress: Step": ["stress/one.py", "stress/other.py"]}
