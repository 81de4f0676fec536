"""A campaign of stand-ins for shards: ``session`` here, or as a program that can be killed."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from untorn_stress.campaign import hands, journal, place
from untorn_stress.campaign.conduct import Campaign, Means, Voice
from untorn_stress.campaign.place import CampaignPlace
from untorn_stress.campaign.shard import Strand
from untorn_stress.campaign.sharing import Night

SHARD = str(Path(__file__).with_name("shard.py"))


def session(
    out: Path,
    asked_s: float,
    *,
    strands: tuple[str, ...] = ("fail_nth",),
    seed: int | None = 7,
    jobs: int | None = 1,
    executor: str = hands.LOCAL,
    corpus: Path | None = None,
    backend: str = "sound",
    fresh: bool = False,
    max_disk_bytes: int = 2**30,
    said: list[str] | None = None,
) -> dict[str, Any]:
    """One session; orders of the shards are in the current directory."""
    where = CampaignPlace.at(out, corpus)
    lines = said if said is not None else []
    with journal.locked(where.locks(), "a test"), hands.hands(executor, jobs) as workers:
        about = {
            "seed": seed,
            "backend": backend,
            "scenarios": list(strands),
            "command": ["untorn", "campaign"],
        }
        begun = place.begin(where, about, fresh=fresh, seed_given=seed is not None)
        wanted = Night(
            backend=backend,
            canary="canary",
            seed=begun.record.about["seed"],
            asked_s=asked_s,
            strands=tuple(map(Strand, strands)),
        )
        means = Means(
            place=where,
            hands=workers,
            voice=Voice(say=lines.append, show=lambda _line: None),
            base="",
            program=(SHARD,),
            max_disk_bytes=max_disk_bytes,
            provenance={},
        )
        campaign = Campaign(wanted, means, begun)
        try:
            return campaign.run()
        finally:
            campaign.close()


class EnoughError(Exception):
    """A session has had as many shards as a test wants."""


class Sayings(list[str]):
    """What a campaign says; it is stopped after so many shards."""

    def __init__(self, shards: int) -> None:
        super().__init__()
        self._left = shards

    def append(self, line: str) -> None:
        super().append(line)
        self._left -= line.startswith("shard ")
        if self._left == 0:
            raise EnoughError


def some(out: Path, shards: int, **how: Any) -> list[str]:
    """A session that is stopped after so many shards; returns what it said."""
    said = Sayings(shards)
    try:
        session(out, 3_600.0, said=said, **how)
    except EnoughError:
        return said
    raise AssertionError(f"there were not even {shards} shards")


def orders(how: str, **more: Any) -> None:
    """What the shards are to do from now on."""
    Path("orders.json").write_text(json.dumps({"how": how, **more}))


def summary(out: Path) -> dict[str, Any]:
    """What came of the campaign so far, as it is on disk."""
    document: dict[str, Any] = json.loads((out / "campaign.json").read_text())
    return document


def events(out: Path) -> list[dict[str, Any]]:
    """The lines of its journal."""
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    if len(sys.argv) > 5:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[5]), int(sys.argv[5])))
    document = session(Path(sys.argv[2]), float(sys.argv[3]), jobs=int(sys.argv[4]))
    sys.stdout.write(json.dumps(document) + "\n")
