"""Options of this repository's own tests; the trial of caches has its options in its plugin."""

from __future__ import annotations

import pytest

_MARGIN_S = 600.0
_SEEDS = 2**64


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--nightly``, ``--storm`` and ``--seed``."""
    parser.addoption(
        "--nightly",
        dest="nightly",
        action="store_true",
        help="run what is marked nightly, too: tests that take too long for every change",
    )
    parser.addoption(
        "--storm",
        dest="storm",
        metavar="TIME",
        help="run storms as tests, and nothing else: each so long, such as 40s, 10m or 8h",
    )
    parser.addoption(
        "--seed",
        dest="storm_seed",
        metavar="N",
        type=int,
        default=None,
        help="what storms draw from (default: a fresh one, which is printed)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a duration or a seed that is none before anything runs."""
    config.addinivalue_line("markers", "storm: a storm; runs with --storm TIME, and alone")
    if config.option.storm is None:
        return
    seed = config.option.storm_seed
    if seed is not None and not 0 <= seed < _SEEDS:
        raise pytest.UsageError(f"--seed: {seed} is no seed; one is from 0 to {_SEEDS - 1}")
    from untorn_stress.duration import DurationError, parse  # noqa: PLC0415

    try:
        config.option.storm_s = parse(config.option.storm)
    except DurationError as error:
        raise pytest.UsageError(f"--storm: {error}") from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep storms and other tests apart; skip what is marked nightly, and say how it is run."""
    storming = config.option.storm is not None
    left = {each for each in items if (each.get_closest_marker("storm") is None) == storming}
    if left:
        items[:] = [each for each in items if each not in left]
        config.hook.pytest_deselected(items=list(left))
    if storming:
        for item in items:
            item.add_marker(pytest.mark.timeout(2 * config.option.storm_s + _MARGIN_S))
    if config.option.nightly:
        return
    for item in items:
        if item.get_closest_marker("nightly") is not None:
            item.add_marker(pytest.mark.skip(reason="nightly: run with --nightly"))
