"""A sub-cache lives below its parent's root, and neither ever touches what is the other's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Collected, Delivery, Frames, RootRefusedError, syscalls
from untorn.errors import ConfigError
from untorn.exit_codes import ExitCode

DAY_S = 24 * 3600.0
NAME = "animated-gif"

OpenCache = Callable[..., Cache]
Put = Callable[..., Frames]
Tree = Callable[[Path], dict[str, tuple[Any, ...]]]
Pair = tuple[Cache, Path, Cache, Path]


@pytest.fixture(params=["parent collects", "sub-cache collects"])
def pair(
    request: pytest.FixtureRequest, open_cache: OpenCache, clock: Any, root: Path
) -> Iterator[Pair]:
    """Who collects with its root, and who must not notice with its own: both ways round."""
    parent = open_cache(clock=clock)
    with parent.sub(NAME) as below:
        sides = [(parent, root), (below, root / NAME)]
        if request.param != "parent collects":
            sides.reverse()
        yield (*sides[0], *sides[1])


def own(where: Path, tree: Tree) -> dict[str, tuple[Any, ...]]:
    """What is of the cache at `where` alone: with its counters, but without sub-caches."""
    return {path: facts for path, facts in tree(where).items() if not path.startswith(NAME)}


def empty_out(cache: Cache) -> Collected:
    done = cache.collect(budget_bytes=0, min_age_s=0)
    assert isinstance(done, Collected)
    return done


def test_both_keep_one_key_apart(
    open_cache: OpenCache, root: Path, key: str, put: Put, hit: Callable[[Cache, str], Frames]
) -> None:
    parent = open_cache()
    with parent.sub(NAME) as below:
        assert put(parent, key, {"f1": b"parent"}).delivery is Delivery.PUBLISHED
        assert put(below, key, {"f1": b"below"}).delivery is Delivery.PUBLISHED
        with hit(parent, key) as mine, hit(below, key) as theirs:
            assert (mine.read(0), theirs.read(0)) == (b"parent", b"below")
            assert Path(theirs.directory) == root / NAME / "v1" / key


def test_collect_to_nothing_leaves_the_other_as_it_was(
    pair: Pair, key: str, put: Put, tree: Tree, clock: Any
) -> None:
    collector, _, other, place = pair
    put(collector, key)
    put(other, key)
    clock.now_s += 2 * DAY_S
    before = own(place, tree)
    assert empty_out(collector).evicted == 1
    assert own(place, tree) == before


def test_dead_staging_and_trash_of_the_other_are_its_own_to_clean(
    pair: Pair, key: str, tree: Tree, clock: Any
) -> None:
    collector, _, other, place = pair
    for name in (f"staging/{key}.{'d' * 32}", f"trash/{key}.{'e' * 32}"):
        (place / name).mkdir()
        (place / name / "frame_00001.png").write_bytes(b"frame")
    clock.now_s += 2 * DAY_S
    before = own(place, tree)
    assert empty_out(collector).reaped == 0
    assert own(place, tree) == before
    assert empty_out(other).reaped == 1


def test_collect_amid_the_other_publish_takes_nothing_from_it(
    pair: Pair, key: str, put: Put, clock: Any, just_before: Callable[..., None]
) -> None:
    """The staged frames lie in a directory that is old, sealed and not yet an entry."""
    collector, _, other, _ = pair
    done: list[Collected] = []
    put(collector, key)

    def collect() -> None:
        clock.now_s += 2 * DAY_S
        done.append(empty_out(collector))

    just_before(syscalls, "rename_noreplace", collect)
    published = put(other, key, hold=True)
    assert [one.evicted for one in done] == [1]
    assert published.delivery is Delivery.PUBLISHED
    with published:
        assert [published.read(index) for index in range(3)] == [b"frame 1", b"frame 2", b"frame 3"]


def test_collect_passes_by_what_the_other_leases(
    pair: Pair, key: str, put: Put, clock: Any
) -> None:
    collector, _, other, _ = pair
    with put(other, key, hold=True) as held:
        clock.now_s += 2 * DAY_S
        done = empty_out(collector)
        assert dict(done.protected) == {}
        assert held.read(2) == b"frame 3"


PUBLISHES = """
with Cache.open(sys.argv[1]) as parent, parent.sub("animated-gif") as below:
    mine = below if sys.argv[2] == "below" else parent
    say("begun")
    for number in range(40):
        with mine.stage(f"{number:064x}") as area, fill(area).publish() as frames:
            assert frames.delivery == "published", frames.failure
            assert [frames.read(n) for n in range(3)] == list(FRAMES.values())
say("done")
"""


@pytest.mark.parametrize("side", ["below", "above"])
def test_process_that_publishes_is_not_touched_by_one_that_collects_on_the_other_side(
    open_cache: OpenCache,
    root: Path,
    child: Callable[..., Any],
    key_of: Callable[[int], str],
    hit: Callable[[Cache, str], Frames],
    side: str,
) -> None:
    """Collects to nothing, one after the other, for as long as the other process publishes."""
    parent = open_cache(reap_grace_s=0)
    with parent.sub(NAME) as below:
        collector, other = (parent, below) if side == "below" else (below, parent)
        publisher = child(PUBLISHES, root, side)
        assert publisher.heard() == "begun"
        while publisher.process.poll() is None:
            done = empty_out(collector)
            assert (done.evicted, done.reaped) == (0, 0)
        assert (publisher.heard(), publisher.ended()) == ("done", 0)
        assert other.stats().entries == 40
        for number in range(40):
            hit(other, key_of(number)).release()


def test_counts_of_the_one_are_not_the_counts_of_the_other(pair: Pair, key: str, put: Put) -> None:
    one, _, other, _ = pair
    put(other, key)
    assert (one.stats().entries, one.stats().entry_bytes) == (0, 0)
    assert other.stats().entries == 1


def test_budget_of_a_sub_cache_is_its_own(
    open_cache: OpenCache, clock: Any, key_of: Callable[[int], str], put: Put
) -> None:
    parent = open_cache(clock=clock)
    with parent.sub(NAME, budget_bytes=30_000, min_age_s=0) as below:
        for number in range(6):
            clock.now_s += 60
            put(parent, key_of(number), {"f1": bytes(10_000)})
            put(below, key_of(number), {"f1": bytes(10_000)})
        assert parent.stats().entries == 6
        assert 0 < below.stats().entry_bytes <= 30_000


def test_lifetime_of_a_sub_cache_is_its_own(
    open_cache: OpenCache, clock: Any, key: str, put: Put
) -> None:
    parent = open_cache(clock=clock, min_age_s=60)
    with parent.sub(NAME, min_age_s=7 * DAY_S) as below:
        put(parent, key)
        put(below, key)
        clock.now_s += DAY_S
        evicted = [cache.collect(budget_bytes=0) for cache in (parent, below)]
        assert [one.evicted for one in evicted if isinstance(one, Collected)] == [1, 0]


def test_settings_that_are_left_out_are_the_parents(open_cache: OpenCache, root: Path) -> None:
    parent = open_cache(budget_bytes=12_345, min_age_s=7, verify=True)
    with parent.sub(NAME) as below:
        told = below.settings
    assert (told.budget_bytes, told.min_age_s, told.verify) == (12_345, 7, True)
    assert told.root == str(root / NAME)


BAD_NAMES = [
    "", ".", "..", "a/b", "/a", "a\\b", "a b", "a\n", "a\0", "\x1b[31m", "caf\u00e9", "-x", ".x",
    "_x", "x" * 65, "v1", "V1", "v0", "v2", "v123456789", "staging", "Trash", "ctl",
    "CACHEDIR.TAG", None, 7,
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_name_that_means_nothing_or_is_taken_is_refused(
    open_cache: OpenCache, root: Path, tree: Tree, name: Any
) -> None:
    parent = open_cache()
    before = tree(root)
    with pytest.raises(ConfigError, match="a sub-cache's name"):
        parent.sub(name)
    assert tree(root) == before


@pytest.mark.parametrize("name", ["a", "animated-gif", "v0.9", "v", "0", "waveform_2.x", "x" * 64])
def test_name_that_is_plain_is_taken(open_cache: OpenCache, root: Path, name: str) -> None:
    open_cache().sub(name).close()
    assert (root / name / "v1").is_dir()


@pytest.mark.parametrize("values", [{"budget_bytes": -1}, {"min_age_s": float("nan")}])
def test_bad_value_is_named(open_cache: OpenCache, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        open_cache().sub(NAME, **values)


def test_sub_cache_has_no_sub_caches(open_cache: OpenCache) -> None:
    with open_cache().sub(NAME) as below, pytest.raises(ConfigError, match="no sub-caches"):
        below.sub("deeper")


def test_sub_cache_of_no_cache_is_none_either(key: str, put: Put) -> None:
    with Cache.open(environ={"UNTORN_CACHE_DIR": "off"}) as off, off.sub(NAME) as below:
        assert below.degraded == "switched off"
        published = put(below, key, hold=True)
        with published:
            assert published.delivery is Delivery.UNCACHED


def a_symlink(place: Path, elsewhere: Path) -> None:
    place.symlink_to(elsewhere)


def a_file(place: Path, _: Path) -> None:
    place.write_bytes(b"mine")


def open_to_all(place: Path, _: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


@pytest.mark.parametrize("make", [a_symlink, a_file, open_to_all], ids=lambda make: make.__name__)
def test_unsafe_place_is_refused_and_left_as_it_is(
    open_cache: OpenCache,
    root: Path,
    tmp_path: Path,
    tree: Tree,
    make: Callable[[Path, Path], None],
) -> None:
    parent, elsewhere = open_cache(), tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    make(root / NAME, elsewhere)
    before = tree(root / NAME), tree(elsewhere)
    with pytest.raises(RootRefusedError, match=NAME):
        parent.sub(NAME)
    assert (tree(root / NAME), tree(elsewhere)) == before


def test_sub_cache_below_a_root_that_others_may_write_to_is_refused(
    open_cache: OpenCache, root: Path
) -> None:
    """Whoever may write to the root could put another directory in the sub-cache's place."""
    parent = open_cache()
    parent.sub(NAME).close()
    root.chmod(0o777)
    with pytest.raises(RootRefusedError, match="written by group or others"):
        parent.sub(NAME)


def test_deleted_root_takes_its_sub_caches_along_and_both_come_back_safe(
    open_cache: OpenCache, root: Path, key: str, put: Put
) -> None:
    parent = open_cache()
    with parent.sub(NAME) as below:
        put(below, key)
        subprocess.run(["rm", "-rf", str(root)], check=True)
        before = os.umask(0)
        try:
            assert put(below, key).delivery is Delivery.PUBLISHED
        finally:
            os.umask(before)
        assert root.stat().st_mode & 0o777 == 0o700
        assert put(parent, key).delivery is Delivery.PUBLISHED
        assert below.stats().entries == 1


def test_sub_caches_are_listed_and_foreign_siblings_are_not(
    open_cache: OpenCache, root: Path, key: str, put: Put, tree: Tree
) -> None:
    parent = open_cache()
    for name in ("beta", "alpha", "broken"):
        with parent.sub(name) as below:
            put(below, key)
    (root / "broken").chmod(0o777)
    (root / "photos").mkdir()
    (root / "photos" / "one.png").write_bytes(b"photo")
    (root / "link").symlink_to(root / "alpha")
    (root / "file").write_bytes(b"file")
    (root / "half" / "v1").mkdir(parents=True)
    (root / "tools" / "ctl").mkdir(parents=True)
    before = tree(root)
    told = parent.sub_caches()
    assert [(one.name, one.entries, bool(one.problem)) for one in told] == [
        ("alpha", 1, False), ("beta", 1, False), ("broken", 0, True),
    ]  # fmt: skip
    entry = root / "alpha" / "v1" / key
    assert told[0].entry_bytes == sum(file.stat().st_size for file in entry.iterdir())
    assert tree(root) == before


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "untorn", *arguments, "--cache-dir", str(root)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def filled(open_cache: OpenCache, root: Path, key: str, put: Put) -> Path:
    """A root with an entry, and an entry in a sub-cache."""
    parent = open_cache()
    put(parent, key)
    with parent.sub(NAME) as below:
        put(below, key)
    return root


def test_stats_lists_sub_caches_and_shows_one(filled: Path) -> None:
    assert f"sub-cache {NAME}: 1 entry, 0.0 MB" in run(filled, "stats").stdout
    whole = json.loads(run(filled, "stats", "--json").stdout)
    one = json.loads(run(filled, "stats", "--sub", NAME, "--json").stdout)
    assert whole["sub_caches"][NAME]["entries"] == 1
    assert (one["root"], one["entries"], one["budget_bytes"]) == (str(filled / NAME), 1, None)


def test_gc_of_a_sub_cache_evicts_only_what_it_is_told(filled: Path) -> None:
    """Its budget is its program's, so a gc that names none evicts nothing."""
    none = run(filled, "gc", "--sub", NAME, "--min-age-s", "0", "--json")
    all_of_it = run(filled, "gc", "--sub", NAME, "--min-age-s", "0", "--budget-mb", "0", "--json")
    assert [json.loads(done.stdout)["evicted"] for done in (none, all_of_it)] == [0, 1]
    assert json.loads(run(filled, "stats", "--json").stdout)["entries"] == 1


def test_command_on_a_sub_cache_that_is_not_there_makes_none(filled: Path) -> None:
    for command in ("stats", "gc"):
        done = run(filled, command, "--sub", "animated-gfi")
        assert done.returncode == ExitCode.USAGE
        assert f"there are {NAME}" in done.stderr
    assert not (filled / "animated-gfi").exists()


def test_doctor_says_which_sub_caches_there_are_and_what_is_wrong(filled: Path) -> None:
    (filled / NAME).chmod(0o770)
    checks = json.loads(run(filled, "doctor", "--json").stdout)["checks"]
    (told,) = [check for check in checks if check["name"] == "sub-cache"]
    assert told["well"] is False
    assert NAME in told["seen"]
