"""`untorn explore` and `untorn replay` as they are typed; what they start is a double."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import untorn_conformance
from click.testing import CliRunner, Result
from untorn_conformance.cli_explore import explore, replay
from untorn_conformance.done import UnwritableError
from untorn_stress import counterexample
from untorn_stress.counterexample import Counterexample, MadeWith
from untorn_stress.run import Run
from untorn_stress.token import Token, TokenError

TOKEN = Token(
    backend="reference",
    identity="reference@0.1.0",
    scenario="writer-writer",
    tree="empty",
    bound=2,
    choices=(),
)
RUN = Run(scenario="writer-writer", tree="empty", seed=0, choices=(), steps=(), operations=())


@dataclass
class Exploring:
    """Notes what it is called with, says progress, and ends as it is told to."""

    exit_code: int = 0
    error: Exception | None = None
    asked: dict[str, Any] = field(default_factory=dict)

    def explore_command(self, **asked: Any) -> object:
        self.asked = asked
        asked["progress"]("run 1")
        if self.error is not None:
            raise self.error
        text = asked["draw"](RUN, replay="untorn replay u1.x")
        return SimpleNamespace(exit_code=self.exit_code, text=text, document={"runs": 1})

    replay_command = explore_command

    def list_command(self, *, backend: str) -> object:
        return SimpleNamespace(exit_code=0, text=f"what {backend} can do", document={})


@pytest.fixture
def exploring(monkeypatch: pytest.MonkeyPatch) -> Exploring:
    double = Exploring()
    for name in ("exploring", "replaying"):
        monkeypatch.setitem(sys.modules, f"untorn_conformance.{name}", double)
        monkeypatch.setattr(untorn_conformance, name, double, raising=False)
    return double


def invoke(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def code_of(command: click.Command, *arguments: str) -> object:
    """What the command returns to `untorn`, which makes it the exit code."""
    return CliRunner().invoke(command, arguments, standalone_mode=False).return_value


def test_everything_has_a_default(exploring: Exploring) -> None:
    assert invoke(explore).exit_code == 0
    asked = {
        name: each for name, each in exploring.asked.items() if name not in ("draw", "progress")
    }
    assert asked == {
        "backend": "reference",
        "kills": 0,
        "errnos": 0,
        "scenarios": (),
        "tree": None,
        "scheduler": "dfs",
        "preemptions": None,
        "budget_runs": None,
        "budget_s": None,
        "seed": 0,
        "grain": "metadata",
        "out": None,
    }


def test_options_are_handed_on(exploring: Exploring) -> None:
    words = "--scenario adopt --scenario repair --preemptions 1 --seed 7 --grain data --out found"
    assert invoke(explore, *words.split()).exit_code == 0
    asked = exploring.asked
    assert (asked["scenarios"], asked["preemptions"]) == (("adopt", "repair"), 1)
    assert (asked["seed"], asked["grain"], asked["out"]) == (7, "data", Path("found"))


@pytest.mark.parametrize(
    ("text", "runs", "seconds"), [("500", 500, None), ("90s", None, 90.0), ("0.5s", None, 0.5)]
)
def test_a_budget_is_runs_or_seconds(
    exploring: Exploring, text: str, runs: int | None, seconds: float | None
) -> None:
    invoke(explore, "--budget", text)
    assert (exploring.asked["budget_runs"], exploring.asked["budget_s"]) == (runs, seconds)


@pytest.mark.parametrize("code", [0, 1, 6, 7])
@pytest.mark.parametrize("command", [explore, replay])
def test_the_outcome_is_the_exit_code(
    exploring: Exploring, command: click.Command, code: int
) -> None:
    exploring.exit_code = code
    subject = [TOKEN.encode()] if command is replay else []
    assert code_of(command, *subject) == code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--scenario writer-writter", "did you mean writer-writer?"),
        ("--scenario everything", "see untorn explore --list"),
        ("--backend nothing", "there is no backend 'nothing'"),
        ("--budget 0", "neither runs, such as 500, nor seconds, such as 90s"),
        ("--budget 0s", "neither runs"),
        ("--budget 5m", "neither runs"),
        ("--budget nans", "neither runs"),
        ("--budget=-1", "neither runs"),
        ("--seed -1", "--seed"),
        ("--preemptions -1", "--preemptions"),
        ("--scheduler bfs", "--scheduler"),
        ("--scheduler pct --preemptions 2", "pct has no such bound"),
        ("--scheduler pct --kills 1", "pct makes none"),
        ("--kills -1", "--kills"),
        ("--grain inode", "--grain"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_starts(
    exploring: Exploring, words: str, said: str
) -> None:
    done = invoke(explore, *words.split())
    assert (done.exit_code, exploring.asked) == (2, {})
    assert " ".join(said.split()) in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.usefixtures("exploring")
def test_only_the_result_is_on_stdout() -> None:
    done = invoke(explore, "--json")
    assert json.loads(done.stdout) == {"runs": 1}
    assert "run 1" in done.stderr


@pytest.mark.usefixtures("exploring")
def test_the_replay_line_is_the_last_of_the_output() -> None:
    assert invoke(explore).stdout.splitlines()[-1] == "untorn replay u1.x"


def test_listing_runs_nothing(exploring: Exploring) -> None:
    done = invoke(explore, "--list")
    assert (done.stdout, exploring.asked) == ("what reference can do\n", {})


def test_a_token_is_replayed(exploring: Exploring) -> None:
    assert invoke(replay, TOKEN.encode(), "--times", "3").exit_code == 0
    asked = exploring.asked
    assert (asked["token"], asked["saved"], asked["times"]) == (TOKEN, None, 3)


def test_a_file_is_replayed(exploring: Exploring, tmp_path: Path) -> None:
    path = tmp_path / "u1.json"
    made_with = MadeWith(untorn="0.1.0", kernel="6", python="3")
    found = Counterexample(token=TOKEN, run=RUN, tree={"a": 1}, made_with=made_with)
    counterexample.write(path, found)
    assert invoke(replay, str(path)).exit_code == 0
    assert (exploring.asked["token"], exploring.asked["saved"]) == (TOKEN, found)


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("nothing", "'nothing' is neither a file nor a token"),
        ("u1.writer", "is cut short"),
        (TOKEN.encode()[:-1] + "!", "is damaged"),
        ("u7.later", "is a token of version 7"),
        (__file__, "is no counterexample: it is not JSON"),
        ("/", "cannot be read: Is a directory"),
    ],
)
def test_what_cannot_be_replayed_is_a_usage_error(
    exploring: Exploring, subject: str, said: str
) -> None:
    done = invoke(replay, subject, "--json")
    assert (done.exit_code, exploring.asked) == (2, {})
    assert said in json.loads(done.stdout)["message"]


def test_a_token_found_foreign_later_is_a_usage_error(exploring: Exploring) -> None:
    exploring.error = TokenError("this token was made with another backend")
    done = invoke(replay, TOKEN.encode())
    assert (done.exit_code, "another backend" in done.stderr) == (2, True)


def test_a_folder_that_cannot_be_written_to_is_a_usage_error(exploring: Exploring) -> None:
    exploring.error = UnwritableError("--out '/proc/nope' cannot be written to")
    done = invoke(explore, "--out", "/proc/nope")
    assert (done.exit_code, "'/proc/nope' cannot be written to" in done.stderr) == (2, True)


def test_an_error_of_ours_is_not_called_the_users(exploring: Exploring) -> None:
    exploring.error = ValueError("a bug")
    assert isinstance(invoke(replay, TOKEN.encode()).exception, ValueError)


@pytest.mark.parametrize("command", [explore, replay])
def test_help_shows_examples_and_every_exit_code(command: click.Command) -> None:
    done = invoke(command, "--help")
    assert "Examples:" in done.stdout
    rows = [
        line.split()[0]
        for line in done.stdout.partition("Exit codes:")[2].splitlines()
        if line.split()
    ]
    assert {"0", "1", "2", "6", "7", "130"} <= set(rows)


def test_help_warns_of_what_a_stranger_has_started() -> None:
    said = " ".join(invoke(replay, "--help").stdout.split())
    assert "One from a stranger may name any command (cmd:...): give --backend" in said
