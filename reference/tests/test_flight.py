"""Single-flight: one works, the others wait for it a while, and never for the dead (P7, L1)."""

import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from untorn import Cache, flight
from untorn.flight import Flight, Role
from untorn.root import Root

Child = Callable[..., Any]
KeyOf = Callable[[int], str]
LONG_S = 60.0
HOLD = """
turn = flight.take_off(Cache.open(sys.argv[1]).access.root(), KEY, 0)
say(turn.role); hear(); turn.land(); say("landed"); hear()
"""


@pytest.fixture
def opened(cache: Cache) -> Root:
    """The cache's open root."""
    root = cache.access.root()
    assert root is not None
    return root


@pytest.fixture
def its_time(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the module calls `time`: the real functions, until a test turns them."""
    its_own = SimpleNamespace(sleep=time.sleep, monotonic=time.monotonic)
    monkeypatch.setattr("untorn.flight.time", its_own)
    return its_own


@pytest.fixture
def never_sleep(its_time: SimpleNamespace) -> None:
    """A wait of any length fails the test."""

    def slept(seconds: float) -> None:
        raise AssertionError(f"waited {seconds} s")

    its_time.sleep = slept


@pytest.mark.usefixtures("never_sleep")
def test_first_one_leads_at_once(opened: Root, key: str) -> None:
    turn = flight.take_off(opened, key, LONG_S)
    assert turn.role is Role.LED
    turn.land()


@pytest.mark.usefixtures("never_sleep")
def test_who_may_not_wait_goes_on_at_once(opened: Root, key: str, child: Child) -> None:
    holder = child(HOLD, opened.path)
    assert holder.heard() == "led"
    assert flight.take_off(opened, key, 0) == Flight(Role.TIMED_OUT, None)


@pytest.mark.usefixtures("never_sleep")
def test_other_keys_do_not_wait(opened: Root, key_of: KeyOf, child: Child) -> None:
    holder = child(HOLD, opened.path)
    assert holder.heard() == "led"
    for number in range(100):
        turn = flight.take_off(opened, key_of(number), LONG_S)
        assert turn.role is Role.LED
        turn.land()


def test_waiter_follows_when_the_leader_lands(
    opened: Root,
    key: str,
    child: Child,
    just_before: Callable[..., None],
    its_time: SimpleNamespace,
) -> None:
    leader = child(HOLD, opened.path)
    assert leader.heard() == "led"

    def land() -> None:
        leader.tell()
        assert leader.heard() == "landed"

    just_before(its_time, "sleep", land)
    turn = flight.take_off(opened, key, LONG_S)
    assert turn.role is Role.FOLLOWED
    turn.land()


def test_waiter_follows_at_its_next_look_when_the_leader_is_killed(
    opened: Root,
    key: str,
    child: Child,
    just_before: Callable[..., None],
    its_time: SimpleNamespace,
) -> None:
    leader = child(HOLD, opened.path)
    assert leader.heard() == "led"
    just_before(its_time, "sleep", leader.kill)
    just_before(its_time, "sleep", lambda: pytest.fail("a second wait"), call=2)
    turn = flight.take_off(opened, key, LONG_S)
    assert turn.role is Role.FOLLOWED
    turn.land()


def test_stopped_leader_is_waited_for_no_longer_than_asked(
    opened: Root, key: str, child: Child
) -> None:
    leader = child(HOLD, opened.path)
    assert leader.heard() == "led"
    leader.stop()
    assert flight.take_off(opened, key, 0.05).role is Role.TIMED_OUT


def test_wait_looks_seldom(opened: Root, key: str, child: Child, its_time: SimpleNamespace) -> None:
    leader = child(HOLD, opened.path)
    assert leader.heard() == "led"
    now_s, pauses = 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds
        pauses.append(seconds)

    its_time.sleep, its_time.monotonic = sleep, lambda: now_s
    assert flight.take_off(opened, key, 10).role is Role.TIMED_OUT
    assert sum(pauses) == pytest.approx(10)
    assert len(pauses) < 10 / 0.05 + 10


def test_turns_of_one_process_exclude_one_another(opened: Root, key: str) -> None:
    turn = flight.take_off(opened, key, 0)
    assert flight.take_off(opened, key, 0).role is Role.TIMED_OUT
    turn.land()
    turn.land()
    again = flight.take_off(opened, key, 0)
    assert again.role is Role.LED
    again.land()


def test_turns_leave_no_descriptor(opened: Root, key: str, descriptors: Callable[[], int]) -> None:
    before = descriptors()
    turn = flight.take_off(opened, key, 0)
    flight.take_off(opened, key, 0)
    turn.land()
    assert descriptors() == before


def test_turn_at_several_keys_keeps_all_of_them_or_none(opened: Root, key_of: KeyOf) -> None:
    first, second, third = map(key_of, range(3))
    turn = flight.take_off(opened, second, 0, also=[third])
    assert turn.role is Role.LED
    assert flight.take_off(opened, third, 0).role is Role.TIMED_OUT
    assert flight.take_off(opened, first, 0, also=[third]).role is Role.TIMED_OUT
    lone = flight.take_off(opened, first, 0)
    assert lone.role is Role.LED
    lone.land()
    turn.land()


def test_who_waits_for_a_key_holds_none_that_comes_behind_it(
    opened: Root,
    key_of: KeyOf,
    just_before: Callable[..., None],
    its_time: SimpleNamespace,
) -> None:
    """So no circle of waits can close, in whatever order everybody names his keys."""
    early, late = sorted(map(key_of, range(2)), key=flight._offset)
    holder = flight.take_off(opened, early, 0)

    def others_turn() -> None:
        turn = flight.take_off(opened, late, 0)
        assert turn.role is Role.LED
        turn.land()
        holder.land()

    just_before(its_time, "sleep", others_turn)
    turn = flight.take_off(opened, late, LONG_S, also=[early])
    assert turn.role is Role.FOLLOWED
    turn.land()


def test_interrupted_wait_leaves_no_descriptor(
    opened: Root,
    key: str,
    descriptors: Callable[[], int],
    just_before: Callable[..., None],
    its_time: SimpleNamespace,
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    turn = flight.take_off(opened, key, 0)
    before = descriptors()
    just_before(its_time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        flight.take_off(opened, key, LONG_S)
    assert descriptors() == before
    turn.land()


def test_turn_is_not_kept_by_a_forked_child(opened: Root, child: Child) -> None:
    parent = child(
        """
root = Cache.open(sys.argv[1]).access.root()
turn = flight.take_off(root, KEY, 0)
down, up = os.pipe()
born, bear = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(up); os.write(bear, b"."); os.read(down, 1); os._exit(0)
os.close(down); os.read(born, 1)
turn.land()
say(flight.take_off(root, KEY, 0).role)
os.close(up); os.waitpid(pid, 0)
""",
        opened.path,
    )
    assert parent.heard() == "led"


def test_lock_is_one_file_for_all_keys(opened: Root, key_of: KeyOf) -> None:
    for number in range(3):
        flight.take_off(opened, key_of(number), 0).land()
    assert os.listdir(opened.ctl_fd).count("flight.lock") == 1
    assert os.stat("flight.lock", dir_fd=opened.ctl_fd).st_size == 0
