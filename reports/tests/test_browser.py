"""The pages in a real browser: nothing goes wrong, nothing is fetched, and it fits the screen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from untorn_reports import browser
from untorn_reports.browser import SCREENS, BrowserError, Screen, Sight, keep_pictures, look
from untorn_reports.storms.files import path_of, read
from untorn_reports.storms.page import write

needs_browser = pytest.mark.skipif(
    browser.find() is None,
    reason=f"no Chromium here: install one, or name it in {browser.VARIABLE}",
)
PNG = b"\x89PNG\r\n\x1a\n"


def written(run: Path) -> Path:
    path = path_of(run)
    assert path is not None
    return write(read(path), run)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pages")
    samples = Path(__file__).with_name("storm_samples.py")
    subprocess.run(
        [sys.executable, samples, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    return [written(folder / "storm"), written(folder / "campaign")]


@pytest.fixture(scope="module")
def sights(pages: list[Path]) -> list[Sight]:
    return [sight for page in pages for sight in look(page)]


@needs_browser
def test_the_page_is_well_on_a_desk_and_on_a_phone_light_and_dark(sights: list[Sight]) -> None:
    assert len(sights) == 2 * len(SCREENS) == 8
    for sight in sights:
        assert sight.errors == (), sight.screen
        assert sight.requests == (), sight.screen
        assert sight.width == sight.screen.width
        assert sight.scroll_width <= sight.screen.width, "the page scrolls sideways"
        assert sight.verdict is not None
        assert 0 <= sight.verdict[0] < sight.verdict[1] < sight.screen.height
        assert sight.picture.startswith(PNG)
    assert {screen.width for screen in SCREENS} == {1280, 390}


@needs_browser
def test_dark_is_dark_and_light_is_light(sights: list[Sight]) -> None:
    for sight in sights:
        red, green, blue = map(int, sight.background.removeprefix("rgb(").rstrip(")").split(","))
        assert (red + green + blue < 200) == (sight.screen.scheme == "dark")


@needs_browser
def test_what_is_wrong_with_a_page_is_seen(tmp_path: Path) -> None:
    """The control: a page that errs, loads, is too wide, and shows its verdict below the screen."""
    page = tmp_path / "wrong.html"
    page.write_text(
        "<!doctype html><link rel=stylesheet href=missing.css><script>nobody()</script>"
        "<div style='width: 2000px; height: 3000px'></div><h1 id=verdict>fail</h1>"
    )
    (sight,) = look(page, (Screen(name="phone", width=390, height=844, scheme="light"),))
    assert any("nobody" in error or "Uncaught" in error for error in sight.errors)
    assert [request.rpartition("/")[2] for request in sight.requests] == ["missing.css"]
    assert sight.scroll_width > 390
    assert sight.verdict is not None
    assert sight.verdict[0] > 844


@needs_browser
def test_a_page_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrowserError, match="cannot be shown"):
        look(tmp_path / "nowhere.html")


@needs_browser
def test_pictures_are_kept_and_nothing_else_is_left(
    pages: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = set(Path("/tmp").glob("*hromium*"))
    kept = keep_pictures(pages[0], tmp_path / "screenshots")
    assert set(Path("/tmp").glob("*hromium*")) <= before
    assert [path.name for path in kept] == [
        "desk-light.png", "desk-dark.png", "phone-light.png", "phone-dark.png",
    ]  # fmt: skip
    assert all(path.read_bytes().startswith(PNG) for path in kept)
    assert list(scratch.iterdir()) == []
    assert not _running(str(scratch))


def _running(word: str) -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode("utf-8", "replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return [line for line in lines if word in line]


def test_without_a_browser_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(browser.VARIABLE, str(tmp_path / "no-such-browser"))
    with pytest.raises(BrowserError, match="name it in UNTORN_BROWSER"):
        look(tmp_path / "page.html")


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\nexec cat <&3 >/dev/null\n"])
def test_a_program_that_is_no_browser_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(browser, "_ANSWER_LIMIT_S", 0.5)
    path = tmp_path / "browser"
    path.write_text(program)
    path.chmod(0o755)
    monkeypatch.setenv(browser.VARIABLE, str(path))
    with pytest.raises(BrowserError, match=r"the browser (left|said nothing)"):
        look(tmp_path / "page.html")
