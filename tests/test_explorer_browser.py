"""The explorer in a real browser: headless Chromium, driven by Playwright. Skipped, with the reason, where one of them is missing."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsers
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("panel", reason="the explorer needs panel")
from pyloric_simulator.exploring.pictures import OTHER

pytestmark = pytest.mark.slow
PATIENCE = 180_000  # ms, compiling included, on a machine that is busy


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any) -> Iterator[str]:
    """The address of `pyloric explore`."""
    port = free_port()
    command = [sys.executable, "-m", "pyloric_simulator", "explore", "--port", str(port), "--no-show"]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            wait_for(port, process, log)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
    assert [x for x in errors_in(log.read_text()) if not x.startswith(GONE)] == []


# What Tornado says where a tab is closed while something is under way to it.
GONE = ("tornado.websocket.WebSocketClosedError", "tornado.iostream.StreamClosedError")


def errors_in(log: str) -> list[str]:
    """The last line of each traceback; of a chain of them each one counts."""
    lines = log.splitlines()
    begins = [i for i, line in enumerate(lines) if line.startswith("Traceback")]
    return [next((x for x in lines[i + 1 :] if x and not x[0].isspace()), "cut off") for i in begins]


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"the server did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    with browsers.chromium() as found:
        yield found


class Page:
    """A tab of the explorer, and what its console said."""

    def __init__(self, browser: Any, address: str, **device: Any) -> None:
        device = {"viewport": {"width": 1280, "height": 900}, **device}
        self.tab = browser.new_context(**device, accept_downloads=True).new_page()
        self.tab.set_default_timeout(PATIENCE)
        self.bad: list[str] = []
        self.foreign: list[str] = []
        self.tab.on("console", lambda m: self.bad.append(m.text) if m.type == "error" else None)
        self.tab.on("pageerror", lambda e: self.bad.append(str(e)))
        self.tab.on("request", lambda r: self.foreign.append(r.url) if is_foreign(r.url) else None)
        self.tab.goto(address)
        self.tab.wait_for_selector(".verdict, .problem")

    @property
    def period(self) -> str:
        """The period that the page shows."""
        return str(self.tab.inner_text(".period"))

    def another(self, before: str) -> str:
        """The period, once it is another one."""
        self.tab.wait_for_function(f"() => ![{before!r}, ''].includes({SHOWN})")
        return self.period

    def open(self, group: str) -> None:
        """Unfold the sliders of a cell."""
        self.tab.locator(f'details[data-group="{group}"] > summary').click()

    def type(self, name: str, value: str) -> None:
        """Type a value."""
        box = self.tab.locator(f'.knob[data-name="{name}"] input[type=number]')
        box.fill(value)
        box.press("Enter")

    def says(self, text: str) -> None:
        """Wait until the page says something."""
        self.tab.get_by_text(re.compile(text)).first.wait_for()

    def close(self) -> None:
        """End the tab; its console was silent, and it asked no other machine for anything."""
        self.tab.context.close()
        assert self.foreign == []
        assert self.bad == []


# The text of the first element of class "period", wherever in the shadow trees it is.
SHOWN = """((root) => { const find = (r) => { const x = r.querySelector(".period"); if (x) return x.textContent;
for (const e of r.querySelectorAll("*")) if (e.shadowRoot) { const y = find(e.shadowRoot); if (y) return y; } return ""; };
return find(root); })(document)"""


# All figures of the page, and the name of what has the focus.
FIGURES = "[...Bokeh.documents[0]._all_models.values()].filter(m => m.type === 'Figure')"
FOCUSED = """() => { let x = document.activeElement; while (x && x.shadowRoot && x.shadowRoot.activeElement) x = x.shadowRoot.activeElement;
return x ? x.getAttribute("aria-label") || x.textContent : ""; }"""


def is_foreign(url: str) -> bool:
    """Whether an address leads away from this machine."""
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


@pytest.fixture
def page(browser: Any, server: str) -> Iterator[Page]:
    """The explorer as it opens."""
    found = Page(browser, server)
    yield found
    found.close()


def test_slider_changes_the_period_and_address_brings_it_back(page: Page) -> None:
    before = page.period
    page.open("synapses")
    slider = page.tab.get_by_label("LP-AB/PD", exact=True)
    slider.focus()
    slider.press("Home")  # the keyboard moves it to its left end, 0
    after = page.another(before)
    assert float(after.split()[0]) < 0.9 * float(before.split()[0])
    assert "set=LP-AB%2FPD%3A0.0" in page.tab.url
    page.tab.reload()
    page.says(after.split(".", maxsplit=1)[0])
    page.open("synapses")
    assert page.tab.get_by_label("LP-AB/PD", exact=True).input_value() == "0"
    page.tab.get_by_role("button", name="Reset", exact=True).click()
    page.another(page.period)


def test_undo_double_click_and_lock(page: Page) -> None:
    page.open("LP")
    box = page.tab.locator('.knob[data-name="LP Kd"] input[type=number]')
    page.type("LP Kd", "50")
    page.tab.wait_for_url("**LP%20Kd%3A50.0*")
    page.tab.get_by_role("button", name="Undo").click()
    page.tab.wait_for_url(re.compile("circuit=paper$"))
    assert box.input_value() == "25"
    page.tab.get_by_role("button", name="Redo").click()
    page.tab.wait_for_url("**LP%20Kd%3A50.0*")
    page.tab.locator('.knob[data-name="LP Kd"] label').dblclick()
    page.tab.wait_for_url(re.compile("circuit=paper$"))
    page.tab.get_by_label("lock LP Kd").check()
    assert page.tab.get_by_label("LP Kd", exact=True).is_disabled()


def test_knock_outs(page: Page) -> None:
    page.tab.get_by_text("Knock-outs", exact=True).click()
    page.tab.get_by_role("button", name="Compute").click()
    rows = page.tab.locator("table.knockouts tr")
    rows.first.wait_for(timeout=4 * PATIENCE)
    assert rows.count() == 29  # a head, nothing, and 27 conductances
    assert "silent" in page.tab.locator("table.knockouts").inner_text()


def downloaded(page: Page, kind: str, to: Path) -> bytes:
    """What a button of the fold "Export", which is open, brings."""
    with page.tab.expect_download() as coming:
        page.tab.locator("a").filter(has_text=re.compile(f"^{kind}$")).click()
    coming.value.save_as(to)
    return to.read_bytes()


def test_exports(page: Page, tmp_path: Path) -> None:
    page.tab.get_by_text("Export", exact=True).click()
    parts = {
        "TOML": b"[populations",
        "Python": b"np.arange",
        "CSV": b"V LP 0",
        "Parquet": b"PAR1",
        "PNG": b"\x89PNG",
        "SVG": b"<svg",
    }
    for kind, part in parts.items():
        assert part in downloaded(page, kind, tmp_path / "x"), kind


def test_elasticities(browser: Any, server: str) -> None:
    page = Page(browser, f"{server}?circuit=burster")
    page.tab.get_by_text("Elasticities", exact=True).click()
    page.tab.get_by_role("button", name="Compute").click()
    page.tab.locator("progress").wait_for()
    page.tab.wait_for_function(f"() => ({FIGURES}).some(f => (f.x_range.factors || []).includes('AB/PD 2 period'))")
    page.close()


def test_recording_behind_the_traces(page: Page, tmp_path: Path) -> None:
    t = np.arange(0, 8000, 1.0)
    cycle = {"PD": (0.0, 0.38), "LP": (0.53, 0.79), "PY": (0.76, 1.1)}  # from and to, of 1.5 s
    inside = {cell: ((t / 1500 - a) % 1 < b - a) & (t % 20 == 0) for cell, (a, b) in cycle.items()}
    table = pd.DataFrame({cell: np.where(x, 30.0, -55.0) for cell, x in inside.items()}, pd.Index(t, name="time (ms)"))
    table.to_csv(tmp_path / "recording.csv")
    page.tab.get_by_text("Recording behind the traces", exact=True).click()
    page.tab.locator("input[type=file]").set_input_files(tmp_path / "recording.csv")
    page.tab.wait_for_function(f"() => ({FIGURES}).flatMap(f => f.renderers).filter(r => r.glyph.line_color.value === '{OTHER}' && "
                               "r.data_source.data.V && r.data_source.data.V.length > 100).length === 3")  # fmt: skip
    (tmp_path / "nonsense.csv").write_text("nonsense")
    page.tab.locator("input[type=file]").set_input_files(tmp_path / "nonsense.csv")
    page.tab.wait_for_selector(".problem")


def test_by_keyboard_alone(page: Page) -> None:
    before = page.period
    for wanted, key in (("synapses", "Enter"), ("LP-AB/PD", "Home")):
        for _ in range(200):
            page.tab.keyboard.press("Tab")
            if page.tab.evaluate(FOCUSED) == wanted:
                break
        else:
            raise AssertionError(f"Tab does not come to {wanted}")
        page.tab.keyboard.press(key)
    assert float(page.another(before).split()[0]) < 0.9 * float(before.split()[0])


def test_by_touch_on_a_tablet(browser: Any, server: str) -> None:
    page = Page(browser, server, viewport={"width": 820, "height": 1180}, has_touch=True, is_mobile=True)
    before = page.period
    page.tab.locator('details[data-group="synapses"] > summary').tap()
    page.tab.get_by_label("LP-AB/PD", exact=True).tap(position={"x": 3, "y": 10})
    assert float(page.another(before).split()[0]) < 0.9 * float(before.split()[0])
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 820
    page.close()


def test_silent_circuit(browser: Any, server: str) -> None:
    silent = "&".join(f"set={cell}%20{c}:0" for cell in ("AB/PD", "LP", "PY") for c in ("Na", "CaT", "CaS"))
    page = Page(browser, f"{server}?circuit=paper&{silent}")
    page.says("AB/PD, LP, PY are silent")
    page.close()


def test_run_that_fails_says_why_and_page_lives_on(page: Page) -> None:
    before = page.period
    page.open("LP")
    page.type("LP Na", "1e308")
    page.says("is not finite")
    page.tab.get_by_role("button", name="Undo").click()
    page.tab.wait_for_selector(".verdict")
    assert page.period != ""
    assert before


def test_bad_address_says_why(browser: Any, server: str) -> None:
    page = Page(browser, f"{server}?circuit=nowhere")
    page.says("the circuit is 'nowhere'")
    page.tab.wait_for_selector(".period")
    page.close()


def test_two_sessions_do_not_disturb_each_other(browser: Any, server: str, page: Page) -> None:
    other = Page(browser, server)
    before = page.period
    other.open("synapses")
    other.type("LP-AB/PD", "0")
    assert other.another(before) != before
    page.tab.wait_for_timeout(500)
    assert page.period == before
    assert "set=" not in page.tab.url
    other.close()


def test_two_setups_and_tabs(page: Page) -> None:
    page.tab.get_by_role("button", name="Two set-ups").click()
    page.says("^B: ")
    for title, axis in (("Currents", "share"), ("Gates", "open share"), ("Phase plane", "calcium (µM)")):
        page.tab.get_by_text(title, exact=True).click()
        page.tab.wait_for_function(f"() => ({FIGURES}).some(f => f.left[0].axis_label === '{axis}')")


def handshake(port: int, origin: str) -> int:
    """The status with which the server answers a page of some origin that wants to talk to it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        token = re.search(r'"token":"([^"]+)"', answer.read().decode())
    assert token is not None
    wish = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": f"bokeh, {token[1]}", "Origin": origin,
    }  # fmt: skip
    wish.request("GET", "/ws", headers=headers)
    status = wish.getresponse().status
    wish.close()
    return status


def test_no_other_origin(server: str) -> None:
    port = int(server.rsplit(":", 1)[1].strip("/"))
    assert handshake(port, f"http://127.0.0.1:{port}") == 101
    for origin in ("http://example.org", "http://127.0.0.1:1", "null"):
        assert handshake(port, origin) == 403


def test_loopback_only(server: str) -> None:
    here = socket.gethostbyname(socket.gethostname())
    if here.startswith("127."):
        pytest.skip("this machine has no other address")
    with socket.socket() as tried:
        tried.settimeout(1)
        assert tried.connect_ex((here, int(server.rsplit(":", 1)[1].strip("/")))) != 0
