"""Threads that share one Cache: whole entries, one publish a removal, nothing leaked."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn import Cache, Collected, Delivery, Frames

THREADS = 8
ROUNDS = 25
KEYS = 3


@pytest.fixture
def cache(open_cache: Callable[..., Cache]) -> Cache:
    """A cache in which everything that nobody holds is evicted."""
    return open_cache(budget_bytes=0, min_age_s=0)


class Crew:
    """Threads that do everything at once and note what was wrong."""

    def __init__(self, cache: Cache, key_of: Callable[[int], str]) -> None:
        self.cache, self.key_of = cache, key_of
        self.start = threading.Barrier(THREADS)
        self.wrong: list[str] = []
        self.deliveries: list[Delivery] = []

    def run(self) -> None:
        threads = [threading.Thread(target=self._work, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, number: int) -> None:
        self.start.wait()
        try:
            for turn in range(ROUNDS):
                self._turn(number, self.key_of((number + turn) % KEYS))
        except BaseException as error:
            self.wrong.append(repr(error))

    def _turn(self, number: int, key: str) -> None:
        found = self.cache.lookup(key)
        if not isinstance(found, Frames):
            with self.cache.stage(key) as area:
                for index in range(4):
                    Path(area.path, f"f{index}").write_bytes(f"{key} {index} {number}".encode())
                found = area.publish()
        self.deliveries.append(found.delivery)
        with found:
            words = [found.read(index).decode().split() for index in range(4)]
            if [word[:2] for word in words] != [[key, str(n)] for n in range(4)]:
                self.wrong.append(f"torn: {words}")
            if len({word[2] for word in words}) != 1:
                self.wrong.append(f"of two writers: {words}")
        self.cache.collect()


@pytest.fixture
def crew(cache: Cache, key_of: Callable[[int], str]) -> Crew:
    return Crew(cache, key_of)


def test_threads_see_whole_entries_and_no_errors(crew: Crew) -> None:
    crew.run()
    assert crew.wrong == []
    assert Delivery.PUBLISHED in crew.deliveries


def test_threads_leave_nothing_behind(
    crew: Crew, root: Path, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    crew.run()
    done = crew.cache.collect()
    assert isinstance(done, Collected)
    places = [root / name for name in ("v1", "staging", "trash")]
    assert [path for place in places for path in place.iterdir()] == []
    assert descriptors() == before


def test_counters_of_threads_add_up(crew: Crew) -> None:
    crew.run()
    counters = crew.cache.stats().counters
    looked = counters["hit"] + sum(
        count for name, count in counters.items() if name.startswith("miss.")
    )
    assert looked == THREADS * ROUNDS
    assert counters["published"] == crew.deliveries.count(Delivery.PUBLISHED)
    assert counters["hit"] == crew.deliveries.count(Delivery.HIT)


def test_every_published_entry_was_evicted_once(crew: Crew) -> None:
    crew.run()
    crew.cache.collect()
    counters = crew.cache.stats().counters
    assert counters["evicted"] == counters["published"]


def test_frames_may_be_released_by_another_thread(
    cache: Cache, key: str, put: Callable[..., Frames]
) -> None:
    frames = put(cache, key, hold=True)
    thread = threading.Thread(target=frames.release)
    thread.start()
    thread.join()
    assert frames.released
