"""The dashboard in a real browser, over a real server, worker and sandbox."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.support.hostile import HOSTILE
from tests.support.installation import Field
from tests.support.pages import PAGES
from tests.support.samples import CHANNEL
from tests.support.waiting import wait_until

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (1280, 390)
PATIENCE_MS = 15_000

if not CHROMIUM and "CI" not in os.environ:
    pytest.skip("no browser: install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield running
        running.close()


class Desk:
    """A running installation and a browser in front of it."""

    def __init__(self, field: Field, browser: Browser, scripts: bool = True, pace: float | None = None):
        field.sandbox("--latency", "20")
        self.here = field.installation(pace=pace)
        field.start(self.here)
        self.token = self.here.token
        self.context = browser.new_context(
            base_url=self.here.url, java_script_enabled=scripts, viewport={"width": 1280, "height": 900},
            timezone_id="Europe/Istanbul",
        )  # fmt: skip
        self.context.set_default_timeout(PATIENCE_MS)
        self.troubles: list[str] = []
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", lambda dialog: self.troubles.append(dialog.message))

    def sign_in(self) -> Page:
        self.page.goto("/")
        self.page.fill("#secret", self.token)
        self.page.click("text=Sign in")
        expect(self.page.locator("h1")).to_have_text("Overview")
        return self.page

    def api(self, path: str) -> Any:
        return self.here.ask("GET", path)


@pytest.fixture
def open_desk(field: Field, browser: Browser) -> Iterator[Any]:
    opened: list[BrowserContext] = []

    def opener(**options: Any) -> Desk:
        desk = Desk(field, browser, **options)
        opened.append(desk.context)
        return desk

    yield opener
    for context in opened:
        context.close()


def csv(count: int, *faulty: int) -> str:
    lines = [f"{'0911' if i in faulty else f'+90555{i:07d}'},Ana {i},A-{i},Monday,x{i}" for i in range(count)]
    return "\n".join(("to,name,order,day,button.1", *lines))


def choose(page: Page) -> None:
    page.goto("/broadcasts/new")
    value = page.locator("#template option", has_text="order_update (en)").get_attribute("value")
    page.select_option("#template", value)
    page.click("text=Go on")


def shown(page: Page) -> dict[str, str]:
    return {
        str(cell.get_attribute("id")).removeprefix("n-"): cell.inner_text()
        for cell in page.locator('dd[id^="n-"]').all()
    }


def numbers(document: dict[str, Any]) -> dict[str, str]:
    told = {name: str(value) for name, value in document["stats"].items()}
    told |= {f"delivery-{name}": str(value) for name, value in document["delivery"].items()}
    return told | {name: str(document[name]) for name in ("inFlight", "unknown", "duplicates", "pace")}


def assert_finished(page: Page, where: str) -> None:
    """Nothing overflows, nothing is called None, nothing overlaps its neighbour."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{where} overflows by {wide} px"
    assert not re.search(r"\b(None|undefined|NaN)\b", page.inner_text("body")), where
    overlapping = page.evaluate(
        """() => {
          const shown = 'button, .button, input:not([type=hidden]), select, h1, h2, .chip';
          const boxes = [...document.querySelectorAll(shown)]
            .map(e => [e, e.getBoundingClientRect()]).filter(([, r]) => r.width > 2 && r.height > 2);
          for (const [a, p] of boxes) for (const [b, q] of boxes)
            if (a !== b && !a.contains(b) && !b.contains(a) && p.left < q.right - 1 && q.left < p.right - 1
                && p.top < q.bottom - 1 && q.top < p.bottom - 1) return a.outerHTML + ' / ' + b.outerHTML;
          return null;
        }"""
    )
    assert overlapping is None, f"{where}: {overlapping}"


def test_from_a_csv_to_the_end(open_desk: Any) -> None:
    """Faults, correction, schedule, watching, pause, resume, stop; the page tells what the API tells."""
    desk = open_desk(pace=20)
    page = desk.sign_in()
    choose(page)
    page.fill("#csv", csv(200, 4, 90))
    page.click("#check")
    expect(page.locator("#faults")).to_contain_text("2 faults")
    assert page.locator("#faults td:first-child").all_inner_texts() == ["row 6, number", "row 92, number"]
    assert desk.api("/v1/broadcasts")["data"] == []

    page.fill("#csv", csv(200))
    page.fill("input[name=title]", "Spring orders")
    soon = page.evaluate(
        "new Date(Date.now() + 20e3 + 3 * 36e5).toISOString().slice(0, 19)"  # Istanbul is at UTC+3.
    )
    # People choose a minute; to the second it is due sooner.
    page.eval_on_selector("input[name=at]", "input => { input.step = 1 }")
    page.fill("input[name=at]", soon)
    assert page.is_checked('input[name=when][value="later"]')
    assert page.input_value("#zone") == "Europe/Istanbul"
    page.click("#check")
    expect(page.locator("#plan-valid")).to_have_text("200")
    expect(page.locator(".phone")).to_contain_text("Hi Ana 0, your order A-0 will arrive on Monday.")
    page.click("#send")
    expect(page.locator("h1")).to_have_text("Spring orders")
    expect(page.locator(".chip").first).to_have_text("scheduled")
    [accepted] = desk.api("/v1/broadcasts")["data"]
    path = f"/v1/broadcasts/{accepted['id']}"
    assert shown(page) == numbers(desk.api(path))
    assert accepted["scheduleAt"].startswith(str(page.evaluate(
        f"new Date('{soon}+03:00').toISOString().slice(0, 19)"
    )))  # fmt: skip

    # Refreshes itself: nobody touches the page from here until it runs.
    expect(page.locator(".chip").first).to_have_text("sending", timeout=100_000)
    wait_until(lambda: int(page.inner_text("#n-success")) >= 20)
    page.click("#pause")
    expect(page.locator(".note")).to_have_text("The broadcast is paused.")
    wait_until(lambda: desk.api(path)["inFlight"] == 0)
    held = desk.api(path)
    assert held["status"] == "paused"
    expect(page.locator("#n-success")).to_have_text(str(held["stats"]["success"]))
    expect(page.locator("#n-inFlight")).to_have_text("0")
    assert shown(page) == numbers(held)
    page.click("#resume")
    wait_until(lambda: int(page.inner_text("#n-success")) > held["stats"]["success"])
    page.click("#stop")
    expect(page.locator("h1")).to_have_text("Stop this broadcast?")
    page.click("#stop")
    stopped = wait_until(lambda: (told := desk.api(path))["finishedAt"] and told)
    expect(page.locator("#stopped")).to_contain_text(f"{stopped['stats']['cancelled']} cancelled")
    expect(page.locator("#n-success")).to_have_text(str(stopped["stats"]["success"]))
    assert shown(page) == numbers(stopped)
    assert stopped["stats"]["success"] + stopped["stats"]["cancelled"] == 200
    assert desk.troubles == []


def test_the_same_without_javascript(open_desk: Any) -> None:
    desk = open_desk(scripts=False, pace=5)
    page = desk.sign_in()
    choose(page)
    page.fill("#csv", csv(60, 7))
    page.click("#check")
    expect(page.locator("#faults")).to_contain_text("row 9, number")
    page.fill("#csv", csv(60))
    page.click("#check")
    page.click("#send")
    [accepted] = desk.api("/v1/broadcasts")["data"]
    path = f"/v1/broadcasts/{accepted['id']}"
    wait_until(lambda: desk.api(path)["stats"]["success"] >= 5)
    page.reload()
    page.click("#pause")
    wait_until(lambda: desk.api(path)["inFlight"] == 0)
    page.reload()
    assert shown(page) == numbers(desk.api(path))
    page.click("#resume")
    page.click("#stop")
    page.click("#stop")
    stopped = wait_until(lambda: (told := desk.api(path))["finishedAt"] and told)
    page.reload()
    assert shown(page) == numbers(stopped)
    expect(page.locator("#stopped")).to_contain_text(f"{stopped['stats']['cancelled']} cancelled")


def fill(desk: Desk) -> str:
    """A broadcast with every outcome, and something on every page; returns its id."""
    recipients = [
        {"to": f"+905554{i:02d}{tail}", "variables": {"name": f"Ana {i}", "order": "A-1", "day": "Monday"}}
        for i, tail in enumerate(["0001"] * 12 + ["9001", "9002", "9012", "9006"])
    ]
    for recipient in recipients:
        recipient["variables"] = [
            {"type": "HEADER", "parameters": {"order": "A-1"}},
            {"type": "BODY", "parameters": recipient["variables"]},
            {"type": "BUTTONS", "parameters": {"1": "x"}},
        ]
    document = {
        "channel": CHANNEL, "title": "A title that is rather long, as people like to write them down in full",
        "template": {"name": "order_update", "language": "en"}, "recipients": recipients,
    }  # fmt: skip
    accepted = desk.here.ask("POST", "/v1/broadcasts", json=document)
    path = f"/v1/broadcasts/{accepted['id']}"
    wait_until(lambda: (s := desk.api(path))["stats"]["pending"] == s["unknown"] == 1)
    desk.here.ask("POST", "/v1/suppressions", json={"to": ["+905554443301"], "reason": "asked on the phone"})
    return str(accepted["id"])


def test_every_page_looks_finished_and_is_accessible(open_desk: Any) -> None:
    desk = open_desk()
    page = desk.sign_in()
    public_id = fill(desk)
    [first, *_] = desk.api(f"/v1/broadcasts/{public_id}/messages")["data"]
    [suppressed] = desk.api("/v1/contacts?to=%2B905554443301")["data"]
    missing = "/broadcasts/nope"
    pages = (
        *PAGES,
        "/templates/3",
        "/docs",
        f"/broadcasts/{public_id}",
        f"/broadcasts/{public_id}/stop",
        f"/messages/{first['id']}",
        f"/contacts/{suppressed['id']}",
        missing,
    )
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for path in pages:
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == (404 if path == missing else 200), path
            assert_finished(page, f"{path} at {width} px")
            if width == WIDTHS[0]:
                found = Axe().run(page).response["violations"]
                serious = [
                    f"{v['id']}: {v['nodes'][0]['html']}"
                    for v in found
                    if v["impact"] in ("serious", "critical")
                ]
                assert serious == [], path
    page.emulate_media(color_scheme="dark")
    for path in ("/", f"/broadcasts/{public_id}", "/broadcasts/new"):
        page.goto(path)
        found = Axe().run(page).response["violations"]
        assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == [], f"{path}, dark"
    page.goto(f"/broadcasts/{public_id}")
    assert page.locator(".plot canvas").count() == 2
    assert desk.troubles == []


def test_the_keyboard_is_enough(open_desk: Any) -> None:
    desk = open_desk()
    page = desk.page
    page.goto("/")
    page.keyboard.type(desk.token)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Overview")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_hostile_texts_run_nowhere(open_desk: Any) -> None:
    """Titles, variables and error texts that would be scripts stay texts, in a real browser."""
    desk = open_desk()
    page = desk.sign_in()
    ids = []
    for text in HOSTILE:
        document = {
            "channel": CHANNEL, "title": text, "metadata": {"note": text}, "onInvalid": "fail",
            "template": {"name": "appointment", "language": "en"},
            "recipients": [{"to": "+905550009001", "variables": [text] * 4}],
            "onDuplicate": "allow", "scheduleAt": "2040-01-01T00:00:00Z",
        }  # fmt: skip
        ids.append(desk.here.ask("POST", "/v1/broadcasts", json=document)["id"])
    page.goto("/broadcasts")
    titles = page.locator("a.title").all_inner_texts()
    assert [title.split() for title in titles] == [text.split() for text in reversed(HOSTILE)]
    for public_id, text in zip(ids, HOSTILE, strict=True):
        page.goto(f"/broadcasts/{public_id}")
        assert page.inner_text("h1").split() == text.split()
    [message] = desk.api(f"/v1/broadcasts/{ids[0]}/messages")["data"]
    page.goto(f"/messages/{message['id']}")
    assert page.locator("main script, main img, main iframe").count() == 0
    assert desk.troubles == []


def test_a_form_of_another_site_changes_nothing(open_desk: Any) -> None:
    desk = open_desk()
    page = desk.sign_in()
    public_id = fill(desk)
    path = f"/broadcasts/{public_id}/stop"
    # The same server under another name is another site to the browser.
    foreign = desk.here.url.replace("127.0.0.1", "localhost")
    page.route(f"{foreign}/evil", lambda route: route.fulfill(
        content_type="text/html",
        body=f'<form method="post" action="{desk.here.url}{path}"><button>go</button></form>',
    ))  # fmt: skip
    page.goto(f"{foreign}/evil")
    with page.expect_response(lambda response: response.url.endswith("/stop")) as answered:
        page.click("text=go")
    assert answered.value.status in (303, 403)
    assert desk.api(f"/v1/broadcasts/{public_id}")["status"] != "cancelled"
