"""The mail catcher's page in a real browser: what a developer sees, types and clicks.

A mail that is hostile to whoever looks at it is among them. No test asks for
anything but this machine, and one shows that the page does not either.
"""

import base64
import json
import os
import re
import smtplib
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from tests.interop.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page
else:
    Page = Any
playwright = pytest.importorskip("playwright.sync_api", reason="there is no driver for this machine")
expect = playwright.expect
expect.set_options(timeout=15_000)

pytestmark = pytest.mark.interop

PATIENCE_MS = 15_000
REPLACED = ("htmx:afterRequest", "htmx:sendAbort", "undefined")
"""How what htmx says begins when a request is given up for the next one, or for another page."""
HOSTILE = """<html><head><meta http-equiv="refresh" content="0;url={out}/refresh"><base href="{out}/">
<style>@import "{out}/import.css"; body {{ background: url({out}/background.png) }} @font-face {{ font-family: x; src: url({out}/font.woff) }}</style>
<link rel="stylesheet" href="{out}/link.css"><script>parent.document.title = "owned"; document.title = "owned"</script></head>
<body onload="document.title = 'owned'"><p id="harmless">Harmless words</p><img src="{out}/pixel.png" onerror="parent.document.title = 'owned'">
<svg><script>parent.document.title = "owned"</script><animate onbegin="parent.document.title = 'owned'" attributeName="x" dur="1s"/></svg>
<iframe src="{out}/frame.html"></iframe><object data="{out}/object"></object><video src="{out}/video.mp4" autoplay></video>
<form action="{out}/form"><button id="send">Send</button></form><a id="js" href="javascript:parent.document.title='owned'">Go</a></body></html>"""

DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg==")


def send(dev: Any, subject: str, text: str = "Hello", *, to: str = "dev@app.test", html: str = "", attach: bytes = b"") -> None:
    """Send one message as an application would."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Shop <app@shop.test>", to, subject
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    if attach:
        message.add_attachment(attach, maintype="image", subtype="png", filename="dot.png")
    with smtplib.SMTP("127.0.0.1", dev.ports["smtp"]) as client:
        client.send_message(message)


@pytest.fixture
def dev(shared_dev: Any) -> Any:
    """The catcher, empty."""
    with urlopen(Request(f"{home(shared_dev)}api/v1/messages", method="DELETE")):
        return shared_dev


def home(dev: Any) -> str:
    return f"http://127.0.0.1:{dev.ports['http']}/"


def open_page(chromium: Any, dev: Any, path: str = "", **options: Any) -> Page:
    """Return a page of a browser that nobody used before."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en", **options})
    context.set_default_timeout(PATIENCE_MS)
    page: Page = context.new_page()
    page.goto(home(dev) + path)
    return page


@pytest.fixture
def page(chromium: Any, dev: Any) -> Iterator[Page]:
    """The list, empty, on a screen of 1280 by 800. No script of the page may fail."""
    found = open_page(chromium, dev)
    failures: list[str] = []
    found.on("pageerror", lambda error: failures.append(str(error)))
    found.on("console", lambda told: failures.append(told.text) if told.type == "error" else None)
    yield found
    assert [] == [failure for failure in failures if not failure.startswith(REPLACED)]
    found.context.close()


def subjects(page: Page) -> list[str]:
    return [text.strip() for text in page.locator(".row .subject").all_inner_texts()]


def test_a_message_appears_while_one_looks(dev: Any, page: Page) -> None:
    """Without a reload, in the list and in the title; a second one goes above it."""
    page.evaluate("window.same = true")
    send(dev, "First one")
    page.locator(".row", has_text="First one").wait_for()
    send(dev, "Second one")
    page.locator(".row", has_text="Second one").wait_for()
    assert ["Second one", "First one"] == subjects(page)
    assert page.evaluate("window.same")
    expect(page).to_have_title(re.compile(r"^\(2\)"))


def test_a_search_finds(dev: Any, page: Page) -> None:
    """The box takes the search language; what does not match is gone, what matches and comes later appears."""
    send(dev, "Your invoice", to="ana@app.test")
    send(dev, "Your password", to="bob@app.test")
    page.locator(".row").nth(1).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("to:ana subject:invoice")
    expect(page.locator(".row")).to_have_count(1)
    assert ["Your invoice"] == subjects(page)
    send(dev, "Another invoice", to="ana@app.test")
    page.locator(".row", has_text="Another").wait_for()
    assert ["Another invoice", "Your invoice"] == subjects(page)


def test_the_keyboard_walks(dev: Any, page: Page) -> None:
    """J and k go through the list, o opens, u goes back, ? tells the keys, # deletes."""
    for name in ("one", "two", "three"):
        send(dev, name)
    page.locator(".row").nth(2).wait_for()
    heading = page.locator("#reader h1")
    for key, expected in (("j", "three"), ("j", "two"), ("k", "three"), ("j", "two"), ("j", "one")):
        page.keyboard.press(key)
        expect(heading).to_have_text(expected)
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("#")
    expect(page.locator(".row")).to_have_count(2)
    assert ["three", "two"] == subjects(page)


def test_html_of_a_message_can_do_nothing(chromium: Any, dev: Any) -> None:
    """It is shown, runs no script, fetches nothing, sends no form and leads nowhere; pictures come when they are asked for, nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0)
        send(dev, "Hostile", html=HOSTILE.format(out=f"http://127.0.0.1:{elsewhere.getsockname()[1]}"))
        page = open_page(chromium, dev)
        page.locator(".row").click()
        frame = page.frame_locator("article iframe")
        frame.locator("#send").click(force=True)
        frame.locator("#js").click(force=True)
        frame.locator("#harmless").wait_for()
        expect(page).to_have_title("Hostile · Carteiro")
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
        page.locator("[role=switch]").click()
        elsewhere.settimeout(PATIENCE_MS / 1_000)
        asking, _ = elsewhere.accept()
        assert asking.recv(100).startswith((b"GET /pixel.png", b"GET /background.png"))
        asking.close()
        page.context.close()


def test_the_page_asks_only_its_own_server(chromium: Any, dev: Any) -> None:
    """The first view is complete with less than 120 KiB over the wire, all of them from here."""
    send(dev, "Hello")
    page = open_page(chromium, dev, "static/icon.svg")
    sizes: dict[str, int] = {}
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    urls: dict[str, str] = {}
    session.on("Network.responseReceived", lambda event: urls.update({event["requestId"]: event["response"]["url"]}))
    session.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    page.goto(home(dev), wait_until="load")
    page.locator(".row").wait_for()
    assert set() == {url for url in urls.values() if not url.startswith(home(dev))}
    assert 2_000 < sum(sizes.values()) < 120 * 1_024, {urls.get(key): size for key, size in sizes.items()}
    page.context.close()


def test_a_phone_has_one_pane(chromium: Any, dev: Any) -> None:
    """Under 700 pixels the list or the message is there, and nothing is wider than the screen."""
    send(dev, "Long " * 40, "word" * 200, html="<table width=900><tr><td>wide</table>")
    page = open_page(chromium, dev, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert page.locator("#list").is_visible()
    assert not page.locator("#reader").is_visible()
    page.locator(".row").tap()
    page.locator("#reader h1").wait_for()
    assert not page.locator("#list").is_visible()
    for tab in ("html", "text", "source", "headers", "checks", "truth"):
        page.goto(re.sub(r"\?.*|$", f"?tab={tab}", page.url, count=1))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
    page.locator(".back").tap()
    page.locator(".row").wait_for()
    assert not page.locator("#reader").is_visible()
    page.context.close()


def test_dark_and_light(chromium: Any, dev: Any) -> None:
    """As the system has it, until the switch says otherwise; it is remembered."""
    ground = "getComputedStyle(document.body).backgroundColor"
    page = open_page(chromium, dev, color_scheme="dark")
    dark = page.evaluate(ground)
    page.goto(home(dev) + "?theme=light")
    light = page.evaluate(ground)
    assert dark != light
    page.goto(home(dev))
    assert light == page.evaluate(ground)
    page.context.close()


def test_everything_works_without_scripts(chromium: Any, dev: Any) -> None:
    """List, search, every tab, the message's HTML, unread and delete."""
    send(dev, "Plain browser", html="<p id=hello>Hello</p>")
    send(dev, "Other")
    page = open_page(chromium, dev, java_script_enabled=False)
    page.fill("#q", "subject:browser")
    page.keyboard.press("Enter")
    page.locator(".row").click()
    page.frame_locator("article iframe").locator("#hello").wait_for()
    for tab in page.locator(".tabs a").all_inner_texts():
        page.locator(".tabs a", has_text=tab).first.click()
        assert tab in page.locator(".tabs a[aria-current]").inner_text()
    page.locator("[data-key=s]").click()
    expect(page.locator(".unread", has_text="Plain browser")).to_have_count(1)
    page.goto(home(dev))
    page.locator(".row", has_text="Other").click()
    page.locator("[data-key='#']").click()
    expect(page.locator(".row")).to_have_text([re.compile("Plain browser")])
    page.locator("[data-key=z]").click()
    expect(page.locator(".row")).to_have_count(2)
    page.locator("[name=id]").nth(0).check()
    page.locator("[name=id]").nth(1).check()
    page.locator("[value=compare]").click()
    expect(page.locator(".diff").first).to_contain_text("Plain browser")
    page.context.close()


def test_nobody_is_shut_out(chromium: Any, dev: Any) -> None:
    """Names, roles, contrast and structure of every view, light and dark, as the Web Content Accessibility Guidelines have them (axe)."""
    script = Path(os.environ.get("CARTEIRO_NODE_MODULES", "")) / "axe-core" / "axe.min.js"
    if not script.is_file():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "axe-core is not installed: CARTEIRO_NODE_MODULES does not have it"
        )
    send(dev, "One", html="<p>One</p>")
    send(dev, "Two", attach=DOT)
    one, two = [found["ID"] for found in json.load(urlopen(f"{home(dev)}api/v1/messages"))["messages"]]
    found: list[str] = []
    looks = {
        "light": ["", f"view/{two}?tab=html", f"view/{one}?tab=attachments", "settings"],
        "dark": [f"view/{two}?tab=checks", f"compare?a={one}&b={two}"],
    }
    for scheme, shown in looks.items():
        page = open_page(chromium, dev, color_scheme=scheme, bypass_csp=True)
        for view in shown:
            page.goto(home(dev) + view)
            page.evaluate(script.read_text())
            told = page.evaluate("axe.run(document, { iframes: false })")
            found += [f"{scheme} /{view}: {fault['id']} at {fault['nodes'][0]['target']}" for fault in told["violations"]]
        page.context.close()
    assert [] == found


def test_messages_are_ticked_written_and_taken_back(dev: Any, page: Page) -> None:
    """Bulk steps, undo, an answer, a command by its name, tags: all without a new page."""
    page.evaluate("window.same = true")
    for name in ("one", "two", "three"):
        send(dev, name)
    expect(page.locator(".row")).to_have_count(3)
    page.locator("#all").check()
    page.locator(".bulk [value=read]").click()
    expect(page.locator(".unread")).to_have_count(0)
    page.locator("[name=id]").nth(0).check()
    page.locator("[name=id]").nth(2).check()
    page.locator(".bulk [value=delete]").click()
    expect(page.locator(".row")).to_have_count(1)
    page.keyboard.press("z")
    expect(page.locator(".row")).to_have_count(3)
    assert ["three", "two", "one"] == subjects(page)
    page.keyboard.press("j")
    expect(page.locator("#reader h1")).to_have_text("three")
    page.keyboard.press("r")
    expect(page.locator("#f-subject")).to_have_value("Re: three")
    page.locator("#f-text").fill("An answer")
    page.locator(".sheet .primary").click()
    expect(page.locator("#reader h1")).to_have_text("Re: three")
    expect(page.locator(".row")).to_have_count(4)
    page.keyboard.press("Control+k")
    page.keyboard.type("trut")
    page.keyboard.press("Enter")
    expect(page.locator(".two-truths")).to_be_visible()
    page.locator(".tag-edit summary").click()
    page.locator(".tag-edit [name=tags]").fill("first, second")
    page.keyboard.press("Enter")
    expect(page.locator(".current .tag")).to_have_text(["first", "second"])
    page.keyboard.press("u")
    expect(page.locator(".pick")).to_be_visible()
    page.go_back()
    expect(page.locator("#reader h1")).to_have_text("Re: three")


def test_files_and_sessions(dev: Any, page: Page, tmp_path: Path) -> None:
    """A file dropped or chosen is mail; a session shows its words while they are said."""
    page.evaluate(
        """() => { const data = new DataTransfer(); data.items.add(new File(["Subject: dropped\\n\\nHi"], "a.eml"));
        for (const kind of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })) }"""
    )
    expect(page.locator("#reader h1")).to_have_text("dropped")
    mbox = tmp_path / "two.mbox"
    mbox.write_text("".join(f"From a@b.test Tue Dec  1 02:00:0{at} 2026\nSubject: boxed {at}\n\nHi\n\n" for at in (1, 2)))
    page.goto(f"{home(dev)}import")
    page.locator("#f-mail").set_input_files(mbox)
    page.locator(".sheet .primary").click()
    expect(page.locator(".row")).to_have_count(3)
    page.goto(f"{home(dev)}sessions")
    with smtplib.SMTP("127.0.0.1", dev.ports["smtp"]) as client:
        client.ehlo("watched.test")
        expect(page.locator(".dot.on")).to_have_count(1)
        expect(page.locator(".session").first).to_contain_text("watched.test")
        client.mail("said@live.test")
        expect(page.locator(".session").first).to_contain_text("said@live.test")
    expect(page.locator(".dot.on")).to_have_count(0)


def test_many_messages(chromium: Any, dev: Any) -> None:
    """The list grows as one scrolls, and stays where it is when mail comes."""
    with smtplib.SMTP("127.0.0.1", dev.ports["smtp"]) as client:
        for at in range(120):
            client.sendmail("a@b.test", ["c@d.test"], f"Subject: number {at}\r\n\r\n")
    page = open_page(chromium, dev)
    expect(page.locator(".row")).to_have_count(50)
    page.locator(".more").scroll_into_view_if_needed()
    expect(page.locator(".row")).to_have_count(100)
    looked_at = page.locator(".row", has_text=re.compile(r"number 30\b"))
    looked_at.click()
    expect(page.locator("#reader h1")).to_have_text("number 30")

    def top() -> float:
        return float(looked_at.evaluate("row => row.getBoundingClientRect().top"))

    seen: list[float] = []

    def is_still() -> bool:
        """That it was read changes the row once more; one that is just being changed stands nowhere."""
        seen.append(top())
        return len(seen) > 3 and seen[-1] > 0 and len(set(seen[-4:])) == 1

    wait_until(is_still, "a row that stands still")
    before = seen[-1]
    send(dev, "One more")
    expect(page.locator(".row")).to_have_count(121)
    wait_until(lambda: abs(top() - before) < 2, lambda: f"the row at {before}, it is at {top()}", 10)
    expect(page.locator("#reader h1")).to_have_text("number 30")
    page.context.close()


def test_a_late_welcome_covers_nothing(dev: Any, page: Page) -> None:
    """The first mail has the welcome renewed; a message that is opened before the answer comes stays open."""
    held: list[Any] = []
    page.route(home(dev), lambda route: held.append(route) if route.request.headers.get("x-again") else route.continue_())
    page.evaluate(
        "document.addEventListener('htmx:afterRequest', event => { if (event.detail.requestConfig.headers['X-Again']) window.late = true })"
    )
    send(dev, "First")
    wait_until(lambda: page.locator(".row").count() == 1 and bool(held), "a row, and a welcome that was asked for")
    page.locator(".row").click()
    expect(page.locator("#reader h1")).to_have_text("First")
    for route in held:
        route.continue_()
    # Not wait_for_function: the page forbids what that does with a text.
    wait_until(lambda: page.evaluate("window.late"), "the late answer")
    expect(page.locator("#reader h1")).to_have_text("First")


def test_an_inbox_is_set_up(chromium: Any, dev: Any) -> None:
    """Made, changed and deleted by hand, on a dark phone."""
    page = open_page(chromium, dev, viewport={"width": 390, "height": 800}, color_scheme="dark")
    page.goto(home(dev) + "settings")
    page.locator("[name=name]").fill("run-7")
    page.keyboard.press("Enter")
    expect(page.locator("#reader h1")).to_have_text("Inbox run-7")
    page.locator("[name=bytes_per_s]").fill("9000")
    page.get_by_label("CHUNKING").check()
    page.locator(".sheet .primary").click()
    expect(page.locator("#notice")).to_contain_text("Saved")
    expect(page.locator("[name=bytes_per_s]")).to_have_value("9000")
    expect(page.get_by_label("CHUNKING")).to_be_checked()
    assert 390 == page.evaluate("document.documentElement.scrollWidth")
    page.locator(".sheet .danger").click()
    expect(page.locator("#reader h1")).to_have_text("Faults and settings")
    assert "run-7" not in page.locator("#reader").inner_text()
    page.context.close()
