"""The account of a render equals what others saw of it: the tree, the log, the decoder (O1)."""

import logging
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Frames, Request, Result, space
from untorn.cancel import Cancel
from untorn.stopwatch import Phase

OpenCache = Callable[..., Cache]
Child = Callable[..., Any]
BUDGET_BYTES = 400_000  # two entries of six frames, and not three


def short(path: Path | str, **changes: Any) -> Request:
    """Six frames."""
    return Request(**{"clip": path, "fps": 30, "duration": "0.2", **changes})


def warm(cache: Cache, *requests: Request) -> list[Path]:
    """Extract and let go of; the entries' directories."""
    entries = []
    for request in requests:
        with cache.extract(request) as frames:
            entries.append(Path(frames.directory))
    return entries


def weights(root: Path) -> dict[str, int]:
    """What each entry holds, in bytes."""
    return {
        entry.name: sum(path.lstat().st_size for path in entry.iterdir())
        for entry in (root / "v1").iterdir()
    }


class Log:
    """What was noted, event by event."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        caplog.set_level(logging.INFO, "untorn")

    def start(self) -> None:
        self._caplog.clear()

    def of(self, event: str) -> list[Mapping[str, Any]]:
        notes = [getattr(record, "untorn", {}) for record in self._caplog.records]
        return [note for note in notes if note.get("event") == event]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def test_each_count_is_what_the_decoder_and_the_log_say(
    cache: Cache, sdr: Path, decoder: Any, log: Log, root: Path
) -> None:
    thinned, _ = warm(cache, short(sdr), short(sdr, start=1))
    (thinned / "frame_00003.png").unlink()
    before, decodes = weights(root), decoder.decodes()
    log.start()
    requests = [short(sdr, start=start) for start in (0, 1, 1, "1.3", "1.6", "1.3", "1.3")]
    with cache.render([*requests, short("missing.mp4"), short(sdr, start=9)], slots=2) as result:
        phases = result.phases
        assert (phases.hits, phases.misses) == (1, {"absent": 3, "damaged": 1})
        assert phases.deduplicated == 3
        assert phases.extracted == decoder.decodes() - decodes == 3
        assert phases.published == len(log.of("published")) == 3
        assert len(weights(root)) - len(before) == 2
    assert (phases.publish_failures, phases.degraded) == ({}, {})
    assert (phases.adopted, phases.uncached, phases.waited, phases.evicted) == (0, 0, 0, 0)


def test_what_its_publishes_evicted_and_reaped_is_what_is_gone(
    open_cache: OpenCache, sdr: Path, decoder: Any, log: Log, root: Path, child: Child
) -> None:
    cache = open_cache(budget_bytes=BUDGET_BYTES, min_age_s=0, reap_grace_s=0)
    warm(cache, *[short(sdr, start=f"1.{n}") for n in (0, 3, 5, 7)])
    dead = child("area = fill(Cache.open(sys.argv[1]).stage(KEY)); say('staged'); hear()", root)
    assert dead.heard() == "staged"
    dead.kill()
    before = weights(root)
    log.start()
    with cache.render([short(sdr, start=n / 4) for n in range(4)]) as result:
        after = weights(root)
        phases = result.phases
        gone = before.keys() - after.keys()
        assert phases.evicted == len(gone) > 0
        assert phases.freed_bytes == sum(before[name] for name in gone)
        assert phases.evicted == sum(note["evicted"] for note in log.of("collected"))
        assert (phases.reaped, list((root / "staging").iterdir())) == (1, [])
    assert phases.seconds[Phase.COLLECT] > 0
    assert decoder.decodes() == 8


@pytest.mark.usefixtures("decoder")
def test_publish_failures_are_told_by_reason(open_cache: OpenCache, sdr: Path) -> None:
    with open_cache(budget_bytes=1).render([short(sdr), short(sdr, start=1)]) as result:
        assert result.phases.publish_failures == {"too-large": 2}
        assert (result.phases.published, result.phases.degraded) == (0, {})


@pytest.mark.usefixtures("decoder")
def test_degradations_are_told_by_errno(cache: Cache, sdr: Path, key: str) -> None:
    with cache.stage(key) as other:
        space.reserve(other.work, space.Need(size=1 << 60, files=1))  # type: ignore[arg-type]
        with cache.render([short(sdr), short(sdr, start=1)]) as result:
            phases = result.phases
    assert phases.degraded == phases.publish_failures == {"ENOSPC": 2}
    assert (phases.uncached, phases.misses) == (2, {"absent": 2})


def test_two_renders_at_once_in_one_cache_each_tell_what_is_theirs(
    cache: Cache, sdr: Path, decoder: Any, tmp_path: Path
) -> None:
    decoder.script(before=f"echo \"$*\" >> '{tmp_path}/started'")
    other = Path(shutil.copyfile(sdr, sdr.with_name("other.mp4")))
    warm(cache, short(other, start=1))
    before = Counter(cache.stats().counters)
    both_decode = threading.Barrier(2)
    results: dict[Path, Result] = {}

    def render(clip: Path, count: int) -> None:
        met: list[int] = []

        def meet(*_now: object) -> None:
            if not met:
                met.append(both_decode.wait(60))

        requests = [short(clip, start=f"0.{2 * n}", duration="0.1") for n in range(count)]
        results[clip] = cache.render([*requests, short(clip, start=1)], slots=2, progress=meet)

    threads = [threading.Thread(target=render, args=each) for each in ((sdr, 2), (other, 4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started = (tmp_path / "started").read_text()
    own, others = results[sdr].phases, results[other].phases
    assert own.extracted == own.published == started.count(str(sdr)) == 3
    assert others.extracted == others.published == started.count(str(other)) - 1 == 4
    assert [(one.hits, one.misses) for one in (own, others)] == [
        (0, {"absent": 3}),
        (1, {"absent": 4}),
    ]
    now = Counter(cache.stats().counters) - before
    assert (now["hit"], now["miss.absent"], now["extracted"]) == (1, 7, 7)
    for result in results.values():
        result.release()


def test_another_one_is_waited_for_when_nothing_else_is_left_and_that_is_counted(
    cache: Cache,
    open_cache: OpenCache,
    sdr: Path,
    decoder: Any,
    just_before: Callable[..., None],
) -> None:
    held: list[Frames] = []
    told: list[int] = []
    began, waits = threading.Event(), threading.Event()

    def first(*_now: object) -> None:
        began.set()
        waits.wait(60)

    thread = threading.Thread(target=lambda: held.append(open_cache().extract(short(sdr), first)))
    thread.start()
    began.wait(60)
    just_before(Cancel, "pause", waits.set)
    with cache.render(
        [short(sdr), short(sdr, start=1)], slots=1, progress=lambda index, *_: told.append(index)
    ) as result:
        assert (result.phases.waited, result.phases.hits, result.phases.extracted) == (1, 1, 1)
    waits.set()
    thread.join()
    held[0].release()
    assert (told[0], told[-1], decoder.decodes()) == (1, 0, 2)


def test_time_is_that_of_the_phases_that_there_were(cache: Cache, sdr: Path, decoder: Any) -> None:
    with cache.render([short(sdr)], slots=1) as cold, cache.render([short(sdr)]) as again:
        for phases in (cold.phases, again.phases):
            assert sum(phases.seconds.values()) <= phases.total_s
        spent = {phase for phase, seconds in again.phases.seconds.items() if seconds > 0}
    assert spent == {Phase.RESOLVE, Phase.PROBE, Phase.LOOKUP}
    assert {*cold.phases.seconds} == {*Phase}
    assert min(cold.phases.seconds[phase] for phase in (Phase.EXTRACT, Phase.PUBLISH)) > 0
    assert decoder.decodes() == 1
