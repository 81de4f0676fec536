"""The verdict as one page of HTML that needs nothing but itself: light, dark, wide or narrow."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape

from untorn_reports.drawing import Drawing
from untorn_reports.view import view_of

_TEMPLATE: Final = "report.html.j2"
_INLINE: Final = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*([^*]+)\*"), r"<em>\1</em>"),
)
"""The marks that the contract's sentences use."""


def render(document: Mapping[str, Any], drawings: Sequence[Drawing] = ()) -> str:
    """Render a ``verdict.json`` as a page: no script, no loads, everything that is text escaped.

    ``drawings`` are the run's counterexamples. Lone surrogates, which file names may hold, are
    shown as escapes, so that the page can be encoded as UTF-8. Raises ValueError when the document
    is no verdict.
    """
    return page_of(_TEMPLATE, view=view_of(document), drawings=drawings)


def page_of(template: str, **values: Any) -> str:
    """Render one of the templates here with these values, as text that UTF-8 can encode."""
    page = _environment().get_template(template).render(**values)
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


@functools.cache
def _environment() -> jinja2.Environment:
    """What renders: one, since it keeps the templates that it has compiled."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_source),
    )
    environment.filters["inline"] = _inline
    return environment


def _source(template: str) -> str:
    return resources.files(__package__).joinpath(template).read_text(encoding="utf-8")


def _inline(text: str) -> Markup:
    """Draw the contract's marks as elements; all else is escaped first."""
    html = str(escape(text))
    for mark, element in _INLINE:
        html = mark.sub(element, html)
    return Markup(html)  # noqa: S704 (escaped above; the elements are ours)
