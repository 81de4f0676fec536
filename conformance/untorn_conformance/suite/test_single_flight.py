"""Chapter P, row P7: concurrent requests of one key do the work once, and nobody waits for ever.

What an extraction answers says who worked: a hit means that another did. Durations are judged in
a storm (`untorn storm`); here every request only has to be answered.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from untorn_conformance.backend import Axis, Extracted, ExtractOutcome, Setting, Verb
from untorn_conformance.barriers import Inputs, stop_amid_extraction
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.moves import read_all
from untorn_conformance.plugin import requires, unknown
from untorn_fixtures.clips import clip
from untorn_fixtures.real import real_clip
from untorn_stress.worker import Worker


def request(fps: str) -> Inputs:
    """Enough frames that others can come while the first is at work."""
    return {Axis.PATH: str(real_clip("carphone_pristine")), Axis.FPS: fps, Axis.FORMAT: "png"}


SHORT_WAIT_S = 1
"""How long one waits for who is stopped, where it can be told; else its whole limit."""


def warmed(farm: Farm, count: int, env: Mapping[str, str] | None = None) -> list[Worker]:
    """Workers that have all extracted once: what they load late is loaded."""
    farm.needs(Capability.SINGLE_FLIGHT, Capability.EXTRACT)
    workers = [farm.worker(env) for _ in range(count)]
    tiny = {Axis.PATH: str(clip("sdr")), Axis.FPS: "1", Axis.FORMAT: "png"}
    for worker in workers:
        answer = worker.call(Verb.EXTRACT, inputs=tiny)
        worker.call(Verb.RELEASE, handle=answer.handle)
    return workers


def alike(workers: Sequence[Worker], answers: Sequence[Extracted]) -> bool:
    """Whether all got the same frames, all of them readable."""
    read = [read_all(worker, each) for worker, each in zip(workers, answers, strict=True)]
    return all(each == read[0] for each in read) and len(set(read[0])) > 1


@requires("P7", evidence="3 requests of one key, 2 of them while the first wrote frames; one round")
def test_P7_the_work_is_done_once(farm: Farm) -> None:
    """Who comes while another works waits for it, and is served what the other has made."""
    workers = warmed(farm, 3)
    started_s = time.monotonic()
    amid = stop_amid_extraction(farm, workers[0], request("60"))
    pending = [each.send(Verb.EXTRACT, inputs=request("60")) for each in workers[1:]]
    answers = [amid.finish()]
    answers += [each.receive(asked) for each, asked in zip(workers[1:], pending, strict=True)]
    if time.monotonic() - started_s > farm.hello.limits.flight_wait_s:
        unknown("the work took longer than flight_wait_s, so a waiter may do it too")
    assert alike(workers, answers)
    assert [each.outcome for each in answers].count(ExtractOutcome.HIT) == 2, answers


@requires("P7", evidence="one worker killed amid its frames, one waiter; one round")
def test_P7_the_next_takes_over_from_the_dead(farm: Farm) -> None:
    """A worker's death leaves its waiters neither without frames nor waiting."""
    leader, waiter, late = warmed(farm, 3)
    amid = stop_amid_extraction(farm, leader, request("120"))
    pending = waiter.send(Verb.EXTRACT, inputs=request("120"))
    leader.kill()
    amid.lift()
    answers = [waiter.receive(pending), late.call(Verb.EXTRACT, inputs=request("120"))]
    assert answers[0].outcome is not ExtractOutcome.HIT, "the dead one had published"
    assert alike([waiter, late], answers)


@requires("P7", "L1", evidence="one worker stopped amid its frames, one waiter; one round")
def test_P7_a_waiter_gives_up_on_the_stopped(farm: Farm) -> None:
    """A stopped worker is waited for once, and then the waiter does the work itself."""
    variable = farm.hello.variables.get(Setting.FLIGHT_WAIT_S)
    leader, waiter = warmed(farm, 2, {variable: str(SHORT_WAIT_S)} if variable else {})
    amid = stop_amid_extraction(farm, leader, request("60"))
    amid.lift()
    answer = waiter.call(Verb.EXTRACT, inputs=request("60"))
    assert answer.outcome is not ExtractOutcome.HIT, "the stopped one had published"
    assert alike([waiter, leader], [answer, amid.finish()])
