"""Slices when processes die, and when many want them at once (C1, P7)."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Frames, Request

KILLED_AT = """
from untorn import slicing, staging, writing
calls = 0
def dying(real, at):
    def call(*given, **named):
        global calls
        calls += 1
        if calls == at: os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    return call
path, module, name, at = sys.argv[2:6]
where = {"os": os, "syscalls": syscalls, "accounting": accounting}[module]
cache = Cache.open(sys.argv[1])
setattr(where, name, dying(getattr(where, name), int(at)))
cache.extract(Request(clip=path, fps=30, start="0.5", duration="0.4"))
say("lived")
"""


@pytest.mark.parametrize(
    ("module", "name", "call", "is_there"),
    [
        ("os", "link", 1, False),
        ("os", "link", 7, False),
        ("os", "write", 1, False),  # of the manifest
        ("syscalls", "rename_noreplace", 1, False),
        ("accounting", "add", 1, True),
    ],
)
def test_a_slice_that_is_killed_is_a_miss_or_whole(
    cache: Cache,
    sdr: Path,
    root: Path,
    alone: list[bytes],
    whole_key: str,
    child: Callable[..., Any],
    module: str,
    name: str,
    call: int,
    is_there: bool,
) -> None:
    dead = child(KILLED_AT, root, sdr, module, name, call)
    assert dead.heard() == ""
    assert dead.ended() == -signal.SIGKILL
    assert len(list((root / "v1").iterdir())) == 1 + is_there
    found = cache.lookup(whole_key)
    assert isinstance(found, Frames)
    found.release()
    with cache.extract(Request(clip=sdr, fps=30, start="0.5", duration="0.4")) as part:
        assert part.delivery is (Delivery.HIT if is_there else Delivery.PUBLISHED)
        assert [part.read(index) for index in range(len(part))] == alone
    cache.collect(budget_bytes="unlimited")
    names = [path for entry in (root / "v1").iterdir() for path in entry.iterdir()]
    assert cache.stats().entry_bytes == sum(path.stat().st_size for path in names)


# --- many at once


MANY = """
path = sys.argv[2]
cache = Cache.open(sys.argv[1])
hear()
for start, duration in eval(sys.argv[3]):
    with cache.extract(Request(clip=path, fps=30, start=start, duration=duration)) as frames:
        say(len(frames), frames.delivery)
say(cache.stats().counters.get("extracted", 0))
"""


@pytest.fixture
def asked() -> list[tuple[str, str | None]]:
    return [("0.5", "0.4"), ("0", None), ("0.6", "0.2"), ("1", "0.5"), ("0.1", "1.5")]


@pytest.mark.usefixtures("whole_key")
def test_slices_and_their_superset_at_once_decode_nothing_more(
    sdr: Path, root: Path, decoder: Any, child: Callable[..., Any], asked: list[Any]
) -> None:
    before = decoder.decodes()
    orders = [asked, asked[::-1], asked[2:] + asked[:2], asked[3:] + asked[:3]]
    children = [child(MANY, root, sdr, order) for order in orders]
    for each in children:
        each.tell()
    for each, order in zip(children, orders, strict=True):
        said = [each.heard().split() for _ in order]
        lengths = {("0.5", "0.4"): 12, ("0", None): 60, ("0.6", "0.2"): 6}
        for (count, _), wanted in zip(said, order, strict=True):
            assert int(count) == lengths.get(wanted, int(count))
        assert each.heard() == "0"
    assert decoder.decodes() == before
