"""`untorn explain` and `untorn list`: what a person types, checked and handed on."""

from __future__ import annotations

from typing import Final

import rich_click as click

from untorn_conformance.cli_ending import NO_VERDICT, USAGE, emit, ends, printable

_KINDS: Final = ("requirements", "cases", "backends", "scenarios", "capabilities")

_EXPLAIN_HELP: Final = """
Say what a requirement asks, how it is judged, and what would break it.

SUBJECT is the id of a requirement, or of one of its cases.

\b
Examples:
  untorn explain P3
  untorn explain G2.ends_within_the_budget

\b
Exit codes:
  0  explained
  2  there is no such requirement or case; the nearest are named
  7  the suite cannot be collected
"""

_LIST_HELP: Final = """
List what there is: requirements, cases, backends, scenarios, capabilities.

\b
Examples:
  untorn list
  untorn list cases
  untorn list requirements --json

\b
Exit codes:
  0  listed
  2  there is nothing of that kind
  7  the suite cannot be collected
"""

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command("explain", help=_EXPLAIN_HELP)
@click.argument("subject")
@_json_option
def explain(*, subject: str, as_json: bool) -> int:
    """Explain a requirement or a case."""
    from untorn_conformance import explaining  # noqa: PLC0415
    from untorn_conformance.case_list import CollectionError  # noqa: PLC0415

    with (
        ends(CollectionError, code=NO_VERDICT, as_json=as_json),
        ends(explaining.UnknownSubjectError, code=USAGE, as_json=as_json),
    ):
        document = explaining.explain(subject)
    if as_json:
        emit(document)
    else:
        click.echo(printable(explaining.explanation_text(document)))
    return 0


@click.command("list", help=_LIST_HELP)
@click.argument("kind", required=False, type=click.Choice(_KINDS))
@_json_option
def list_command(*, kind: str | None, as_json: bool) -> int:
    """List what there is."""
    from untorn_conformance import explaining  # noqa: PLC0415
    from untorn_conformance.case_list import CollectionError  # noqa: PLC0415

    with ends(CollectionError, code=NO_VERDICT, as_json=as_json):
        document = explaining.listing(_KINDS if kind is None else (kind,))
    if as_json:
        emit(document)
    else:
        click.echo(printable(explaining.list_text(document)))
    return 0
