"""Who may import whom (ARCHITECTURE.md): arrows are read from the source, and none points up."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGES = {
    "untorn": CHECKOUT / "reference" / "untorn",
    "untorn_conformance": CHECKOUT / "conformance" / "untorn_conformance",
    "untorn_stress": CHECKOUT / "stress" / "untorn_stress",
    "untorn_fixtures": CHECKOUT / "fixtures" / "untorn_fixtures",
    "untorn_reports": CHECKOUT / "reports" / "untorn_reports",
}
LAW = {
    "contract",
    "backend",
    "optional_verbs",
    "json_line",
    "wire",
    "errors",
    "history",
    "model",
    "worlds",
    "eviction",
    "verdict",
}
HARNESS = set(PACKAGES) - {"untorn"}

# Third parties that only some modules may import, and which those are: package, then its modules.
RESERVED: dict[str, dict[str, set[str]]] = {
    "hypothesis": {"untorn_conformance": {"suite", "meta"}},
    "numpy": {"untorn_conformance": {"checkers", "suite", "meta"}},
    "skimage": {"untorn_conformance": {"checkers"}},
    "av": {
        "untorn": {"cadence", "clip", "pacing"},
        "untorn_fixtures": {"*"},
        "untorn_conformance": {"checkers", "meta"},
    },
    "ffmpeg": {"untorn": {"command"}, "untorn_fixtures": {"*"}},
    "imageio_ffmpeg": {"untorn": {"decoder"}, "untorn_fixtures": {"*"}},
    "psutil": {"untorn_stress": {"*"}},
    "distributed": {"untorn_stress": {"campaign"}},
    "pytest": {
        "untorn_conformance": {
            *("plugin", "options", "cases", "findings", "phases", "outcomes", "turns"),
            *("suite", "meta"),
        }
    },
    "jinja2": {"untorn_reports": {"render"}},
}


class Arrow:
    """One import: from which package and module, of which top package and first module below it."""

    def __init__(self, relative: Path, line: int, target: str) -> None:
        self.module = relative.parts[0].removesuffix(".py")
        self.top, _, below = target.partition(".")
        self.below = below.partition(".")[0]
        self.text = f"{relative}:{line} imports {target}"


@cache
def arrows(package: str) -> tuple[Arrow, ...]:
    """Those of a package, read once: most tests here ask for those of all."""
    return tuple(arrows_of(PACKAGES[package]))


def arrows_of(folder: Path) -> Iterator[Arrow]:
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Arrow(relative, node.lineno, alias.name)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
                assert node.module is not None
                for alias in node.names:
                    yield Arrow(relative, node.lineno, f"{node.module}.{alias.name}")


def ours(package: str) -> list[Arrow]:
    return [arrow for arrow in arrows(package) if arrow.top in PACKAGES]


def test_the_cache_knows_nothing_of_the_harness() -> None:
    assert [a.text for a in ours("untorn") if a.top != "untorn"] == []


def test_the_fixtures_import_nothing_of_ours() -> None:
    assert [a.text for a in ours("untorn_fixtures") if a.top != "untorn_fixtures"] == []


def test_the_law_imports_only_the_law_and_the_standard_library() -> None:
    third_parties = set(RESERVED) | {"click", "rich_click", "rich", "execnet", "xdist"}
    wrong = [
        arrow.text
        for arrow in arrows("untorn_conformance")
        if arrow.module in LAW
        and (
            arrow.top in third_parties
            or (arrow.top in PACKAGES and arrow.top != "untorn_conformance")
            or (arrow.top == "untorn_conformance" and arrow.below not in LAW)
        )
    ]
    assert wrong == []


def test_the_adversary_knows_the_law_and_no_backend() -> None:
    allowed = LAW | {"checkers", "probe"}
    wrong = [
        arrow.text
        for arrow in ours("untorn_stress")
        if arrow.top != "untorn_stress"
        and not (arrow.top == "untorn_conformance" and arrow.below in allowed)
    ]
    assert wrong == []


def test_the_reports_know_the_law_only() -> None:
    wrong = [
        arrow.text
        for arrow in ours("untorn_reports")
        if arrow.top != "untorn_reports"
        and not (arrow.top == "untorn_conformance" and arrow.below in LAW)
    ]
    assert wrong == []


def test_only_backends_mutants_benchmarks_and_the_command_line_know_the_reference() -> None:
    allowed = {"backends", "mutants", "variants", "specimens", "bench", "cli", "meta", "provenance"}
    wrong = [
        arrow.text
        for arrow in ours("untorn_conformance")
        if arrow.top == "untorn" and arrow.module not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("name", RESERVED)
def test_a_reserved_library_stays_where_it_belongs(name: str) -> None:
    wrong = [
        arrow.text
        for package in PACKAGES
        for arrow in arrows(package)
        if arrow.top == name
        and not {arrow.module, "*"} & RESERVED[name].get(package, set())
        and arrow.module != "bench"
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_nothing_of_other_packages_when_it_is_imported(package: str) -> None:
    wrong = [
        arrow.text for arrow in ours(package) if arrow.module == "__init__" and arrow.top != package
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", ["reference", "conformance", "stress", "fixtures", "reports"])
def test_a_top_folder_is_no_package_itself(folder: str) -> None:
    """PyPI has packages called fixtures and reports; ours must not shadow them."""
    assert not (CHECKOUT / folder / "__init__.py").exists()


def test_the_check_sees_a_wrong_arrow(tmp_path: Path) -> None:
    """The control: an arrow that points up is found."""
    (tmp_path / "wrong.py").write_text("from untorn_stress.worker import Worker\n", "utf-8")
    (found,) = arrows_of(tmp_path)
    assert (found.top, found.below, found.module) == ("untorn_stress", "worker", "wrong")


def test_exploring_and_replaying_need_no_pytest() -> None:
    modules = "untorn_conformance.exploring, untorn_conformance.replaying"
    code = f"import sys; sys.modules['pytest'] = None; import {modules}"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert done.returncode == 0


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
