"""Who runs shards: this machine, or the workers of a Dask cluster, behind one form.

Rule 1: both are a ``concurrent.futures.Executor``. Here it is one of threads, since each only waits
        for processes of its own.
Rule 2: ``end`` leaves no process of the campaign anywhere, and can be asked for at any time.
Rule 3: a cluster that cannot be reached is said so within seconds, and one that goes away later
        does not keep the campaign waiting; nor does a worker that is gone, stopped or cut off.

Sources: https://distributed.dask.org/en/stable/api.html (Client.get_executor, Client.run);
distributed/scheduler.py for ``allowed-failures``.
"""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import psutil

from untorn_stress import supervise, tree_removal
from untorn_stress.campaign.task import ShardTask, private_name, run
from untorn_stress.campaign.warden import CAMPAIGN_VARIABLE, SHARD_VARIABLE, TERM_S

LOCAL: Final = "local"
CONNECT_S: Final = 10.0
"""How long a scheduler may take to answer, in seconds."""

ANSWER_S: Final = 10.0
"""How long a worker may take to answer that runs nothing for it, in seconds."""

INSTALL: Final = "pip install 'untorn[dask]'"
_GENTLE_S: Final = TERM_S + 5.0


class ExecutorError(Exception):
    """There is nobody to run shards; the message says why, and what to do."""


class Hands(Protocol):
    """What runs shards."""

    @property
    def jobs(self) -> int:
        """How many shards run at once."""

    def submit(self, task: ShardTask) -> Future[dict[str, Any]]:
        """Have an attempt made."""

    def trouble(self) -> str:
        """Why nothing that was submitted may ever end; empty while all is well."""

    def end(self, campaign: str, base: str) -> None:
        """End every process of the campaign, and remove its temporary files."""


def sweep(campaign: str, base: str) -> int:
    """Do that on this host, gently first; returns how many processes had to be killed."""
    wardens = [each for each in supervise.marked(campaign, CAMPAIGN_VARIABLE) if _is_warden(each)]
    for each in wardens:
        with contextlib.suppress(psutil.NoSuchProcess):  # it was on its way already
            each.terminate()
    psutil.wait_procs(wardens, timeout=_GENTLE_S)
    killed = supervise.kill_all(lambda: supervise.marked(campaign, CAMPAIGN_VARIABLE))
    for path in Path(base or tempfile.gettempdir()).glob(private_name(campaign, "*")):
        with contextlib.suppress(FileNotFoundError):  # its warden was as quick
            tree_removal.remove(str(path), path.lstat())
    return killed


def _is_warden(process: psutil.Process) -> bool:
    """Whether it carries the campaign's mark and not that of a shard, which a warden sets."""
    try:
        return SHARD_VARIABLE not in process.environ()
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalHands:
    """Threads of this process, each waiting for one shard."""

    executor: Executor
    jobs: int

    def submit(self, task: ShardTask) -> Future[dict[str, Any]]:
        """Have an attempt made."""
        return self.executor.submit(run, task)

    def trouble(self) -> str:
        """Nothing but our own end can hinder us."""
        return ""

    def end(self, campaign: str, base: str) -> None:
        """Kill what is left here; the threads that waited for it go on, and end."""
        sweep(campaign, base)


@dataclass(frozen=True, kw_only=True, slots=True)
class DaskHands:
    """The workers of a cluster."""

    client: Any
    executor: Any
    jobs: int

    def submit(self, task: ShardTask) -> Future[dict[str, Any]]:
        """Have an attempt made by any worker; the cluster is not to do it again by itself."""
        future: Future[dict[str, Any]] = self.executor.submit(run, task)
        return future

    def trouble(self) -> str:
        """Whether the scheduler is gone, or all its workers are."""
        if self.client.status != "running":
            return "the connection to the Dask scheduler is lost"
        return "" if self.client.scheduler_info(n_workers=-1)["workers"] else "no worker is left"

    def end(self, campaign: str, base: str) -> None:
        """Kill what is left on every host."""
        if self.client.status == "running":
            _ask_each(self.client, sweep, campaign, base, seconds=_GENTLE_S + ANSWER_S)
        sweep(campaign, base)


@contextlib.contextmanager
def hands(executor: str, jobs: int | None) -> Iterator[Hands]:
    """Who runs shards, as ``local`` or ``dask://HOST:PORT`` says. Raises ExecutorError."""
    if executor != LOCAL:
        with _dask(executor, jobs) as made:
            yield made
        return
    count = jobs or 1
    with ThreadPoolExecutor(count, thread_name_prefix="untorn-shard") as pool:
        yield LocalHands(executor=pool, jobs=count)


def address_of(executor: str) -> tuple[str, int]:
    """The host and port of ``dask://HOST:PORT``. Raises ExecutorError."""
    match = re.fullmatch(r"dask://(?:\[([0-9a-fA-F:]+)\]|([^:/\s\[\]]+)):([0-9]{1,5})", executor)
    if match is None or not 0 < int(match[3]) < 2**16:
        raise ExecutorError(f"{executor!a} is neither local nor dask://HOST:PORT")
    return match[1] or match[2], int(match[3])


@contextlib.contextmanager
def _dask(executor: str, jobs: int | None) -> Iterator[DaskHands]:
    host, port = address_of(executor)
    try:
        import distributed  # noqa: PLC0415 (an extra: whoever has no cluster needs none of it)
    except ImportError as error:
        raise ExecutorError(f"{executor} needs distributed, which is missing: {INSTALL}") from error
    try:
        with socket.create_connection((host, port), timeout=CONNECT_S):
            pass
        where = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        client = distributed.Client(where, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ExecutorError(
            f"no Dask scheduler answers at {host}:{port} ({error}): start one there with "
            f"`dask scheduler --port {port}`, and workers with `dask worker {host}:{port}`"
        ) from error
    with client:
        workers = _ready(client, executor)
        # Otherwise a shard that takes its worker with it is run by three more (allowed-failures).
        client.run_on_scheduler(_allow_no_failures)
        count = jobs or workers
        yield DaskHands(client=client, executor=client.get_executor(pure=False), jobs=count)


def _allow_no_failures(dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = 0


def _ready(client: Any, executor: str) -> int:
    """How many workers there are that can run a shard; the gone do not count. ExecutorError."""
    workers, answers = _ask_each(client, _probe, seconds=ANSWER_S)
    if not workers:
        raise ExecutorError(f"{executor} has no worker: start some with `dask worker`")
    there = {name: each for name, each in answers.items() if not isinstance(each, OSError)}
    for worker, answer in there.items():
        if isinstance(answer, Exception):
            raise ExecutorError(
                f"the worker {worker} cannot run shards ({answer!r}): install the same untorn there"
            )
    if not there:
        raise ExecutorError(
            f"no worker of {executor} answered in {ANSWER_S:g} s, of {len(workers)} that it names"
        )
    return len(there)


def _ask_each(
    client: Any, function: Callable[..., Any], *arguments: str, seconds: float
) -> tuple[list[str], dict[str, Any]]:
    """The workers, and what those of them answered, or raised, who did so within ``seconds``.

    Each is asked by a thread of its own: a scheduler that has not noticed yet that a worker is gone
    tries to reach it for half a minute, again and again, and lets whoever asks for all wait.
    """
    workers = list(client.scheduler_info(n_workers=-1)["workers"])
    answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def ask(worker: str) -> None:
        try:
            answers.put(client.run(function, *arguments, workers=[worker], on_error="return"))
        except Exception as error:  # it is gone, or cannot have what is asked: who asks decides
            answers.put({worker: error})

    for worker in workers:
        threading.Thread(target=ask, args=(worker,), daemon=True).start()
    found: dict[str, Any] = {}
    end_s = time.monotonic() + seconds
    with contextlib.suppress(queue.Empty):
        while len(found) < len(workers):
            found.update(answers.get(timeout=max(0.0, end_s - time.monotonic())))
    return workers, found


def _probe() -> str:
    """What a worker answers that has our modules: reaching it took importing them."""
    return socket.gethostname()
