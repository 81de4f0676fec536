"""The page of a storm or of a campaign: one file of HTML that needs nothing but itself."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from untorn_conformance.contract import REQUIREMENTS

from untorn_reports.drawing import Drawing
from untorn_reports.render import page_of
from untorn_reports.storms import around
from untorn_reports.storms.files import CampaignRun, StormRun
from untorn_reports.storms.page_view import page_of_campaign, page_of_storm

NAME: Final = "report.html"
_NONE: Final[Mapping[str, Drawing]] = MappingProxyType({})
_TEMPLATE: Final = "storms/page.html.j2"


def render(run: StormRun | CampaignRun, drawings: Mapping[str, Drawing] = _NONE) -> str:
    """Render the page: no script, no loads, everything that is text escaped.

    ``drawings`` are the counterexamples of a campaign's searches, by ``files.counterexamples``.

    The charts are SVG made here rather than uPlot's: that is 50 kB of script, which the page's own
    policy forbids, which does not print, and which a screen reader and a test cannot read.
    """
    page = page_of_storm(run) if isinstance(run, StormRun) else page_of_campaign(run, drawings)
    return page_of(
        _TEMPLATE, page=page, requirements=REQUIREMENTS, lane=around.LANE, wide=around.WIDE
    )


def write(
    run: StormRun | CampaignRun, directory: Path, drawings: Mapping[str, Drawing] = _NONE
) -> Path:
    """Write the page into a directory at once, so that nobody sees half of it. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".{NAME}.{secrets.token_hex(4)}"
    temporary.write_text(render(run, drawings), encoding="utf-8")
    return temporary.replace(directory / NAME)
