"""`untorn campaign`: from what was asked to text, document and exit code."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from untorn_reports.run_directory import default_base
from untorn_stress.campaign import hands, journal, place, verdicts
from untorn_stress.campaign.conduct import Campaign, Means, Voice
from untorn_stress.campaign.place import Begun, CampaignPlace
from untorn_stress.campaign.shard import SHARED
from untorn_stress.campaign.sharing import Night
from untorn_stress.campaign.verdicts import ShardVerdict
from untorn_stress.duration import told

from untorn_conformance import provenance, registry, subjects
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError
from untorn_conformance.wire import to_plain

CANARY: Final = "py:untorn_conformance.specimens.first_posted:factory"
"""A cache that is known to be broken: every kind of shard must find it out."""

PROGRAM: Final = ("-m", "untorn_conformance.cli")
"""What Python is given to run `untorn`, on whatever host."""

_SEED_BITS: Final = 32
_NAME_CHARACTERS: Final = 40


class NoBackendError(Exception):
    """The backend cannot even be asked what it can do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """What to print, and the exit code; whether somebody has stopped it."""

    exit_code: int
    text: str
    document: dict[str, Any]
    interrupted: bool = False


def campaign_command(
    *,
    asked_s: float,
    seed: int | None,
    backend: str,
    strands: tuple[str, ...],
    base: Path | None,
    out: Path | None,
    corpus: Path | None,
    executor: str,
    jobs: int | None,
    max_disk_bytes: int,
    fresh: bool,
    voice: Voice,
) -> Finished:
    """Run a campaign, or go on with one; an interrupt ends it with what it has.

    Raises NoBackendError, ExecutorError, LockedError, DamagedFileError, OtherCampaignError and
    OSError, each before or after findings were written, never instead.
    """
    chosen = tuple(each for each in SHARED if not strands or each.value in strands)
    where = CampaignPlace.at(out or _default_out(backend), corpus)
    capabilities = _capabilities(backend, base)
    about = {
        "seed": secrets.randbits(_SEED_BITS) if seed is None else seed,
        "backend": backend,
        "scenarios": [each.value for each in chosen],
        "command": _command(asked_s, seed, backend, strands, base, where, executor),
    }
    owner = f"process {os.getpid()} on {socket.gethostname()}, begun {place.now()}"
    with journal.locked(where.locks(), owner), hands.hands(executor, jobs) as workers:
        begun = place.begin(where, about, fresh=fresh, seed_given=seed is not None)
        wanted = Night(
            backend=backend,
            canary=CANARY,
            seed=int(begun.record.about["seed"]),
            asked_s=asked_s,
            strands=chosen,
            capabilities=capabilities,
        )
        means = Means(
            place=where,
            hands=workers,
            voice=voice,
            base=str(base.resolve()) if base else "",
            program=PROGRAM,
            max_disk_bytes=max_disk_bytes,
            provenance=_provenance(base, where.out),
        )
        return _run(wanted, means, begun)


def _run(wanted: Night, means: Means, begun: Begun) -> Finished:
    used_s = begun.record.used_s
    gone_on = f"; goes on after {told(used_s)}" if used_s else ""
    means.voice.say(
        f"campaign: seed {wanted.seed}, {told(wanted.asked_s)}, {wanted.backend}, "
        f"{means.place.out}{gone_on}"
    )
    campaign = Campaign(wanted, means, begun)
    interrupted = False
    try:
        document = campaign.run()
    except KeyboardInterrupt:
        document, interrupted = campaign.summarize(), True
    finally:
        campaign.close()
    _write_page(means)
    code = verdicts.EXIT_CODES[ShardVerdict(document["verdict"])]
    text = "\n".join(_told(document, means.place.out))
    return Finished(exit_code=code, text=text, document=document, interrupted=interrupted)


def _write_page(means: Means) -> None:
    """Write report.html beside campaign.json; a campaign without its page is one all the same."""
    from untorn_reports.storms import files, page  # noqa: PLC0415 (its templates take a while)

    from untorn_conformance.drawings import drawing_of  # noqa: PLC0415

    out = means.place.out
    try:
        held = files.read(out / files.CAMPAIGN)
        kept = files.counterexamples(held) if isinstance(held, files.CampaignRun) else {}
        page.write(held, out, {name: drawing_of(path, name) for name, path in kept.items()})
    except (OSError, files.StormFileError) as error:
        means.voice.say(f"no page was written: {error}")


def _capabilities(backend: str, base: Path | None) -> frozenset[Capability]:
    """What the backend claims to do. Raises NoBackendError."""
    spec = registry.parse(backend)
    try:
        return subjects.ask_hello(spec, base or Path(tempfile.gettempdir())).capabilities
    except BackendError as error:
        told_once = error.message.splitlines()[0] if error.message else str(error)
        raise NoBackendError(f"{backend}: {told_once}; see untorn doctor --backend") from error


def _default_out(backend: str) -> Path:
    plain = re.sub(r"[^a-z0-9]+", "-", backend.lower()).strip("-")[:_NAME_CHARACTERS]
    return default_base(Path.cwd()) / f"campaign-{plain or 'backend'}"


def _command(
    asked_s: float,
    seed: int | None,
    backend: str,
    strands: tuple[str, ...],
    base: Path | None,
    where: CampaignPlace,
    executor: str,
) -> list[str]:
    command = ["untorn", "campaign", "--duration", told(asked_s), "--backend", backend]
    command += ["--seed", str(seed)] if seed is not None else []
    for each in strands:
        command += ["--scenario", each]
    command += ["--dir", str(base)] if base else []
    return [*command, "--out", str(where.out), "--executor", executor]


def _provenance(base: Path | None, out: Path) -> dict[str, Any]:
    directories = [base or Path(tempfile.gettempdir()), out]
    return {
        **provenance.of_machine(),
        "file_systems": [to_plain(each) for each in provenance.file_systems(directories)],
    }


# --- what is said ---------------------------------------------------------------------------------


def _told(document: dict[str, Any], out: Path) -> Iterator[str]:
    yield f"{'scenario':<10} {'shards':>7} {'seconds':>9} {'findings':>9} {'unknown':>8}  left"
    for name, totals in document["scenarios"].items():
        left = f"{totals['not_begun']} not begun" if totals["not_begun"] else ""
        yield (
            f"{name:<10} {totals['shards']:>7} {totals['seconds']:>9.1f} "
            f"{totals['findings']:>9} {totals['unknown']:>8}  {left}".rstrip()
        )
    for finding in document["findings"]:
        rows = ", ".join(map(str, finding.get("requirements", ())))
        yield ""
        yield f"{rows} {finding.get('checker', '')}: {finding.get('message', '')}"
        first = f"first {finding['shard']}: {finding['command']}"
        yield f"  in {len(finding['shards'])} shards, {first}"
        if finding.get("replay"):
            yield f"  {finding['replay']}"
    yield ""
    yield from _told_of_corpus(document["corpus"])
    canary = document["canary"]
    yield f"canaries: {canary['found_out']} of {canary['asked']} broken caches found out"
    yield f"verdict: {document['verdict']}: {document['reason']}"
    yield f"seed {document['seed']}; {shlex.quote(str(out / 'campaign.json'))}"


def _told_of_corpus(corpus: dict[str, Any]) -> Iterator[str]:
    yield (
        f"corpus: {corpus['entries']} entries, {corpus['tried']} tried, "
        f"{len(corpus['still_failing'])} still fail, {len(corpus['added'])} new"
    )
    for each in corpus["no_longer_failing"]:
        yield (
            f"  {each['id']} did not fail: {each['quiet']} of {each['nights_kept']} nights, "
            "then it goes"
        )
    for each in corpus["gone"]:
        yield f"  {each} has gone: it did not fail any more"
