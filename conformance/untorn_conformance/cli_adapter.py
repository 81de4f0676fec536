"""`untorn adapter` and `untorn doctor --backend`: for those who make a cache of theirs testable.

Nothing of the harness is imported before it is asked for: without it, `untorn doctor` looks at the
cache as ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import rich_click as click

from untorn_conformance import registry

_NO_VERDICT: Final = 7
_DOCTOR_HELP: Final = """
Say whether the root, its file system and the decoder are fit for use.

With --backend: whether a program speaks the protocol and behaves as a backend must, before
`untorn verify` judges it. Each check is one line, with what to do; exit code 7 if one fails.
"""


@click.command("adapter")
@click.argument("backend", metavar="[SPEC]", default="")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the protocol.")
def adapter(backend: str, schema: bool) -> int:
    """Serve a Python backend on stdin and stdout: reference, py:MODULE:FACTORY, an entry point.

    It speaks the protocol that any program may speak, so it can be compared with one:
    `untorn verify --backend 'cmd:untorn adapter reference'`.
    """
    if schema:
        from untorn_conformance import protocol_schema  # noqa: PLC0415

        click.echo(protocol_schema.published(), nl=False)
        return 0
    if not backend:
        raise click.UsageError("name a backend, such as reference, or ask for the --schema")
    return _serve(backend)


def _serve(backend: str) -> int:
    from untorn_conformance import serve  # noqa: PLC0415

    try:
        spec = registry.parse(backend)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not spec.factory:
        raise click.UsageError(f"{backend} is a program of its own: it needs no server")
    return serve.main([spec.factory])


def with_backend(doctor: click.Command) -> click.Command:
    """Give the cache's doctor the option --backend, which makes it look at a backend instead."""
    of_cache = doctor.callback
    assert of_cache is not None
    doctor.params.insert(
        0,
        click.Option(
            ["--backend"],
            metavar="SPEC",
            help="Look at this backend instead: reference, py:..., cmd:..., file:... or a name.",
        ),
    )
    doctor.callback = _doctor(of_cache)
    doctor.help = _DOCTOR_HELP
    return doctor


def _doctor(of_cache: Callable[..., Any]) -> Callable[..., Any]:
    def doctor(*, backend: str | None, cache_dir: str | None, as_json: bool) -> Any:
        if backend is None:
            return of_cache(cache_dir=cache_dir, as_json=as_json)
        if cache_dir is not None:
            raise click.UsageError("--cache-dir is for the cache; a backend gets its own root")
        return _of_backend(backend, as_json)

    return doctor


def _of_backend(backend: str, as_json: bool) -> int:
    from untorn_conformance.doctor import OK, examine, to_plain  # noqa: PLC0415

    try:
        checks = examine(backend)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--backend") from error
    if as_json:
        click.echo(json.dumps(to_plain(backend, checks), indent=2, ensure_ascii=True))
    else:
        for check in checks:
            click.echo(f"{check.word:<8} {check.name:<12} {check.seen}")
    return 0 if all(check.word == OK for check in checks) else _NO_VERDICT
