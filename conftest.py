"""Options of this repository's own tests; the trial of caches has its options in its plugin."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--nightly``."""
    parser.addoption(
        "--nightly",
        dest="nightly",
        action="store_true",
        help="run what is marked nightly, too: tests that take too long for every change",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked nightly, and say how it is run."""
    if config.option.nightly:
        return
    for item in items:
        if item.get_closest_marker("nightly") is not None:
            item.add_marker(pytest.mark.skip(reason="nightly: run with --nightly"))
