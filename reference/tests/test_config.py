"""Settings: on by default, switched off by a word, and bad values named (contract F1-F4, G10)."""

import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn import Cache, ConfigError, Durability, Frames, Settings
from untorn.config import (
    DEFAULT_BUDGET_BYTES,
    DEFAULT_MIN_AGE_S,
    Overrides,
    default_root,
    load,
)

MB = 1024 * 1024


def settings(**environ: str) -> Settings:
    return load(Overrides(), environ)


def test_cache_is_on_by_default_in_a_directory_of_the_users_own() -> None:
    own = os.path.join(tempfile.gettempdir(), f"untorn-{os.getuid()}")
    assert default_root() == own
    assert settings().root == own


def test_default_root_is_nobodys_choice() -> None:
    assert not settings().explicit
    assert settings(UNTORN_CACHE_DIR="/somewhere").explicit


@pytest.mark.parametrize("word", ["off", "none", "false", "0", "OFF", "None", " off ", "\tFALSE\n"])
def test_word_switches_the_cache_off(word: str) -> None:
    assert settings(UNTORN_CACHE_DIR=word).root is None


@pytest.mark.parametrize("word", ["offf", "00", "no", "nil", "./off", "off/"])
def test_other_words_are_directories(word: str) -> None:
    assert settings(UNTORN_CACHE_DIR=word).root == os.path.abspath(word)


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_empty_text_means_the_default(text: str) -> None:
    assert settings(UNTORN_CACHE_DIR=text) == settings()


def test_tilde_means_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert settings(UNTORN_CACHE_DIR="~/frames").root == "/home/someone/frames"


def test_relative_path_starts_at_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings(UNTORN_CACHE_DIR="a/../b").root == str(tmp_path / "b")


def test_spaces_around_a_path_are_trimmed() -> None:
    assert settings(UNTORN_CACHE_DIR=" /a b ").root == "/a b"


@pytest.mark.parametrize("root", ["", "a\0b"])
def test_argument_that_is_no_path_is_refused(root: str) -> None:
    with pytest.raises(ConfigError, match="root"):
        load(Overrides(root=root), {})


def test_word_in_code_is_a_directory(tmp_path: Path) -> None:
    assert load(Overrides(root=tmp_path / "off"), {}).root == str(tmp_path / "off")


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("", DEFAULT_BUDGET_BYTES),
        ("  ", DEFAULT_BUDGET_BYTES),
        ("0", 0),
        ("512", 512 * MB),
        (" 0.5 ", MB // 2),
        ("unlimited", None),
        ("UNLIMITED", None),
    ],
)
def test_budget_in_megabytes(text: str, budget: int | None) -> None:
    assert settings(UNTORN_CACHE_MAX_MB=text).budget_bytes == budget


def test_default_budget_is_two_gib() -> None:
    assert settings().budget_bytes == 2 * 1024**3


def test_default_age_is_an_hour() -> None:
    assert settings().min_age_s == DEFAULT_MIN_AGE_S == 3600


@pytest.mark.parametrize("text", ["-1", "-0.5", "nan", "inf", "-inf", "1e308", "much", "2 GB"])
def test_bad_budget_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="UNTORN_CACHE_MAX_MB"):
        settings(UNTORN_CACHE_MAX_MB=text)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e999", "an hour"])
def test_bad_age_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="UNTORN_CACHE_MIN_AGE_S"):
        settings(UNTORN_CACHE_MIN_AGE_S=text)


def test_bad_durability_is_named() -> None:
    with pytest.raises(ConfigError, match="UNTORN_CACHE_DURABILITY"):
        settings(UNTORN_CACHE_DURABILITY="fsync")


def test_bad_verify_is_named() -> None:
    with pytest.raises(ConfigError, match="UNTORN_CACHE_VERIFY"):
        settings(UNTORN_CACHE_VERIFY="maybe")


@pytest.mark.parametrize("word", ["1", "on", "YES", " true "])
def test_verify_is_switched_on(word: str) -> None:
    assert settings(UNTORN_CACHE_VERIFY=word).verify


@pytest.mark.parametrize("word", ["", "0", "off", "No", "false"])
def test_verify_is_switched_off(word: str) -> None:
    assert not settings(UNTORN_CACHE_VERIFY=word).verify


@pytest.mark.parametrize("word", list(Durability))
def test_durability_is_read(word: Durability) -> None:
    assert settings(UNTORN_CACHE_DURABILITY=f" {word.upper()} ").durability is word


@pytest.mark.parametrize(
    ("environ", "digests"),
    [
        ({}, False),
        ({"UNTORN_CACHE_VERIFY": "1"}, True),
        ({"UNTORN_CACHE_DURABILITY": "digest"}, True),
        ({"UNTORN_CACHE_DURABILITY": "syncfs"}, True),
    ],
)
def test_digests_are_sealed_where_they_are_needed(environ: dict[str, str], digests: bool) -> None:
    assert settings(**environ).digests is digests


@pytest.mark.parametrize("budget", [-1, math.nan, 1.5, "512", True])
def test_bad_budget_in_code_is_named(budget: int) -> None:
    with pytest.raises(ConfigError, match="budget_bytes"):
        load(Overrides(budget_bytes=budget), {})


@pytest.mark.parametrize(
    "name", ["min_age_s", "recency_resolution_s", "reap_grace_s", "flight_wait_s"]
)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "soon"])
def test_bad_seconds_in_code_are_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        load(Overrides(**{name: value}), {})  # type: ignore[arg-type]


def test_code_comes_before_the_environment() -> None:
    environ = {"UNTORN_CACHE_DIR": "/e", "UNTORN_CACHE_MAX_MB": "1", "UNTORN_CACHE_VERIFY": "1"}
    found = load(Overrides(root="/c", budget_bytes="unlimited", verify=False), environ)
    assert (found.root, found.budget_bytes, found.verify) == ("/c", None, False)


def test_environment_is_read_at_each_open(
    root: Path, monkeypatch: pytest.MonkeyPatch, key: str, put: Callable[..., Frames]
) -> None:
    monkeypatch.setenv("UNTORN_CACHE_DIR", str(root))
    with Cache.open() as cache:
        put(cache, key)
    monkeypatch.setenv("UNTORN_CACHE_DIR", "off")
    with Cache.open() as cache:
        assert not cache.lookup(key)
    monkeypatch.setenv("UNTORN_CACHE_DIR", str(root))
    with Cache.open() as cache, cache.lookup(key) as hit:  # type: ignore[union-attr]
        assert len(hit) == 3


def test_bad_value_makes_nothing(root: Path) -> None:
    with pytest.raises(ConfigError):
        Cache.open(root, environ={"UNTORN_CACHE_MAX_MB": "-1"})
    assert not root.exists()


@pytest.mark.parametrize("budget", [-1, math.nan, "all"])
def test_bad_budget_of_a_collect_evicts_nothing(
    cache: Cache, key: str, put: Callable[..., Frames], budget: int
) -> None:
    put(cache, key)
    with pytest.raises(ConfigError, match="budget_bytes"):
        cache.collect(budget_bytes=budget, min_age_s=0)
    with cache.lookup(key) as hit:  # type: ignore[union-attr]
        assert len(hit) == 3


@pytest.mark.parametrize("age_s", [-1, math.nan, math.inf])
def test_bad_age_of_a_collect_evicts_nothing(
    cache: Cache, key: str, put: Callable[..., Frames], age_s: float
) -> None:
    put(cache, key)
    with pytest.raises(ConfigError, match="min_age_s"):
        cache.collect(budget_bytes=0, min_age_s=age_s)
    with cache.lookup(key) as hit:  # type: ignore[union-attr]
        assert len(hit) == 3
