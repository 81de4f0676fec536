"""The page: everything is text, nothing is loaded, and only a pass looks like one."""

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from untorn_conformance.verdict import MEANINGS, Outcome
from untorn_reports.drawing import Drawing
from untorn_reports.render import render

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7*7 }} &amp;"
VOID = {"meta", "link", "img", "br"}
LOADING = {"src", "href", "srcset", "data", "poster", "action", "background", "style"}


class Page(HTMLParser):
    """The elements of a page, with the text inside each element that has a class."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[frozenset[str], str]] = []
        self._open: list[frozenset[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self._open.append(frozenset((attributes.get("class") or "").split()))

    def handle_endtag(self, tag: str) -> None:
        assert tag not in VOID
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.append((self._open[-1], data))


def test_the_verdict_comes_first_with_its_profile_and_its_meaning(document: dict[str, Any]) -> None:
    texts = [text.strip() for _, text in Page(render(document)).texts if text.strip()]
    words = texts[texts.index(document["word"]) :]
    profile = "core + single-flight + lease + stats"
    assert words[:3] == [document["word"], profile, MEANINGS[document["word"]]]


def test_every_requirement_is_shown_with_outcome_reason_evidence_and_cases(
    document: dict[str, Any],
) -> None:
    text = "".join(text for _, text in Page(render(document)).texts)
    for row in document["requirements"]:
        words = document["contract"]["requirements"][row["id"]]["text"]
        assert words.translate(str.maketrans("", "", "*`")) in text
        assert row["reason"] in text
        assert all(evidence["detail"] in text for evidence in row["evidence"])
        assert all(name in text for name in row["cases"])


def test_how_each_requirement_is_judged_is_shown(document: dict[str, Any]) -> None:
    text = "".join(text for _, text in Page(render(document)).texts)
    for words in document["contract"]["requirements"].values():
        for name in ("observed_by", "brought_about_by", "oracle"):
            assert words[name].translate(str.maketrans("", "", "*`")) in text


def test_a_counterexample_is_drawn_in_columns_with_the_line_that_replays_it(
    document: dict[str, Any],
) -> None:
    drawing = Drawing(
        name="counterexamples/a.json",
        requirements=("P3",),
        text=f"step  w1\n   1  rename {HOSTILE}",
        replay="untorn replay u1.x",
    )
    broken = Drawing(name="counterexamples/b.json", problem="it cannot be drawn: it is not JSON")
    texts = Page(render(document, [drawing, broken])).texts
    assert (frozenset({"wide"}), drawing.text) in texts
    shown = [text for _, text in texts]
    assert shown.index(drawing.text) < shown.index("untorn replay u1.x")
    assert broken.problem in shown


def test_only_a_pass_is_drawn_as_a_pass(document: dict[str, Any]) -> None:
    drawn = [
        (classes, text) for classes, text in Page(render(document)).texts if "outcome" in classes
    ]
    shown = {text for _, text in drawn}
    assert shown == set(Outcome)
    for classes, text in drawn:
        assert ("pass" in classes) == (text == "PASS"), text


@pytest.mark.parametrize(
    "place", ["detail", "backend", "command", "measurement", "reason", "text", "nested"]
)
def test_hostile_text_stays_text(document: dict[str, Any], place: str) -> None:
    before = [tag for tag, _ in Page(render(document)).tags]
    if place in {"backend", "command"}:
        document["provenance"][place] = HOSTILE
    elif place == "nested":
        document["provenance"]["limits"]["flight_wait_s"] = HOSTILE
    elif place == "text":
        document["contract"]["requirements"]["P3"]["text"] = HOSTILE
    elif place == "measurement":
        document["measurements"][0]["name"] = HOSTILE
    elif place == "detail":
        document["cases"][0]["detail"] = HOSTILE
    else:
        document["requirements"][0]["reason"] = HOSTILE
    page = Page(render(document))
    assert [tag for tag, _ in page.tags] == before
    assert any(HOSTILE in text for _, text in page.texts)


def test_nothing_is_loaded_and_nothing_runs(document: dict[str, Any]) -> None:
    html = render(document)
    for tag, attributes in Page(html).tags:
        assert tag not in {"script", "link", "iframe", "img", "object", "base"}
        assert not LOADING & set(attributes), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
    for load in ("http://", "https://", "url(", "@import", "//cdn"):
        assert load not in html


def test_a_backend_with_a_name_and_a_command_of_arguments_are_shown(
    document: dict[str, Any],
) -> None:
    document["provenance"] |= {
        "backend": {"name": "mine", "version": "2"},
        "command": ["pytest", "--dir", "/mnt/a b"],
        "file_systems": [{"path": "/mnt/a b", "type": "xfs", "options": ["rw", "noatime"]}],
        "directories": {"/mnt/a_b": {"mount_point": "/mnt"}},
    }
    texts = [text for _, text in Page(render(document)).texts]
    for shown in (
        "backend.version",
        "pytest --dir '/mnt/a b'",
        "rw, noatime",
        "directories./mnt/a_b.mount point",
    ):
        assert shown in texts
    assert "invalid: mine" in texts


def test_the_page_fits_a_phone_and_follows_the_color_scheme(document: dict[str, Any]) -> None:
    html = render(document)
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in html
    assert "prefers-color-scheme: dark" in html
    assert "max-width: 40rem" in html


def test_measurements_and_the_command_are_shown(document: dict[str, Any]) -> None:
    texts = [text for _, text in Page(render(document)).texts]
    for shown in ("cold (s)", "PSNR (dB)", "sky", "12.2", "0.0620", "198", "1500", "inf"):
        assert shown in texts
    assert document["provenance"]["command"] in texts


def test_a_file_name_that_is_not_utf_8_is_shown_escaped(document_of: Callable[..., Any]) -> None:
    document = document_of(("P1.a", Outcome.FAIL, "torn: frame_\udce9.png"))
    assert r"frame_\udce9.png" in render(document).encode("utf-8").decode("utf-8")


def test_what_is_no_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="not a verdict"):
        render({"schema": "junit"})
