"""The page of storms and campaigns: all text, nothing loaded, and only a pass looks like one."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from untorn_reports.drawing import Drawing
from untorn_reports.storms.files import CampaignRun, counterexamples, path_of, read
from untorn_reports.storms.page import render, write

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7*7 }} &amp; </svg>"
VOID = {"meta", "link", "img", "br"}
LOADING = {"src", "srcset", "data", "poster", "action", "background", "style", "xlink:href"}


class Page(HTMLParser):
    """The elements of a page and its texts, each with the classes and the id of its element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[frozenset[str], str]] = []
        self.ids: set[str] = set()
        self._open: list[tuple[str, frozenset[str]]] = []
        self.feed(html)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if attributes.get("id"):
            assert attributes["id"] not in self.ids
            self.ids.add(attributes["id"] or "")
        if tag not in VOID:
            self._open.append((tag, frozenset((attributes.get("class") or "").split())))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self.texts.append((self._open[-1][1], data.strip()))

    @property
    def text(self) -> str:
        return "\n".join(text for _, text in self.texts)

    def rows(self, label: str) -> dict[str, list[str]]:
        """The cells of a table by its rows' heads."""
        text = self.text[self.text.index(label) :]
        lines = text.splitlines()
        return {line: lines[number + 1 :] for number, line in reversed([*enumerate(lines)])}


def html_of(run: Path) -> str:
    path = path_of(run)
    assert path is not None
    return render(read(path))


def page_of(run: Path) -> Page:
    return Page(html_of(run))


def change(run: Path, edit: Callable[[dict[str, Any]], object], name: str = "storm.json") -> Path:
    told = json.loads((run / name).read_text())
    edit(told)
    (run / name).write_text(json.dumps(told))
    return run


def test_the_verdict_comes_first_with_its_reason_and_its_meaning(storm: Path) -> None:
    texts = page_of(storm).texts
    shown = [text for _, text in texts]
    first = shown.index("storm of reference 0.1.0")
    assert texts[first + 1] == (frozenset({"fail"}), "fail")
    assert shown[first + 2 : first + 4] == [
        "3 findings: H1, H3, H9", "The cache broke a promise.",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["pass", "unknown", "invalid"])
def test_each_verdict_has_a_meaning_and_only_a_pass_is_drawn_as_one(
    write_storm: Callable[..., Path], tmp_path: Path, word: str
) -> None:
    run = write_storm(tmp_path / "clean", findings=0)
    page = page_of(change(run, lambda told: told.update(verdict=word, reason="")))
    assert (frozenset({word}), word) in page.texts
    others = [text for classes, text in page.texts if "pass" in classes and text != "PASS"]
    assert others == (["pass"] if word == "pass" else [])


def test_what_was_delivered_is_told_with_what_never_bit_and_what_cannot_be_had(
    storm: Path,
) -> None:
    change(storm, lambda told: told.update(not_applicable={"immutable": "not on tmpfs"}))
    page = page_of(storm)
    rows = page.rows("Strikes delivered")
    assert rows["sigkill"][:2] == ["412", "409"]
    assert rows["permission-flip"][:3] == ["3", "0", "never bit"]
    assert rows["immutable"][:4] == ["0", "0", "not applicable", "not on tmpfs"]
    assert "never bit" not in rows["sigkill"][:3]


def test_a_checker_that_is_unknown_or_was_not_run_is_no_pass(storm: Path) -> None:
    change(
        storm,
        lambda told: (
            told["checkers"].pop("H5"),
            told["checkers"]["H2"].update(rounds=0),
            told["checkers"]["H6"].update(judged=0),
        ),
    )
    page = page_of(storm)
    rows = page.rows("Checkers")
    assert rows["H1"][0] == rows["H3"][0] == "FAIL"
    assert rows["H7"][0] == "UNKNOWN"
    assert rows["H5"][0] == rows["H2"][0] == rows["H6"][0] == "NOT_RUN"
    assert rows["H4"][0] == "PASS"
    assert page.text.index("\nH9\n") < page.text.index("\nH10\n")
    for classes, text in page.texts:
        if "outcome" in classes:
            assert ("pass" in classes) == (text == "PASS"), text


def test_each_finding_has_its_seed_its_line_and_the_words_of_its_requirements(storm: Path) -> None:
    page = page_of(storm)
    told = json.loads((storm / "storm.json").read_text())
    assert len(told["findings"]) == 3
    for number, finding in enumerate(told["findings"], 1):
        assert f"finding-{number}" in page.ids
        assert finding["replay"] in page.text
        assert finding["message"] in page.text
        assert finding["history"] in page.text
    assert "P3: No writer ever removes" in page.text
    assert page.text.count("\nseed\n7") == 4  # of the run, and of each finding


def test_what_is_linked_is_on_the_page(storm: Path) -> None:
    page = page_of(storm)
    links = [attributes["href"] for _, attributes in page.tags if "href" in attributes]
    assert links == ["#finding-1", "#finding-2", "#finding-3"]
    assert {(link or "").removeprefix("#") for link in links} <= page.ids


@pytest.mark.parametrize("which", ["storm", "campaign"])
def test_nothing_is_loaded_and_nothing_runs(which: str, request: pytest.FixtureRequest) -> None:
    html = html_of(request.getfixturevalue(which))
    for tag, attributes in Page(html).tags:
        assert tag not in {"script", "link", "iframe", "img", "object", "base", "use", "image"}
        assert not LOADING & set(attributes), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
    for load in ("http://", "https://", "url(", "@import", "//cdn"):
        assert load not in html
    assert "default-src 'none'" in html


def _every_text(value: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, str):
        return [where]
    if not isinstance(value, dict | list):
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [each for name, item in items for each in _every_text(item, (*where, name))]


def test_hostile_text_stays_text_wherever_it_is(storm: Path) -> None:
    """Every text of the file at once, and the names of everything that is named there."""
    before = [tag for tag, _ in page_of(storm).tags]
    kept = {("verdict",), *((("findings", n, "history")) for n in range(3))}

    def spoil(told: dict[str, Any]) -> None:
        for where in _every_text(told):
            if where not in kept:
                place = told
                for name in where[:-1]:
                    place = place[name]
                place[where[-1]] = f"{place[where[-1]]} {HOSTILE}"
        for part in ("strikes", "operations", "checkers", "workers", "resources"):
            told[part] = {f"{name} {HOSTILE}": value for name, value in told[part].items()}

    page = page_of(change(storm, spoil))
    shown = [tag for tag, _ in page.tags]
    assert set(shown) == set(before)
    assert shown.count("script") == 0
    for text in ("reference", "sigkill", "lookup", "H1", "7", "tmpfs", "3 findings: H1, H3, H9"):
        assert f"{text} {HOSTILE}" in page.text, text


def test_hostile_text_of_a_history_stays_text(storm: Path) -> None:
    path = storm / "rounds/0012.jsonl"
    hostile = json.dumps(HOSTILE)[1:-1]
    before = [tag for tag, _ in page_of(storm).tags]
    text = path.read_text().replace("writer1.9", hostile).replace("disk-full-bytes", hostile)
    path.write_text(text.replace('"k3"', f'"{hostile}"'))
    page = page_of(storm)
    assert {tag for tag, _ in page.tags} == set(before)
    assert f"{HOSTILE}/92" in page.text


@pytest.mark.parametrize("broken", [b"", b"{", b"\xff\n", "cut", "gone", "types"])
def test_a_history_that_cannot_be_read_costs_its_own_drawing(storm: Path, broken: Any) -> None:
    path = storm / "rounds/0012.jsonl"
    if broken == "gone":
        path.unlink()
    elif broken == "types":
        path.write_text(re.sub(r'"at_ns":\d+', '"at_ns":"soon"', path.read_text()))
    elif broken == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        path.write_bytes(broken)
    page = page_of(storm)
    drawn = [attributes for _, attributes in page.tags if attributes.get("class") == "around"]
    assert len(drawn) == (3 if broken == "cut" else 2)
    assert ("It cannot be drawn: " in page.text) == (broken != "cut")


def test_findings_of_one_kind_are_told_once_with_how_often_they_came(storm: Path) -> None:
    def repeat(told: dict[str, Any]) -> None:
        first = told["findings"][0]
        told["findings"] += [
            {**first, "round": 50 + n, "at_s": 20.0 + n / 10,
             "message": first["message"].replace("k3", f"k{n}")}
            for n in range(400)
        ]  # fmt: skip

    page = page_of(change(storm, repeat))
    assert "401 times, in 401 rounds" in page.text
    assert page.ids >= {"finding-1", "finding-2", "finding-3"}
    assert "finding-4" not in page.ids
    assert page.text.split("Findings\n", 1)[1].startswith("403\n")


def test_a_page_stays_small_however_much_was_found_and_for_however_long(
    write_storm: Callable[..., Path], tmp_path: Path
) -> None:
    run = write_storm(tmp_path / "long", length_s=1500)

    def multiply(told: dict[str, Any]) -> None:
        first = told["findings"][0]
        told["findings"] = [
            {**first, "message": "found " + "x" * number} for number in range(1, 500)
        ]

    html = html_of(change(run, multiply))
    assert len(html) < 600_000
    assert "399 more kinds of findings are in the files of the run" in Page(html).text


def test_every_table_has_heads_and_every_picture_a_name(storm: Path, campaign: Path) -> None:
    for run in (storm, campaign):
        page = page_of(run)
        for tag, attributes in page.tags:
            if tag == "th":
                assert attributes.get("scope") in {"col", "row"}
            if tag == "svg":
                assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
            if "tabindex" in attributes:
                assert attributes.get("aria-label")
            if "aria-labelledby" in attributes:
                assert attributes["aria-labelledby"] in page.ids


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_can_be_read_on_its_ground(storm: Path, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text; 1.4.11: 3 to 1 for what a drawing needs."""
    html = html_of(storm)
    blocks = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    assert len(blocks) == 4, "of the reports' style and of the storms', each light and then dark"
    chosen = blocks[0::2] if scheme == "light" else blocks
    values = dict(re.findall(r"--(\w+): #([0-9a-f]{3,6})\b", "\n".join(chosen)))
    assert scheme == ("dark" if values["paper"] == "14171a" else "light")
    for ground in ("paper", "tint"):
        for name in ("ink", "quiet", "good", "bad", "open", "void", "first", "fault"):
            assert contrast(values[name], values[ground]) >= 4.5, (name, ground)
    for name in ("first", "second", "fault", "bad", "ink"):
        for ground in ("paper", "shade"):
            assert contrast(values[name], values[ground]) >= 3, (name, ground)


def contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        color = color if len(color) == 6 else "".join(2 * char for char in color)
        shares = [int(color[n : n + 2], 16) / 255 for n in (0, 2, 4)]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4
                  for each in shares]  # fmt: skip
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_campaign_tells_its_canaries_scenarios_shards_and_merged_storms(campaign: Path) -> None:
    page = page_of(campaign)
    assert "campaign of reference" in page.text
    assert page.rows("Canaries")["2 of 2"][0] == "broken caches found out"
    assert page.rows("Scenarios")["storm"][:5] == ["4:20 min", "48 %", "3", "4", "1"]
    assert page.rows("Strikes delivered")["sigkill"][:2] == ["1,236", "1,227"]
    assert "\n3\nfail-nth\npass\n0\n100 s\n6\nlocal\nshards/0003\n" in page.text
    assert "also in shard 5" in page.text
    assert "shards/0005" in page.text


def test_a_canarys_failure_is_none_of_the_campaigns(campaign: Path) -> None:
    def add(told: dict[str, Any]) -> None:
        told["shards"] += [
            {"number": 6, "scenario": "canary", "state": "finished", "verdict": "fail"},
            {"number": 7, "scenario": "canary", "state": "finished", "verdict": "pass"},
        ]
        told["scenarios"]["canary"] = {"shards": 2, "seconds": 1.0, "findings": 77, "unknown": 0}

    page = page_of(change(campaign, add, "campaign.json"))
    assert (frozenset({"absent"}), "found out") in page.texts
    assert (frozenset({"fail"}), "missed") in page.texts
    assert (frozenset({"n"}), "77") in page.texts
    assert (frozenset({"n", "fail"}), "4") in page.texts


def test_the_counterexample_of_a_search_is_drawn_in_columns(campaign: Path) -> None:
    (campaign / "shards/0001").mkdir()
    (campaign / "shards/0001/G8.json").write_text("{}")
    found = [
        {"checker": "bytes", "message": name, "history": name, "directory": where, "shard": 1}
        for name, where in (
            ("shards/0001/G8.json", "shards/0001"),
            ("G8.json", "shards/0001"),
            ("../campaign/campaign.json", "../../etc"),
            ("gone.json", "shards/0001"),
        )
    ]
    change(campaign, lambda told: told.update(findings=found), "campaign.json")
    held = read(campaign / "campaign.json")
    assert isinstance(held, CampaignRun)
    where = counterexamples(held)
    assert where["shards/0001/G8.json"] == where["G8.json"] == campaign / "shards/0001/G8.json"
    assert "gone.json" not in where
    drawing = Drawing(name="G8.json", text=f"step  A\n   1  rename {HOSTILE}")
    broken = Drawing(name="G8.json", problem="it cannot be drawn: it is not JSON")
    page = Page(render(held, {"G8.json": drawing, "shards/0001/G8.json": broken}))
    assert (frozenset({"wide", "counterexample"}), drawing.text) in page.texts
    assert broken.problem in page.text
    assert "It cannot be drawn: 'gone.json' is no history of a storm" in page.text


def test_a_canary_that_was_missed_is_told_before_all_else(campaign: Path) -> None:
    missed = {"asked": 2, "found_out": 1, "missed": ["no-lease"]}
    change(campaign, lambda told: told.update(canary=missed, verdict="invalid"), "campaign.json")
    page = page_of(campaign)
    assert page.text.index("canary not found out: no-lease") < page.text.index("Strikes delivered")
    assert (frozenset({"fail"}), "1 of 2") in page.texts


def test_a_campaign_without_storms_judged_nothing_by_checkers(campaign: Path) -> None:
    for path in campaign.glob("shards/*/storm.json"):
        path.unlink()
    page = page_of(campaign)
    assert "No storm was judged." in page.text
    assert "Nothing was measured." in page.text
    assert not [text for classes, text in page.texts if text == "PASS"]


def test_a_storm_that_measured_nothing_has_a_page(storm: Path) -> None:
    def strip(told: dict[str, Any]) -> None:
        for name in list(told):
            if name not in ("untorn_storm", "verdict", "reason", "backend", "seed", "asked_s",
                            "duration_s", "rounds"):  # fmt: skip
                del told[name]

    page = page_of(change(storm, strip))
    assert {"Nothing was measured.", "No faults were injected.", "None."} <= set(
        page.text.splitlines()
    )
    assert page.rows("Checkers")["H1"][0] == "NOT_RUN"


def test_the_page_is_written_at_once(storm: Path) -> None:
    path = path_of(storm)
    assert path is not None
    written = write(read(path), storm / "public" / "night")
    assert written.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [each.name for each in written.parent.iterdir()] == ["report.html"]


def test_lone_surrogates_are_shown_escaped(storm: Path) -> None:
    page = html_of(change(storm, lambda told: told.update(backend="a\udce9", name="")))
    assert r"storm of a\udce9" in page.encode("utf-8").decode("utf-8")
