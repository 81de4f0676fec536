"""Stands where `untorn` does in a campaign's tests: a shard that ends at once, as it is told.

``orders.json`` in the current directory says how (``how``); every start leaves a line in ``ran``.
The backend ``canary`` is always found out, unless the orders are to miss it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

FOUND = {
    "requirement": "P2",
    "rule": "winners",
    "message": "told published: two",
    "scenario": "writer-writer",
    "tree": "empty",
    "after_s": 0.1,
    "file": None,
    "replay": "untorn replay u1.of-a-test",
}
FINDING = {"checker": "H1", "requirements": ["R1"], "message": "half an entry", "replay": "untorn"}


def main() -> int:
    words = sys.argv[1:]
    options = dict(zip(words[1::2], words[2::2], strict=False))
    orders: dict[str, Any] = json.loads(Path("orders.json").read_text())
    out, seed = Path(options["--out"]), int(options["--seed"])
    with open("ran", "a") as log:
        log.write(f"{out.name} {words[0]} {seed}\n")
    if options["--backend"] == "canary":
        return search([FOUND] if orders.get("canary", True) else [])
    how = str(orders["how"])
    if how == "some-fail":
        how = "fail" if seed % 2 else "pass"
    return int(globals()[how.replace("-", "_")](out))


def search(found: list[dict[str, Any]], code: int | None = None, **more: Any) -> int:
    document = {
        "schema": "untorn/exploration/1",
        "searches": [{"scenario": "writer-writer", "tree": "harvest-1a2b3c4d"}],
        "not_applicable": [],
        "stopped": "",
        "found": found,
        "runs": 5,
        **more,
    }
    sys.stdout.write(json.dumps(document) + "\n")
    return (1 if found else 0) if code is None else code


def fail(_out: Path) -> int:
    return search([FOUND])


def undecided(_out: Path) -> int:
    return search([], 6, stopped="the budget ended before the search did")


def crash(_out: Path) -> int:
    """End as if all were well, and say nothing."""
    return 0


def large(out: Path) -> int:
    (out / "history").write_bytes(os.urandom(600_000))
    return search([])


def waits(out: Path) -> int:
    """Find something, start something, and never end but when told to."""

    def end(_number: int, _frame: object) -> None:
        Path("ended-well").touch()
        sys.exit(143)

    signal.signal(signal.SIGTERM, end)
    (out / "findings.jsonl").write_text(json.dumps(FINDING) + "\n")
    subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True
    )
    Path("waiting").touch()
    signal.pause()
    return 0


def kills_its_worker(_out: Path) -> int:
    """Kill the process that has our warden run us; the first time, or always."""
    orders = json.loads(Path("orders.json").read_text())
    if orders.get("once"):
        Path("orders.json").write_text(json.dumps({"how": "ends"}))
    warden = os.getppid()
    os.kill(parent_of(warden), signal.SIGKILL)
    signal.pause()
    return 0


def kills_its_warden(_out: Path) -> int:
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
    return 0


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def ends(_out: Path) -> int:
    return search([])


if __name__ == "__main__":
    globals()["pass"] = ends
    sys.exit(main())
