"""The verdict as one page of HTML that needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape

from untorn_reports.view import view_of

_TEMPLATE: Final = "report.html.j2"
_INLINE: Final = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*([^*]+)\*"), r"<em>\1</em>"),
)
"""The marks that the contract's sentences use."""


def render(document: Mapping[str, Any]) -> str:
    """Render a ``verdict.json`` as a page: no script, no loads, everything that is text escaped.

    Lone surrogates, which file names may hold, are shown as escapes, so that the page can be
    encoded as UTF-8. Raises ValueError when the document is no verdict.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    environment.filters["inline"] = _inline
    page = environment.from_string(source).render(view=view_of(document))
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _inline(text: str) -> Markup:
    """Draw the contract's marks as elements; all else is escaped first."""
    html = str(escape(text))
    for mark, element in _INLINE:
        html = mark.sub(element, html)
    return Markup(html)  # noqa: S704 (escaped above; the elements are ours)
