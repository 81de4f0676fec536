"""Workers that only answer: new or as new each time, given up, told and ended as at the gate."""

from __future__ import annotations

import os
from collections.abc import Callable

import psutil
import pytest
from untorn_conformance import wire
from untorn_conformance.backend import Miss, Verb
from untorn_stress.gate.availability import probe
from untorn_stress.gate.hosting import CrowdedError, HostingError, HostingTimeoutError
from untorn_stress.laboratory import Laboratory

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

Make = Callable[..., Laboratory]

TELLS = """
asked = 0

def lookup(self, *, key):
    from untorn_conformance.backend import Miss, MissReason
    self.asked += 1
    if self.asked == 1:
        FIRST
    if os.path.exists(self._root + "/again"):
        AGAIN
    return Miss(reason=MissReason.ABSENT, detail=f"{os.getpid()} {self.asked}")
"""
RENEWS = """
def renew(self):
    self.asked = 0
    RENEW
    return True
"""


def telling(first: str = "pass", again: str = "pass") -> str:
    return TELLS.replace("FIRST", first).replace("AGAIN", again)


def renewing(renew: str = "pass") -> str:
    return RENEWS.replace("RENEW", renew)


def ask(laboratory: Laboratory) -> tuple[int, int]:
    """The process that answered a look, and how often it had been asked as far as it knows."""
    request = wire.encode_request(1, Verb.LOOKUP, {"key": laboratory.payloads.key("k")})
    (line,) = laboratory.answers([request])
    answer = wire.decode_answer(line, verb=Verb.LOOKUP).value
    assert isinstance(answer, Miss)
    assert answer.detail is not None
    pid, asked = answer.detail.split()
    return int(pid), int(asked)


def test_one_that_is_as_new_answers_look_after_look(laboratory_of: Make) -> None:
    laboratory = laboratory_of(telling() + renewing())
    told = [ask(laboratory) for _ in range(3)]
    assert told == [told[0]] * 3
    assert told[0][1] == 1
    laboratory.close()
    assert not psutil.pid_exists(told[0][0])


NOT_AS_NEW = {
    "it does not renew itself": telling(),
    "it says that it is not": telling() + renewing("return False"),
    "it dies of it": telling() + renewing("os._exit(3)"),
    "it hangs in it": telling() + renewing("__import__('time').sleep(3600)"),
    "it gets a child by it": telling() + renewing("os.fork() or __import__('time').sleep(3600)"),
    "it has a directory open": telling("os.open(self._root, os.O_DIRECTORY)") + renewing(),
}


@pytest.mark.parametrize("method", NOT_AS_NEW.values(), ids=NOT_AS_NEW)
def test_who_is_not_as_new_is_over_before_the_tree_is_put_back(
    laboratory_of: Make, method: str
) -> None:
    laboratory = laboratory_of(method, step_deadline_s=2.0 if "3600" in method else 20.0)
    pids = []
    for _ in range(2):
        pid, asked = ask(laboratory)
        assert asked == 1
        assert _is_over(pid)
        pids.append(pid)
    assert len(set(pids)) == 2


AMISS = {
    "hangs": ("__import__('time').sleep(3600)", HostingTimeoutError),
    "dies": ("os._exit(3)", HostingError),
    "forks": ("os.fork() or __import__('time').sleep(3600)", CrowdedError),
    "leaves a daemon": (
        "child = os.fork(); child or (os.fork() and os._exit(0)); "  # noqa: ISC004
        "child and os.waitpid(child, 0); child or __import__('time').sleep(3600)",
        CrowdedError,
    ),
    "starts a thread": (
        "import threading, time; threading.Thread(target=time.sleep, args=(3600,)).start()",
        CrowdedError,
    ),
}


@pytest.mark.parametrize("asked_before", [False, True], ids=["first", "again"])
@pytest.mark.parametrize(("deed", "error"), AMISS.values(), ids=AMISS)
def test_what_goes_amiss_is_told_and_the_next_one_is_new(
    laboratory_of: Make, deed: str, error: type[HostingError], *, asked_before: bool
) -> None:
    method = telling(again=f"os.unlink(self._root + '/again'); {deed}") + renewing()
    laboratory = laboratory_of(method, step_deadline_s=2.0 if error is HostingTimeoutError else 20)
    before = ask(laboratory)[0] if asked_before else 0
    (laboratory.root / "again").touch()
    with pytest.raises(error) as caught:
        ask(laboratory)
    assert caught.type is error
    if before:
        assert _is_over(before)
    assert ask(laboratory)[0] != before


def test_nothing_that_it_had_open_stays_with_us(laboratory_of: Make) -> None:
    laboratory = laboratory_of(telling() + renewing("return False"))
    ask(laboratory)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        ask(laboratory)
    assert len(os.listdir("/proc/self/fd")) == before


def _is_over(pid: int) -> bool:
    """Whether nothing of it runs: the keeper may have yet to collect it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
