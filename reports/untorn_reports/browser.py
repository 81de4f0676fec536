"""A page in a real browser without a window: what it shows, and whether it is well there.

Chromium is spoken to over its DevTools pipe (messages of JSON, each ended by NUL, on descriptors 3
and 4): no port is opened and nothing but the standard library is needed. The browser has a
directory of its own and is ended with all that it started.

Source: https://chromedevtools.github.io/devtools-protocol/ (Page, Network, Runtime, Log,
Emulation).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "UNTORN_BROWSER"
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_OPTIONS: Final = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
_ANSWER_LIMIT_S: Final = 30.0
_END_LIMIT_S: Final = 2.0
_STEP_S: Final = 0.01
_PHONE_PX: Final = 600
_SHORT: Final = "/tmp"  # noqa: S108 (a directory of our own is made there)
_HIGH_FD: Final = 10
_LOOK: Final = """
(() => {
  const root = document.documentElement;
  const box = document.getElementById("verdict")?.getBoundingClientRect();
  return {
    width: root.clientWidth, scroll_width: root.scrollWidth, height: root.scrollHeight,
    title: document.title, verdict: box ? [box.top, box.bottom, box.width] : null,
    background: getComputedStyle(document.body).backgroundColor,
  };
})()
"""


class BrowserError(Exception):
    """There is no browser, or it did not answer; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """A size in CSS pixels and a colour scheme, "light" or "dark"."""

    name: str
    width: int
    height: int
    scheme: str


SCREENS: Final = tuple(
    Screen(name=f"{name}-{scheme}", width=width, height=height, scheme=scheme)
    for name, width, height in (("desk", 1280, 900), ("phone", 390, 844))
    for scheme in ("light", "dark")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What a page was on a screen.

    ``errors`` are the console's errors and warnings, ``requests`` what it asked for beside itself;
    ``scroll_width`` is that of the whole page, ``verdict`` the top and the bottom of the element
    of that name in pixels (None: it is not seen), ``picture`` a PNG of the whole page.
    """

    screen: Screen
    errors: tuple[str, ...]
    requests: tuple[str, ...]
    width: int
    scroll_width: int
    verdict: tuple[float, float] | None
    background: str
    picture: bytes


def find() -> str | None:
    """A Chromium: the one that ``UNTORN_BROWSER`` names, or one of the usual names."""
    named = os.environ.get(VARIABLE)
    if named:
        return shutil.which(named)
    return next(filter(None, map(shutil.which, _NAMES)), None)


def look(page: Path, screens: tuple[Screen, ...] = SCREENS) -> tuple[Sight, ...]:
    """Open a page on each screen. Raises BrowserError."""
    program = find()
    if program is None:
        raise BrowserError(f"no Chromium is found; install one, or name it in {VARIABLE}")
    with _started(program) as pipe:
        return tuple(_sight(pipe, page.resolve(), screen) for screen in screens)


def keep_pictures(page: Path, directory: Path) -> list[Path]:
    """Write a PNG of each screen into a directory. Raises BrowserError and OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for sight in look(page):
        path = directory / f"{sight.screen.name}.png"
        path.write_bytes(sight.picture)
        written.append(path)
    return written


def _sight(pipe: _Pipe, page: Path, screen: Screen) -> Sight:
    target = pipe.ask("Target.createTarget", url="about:blank")["targetId"]
    pipe.session = pipe.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    pipe.events.clear()
    for domain in ("Page", "Network", "Runtime", "Log"):
        pipe.ask(f"{domain}.enable")
    size = {"width": screen.width, "height": screen.height, "deviceScaleFactor": 1}
    pipe.ask("Emulation.setDeviceMetricsOverride", **size, mobile=screen.width < _PHONE_PX)
    scheme = {"name": "prefers-color-scheme", "value": screen.scheme}
    pipe.ask("Emulation.setEmulatedMedia", features=[scheme])
    failed = pipe.ask("Page.navigate", url=page.as_uri()).get("errorText")
    if failed:
        raise BrowserError(f"{page} cannot be shown: {failed}")
    pipe.wait_for("Page.loadEventFired")
    said = pipe.ask("Runtime.evaluate", expression=_LOOK, returnByValue=True)["result"]["value"]
    clip = {"x": 0, "y": 0, "width": screen.width, "height": said["height"], "scale": 1}
    shot = pipe.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)[
        "data"
    ]
    box = said["verdict"]
    sight = Sight(
        screen=screen,
        errors=tuple(_errors(pipe.events)),
        requests=tuple(_requests(pipe.events, page.as_uri())),
        width=said["width"],
        scroll_width=said["scroll_width"],
        verdict=(box[0], box[1]) if box and box[2] > 0 else None,
        background=said["background"],
        picture=base64.b64decode(shot),
    )
    pipe.session = None
    pipe.ask("Target.closeTarget", targetId=target)
    return sight


def _errors(events: deque[Mapping[str, Any]]) -> Iterator[str]:
    for event in events:
        told = event["params"]
        if event["method"] == "Runtime.exceptionThrown":
            yield str(told["exceptionDetails"].get("text"))
        elif event["method"] == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            yield json.dumps(told["args"])
        elif event["method"] == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            yield str(told["entry"]["text"])


def _requests(events: deque[Mapping[str, Any]], own: str) -> Iterator[str]:
    for event in events:
        if event["method"] == "Network.requestWillBeSent":
            url = str(event["params"]["request"]["url"])
            if url != own:
                yield url


class _Pipe:
    """One conversation with a browser: a question, its answer, and the events between."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._number = 0
        self._held = b""
        self.session: str | None = None
        self.events: deque[Mapping[str, Any]] = deque()

    def ask(self, method: str, **parameters: Any) -> Any:
        """Ask and wait for the answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._write_fd, rest) :]
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                if "error" in heard:
                    raise BrowserError(f"{method}: {heard['error'].get('message')}")
                return heard["result"]
            if "method" in heard:
                self.events.append(heard)

    def wait_for(self, method: str) -> None:
        """Wait for an event of this tab, unless it came already."""
        while not any(event["method"] == method for event in self.events):
            heard = self._hear()
            if "method" in heard:
                self.events.append(heard)

    def _hear(self) -> Mapping[str, Any]:
        limit = time.monotonic() + _ANSWER_LIMIT_S
        while b"\0" not in self._held:
            left_s = max(limit - time.monotonic(), 0.0)
            ready, _, _ = select.select([self._read_fd], [], [], left_s)
            chunk = os.read(self._read_fd, 1 << 16) if ready else b""
            if not chunk:
                why = "left" if ready else f"said nothing for {_ANSWER_LIMIT_S:g} s"
                raise BrowserError(f"the browser {why}; try another, named in {VARIABLE}")
            self._held += chunk
        message, _, self._held = self._held.partition(b"\0")
        heard: Mapping[str, Any] = json.loads(message)
        return heard


@contextlib.contextmanager
def _started(program: str) -> Iterator[_Pipe]:
    """Start a browser in a group and a home of its own, and end both."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="untorn-browser-"))
        # A killed browser leaves its sockets, and their path must be short (unix(7)).
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="untorn-", dir=_SHORT))
        to_it, ours_out = _high_pipe(stack)
        ours_in, from_it = _high_pipe(stack)
        nothing = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, nothing)
        options = [*_OPTIONS, f"--user-data-dir={home}"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # it refuses to start for root with one
        actions = [
            *((os.POSIX_SPAWN_DUP2, nothing, fd) for fd in (0, 1, 2)),
            (os.POSIX_SPAWN_DUP2, to_it, 3),
            (os.POSIX_SPAWN_DUP2, from_it, 4),
        ]
        pid = os.posix_spawn(
            program,
            [program, *options, "about:blank"],
            {**os.environ, "HOME": home, "TMPDIR": scratch},
            file_actions=actions,
            setpgroup=0,
        )
        stack.callback(_end, pid)
        os.close(from_it)  # so that its end is heard as one
        yield _Pipe(ours_in, ours_out)


def _high_pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe above the descriptors that the browser's ends become."""
    ends = []
    for low in os.pipe():
        ends.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD))
        os.close(low)
    for fd in ends:
        stack.callback(_close, fd)
    return ends[0], ends[1]


def _close(fd: int) -> None:
    with contextlib.suppress(OSError):  # the browser's end is closed once it has it
        os.close(fd)


def _end(pid: int) -> None:
    """End it with its children: they write into its home until they are gone."""
    with contextlib.suppress(ProcessLookupError):  # all of them ended by themselves
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    limit = time.monotonic() + _END_LIMIT_S
    while _is_there(pid) and time.monotonic() < limit:
        time.sleep(_STEP_S)


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
