"""Renders of more clips than a process may hold descriptors: each item holds one (E1)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Request
from untorn.exit_codes import ExitCode
from untorn_fixtures.clips import clip

REFERENCE = Path(__file__).resolve().parents[1]
LIMIT_S = 120

MANY = 40
LIMITED = """
import resource, runpy, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), min(hard, int(sys.argv[2]))))
sys.argv[:3] = ["untorn"]
runpy.run_module("untorn", run_name="__main__")
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a composition of many warm ranges."""
    place = tmp_path_factory.mktemp("many")
    (place / "tmp").mkdir()
    starts = [f"{number}/30" for number in range(MANY)]
    tables = [
        f"[[clip]]\npath = '{clip('sdr')}'\nstart = '{start}'\nduration = '1/30'\n"
        for start in starts
    ]
    (place / "c.toml").write_text("fps = 30\n" + "".join(tables))
    with Cache.open(place / "root", environ={}) as cache:
        wanted = [
            Request(clip=clip("sdr"), fps=30, start=start, duration="1/30") for start in starts
        ]
        cache.render(wanted).release()
    return place


def render_limited(place: Path, soft: int, hard: int) -> Any:
    settings = {"UNTORN_CACHE_DIR": str(place / "root"), "TMPDIR": str(place / "tmp")}
    limited = [sys.executable, "-W", "error", "-c", LIMITED, str(soft), str(hard)]
    done = subprocess.run(
        [*limited, "render", str(place / "c.toml"), "--json"],
        env={**os.environ, "PYTHONPATH": str(REFERENCE), **settings},
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_more_clips_than_descriptors_raise_the_soft_limit(many: Path) -> None:
    code, told = render_limited(many, 32, 4096)
    assert (code, told["failed"], told["phases"]["hits"]) == (ExitCode.OK, 0, MANY)


def test_more_clips_than_may_be_held_are_named_and_the_others_delivered(many: Path) -> None:
    code, told = render_limited(many, 32, 32)
    errors = [item["error"] for item in told["items"] if item["error"] is not None]
    assert (code, len(errors)) == (ExitCode.SOME_FAILED, told["failed"])
    assert 0 < len(errors) < MANY
    assert {error["error"] for error in errors} == {"ExhaustedError"}
    assert all("ulimit -n" in error["message"] for error in errors)


def test_render_of_too_many_items_says_so_and_the_next_one_works(many: Path, child: Any) -> None:
    """In the library, which leaves limits alone."""
    one = child(
        """
import resource
from untorn.composition import read
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
wanted = read(sys.argv[1] + "/c.toml").requests
with Cache.open(sys.argv[1] + "/root") as cache:
    with cache.render(wanted) as result:
        say(*{type(item.error).__name__ for item in result.failed})
        say(resource.getrlimit(resource.RLIMIT_NOFILE))
    with cache.render(wanted[:8]) as result:
        say(len(result.failed))
""",
        many,
        TMPDIR=str(many / "tmp"),
    )
    assert [one.heard() for _ in range(3)] == ["ExhaustedError", "(32, 32)", "0"]
