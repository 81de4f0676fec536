"""The campaign itself: shards are begun while there is time, and each end is written down.

Rule 1: nothing is told, counted or used before its line is in the journal.
Rule 2: whoever ends us finds no process and no temporary file of ours afterwards: we end them when
        we are interrupted, wardens do where we are killed, and the next start makes sure of it.
Rule 3: an attempt that was cut or whose worker is gone is made again, with what it had found kept.
        A worker that is lost twice with the same shard is that shard's doing.
Rule 4: a canary that passes ends it: everything that would follow were worth nothing.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Final

from untorn_stress.campaign import corpus, journal, place, sharing, summary
from untorn_stress.campaign import record as records
from untorn_stress.campaign.corpus import Aged, CorpusEntry
from untorn_stress.campaign.hands import ExecutorError, Hands
from untorn_stress.campaign.journal import Journal
from untorn_stress.campaign.place import Begun, CampaignPlace
from untorn_stress.campaign.record import ShardRecord
from untorn_stress.campaign.room import SUMMARY, bytes_of_shards, make_room
from untorn_stress.campaign.shard import Shard, Strand
from untorn_stress.campaign.sharing import Night
from untorn_stress.campaign.task import ShardTask, left_findings, told_of
from untorn_stress.campaign.verdicts import FoundJson, ShardVerdict, kind_of
from untorn_stress.duration import told

_TICK_S: Final = 0.5
_BEAT_S: Final = 5.0
_STOP_S: Final = 60.0
_TIME_IS_UP: Final = "the time was used up"


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """How a campaign speaks: ``say`` lines that stay, and ``show`` how far it is."""

    say: Callable[[str], None]
    show: Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What a campaign works with; ``base`` and ``program`` are those of ``ShardTask``."""

    place: CampaignPlace
    hands: Hands
    voice: Voice
    base: str
    program: tuple[str, ...]
    max_disk_bytes: int
    provenance: Mapping[str, Any]


@dataclass(slots=True)
class _CorpusAtWork:
    """The corpus while a campaign goes on."""

    entries: dict[str, CorpusEntry]
    file: Journal
    aged: Aged | None = None


class Campaign:
    """One session of a campaign."""

    def __init__(self, wanted: Night, means: Means, begun: Begun) -> None:
        """Read the corpus, end what an earlier session left, and note what that had found."""
        self._wanted, self._means = wanted, means
        self._record, self._journal = begun.record, begun.journal
        entries, whole, notes = place.read_corpus(means.place.corpus)
        self._corpus = _CorpusAtWork(entries, Journal(means.place.corpus, whole_bytes=whole))
        self._notes = [*begun.notes, *notes]
        self._running: dict[Future[dict[str, Any]], ShardTask] = {}
        self._began_s = time.monotonic()
        self._used_before_s = begun.record.used_s
        self._beaten_s = self._summed_s = self._began_s
        for each in self._notes:
            means.voice.say(f"note: {each}")
        self._note("session", pid=os.getpid(), host=socket.gethostname())
        means.hands.end(self._record.id, means.base)
        self._cut("its campaign was killed", self._record.running())

    def run(self) -> dict[str, Any]:
        """Work until the time is used up; returns the summary. What ends it early flies."""
        try:
            self._work()
            self._end()
        except BaseException as error:
            self._stop(f"its campaign was stopped ({type(error).__name__})")
            raise
        return self.summarize()

    def close(self) -> None:
        """Let go of the files."""
        self._journal.close()
        self._corpus.file.close()

    def summarize(self) -> dict[str, Any]:
        """Write campaign.json, and return what is in it."""
        self._record.used_s = max(self._record.used_s, self._used_s())
        document = summary.document(
            self._record,
            strands=self._wanted.strands,
            asked_s=self._wanted.asked_s,
            corpus=self._corpus_told(),
            not_begun=sharing.not_begun(self._wanted, self._known()),
            notes=self._notes,
            provenance=self._means.provenance,
        )
        path = self._means.place.out / SUMMARY
        journal.replace(path, json.dumps(document, indent=1, ensure_ascii=True).encode() + b"\n")
        self._summed_s = time.monotonic()
        return document

    # --- working ----------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._fill() or self._running:
            ended, _ = wait(self._running, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            for future in ended:
                self._conclude(future)
            self._beat()
            trouble = self._means.hands.trouble()
            if trouble:
                raise ExecutorError(
                    f"{trouble}; what was found is kept, and the next start goes on"
                )

    def _fill(self) -> bool:
        """Begin shards while there is somebody to run them; returns whether any was begun."""
        begun = False
        while len(self._running) < self._means.hands.jobs:
            shard = self._next()
            if shard is None:
                break
            self._begin(shard)
            begun = True
        return begun

    def _next(self) -> Shard | None:
        """What was cut or lost first, then whose turn it is."""
        if summary.canary_missed(self._record):
            return None
        for each in self._record.open_shards():
            return each.shard
        if self._is_full():
            return None
        shard = sharing.following(self._wanted, self._known())
        if shard is not None:
            self._note("planned", **shard.to_json())
        return shard

    def _begin(self, shard: Shard) -> None:
        task = ShardTask(
            campaign=self._record.id,
            shard=shard,
            attempt=self._record.shards[shard.number].attempts + 1,
            out=str(self._means.place.out),
            base=self._means.base,
            program=self._means.program,
            cwd=os.getcwd(),
        )
        self._note("started", number=shard.number, attempt=task.attempt)
        self._running[self._means.hands.submit(task)] = task

    def _conclude(self, future: Future[dict[str, Any]]) -> None:
        task = self._running.pop(future)
        number = task.shard.number
        try:
            result = future.result()
        except OSError as error:
            self._finish_broken(task, f"{type(error).__name__}: {error}")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            # Each executor has errors of its own for a worker that is gone.
            why = f"{type(error).__name__}: {error}"
            found = self._left(self._record.shards[number])
            self._note("lost", number=number, reason=why, findings=found, attempt=task.attempt)
            self._means.voice.say(f"shard {number}: its worker is lost ({why})")
        else:
            self._note("finished", number=number, attempt=task.attempt, **result)
        self._feed_corpus()
        self._make_room()
        self._tell(self._record.shards[number])
        if time.monotonic() - self._summed_s > _BEAT_S:
            self.summarize()

    def _finish_broken(self, task: ShardTask, why: str) -> None:
        self._note(
            "finished",
            number=task.shard.number,
            attempt=task.attempt,
            verdict=ShardVerdict.INVALID.value,
            reason=f"HARNESS_ERROR: {why}",
            findings=self._left(self._record.shards[task.shard.number]),
            seconds=0.0,
            host=socket.gethostname(),
        )

    def _left(self, record: ShardRecord) -> list[FoundJson]:
        """What the last attempt has left of what it found."""
        directory = self._means.place.out / record.directory
        return told_of(record.shard, directory, self._means.base, left_findings(directory))

    # --- ending -----------------------------------------------------------------------------------

    def _end(self) -> None:
        """The campaign is over: what the corpus has come to is counted, once."""
        why = _TIME_IS_UP
        if summary.canary_missed(self._record):
            why = "a canary was missed"
        elif self._is_full():
            why = "findings alone take more than --max-disk"
        verdicts = {
            each.shard.entry: each.verdict
            for each in self._record.of(Strand.CORPUS)
            if each.verdict is not None
        }
        self._corpus.aged = corpus.aged(self._corpus.entries, verdicts, self._record.id)
        journal.replace_lines(
            self._means.place.corpus, (each.to_json() for each in self._corpus.aged.entries)
        )
        self._note("ended", why=why)

    def _stop(self, why: str) -> None:
        """End all that runs, and keep what it had found."""
        end_s = time.monotonic() + _STOP_S
        while True:
            self._means.hands.end(self._record.id, self._means.base)
            # One that was about to start its warden when we looked is there when we look again.
            _, going = wait(self._running, timeout=_TICK_S)
            if not going or time.monotonic() > end_s:
                break
        self._cut(why, self._record.running())
        self.summarize()

    def _cut(self, why: str, cut: Iterable[ShardRecord]) -> None:
        for each in cut:
            self._note("cut", number=each.shard.number, reason=why, findings=self._left(each))
        self._feed_corpus()

    # --- writing down -----------------------------------------------------------------------------

    def _note(self, kind: str, **fields: Any) -> None:
        """Write a line, and only then take it for true."""
        event = {"event": kind, "used_s": round(self._used_s(), 3), **fields}
        self._journal.append(event)
        self._record.apply(json.loads(journal.line_of(event)))
        self._beaten_s = time.monotonic()

    def _used_s(self) -> float:
        return self._used_before_s + time.monotonic() - self._began_s

    def _known(self) -> sharing.Known:
        self._record.used_s = max(self._record.used_s, self._used_s())
        own = self._own()
        mine = [
            (each.id, each.command, each.seed)
            for each in self._corpus.entries.values()
            if each.backend == self._wanted.backend and each.command not in own
        ]
        return records.known(self._record, mine)

    def _own(self) -> frozenset[tuple[str, ...]]:
        """The commands that this campaign has drawn: what they put into the corpus is for later."""
        shards = [each.shard for each in self._record.shards.values()]
        return frozenset(each.command for each in shards if each.strand is not Strand.CORPUS)

    def _beat(self) -> None:
        self._means.voice.show(self._line())
        if time.monotonic() - self._beaten_s > _BEAT_S:
            self._note("used")

    def _line(self) -> str:
        done = sum(1 for each in self._record.shards.values() if each.verdict is not None)
        found = len(summary.findings_of(self._record))
        at_work = ", ".join(sorted({task.shard.strand for task in self._running.values()}))
        return (
            f"{told(self._used_s())} of {told(self._wanted.asked_s)}: {done} shards, "
            f"{found} findings; running: {at_work or 'none'}"
        )

    def _tell(self, record: ShardRecord) -> None:
        if record.verdict is None:
            return
        shard = record.shard
        reason = f": {record.reason.splitlines()[0]}" if record.reason else ""
        self._means.voice.say(
            f"shard {shard.number} {shard.strand}: {record.verdict} after "
            f"{record.seconds:.1f} s ({shard.about}){reason}"
        )
        for each in record.findings if shard.strand is not Strand.CANARY else ():
            self._means.voice.say(f"  FOUND {kind_of(each)}: {each.get('message', '')}")

    def _feed_corpus(self) -> None:
        """Every shard that has found something new is in the corpus, killed or not."""
        for each in self._record.shards.values():
            if each.shard.strand in (Strand.CANARY, Strand.CORPUS) or not each.findings:
                continue
            entry = corpus.entry_of(
                each.shard, each.findings, backend=self._wanted.backend, now=place.now()
            )
            if corpus.is_news(entry, self._corpus.entries):
                self._corpus.file.append(entry.to_json())
                self._corpus.entries[entry.id] = entry

    def _corpus_told(self) -> dict[str, Any]:
        aged, tried, own = self._corpus.aged, self._record.of(Strand.CORPUS), self._own()
        return {
            "file": str(self._means.place.corpus),
            "entries": len(aged.entries if aged else self._corpus.entries),
            "tried": len(tried),
            "still_failing": [each.shard.entry for each in tried if each.findings],
            "no_longer_failing": [
                {
                    "id": each.shard.entry,
                    "reason": each.reason,
                    "nights_kept": corpus.QUIET_NIGHTS,
                    "quiet": self._quiet(each.shard.entry),
                }
                for each in tried
                if each.verdict in corpus.QUIET
            ],
            "added": [each.id for each in self._corpus.entries.values() if each.command in own],
            "gone": list(aged.gone) if aged else [],
        }

    def _quiet(self, entry: str) -> int:
        aged = self._corpus.aged
        entries = {each.id: each for each in aged.entries} if aged else self._corpus.entries
        return entries[entry].quiet if entry in entries else corpus.QUIET_NIGHTS

    # --- room -------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        out = self._means.place.out
        passing = [
            (each.shard.number, each.directory)
            for each in self._record.shards.values()
            if each.verdict is not None
            and (not each.findings or each.shard.strand is Strand.CANARY)
        ]
        for each in make_room(out, limit_bytes=self._means.max_disk_bytes, passing=passing):
            if each.number:
                self._note("dropped", number=each.number, bytes=each.bytes)
            self._means.voice.say(f"dropped {each.bytes} bytes of {each.directory}: --max-disk")

    def _is_full(self) -> bool:
        """Whether what may not go takes more than the limit."""
        return bytes_of_shards(self._means.place.out) > self._means.max_disk_bytes
