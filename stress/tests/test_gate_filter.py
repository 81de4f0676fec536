"""What is held at the gate, what passes it, and what does not exist below it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from untorn_stress.gate.supervisor import Rules
from untorn_stress.grain import Grain

FILE = 'fd = os.open("f", os.O_CREAT | os.O_RDWR); os.ftruncate(fd, 4096)\n'
LOCK = 'struct.pack("hhqqixxxx", fcntl.F_WRLCK, 0, 0, 0, 0)'
PIPE = "read, write = os.pipe()\n"

HELD = {
    "fcntl F_OFD_SETLK": FILE + f"fcntl.fcntl(fd, 37, {LOCK})",
    "fcntl F_SETLK": FILE + f"fcntl.fcntl(fd, fcntl.F_SETLK, {LOCK})",
    "futex with a timeout": "lock = threading.Lock(); lock.acquire(); lock.acquire(timeout=0.02)",
    "poll with a timeout": "select.poll().poll(20)",
    "pselect6 with a timeout": "select.select([], [], [], 0.02)",
    "epoll_wait with a timeout": "select.epoll().poll(0.02)",
    "clock_nanosleep": "time.sleep(0.001)",
}
PASSED = {
    "fcntl F_GETFL": FILE + "fcntl.fcntl(fd, fcntl.F_GETFL); fcntl.fcntl(fd, fcntl.F_SETFD, 1)",
    "poll that does not wait": "select.poll().poll(0)",
    "poll without a timeout": PIPE + """
poll = select.poll(); poll.register(read, select.POLLIN); os.write(write, b"x"); poll.poll(-1)""",
    "pselect6 without a timeout": PIPE + 'os.write(write, b"x"); select.select([read], [], [])',
    "epoll_wait without a timeout": PIPE + """
poll = select.epoll(); poll.register(read, select.EPOLLIN); os.write(write, b"x"); poll.poll(-1)""",
    "a close of what is not locked": FILE + "os.close(fd)",
    "what is outside of the root": 'os.stat("/usr"); os.listdir("/"); os.close(os.open("/etc", 0))',
    "data": FILE + 'os.write(fd, b"x"); os.pread(fd, 1, 0)',
}  # fmt: skip


def names(steps: list[str]) -> list[str]:
    return [each.split()[1] for each in steps[:-1]]


@pytest.mark.parametrize("name", HELD)
def test_is_held(bench: Any, name: str) -> None:
    steps = bench.steps(HELD[name])
    assert name.split(maxsplit=1)[0] in names(steps), steps
    assert steps[-1] == "exit 0", bench.stderr()


@pytest.mark.parametrize("name", PASSED)
def test_is_no_step(bench: Any, name: str) -> None:
    steps = bench.steps(PASSED[name])
    assert set(names(steps)) <= {"openat", "ftruncate"}, steps
    assert steps[-1] == "exit 0", bench.stderr()


def test_reads_and_writes_are_steps_of_the_data_grain(bench: Any) -> None:
    text = FILE + 'os.write(fd, b"x"); os.pread(fd, 1, 0); os.write(1, b"no step\\n")'
    steps = bench.steps(text, rules=Rules(grain=Grain.DATA))
    assert names(steps)[-2:] == ["write", "pread64"]


@pytest.mark.parametrize(
    ("mapping", "is_noticed"),
    [
        ("mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE", True),
        ("mmap.MAP_SHARED, mmap.PROT_READ", False),
        ("mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE", False),
    ],
)
def test_stores_to_a_mapping_are_noticed(bench: Any, mapping: str, is_noticed: bool) -> None:
    run = bench.run(FILE + f"mmap.mmap(fd, 4096, {mapping})")
    assert bool(run.unobserved) is is_noticed


@pytest.mark.parametrize("number", [425, 426, 427])
def test_io_uring_does_not_exist(bench: Any, number: int) -> None:
    run = bench.run(f"tell_raw(libc.syscall({number}, 1, 0))")
    assert run.printed == ((b"ENOSYS",),)


def test_calls_of_another_architecture_do_not_exist(bench: Any) -> None:
    text = """
code = mmap.mmap(-1, 4096, prot=7)
code.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # mov eax, 20 (getpid); int 0x80; ret
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
print(errno.errorcode[-ctypes.CFUNCTYPE(ctypes.c_int)(address)()], flush=True)
os._exit(0)
"""
    assert bench.run(text).printed == ((b"ENOSYS",),)


def test_calls_of_x32_do_not_exist(bench: Any) -> None:
    run = bench.run("tell_raw(libc.syscall(0x40000000 + 39))")
    assert run.printed == ((b"ENOSYS",),)


def test_a_gate_below_a_gate_is_refused_and_the_first_stays(
    bench: Any, watch: Callable[..., Any]
) -> None:
    text = """
class Prog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))
code = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
prog = Prog(1, ctypes.addressof(code))
tell_raw(libc.syscall(317, 1, 8, ctypes.byref(prog)))
os.mkdir("d")
"""
    run = bench.run(text, watch=watch())
    assert run.printed == ((b"EBUSY",),)
    assert "A mkdir d = 0" in run.log
