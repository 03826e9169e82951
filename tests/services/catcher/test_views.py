"""The views beside list and message: faults, sessions, comparison, and the pieces that htmx asks for."""

import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import trio
import trio.testing

from appliance.message.reading import read_message
from appliance.model.ids import SessionId
from appliance.services.catcher.comparing import compare_messages
from appliance.services.catcher.tabs import TABS, linked
from appliance.services.catcher.words import WORDS
from tests.services.catcher.test_steps import catch, post, text

CHAOS = {
    f"{name}.{what}": value for name in ("Sender", "Recipient", "Authentication") for what, value in (("code", "451"), ("percent", "0"))
}


async def test_only_the_piece_that_is_asked_for(catching: Any, web: Any) -> None:
    """The pane without the list, the list without the pane, more rows without either; a whole page for everybody else."""
    (message_id,) = await catch(catching, b"one")
    whole = text(await web.ask("GET", f"/view/{message_id}"))
    assert "<!doctype html>" in whole
    pieces = {
        target: text(await web.ask("GET", f"/view/{message_id}", hx_request="true", hx_target=target))
        for target in ("reader", "list", "more")
    }
    assert not any("<html" in piece for piece in pieces.values())
    assert ("<article" in pieces["reader"], 'class="row"' in pieces["reader"]) == (True, False)
    assert ("<article" in pieces["list"], 'id="many"' in pieces["list"]) == (False, True)
    assert pieces["more"].lstrip().startswith("<li")


async def test_everything_lies_under_a_root(catching: Any, make_web: Any) -> None:
    """Behind a proxy that gives us a path, every address on every view leads below it and is answered."""
    web = make_web(root="/mail/")
    first, second = await catch(catching, b"one", b"two")
    html = (
        b'Content-Type: multipart/related; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<a href="http://x.test/">x</a>\r\n'
        b"--x\r\nContent-Type: image/png; name=dot.png\r\nContent-Disposition: attachment\r\n\r\nx\r\n--x--\r\n"
    )
    third = await catching.catch(html, "dev@app.test")
    await post(web, f"/mail/view/{first}/tags", ("tags", "tag"))
    views = [
        "/mail/",
        "/mail/search?q=one",
        "/mail/view/gone",
        f"/mail/compare?a={first}&b={second}",
        "/mail/compose",
        "/mail/import",
        "/mail/settings",
        "/mail/sessions",
    ]
    views += [f"/mail/view/{third}?tab={tab}" for tab in TABS]
    seen: set[str] = set()
    for view in views:
        for name, address in re.findall(
            r'\b(href|src|action|formaction|data-root|data-here|hx-get|hx-post)="([^"#][^"]*)"', text(await web.ask("GET", view))
        ):
            if not address.startswith(("?", "http://x.test/", "https://")):
                seen.add(unescape(address))
                assert address.startswith("/mail/"), (view, name, address)
    assert f"/mail/view/{third}" == (await web.ask("GET", "/mail/view/latest")).headers["location"]
    steps = {address for address in seen if re.search("/(bulk|delete-all|undo|calm|delete|unread|tags|release)$", address)}
    for address in (*sorted(seen - steps), *sorted(steps)):
        method = "POST" if address in steps else "GET"
        if not address.startswith("/mail/status"):
            assert (await web.ask(method, address)).status in {200, 303}, address
    for path in ("/", "/view/latest", "/mailbox/"):
        assert 404 == (await web.ask("GET", path)).status
    assert "/mail/" == (await web.ask("GET", "/mail")).headers["location"]


async def test_faults_are_set_and_taken_back(web: Any) -> None:
    """By the form, all or none of it."""
    _, page = await post(
        web, "/settings", *(CHAOS | {"Sender.percent": "30", "greylist": "1", "per_minute": "5", "delay_s": "0,5"}).items()
    )
    assert WORDS["en"]["done.saved"] in page
    assert ((451, 30), True, 5, 0.5) == (web.faults.chaos["Sender"], web.faults.greylist, web.faults.per_minute, web.faults.delay_s)
    for wrong in ({"Sender.percent": "101"}, {"Sender.code": "250"}, {"delay_s": "nan"}, {"per_minute": "many"}):
        body = urlencode(CHAOS | {"delay_s": "1", "per_minute": "1"} | wrong).encode()
        response = await web.ask("POST", "/settings", body, content_type="application/x-www-form-urlencoded")
        assert 400 == response.status
        assert ((451, 30), 5) == (web.faults.chaos["Sender"], web.faults.per_minute)
    await post(web, "/settings/calm")
    assert ((451, 0), False, 0, 0.0) == (web.faults.chaos["Sender"], web.faults.greylist, web.faults.per_minute, web.faults.delay_s)


async def test_sessions_are_watched(web: Any, autojump_clock: trio.testing.MockClock) -> None:
    """What is said is told while it is said, without passwords, and stays a while after the end."""
    events = (await web.ask("GET", "/sessions/events")).body
    assert b": hello\n\n" == await events.__anext__()
    tape = web.conversations.begin(SessionId("s1"), "127.0.0.1:5")
    assert b"event: said" in await events.__anext__()
    tape.received(b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n")
    tape.sent(b"235 2.7.0 Welcome\r\n")
    assert b"event: said" in await events.__anext__()
    assert b": keep-alive\n\n" == await events.__anext__()
    await events.aclose()
    page = text(await web.ask("GET", "/sessions"))
    assert "AHVzZXIAc2VjcmV0" not in page
    assert "235 2.7.0 Welcome" in page
    web.conversations.take(SessionId("s1"))
    web.conversations.end(SessionId("s1"))
    page = text(await web.ask("GET", "/sessions"))
    assert "235 2.7.0 Welcome" in page
    assert WORDS["en"]["ended"] in page


async def test_inboxes_are_a_step_away(catching: Any, web: Any) -> None:
    """Where there is more than one, each is a link; where there is one, none is."""
    await catching.catch(b"Subject: one\r\n\r\n", "a@app.test", inbox="ana")
    assert "inbox:%22ana%22" not in text(await web.ask("GET", "/"))
    await catching.catch(b"Subject: two\r\n\r\n", "b@app.test", inbox="bob")
    await catching.catch(b"Subject: three\r\n\r\n", "b@app.test", inbox="bob")
    page = text(await web.ask("GET", "/"))
    assert ["ana", "bob"] == re.findall("inbox:%22([a-z]+)%22", page)
    assert (["ana"], []) == (catching.catcher.store.inbox_names(1), catching.catcher.store.inbox_names(0))


def test_two_messages_are_compared() -> None:
    """Lines that differ stand beside each other; equal parts are told in one word."""
    left, right = (
        read_message(f"Subject: {subject}\r\nX-Same: 1\r\nContent-Type: text/html\r\n\r\n<p>Hi {name}</p><p>Bye</p>".encode())
        for subject, name in (("a", "Ana"), ("b", "Bob"))
    )
    sections = {section.name: section for section in compare_messages(left, right)}
    assert [("changed", "Subject: a", "Subject: b")] == [
        (row.kind, row.left, row.right) for row in sections["headers"].rows if row.kind != "same"
    ]
    assert ["<p>Hi Ana</p>"] == [row.left for row in sections["html"].rows if row.kind == "changed"]
    assert [0, 0, 0] == [section.changes for section in compare_messages(left, left)]
    long = read_message(b"\r\n" + b"".join(b"line %d\r\n" % at for at in range(2_000)))
    assert compare_messages(long, left)[-2].is_cut
    assert {"added", "removed"} <= {row.kind for section in compare_messages(long, left) for row in section.rows}


def test_web_addresses_in_a_text() -> None:
    """The sentence's own marks are not part of them."""
    assert [("See ", False), ("https://app.test/a?b=1", True), (", then (", False), ("http://x.test", True), (").", False)] == list(
        linked("See https://app.test/a?b=1, then (http://x.test).")
    )


async def test_inboxes_are_set_up_on_the_page(catching: Any, web: Any) -> None:
    """Made, changed, shown again, refused with the reason, and deleted with its mail."""
    _, page = await post(web, "/inboxes", ("name", "run1"))
    assert "run1" in page
    await catching.catch(b"Subject: one\r\n\r\n", "a@run1", inbox="run1")
    given = CHAOS | {"Sender.percent": "30", "bytes_per_s": "900", "keep": "3", "max_age_s": "0,5", "password": "x", "tls_percent": "5"}
    _, page = await post(web, "/inboxes/run1", *given.items(), ("without", "DSN"), ("without", "CHUNKING"))
    faults, settings = catching.inboxes.faults("run1"), catching.inboxes.settings("run1")
    assert ((451, 30), 900, 0, {"DSN", "CHUNKING"}) == (faults.chaos["Sender"], faults.bytes_per_s, faults.tls_percent, set(faults.without))
    assert (3, 0.5, "x", 0) == (settings.keep, settings.max_age_s, settings.password, settings.ends_at_s)
    assert 'value="900"' in page
    body = urlencode(CHAOS | {"keep": "-1"}).encode()
    refused = await web.ask("POST", "/inboxes/run1", body, content_type="application/x-www-form-urlencoded")
    assert (400, True) == (refused.status, "keep: 0 - " in text(refused))
    assert 3 == catching.inboxes.settings("run1").keep
    with_token = text(
        await web.ask(
            "POST",
            "/inboxes/run1",
            urlencode(CHAOS | {"token": "1", "no_password": "1"}).encode(),
            content_type="application/x-www-form-urlencoded",
        )
    )
    settings = catching.inboxes.settings("run1")
    assert ("", True) == (settings.password, bool(settings.token) and settings.token in with_token)
    assert settings.token not in text(await web.ask("GET", "/inboxes/run1", cookie="language=pt"))
    assert 400 == (await web.ask("POST", "/inboxes", b"name=dev", content_type="application/x-www-form-urlencoded")).status
    await post(web, "/inboxes/run1/delete")
    assert ([], []) == (catching.inboxes.names, await catching.subjects())
    assert 404 == (await web.ask("GET", "/inboxes/run1")).status


async def test_everything_is_switched_on_again(web: Any) -> None:
    """Extensions, the link, TLS and the cap on connections among it."""
    given = CHAOS | {"max_connections": "4", "bytes_per_s": "100", "tls_percent": "50", "tls_breaks": "1"}
    _, page = await post(web, "/settings", *given.items(), ("without", "EHLO"))
    faults = web.faults
    assert (4, 100, 50, True, {"EHLO"}) == (
        faults.max_connections,
        faults.bytes_per_s,
        faults.tls_percent,
        faults.tls_breaks,
        set(faults.without),
    )
    assert 'value="EHLO" checked' in page
    await post(web, "/settings/calm")
    assert (0, 0, 0, False, set()) == (
        faults.max_connections,
        faults.bytes_per_s,
        faults.tls_percent,
        faults.tls_breaks,
        set(faults.without),
    )
