"""Storms and campaigns that never were, written as real ones are: the same for the same seed.

``python reports/tests/storm_samples.py DIR`` writes one of each, to look at their pages.
"""

import json
import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from untorn_conformance import history
from untorn_conformance.history import (
    Audit,
    Death,
    Excuse,
    Op,
    OpOutcome,
    RoundStart,
    Seen,
    Strike,
)

MS = 1_000_000
KEYS = tuple(f"k{number}" for number in range(8))
FRAMES = 12
REQUIREMENTS = {
    "H1": ["P1"],
    "H2": ["P1", "K1"],
    "H3": ["P3", "E1"],
    "H4": ["G4", "E2"],
    "H5": ["P7"],
    "H6": ["P2"],
    "H7": ["G1", "G2"],
    "H8": ["O1"],
    "H9": ["C1", "C2"],
    "H10": ["F1", "C5"],
    "H11": ["G5"],
}
STRIKES = {
    "sigkill": (412, 409),
    "sigkill-tree": (88, 88),
    "sigkill-parent": (51, 51),
    "sigstop": (14, 14),
    "gc-storm": (9, 9),
    "disk-full-bytes": (4, 4),
    "disk-full-inodes": (3, 3),
    "mtime-shift": (11, 11),
    "external-cleaner": (6, 6),
    "root-removed": (2, 2),
    "permission-flip": (3, 0),
}
SPANS = (
    ("sigstop", 8.2, 11.0),
    ("disk-full-bytes", 14.0, 18.5),
    ("gc-storm", 21.0, 24.0),
    ("mtime-shift", 26.0, 26.4),
    ("root-removed", 31.0, 31.2),
    ("external-cleaner", 34.0, 37.5),
    ("disk-full-inodes", 41.0, 45.0),
    ("gc-storm", 49.0, 52.0),
)
FINDINGS: tuple[dict[str, Any], ...] = (
    {"checker": "H1", "round": 12, "at_s": 15.93,
     "message": "a hit on k3 read frames of two versions: writer2.5/1 and writer1.9/2"},
    {"checker": "H3", "round": 27, "at_s": 35.2,
     "message": "k5 was evicted, nobody published it, and a later lookup found it"},
    {"checker": "H9", "round": 44, "at_s": 57.61,
     "message": "2 staging directories of dead writers are left after a sweep"},
)  # fmt: skip


def storm_document(seed: int = 7, *, length_s: int = 60, findings: int = 3) -> dict[str, Any]:
    """The summary of a storm."""
    draw = random.Random(seed)
    scale = length_s / 60
    spans = [(name, begin * scale, end * scale) for name, begin, end in SPANS]
    kills = sorted(draw.uniform(0, length_s) for _ in range(int(9.2 * length_s)))
    bands = [{"name": "sigkill", "begin_s": at_s, "end_s": at_s} for at_s in kills]
    bands += [{"name": name, "begin_s": begin, "end_s": end} for name, begin, end in spans]
    found = [dict(each) for each in FINDINGS[:findings]]
    for each in found:
        each |= {
            "requirements": REQUIREMENTS[each["checker"]],
            "operations": [],
            "history": f"rounds/{each['round']:04}.jsonl",
            "at_s": each["at_s"] * scale,
            "replay": f"untorn storm --seed {seed} --replay-round {each['round']}",
        }
    checkers: dict[str, dict[str, Any]] = {
        name: {"requirements": rows, "rounds": 47, "unknown": 0, "findings": 0}
        for name, rows in REQUIREMENTS.items()
    }
    checkers["H7"]["unknown"] = 3
    for each in found:
        checkers[each["checker"]]["findings"] += 1
    return {
        "untorn_storm": 1,
        "verdict": "fail" if found else "unknown",
        "reason": f"{findings} findings: H1, H3, H9" if found else "H7 is unknown of 3 rounds",
        "backend": "reference",
        "name": "reference 0.1.0",
        "seed": seed,
        "asked_s": float(length_s),
        "duration_s": length_s + 0.84,
        "rounds": 47,
        "workers": {"readers": 6, "writers": 4, "collectors": 2},
        "root_file_system": "tmpfs",
        "command": ["untorn", "storm", "--duration", f"{length_s}s", "--seed", str(seed)],
        "replay": f"untorn storm --seed {seed}",
        "operations": {
            "lookup": {"hit": 88120, "miss": 21408, "error": 12},
            "read": {"read": 70412, "evicted": 51},
            "stage": {"staged": 21390},
            "publish": {"published": 15204, "adopted": 4961, "unpublished": 803},
            "collect": {"collected": 640, "skipped": 1322},
        },
        "strikes": {name: {"tried": tried, "bit": bit} for name, (tried, bit) in STRIKES.items()},
        "checkers": checkers,
        "series": _series(draw, length_s, spans),
        "budget_bytes": 64_000_000,
        "bands": bands,
        "resources": {
            "peak_rss_bytes": 412_000_000, "peak_descriptors": 190, "orphans": 0,
            "leaked_descriptors": 0,
        },
        "findings": found,
        "provenance": {
            "untorn": "0.1.0", "kernel": "Linux 6.8.0", "python": "3.11.9", "cpus": 2,
        },
    }  # fmt: skip


def _series(
    draw: random.Random, length_s: int, spans: list[tuple[str, float, float]]
) -> dict[str, Any]:
    series: dict[str, list[float | None]] = {
        name: []
        for name in ("operations", "p50_ms", "p99_ms", "hits", "misses", "evicted", "disk_bytes")
    }
    disk = 12e6
    for at_s in range(length_s):
        now = {name for name, begin, end in spans if begin <= at_s < end}
        slow = 0.35 if now & {"sigstop", "disk-full-bytes"} else 0.7 if now else 1.0
        operations = int(3600 * slow * draw.uniform(0.92, 1.08))
        p50 = 0.9 / slow * draw.uniform(0.9, 1.1)
        p99 = (2100.0 if "sigstop" in now else 11.0 / slow) * draw.uniform(0.8, 1.3)
        lookups = int(operations * 0.5)
        hits = int(lookups * (0.45 if "external-cleaner" in now else 0.8) * draw.uniform(0.95, 1))
        disk = min(disk * draw.uniform(1.0, 1.12), 71e6)
        evicted = 0
        if "gc-storm" in now or at_s % 12 == 11:
            evicted, disk = draw.randint(20, 140), min(disk, 60e6 * draw.uniform(0.7, 1))
        if "root-removed" in now:
            disk = 0.0
        disk = max(disk, 2e6)
        values = (operations, p50, p99, hits, lookups - hits, evicted, int(disk))
        for own, value in zip(series.values(), values, strict=True):
            own.append(round(value, 3))
    if length_s > 32:
        series["p50_ms"][32] = series["p99_ms"][32] = None  # nobody was alive in that second
    return {"bin_s": 1.0, **series}


def write_storm(directory: Path, seed: int = 7, *, length_s: int = 60, findings: int = 3) -> Path:
    """A storm's run directory, with the histories of the rounds of its findings."""
    document = storm_document(seed, length_s=length_s, findings=findings)
    (directory / "rounds").mkdir(parents=True)
    for finding in document["findings"]:
        lines, finding["operations"] = round_lines(seed, finding["checker"], finding["round"])
        (directory / finding["history"]).write_text("".join(lines))
    (directory / "storm.json").write_text(json.dumps(document))
    return directory


def round_lines(seed: int, checker: str, number: int) -> tuple[list[str], list[int]]:
    """A round's history, and the ids of the operations that its finding names."""
    draw = random.Random(seed * 1000 + number)
    start = RoundStart(number=number, seed=seed, backend="reference", keys=KEYS, frames=FRAMES)
    ops = sorted(_work(draw), key=lambda op: op.began_ns)
    middle = len(ops) * 3 // 5
    wrong = {"H1": _torn, "H3": _risen, "H9": lambda *_: []}[checker](ops, middle)
    deaths = [Death(process=each, at_ns=at_ns, how="SIGKILL") for each, at_ns in _DEATHS.items()]
    ops = [_cut(op, number) for number, op in enumerate(ops)]
    lines = [history.begin_line(start)]
    lines += [line for op in ops for line in _lines(op)]
    lines += [history.strike_line(each) for each in _strikes(ops[middle].began_ns)]
    lines += [history.death_line(each) for each in deaths]
    debris = ("staging/writer2.5", "staging/writer1.9") if checker == "H9" else ()
    lines.append(history.audit_line(Audit(at_ns=_END_NS, debris=debris)))
    return lines, wrong


_BEGIN_NS = 7_000_000_000_000
_END_NS = _BEGIN_NS + 1400 * MS
_DEATHS = {
    "writer2.5": _BEGIN_NS + 846 * MS,
    "reader4.11": _BEGIN_NS + 610 * MS,
    "reader1.7": _BEGIN_NS + 858 * MS,
    "writer1.9": _BEGIN_NS + 1150 * MS,
}
_PROCESSES = {
    "reader1.7": 0, "reader1.8": 862, "reader2.9": 0, "reader3.4": 40, "reader4.11": 0,
    "reader4.12": 640, "writer1.9": 0, "writer2.5": 0, "writer2.6": 870, "writer10.2": 0,
    "collector1.3": 0,
}  # fmt: skip


def _work(draw: random.Random) -> Iterator[Op]:
    for process, from_ms in _PROCESSES.items():
        at_ns = _BEGIN_NS + from_ms * MS + draw.randint(0, 8 * MS)
        end_ns = _DEATHS.get(process, _END_NS - 60 * MS)
        number = 0
        while at_ns < end_ns:
            verb, outcome, took_ms = _ACTS[process[0]](draw)
            took = max(int(took_ms * MS), 1000)
            number += 1
            key = "" if verb == "collect" else draw.choice(KEYS)
            yield Op(
                id=0, process=process, verb=verb, key=key, began_ns=at_ns, ended_ns=at_ns + took,
                outcome=outcome, version=f"{process}/{number}" if verb == "publish" else "",
                reason="ENOSPC" if outcome is OpOutcome.UNPUBLISHED else "",
            )  # fmt: skip
            at_ns += took + draw.randint(MS, 14 * MS)


def _of_reader(draw: random.Random) -> tuple[str, OpOutcome, float]:
    return "lookup", draw.choice((OpOutcome.HIT,) * 4 + (OpOutcome.MISS,)), draw.expovariate(0.7)


def _of_writer(draw: random.Random) -> tuple[str, OpOutcome, float]:
    outcomes = (OpOutcome.PUBLISHED,) * 3 + (OpOutcome.ADOPTED, OpOutcome.UNPUBLISHED)
    return "publish", draw.choice(outcomes), 2 + draw.expovariate(0.2)


def _of_collector(draw: random.Random) -> tuple[str, OpOutcome, float]:
    return "collect", draw.choice((OpOutcome.COLLECTED, OpOutcome.SKIPPED)), 18 * draw.random()


_ACTS = {"r": _of_reader, "w": _of_writer, "c": _of_collector}


def _cut(op: Op, number: int) -> Op:
    """The operation under its id; without an answer where its process died first."""
    died_ns = _DEATHS.get(op.process, _END_NS)
    answered = op.ended_ns < died_ns
    return Op(
        id=number, process=op.process, verb=op.verb, key=op.key, version=op.version,
        began_ns=op.began_ns, via=op.via, index=op.index,
        ended_ns=op.ended_ns if answered else -1, outcome=op.outcome if answered else None,
        reason=op.reason if answered else "", seen=op.seen if answered else None,
    )  # fmt: skip


def _lines(op: Op) -> Iterator[str]:
    yield history.invoke_line(op)
    if op.is_answered:
        yield history.return_line(op)


def _torn(ops: list[Op], middle: int) -> list[int]:
    """A publish that dies, one that follows it, and a reader that sees both."""
    at_ns = ops[middle].began_ns
    wrong = [
        Op(id=0, process="writer2.5", verb="publish", key="k3", version="writer2.5/91",
           began_ns=at_ns + MS, ended_ns=_END_NS, outcome=OpOutcome.PUBLISHED),
        Op(id=0, process="writer1.9", verb="publish", key="k3", version="writer1.9/92",
           began_ns=at_ns + 2 * MS, ended_ns=at_ns + 9 * MS, outcome=OpOutcome.PUBLISHED),
        Op(id=0, process="reader3.4", verb="lookup", key="k3", began_ns=at_ns + 12 * MS,
           ended_ns=at_ns + 13 * MS, outcome=OpOutcome.HIT),
        Op(id=0, process="reader3.4", verb="read", index=2, began_ns=at_ns + 14 * MS,
           ended_ns=at_ns + 15 * MS, outcome=OpOutcome.READ,
           seen=Seen(key="k3", version="writer1.9/92", index=2)),
        Op(id=0, process="reader3.4", verb="read", index=3, began_ns=at_ns + 16 * MS,
           ended_ns=at_ns + 17 * MS, outcome=OpOutcome.READ,
           seen=Seen(key="k3", version="writer2.5/91", index=3)),
    ]  # fmt: skip
    return _insert(ops, wrong)


def _risen(ops: list[Op], middle: int) -> list[int]:
    at_ns = ops[middle].began_ns
    return _insert(ops, [
        Op(id=0, process="collector1.3", verb="collect", began_ns=at_ns, ended_ns=at_ns + 21 * MS,
           outcome=OpOutcome.COLLECTED),
        Op(id=0, process="reader2.9", verb="lookup", key="k5", began_ns=at_ns + 48 * MS,
           ended_ns=at_ns + 49 * MS, outcome=OpOutcome.HIT),
    ])  # fmt: skip


def _insert(ops: list[Op], wrong: list[Op]) -> list[int]:
    """Put them among the others, in the place of what their processes did then."""
    busy = [(op.process, op.began_ns, op.ended_ns) for op in wrong]
    ops[:] = [
        op
        for op in ops
        if not any(
            op.process == process and op.began_ns <= end and op.ended_ns >= begin
            for process, begin, end in busy
        )
    ]
    ops += wrong
    ops.sort(key=lambda op: op.began_ns)
    return [ops.index(each) for each in wrong]


def _strikes(at_ns: int) -> Iterator[Strike]:
    for process, died_ns in _DEATHS.items():
        yield Strike(
            name="sigkill", begin_ns=died_ns, end_ns=died_ns + MS // 10, bit=True,
            excuses=(Excuse.KILLS,), processes=(process,),
        )  # fmt: skip
    full = (Excuse.REFUSES,)
    yield Strike(
        name="disk-full-bytes", begin_ns=at_ns - 30 * MS, end_ns=at_ns + 6 * MS, bit=True,
        excuses=full, detail="4096 bytes left",
    )  # fmt: skip
    yield Strike(name="permission-flip", begin_ns=at_ns + 10 * MS, end_ns=at_ns + 24 * MS)


def write_campaign(directory: Path, seed: int = 3) -> Path:
    """A campaign's directory: three storms, two of them with findings, and three searches."""
    directory.mkdir(parents=True)
    shards: list[dict[str, Any]] = []
    for number, (scenario, findings) in enumerate(
        (("storm", 0), ("pct", 0), ("storm", 3), ("fail-nth", 0), ("bounds", 0), ("storm", 1))
    ):
        own, length_s = f"shards/{number:04}", 40 + 20 * number
        if scenario == "storm":
            write_storm(directory / own, seed + number, length_s=length_s, findings=findings)
        shards.append({
            "number": number, "scenario": scenario, "seed": seed + number, "state": "done",
            "command": ["untorn", scenario, "--seed", str(seed + number)],
            "verdict": "fail" if findings else "unknown" if scenario == "storm" else "pass",
            "seconds": float(length_s), "host": "local", "findings": findings, "directory": own,
        })  # fmt: skip
    names = {shard["scenario"] for shard in shards}
    found: list[dict[str, Any]] = []
    for shard in shards:
        path = directory / shard["directory"] / "storm.json"
        own = json.loads(path.read_text())["findings"] if path.is_file() else []
        found += [{**each, "shard": shard["number"], "scenario": "storm"} for each in own]
    document = {
        "untorn_campaign": 1,
        "verdict": "fail",
        "reason": "4 findings in 2 of 6 shards",
        "seed": seed,
        "asked_s": 28800.0,
        "used_s": 540.2,
        "backend": "reference",
        "command": ["untorn", "campaign", "--duration", "8h", "--seed", str(seed)],
        "shards": shards,
        "scenarios": {
            name: {
                "shards": sum(each["scenario"] == name for each in shards),
                "seconds": math.fsum(
                    each["seconds"] for each in shards if each["scenario"] == name
                ),
                "findings": sum(each["findings"] for each in shards if each["scenario"] == name),
                "unknown": sum(
                    each["verdict"] == "unknown" for each in shards if each["scenario"] == name
                ),
            }
            for name in sorted(names)
        },
        "findings": found,
        "corpus": {"seeds": 4, "first": 2},
        "canary": {"asked": 2, "found_out": 2, "missed": [], "unjudged": []},
        "provenance": {"untorn": "0.1.0", "kernel": "Linux 6.8.0", "python": "3.11.9"},
    }
    (directory / "campaign.json").write_text(json.dumps(document))
    return directory


if __name__ == "__main__":
    write_storm(Path(sys.argv[1]) / "storm")
    write_campaign(Path(sys.argv[1]) / "campaign")
