"""Time at the gate: timed waits are yields, over at once when another has moved, else real."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from untorn_stress.gate.supervisor import Rules, UndecidedError

Watching = Callable[..., Any]
OTHER = 'os.mkdir("d"); os.mkdir("e"); os.mkdir("f")'
AN_HOUR = {
    "clock_nanosleep": "time.sleep(3600); print(0)",
    "poll": """
read, write = os.pipe(); poll = select.poll(); poll.register(read, 3)
print(len(poll.poll(3.6e6)))""",
    "pselect6": "print(sum(map(len, select.select([os.pipe()[0]], [], [], 3600))))",
    "epoll_wait": """
poll = select.epoll(); poll.register(os.pipe()[0], 1); print(len(poll.poll(3600)))""",
    "futex": "lock = threading.Lock(); lock.acquire(); print(int(lock.acquire(timeout=3600)))",
    "nanosleep": "print(libc.syscall(35, struct.pack('qq', 3600, 0), None))",
    "ppoll": """
read, write = os.pipe(); set = ctypes.create_string_buffer(struct.pack("ihh", read, 1, 1))
print(libc.ppoll(set, 1, struct.pack("qq", 3600, 0), None) + set.raw[6])""",
}  # fmt: skip


@pytest.mark.parametrize("call", AN_HOUR)
def test_an_hour_is_over_at_once_when_another_has_moved(
    bench: Any, watch: Watching, call: str
) -> None:
    text = AN_HOUR[call] + '\nos.mkdir("g")'
    run = bench.run(text, OTHER, watch=watch("A 2B 2A"))
    result = "ETIMEDOUT" if call == "futex" else "0"
    assert run.log[3].split()[:2] == ["A", call]
    assert run.log[3].endswith(f"= {result}")
    assert run.printed[0] == (b"0",)


def test_who_waits_for_time_is_not_offered_before_another_has_moved(
    bench: Any, watch: Watching
) -> None:
    watched = watch("A 2B")
    bench.run("time.sleep(3600)", OTHER, watch=watched)
    assert watched.offers[1:3] == [("B",), ("A", "B")]


def test_who_waits_again_is_not_offered_again_before_another_has_moved(
    bench: Any, watch: Watching
) -> None:
    watched = watch("A 2B A B A")
    bench.run("time.sleep(60); time.sleep(60); time.sleep(60)", OTHER, watch=watched)
    assert watched.offers[3] == ("A", "B")
    assert watched.offers[4] == ("B",)
    assert watched.offers[5] == ("A", "B")


def test_real_time_passes_when_nothing_else_can_move(bench: Any) -> None:
    text = "s = time.monotonic(); time.sleep(0.05); print(time.monotonic() - s >= 0.05)"
    assert bench.run(text).printed == ((b"True",),)


def test_what_follows_a_real_wait_is_waited_for(bench: Any) -> None:
    assert bench.steps('time.sleep(0.05); os.mkdir("d")')[-2:] == ["A mkdir d = 0", "exit 0"]


@pytest.mark.parametrize(
    "wait", ["select.poll().poll(50)", "select.select([], [], [], 0.05)", "event.wait(0.05)"]
)
def test_a_real_wait_of_one_thread_is_waited_for_while_others_sleep(bench: Any, wait: str) -> None:
    text = f"""
event = threading.Event(); done = threading.Event()
def work():
    {wait}
    os.mkdir("d")
    done.set()
threading.Thread(target=work).start()
done.wait()
os.mkdir("e")
"""
    assert bench.steps(text)[-3:] == ["At1 mkdir d = 0", "A mkdir e = 0", "exit 0"]


def test_an_endless_wait_after_a_timed_one_is_asleep(bench: Any) -> None:
    text = """
lock = threading.Lock(); lock.acquire()
lock.acquire(timeout=0.02)
lock.acquire()
"""
    assert bench.run(text).ends == ("stuck",)


def test_a_wait_for_what_is_there_is_the_kernels_to_answer(bench: Any, watch: Watching) -> None:
    text = """
read, write = os.pipe(); os.write(write, b"x")
print(select.select([read], [], [], 3600)[0] == [read])
"""
    run = bench.run(text, OTHER, watch=watch("A 2B A"))
    assert run.log[3] == "A pselect6  = ?"
    assert run.printed[0] == (b"True",)


def test_a_wait_for_what_does_not_exist_is_the_kernels_to_answer(
    bench: Any, watch: Watching
) -> None:
    text = "read, _ = os.pipe(); os.close(read); tell(select.select, [read], [], [], 3600)"
    assert bench.run(text, OTHER, watch=watch("A 2B A")).printed[0] == (b"EBADF",)


def test_a_worker_that_does_not_stand_still_in_time_gives_no_run(bench: Any) -> None:
    with pytest.raises(UndecidedError):
        bench.run("while True: pass", rules=Rules(deadline_s=0.2))
