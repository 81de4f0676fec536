"""Tokens: any schedule in one word, and any damage to that word noticed."""

from __future__ import annotations

import base64
import dataclasses
import random
import re
import shlex
import string
import zlib
from typing import Any

import pytest
from untorn_stress.grain import Grain
from untorn_stress.token import (
    CHOICES_MAX,
    Token,
    TokenError,
    check_fits,
    parse_schedule,
    schedule_text,
)

RACE = Token(
    backend="py:untorn_conformance.specimens.posted:factory",
    identity="posted@1901",
    scenario="writer-writer",
    tree="harvest-1a2b3c4d",
    seed=7,
    bound=1,
    choices=("A",) * 31 + ("B",) * 12 + ("At1",) * 9,
)
TEXTS = ("reference", "cmd:node 'my cache.mjs' --x=$HOME", "py:a.b:c", "\udcff\u00e9 `;|&", "a@b")
FAULTS = ("", "!EIO", "!kill", "!short:17", "!EINTR:2", "!a_b.c=d,e@f/g+h")


def some_token(rng: random.Random) -> Token:
    actors = [letter + thread for letter in "ABC" for thread in ("", "t1", "t12")]
    labels = [actor + fault for actor in actors for fault in FAULTS]
    runs = [[rng.choice(labels)] * rng.randint(1, 40) for _ in range(rng.randint(0, 9))]
    return Token(
        backend=rng.choice(TEXTS),
        identity=f"{rng.choice(TEXTS)}@{rng.randint(0, 9)}.0",
        scenario=rng.choice(("writer-writer", "adopt", "reader_writer-gc")),
        tree=rng.choice(("empty", "published", f"harvest-{rng.getrandbits(32):08x}")),
        grain=rng.choice(list(Grain)),
        locks=rng.choice(("real", "noop", "ENOLCK")),
        seed=rng.choice((0, 7, rng.getrandbits(64))),
        bound=rng.choice((0, 2, "preemptions<=2", "pct d=3")),
        choices=tuple(label for run in runs for label in run),
    )


def forged(body: str) -> str:
    """A token whose checksum is right, whatever it says."""
    return f"{body}.{zlib.crc32(body.encode()):08x}"


def plain(json: bytes) -> str:
    """The field that holds backend, identity and bound."""
    return base64.urlsafe_b64encode(json).decode().rstrip("=")


def with_field(index: int, text: str) -> str:
    fields = RACE.encode().split(".")[:-1]
    fields[index] = text
    return forged(".".join(fields))


def test_a_token_is_read_at_a_glance() -> None:
    start = "u1.writer-writer.harvest-1a2b3c4d.31A-12B-9At1.metadata.real.7."
    assert RACE.encode().startswith(start)


def test_a_token_is_what_it_was_in_the_first_release() -> None:
    """Tokens are pasted into tests: they must be read for as long as their version is."""
    token = Token(
        backend="reference",
        identity="reference@0.1.0",
        scenario="writer-gc",
        tree="empty",
        bound="pct d=3",
        choices=("A", "A!EIO", "B"),
    )
    rest = plain(b'["reference","reference@0.1.0","pct d=3"]')
    text = forged(f"u1.writer-gc.empty.1A-1A_EIO-1B.metadata.real.0.{rest}")
    assert (token.encode(), Token.decode(text)) == (text, token)


def test_every_token_survives_the_round_trip() -> None:
    rng = random.Random(1)
    for _ in range(500):
        token = some_token(rng)
        assert Token.decode(token.encode()) == token


def test_a_token_is_one_word_that_no_shell_looks_into() -> None:
    rng = random.Random(2)
    for _ in range(500):
        text = some_token(rng).encode()
        assert re.fullmatch(r"u1[A-Za-z0-9._+-]+", text)
        assert shlex.quote(text) == text or "+" in text
        assert shlex.split(text) == [text]


def test_different_tokens_are_different_words() -> None:
    rng = random.Random(3)
    tokens = {some_token(rng) for _ in range(500)}
    assert len({token.encode() for token in tokens}) == len(tokens)


def test_every_changed_character_is_noticed() -> None:
    rng = random.Random(4)
    alphabet = string.ascii_letters + string.digits + ".-_+ !~"
    for _ in range(8):
        text = some_token(rng).encode()
        for at, letter in enumerate(text):
            other = rng.choice([each for each in alphabet if each != letter])
            changed = text[:at] + other + text[at + 1 :]
            if changed.strip() == text[:at] + text[at + 1 :]:
                changed = text[:at] + "#" + text[at + 1 :]
            with pytest.raises(TokenError):
                Token.decode(changed)


def test_every_lost_doubled_or_swapped_character_is_noticed() -> None:
    text = RACE.encode()
    for at in range(len(text) - 1):
        swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        for changed in (text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:], swapped):
            if changed != text:
                with pytest.raises(TokenError):
                    Token.decode(changed)


def test_a_truncated_token_is_called_so() -> None:
    rng = random.Random(5)
    for _ in range(20):
        text = some_token(rng).encode()
        for length in range(len("u1."), len(text)):
            with pytest.raises(TokenError, match=r"is cut short; copy it again"):
                Token.decode(text[:length])


def test_blanks_around_a_token_are_no_part_of_it() -> None:
    assert Token.decode(f"  {RACE.encode()}\n") == RACE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no token; a token starts with u1"),
        ("writer-writer", "is no token"),
        ("x" * 10_000, r"'x{30}\.\.\.x{30}' is no token"),
        ("\x1b[2J\udcff", r"'\\x1b\[2J\\udcff' is no token"),
        ("u2.something.else", "is a token of version 2, and this untorn reads u1; replay it with"),
        (RACE.encode().replace("31A", "32A"), "is damaged: its checksum is not right; copy it"),
        (RACE.encode() + ".", "is damaged"),
        (RACE.encode()[:20] + "\n" + RACE.encode()[20:], "is broken by a blank; paste the token"),
    ],
)
def test_a_text_that_is_no_token_is_told_what_it_is(text: str, said: str) -> None:
    with pytest.raises(TokenError, match=said):
        Token.decode(text)


@pytest.mark.parametrize(
    ("index", "text", "said"),
    [
        (1, "", "'' cannot be the name of a scenario"),
        (2, "+", "cannot be the name of a tree"),
        (3, "", "'' in a schedule is no count and actor; write 31A-12B"),
        (3, "A", "'A' in a schedule is no count"),
        (3, "0A", "'0A' in a schedule"),
        (3, "1A_", "'1A!' in a schedule"),
        (3, "9999999A", "more than 1000000 choices"),
        (3, "-".join(["999999A", "999999B"]), "more than 1000000 choices"),
        (3, "1A-1A", "not in the form that untorn writes"),
        (3, "1A_+45IO", "not in the form that untorn writes|in a schedule"),
        (4, "inode", "'inode' is not a valid Grain"),
        (5, "", "cannot be the name of a kind of locks"),
        (6, "-1", "a seed is a number, not '-1'"),
        (6, "07", "a seed is a number"),
        (6, "9" * 20, "a seed is a number from 0 to"),
        (7, "A", "its backend cannot be read"),
        (7, "e30", "its backend, identity and bound are not all there"),
        (7, plain(b"[1,2,3]"), "cannot be the backend of a token"),
        (7, plain(b'["a","b",-1]'), "a bound is a number of"),
        (7, plain(b'["a","b",1 ]'), "not in the form"),
    ],
)
def test_an_undamaged_token_that_describes_no_run_says_which_field(
    index: int, text: str, said: str
) -> None:
    with pytest.raises(TokenError, match=said):
        Token.decode(with_field(index, text))


@pytest.mark.parametrize(
    "change",
    [
        {"scenario": "a b"},
        {"tree": ""},
        {"backend": ""},
        {"seed": -1},
        {"seed": True},
        {"bound": -1},
        {"bound": ""},
        {"grain": "inode"},
        {"choices": ("A-B",)},
        {"choices": ("",)},
        {"choices": ("A!",)},
        {"choices": ("A",) * (CHOICES_MAX + 1)},
    ],
)
def test_no_token_is_made_that_could_not_be_read(change: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        dataclasses.replace(RACE, **change)


def test_a_schedule_is_runs_of_equal_labels() -> None:
    assert schedule_text(["A", "A", "B", "A!EIO", "At1"]) == "2A-1B-1A!EIO-1At1"


def test_a_schedule_without_choices_is_a_nought() -> None:
    assert (schedule_text([]), parse_schedule("0")) == ("0", ())


def test_a_schedule_may_be_written_by_hand() -> None:
    assert parse_schedule("1A-1A-2B") == ("A", "A", "B", "B")


def test_a_token_fits_the_backend_that_it_was_made_with() -> None:
    check_fits(RACE, spec=RACE.backend, identity=RACE.identity)


def test_a_program_may_be_installed_elsewhere() -> None:
    token = dataclasses.replace(RACE, backend="cmd:node /here/a.mjs", identity="node-cache@2.0")
    check_fits(token, spec="cmd:node /there/a.mjs", identity="node-cache@2.0")


@pytest.mark.parametrize(
    ("spec", "identity", "said"),
    [
        (RACE.backend, "other@1901", "made with another backend, posted .* not with other"),
        ("reference", "posted@1901", "another backend, posted .*specimens.* 'reference'"),
        (RACE.backend, "posted@1902", "made with posted 1901, and this is 1902"),
    ],
)
def test_a_foreign_token_is_refused(spec: str, identity: str, said: str) -> None:
    with pytest.raises(TokenError, match=said):
        check_fits(RACE, spec=spec, identity=identity)
