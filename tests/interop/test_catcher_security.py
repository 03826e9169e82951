"""What a mail catcher must not let anybody do, tried on a running one: each test is a line of what went wrong elsewhere."""

import http.client
import json
import re
import smtplib
import socket
import struct
import zlib
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.interop

FORM = {"content-type": "application/x-www-form-urlencoded"}
FOREIGN = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"sec-fetch-site": "cross-site"},
)


@pytest.fixture
def dev(shared_dev: Any) -> Any:
    return shared_dev


class Answer:
    """One answer, read whole."""

    def __init__(self, dev: Any, method: str, path: str, body: bytes = b"", /, **headers: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", dev.ports["http"], timeout=20)
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        connection.close()


def catch(dev: Any, message: bytes) -> str:
    """Send a message; return its id."""
    with smtplib.SMTP("127.0.0.1", dev.ports["smtp"]) as client:
        client.sendmail("app@shop.test", ["dev@app.test"], message)
    found = json.loads(Answer(dev, "GET", "/api/v1/messages?limit=1").body)
    return str(found["messages"][0]["ID"])


def attached(data: bytes, kind: str, name: str) -> bytes:
    message = EmailMessage()
    message["Subject"] = "With a file"
    message.set_content("text")
    maintype, subtype = kind.split("/")
    message.add_attachment(data, maintype=maintype, subtype=subtype, filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


def count(dev: Any) -> int:
    return int(json.loads(Answer(dev, "GET", "/api/v1/messages?limit=1").body)["total"])


def test_a_name_that_was_bent_to_this_machine_is_not_answered(dev: Any) -> None:
    """DNS rebinding: a page of another name may have our address, never our mail."""
    for path in (
        "/",
        "/api/v1/messages",
        "/api/v2/messages",
        "/api/carteiro/v1/messages",
        "/api/carteiro/v1/events",
        "/sessions",
        "/status",
    ):
        assert 421 == Answer(dev, "GET", path, host="rebound.attacker.net").status, path


def test_a_foreign_page_changes_nothing(dev: Any) -> None:
    """Every form and every call that changes something; also from a page without an origin, and from another port of this machine."""
    message_id = catch(dev, b"Subject: stays\r\n\r\n")
    before = count(dev)
    forms = (
        "delete-all",
        "bulk",
        "undo",
        "import",
        "compose",
        "settings",
        "settings/calm",
        f"view/{message_id}/delete",
        f"view/{message_id}/tags",
    )
    for headers in FOREIGN:
        for path in forms:
            fields = urlencode({"id": message_id, "action": "delete", "from": "a@b.test", "to": "c@d.test"}).encode()
            assert 403 == Answer(dev, "POST", f"/{path}", fields, **headers, **FORM).status, (path, headers)
        for method, path in (
            ("DELETE", "/api/v1/messages"),
            ("DELETE", "/api/carteiro/v1/messages"),
            ("POST", "/api/v1/send"),
            ("PUT", "/api/v1/chaos"),
        ):
            assert 403 == Answer(dev, method, path, b"{}", **headers).status, (path, headers)
    assert before == count(dev)


def test_a_foreign_page_hears_nothing(dev: Any) -> None:
    """WebSockets and event streams are no way around the rule of origins."""
    upgrade = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    for path in ("/api/events", "/api/v2/websocket"):
        assert 403 == Answer(dev, "GET", path, origin="https://evil.example", **upgrade).status
    for path in ("/api/v1/events", "/api/carteiro/v1/events", "/sessions/events"):
        assert 403 == Answer(dev, "GET", path, origin="https://evil.example").status


def test_pages_are_closed(dev: Any) -> None:
    """No page can be framed, sniffed or made to run what is not ours."""
    message_id = catch(dev, b"Subject: <script>x</script>\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>")
    for path in ("/", f"/view/{message_id}", "/settings", "/sessions", "/compose", "/import", "/search?q=%3Cscript%3E", "/status"):
        answer = Answer(dev, "GET", path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "nosniff" == answer.headers["x-content-type-options"]
        assert b"<script>" not in answer.body


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        ("text/html", b"<script>alert(1)</script>"),
        ("application/xhtml+xml", b"<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>"),
        ("text/javascript", b"alert(1)"),
    ],
)
def test_what_came_with_a_message_has_no_rights(dev: Any, kind: str, data: bytes) -> None:
    """An attachment opened in a tab is of nobody's origin; a script of one cannot be loaded by a page."""
    message_id = catch(dev, attached(data, kind, "x"))
    answer = Answer(dev, "GET", f"/api/v1/message/{message_id}/part/2")
    assert answer.body.strip() == data
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert "allow-" not in answer.headers["content-security-policy"]
    assert "nosniff" == answer.headers["x-content-type-options"]
    if not kind.startswith("image/"):
        assert "same-origin" == answer.headers["cross-origin-resource-policy"]


def test_html_of_a_message_has_a_policy_of_its_own(dev: Any) -> None:
    """No script, no form, no frame, nothing from elsewhere, also when it is opened alone."""
    message_id = catch(
        dev, b"Content-Type: text/html\r\n\r\n<iframe src=http://evil.example/></iframe><form action=/delete-all method=post>"
    )
    for path in (f"/view/{message_id}.html", "/view/latest.html", f"/view/{message_id}.html?remote=1"):
        answer = Answer(dev, "GET", path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'")
        assert "form-action 'none'" in policy
        assert "script-src" not in policy
        assert b"<iframe" not in answer.body


def test_no_field_comes_in_through_an_address(dev: Any) -> None:
    """Line ends in paths, forms and calls make no header field."""
    before = count(dev)
    with socket.create_connection(("127.0.0.1", dev.ports["smtp"]), 10) as client, client.makefile("rb") as replies:
        client.sendall(b"EHLO me\r\n")
        while not (line := replies.readline()).startswith(b"250 ") or b"220" in line:
            pass
        for command in (b"MAIL FROM:<a@b.test\rX-Evil: yes>\r\n", b"MAIL FROM:<a@b.test\nX-Evil: yes>\r\n"):
            client.sendall(command)
            assert replies.readline().startswith(b"5")
    assert before == count(dev)
    fields = {"from": "a@b.test", "to": "c@d.test", "subject": "x\r\nX-Evil: yes", "references": "<a>\r\nX-Evil: yes"}
    assert 303 == Answer(dev, "POST", "/compose", urlencode(fields).encode(), **FORM).status
    body = {
        "From": {"Email": "a@b.test"},
        "To": [{"Email": "c@d.test"}],
        "Subject": "x\r\nX-Evil: yes",
        "Headers": {"X-One": "1\r\nX-Evil: yes"},
    }
    Answer(dev, "POST", "/api/v1/send", json.dumps(body).encode())
    for summary in json.loads(Answer(dev, "GET", "/api/v1/messages?limit=5").body)["messages"]:
        assert "X-Evil" not in json.loads(Answer(dev, "GET", f"/api/v1/message/{summary['ID']}/headers").body)


def test_nothing_is_taken_without_end(dev: Any) -> None:
    """Messages, bodies and lines have limits, told before they are read."""
    with smtplib.SMTP("127.0.0.1", dev.ports["smtp"]) as client:
        client.ehlo()
        limit = int(client.esmtp_features["size"])
        assert 0 < limit
        assert 552 == client.docmd("MAIL", f"FROM:<a@b.test> SIZE={limit + 1}")[0]
    for path in ("/import", "/compose", "/api/v1/send", "/bulk", "/api/v1/messages"):
        with socket.create_connection(("127.0.0.1", dev.ports["http"]), 10) as asking:
            asking.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n".encode())
            assert asking.recv(100).startswith(b"HTTP/1.1 413 "), path
    for name, refusal in (("smtp", b"500 "), ("pop3", b"-ERR "), ("imap", b" BAD ")):
        with socket.create_connection(("127.0.0.1", dev.ports[name]), 10) as talking, talking.makefile("rb") as replies:
            replies.readline()
            talking.sendall(b"A" * 200_000 + b"\r\n")
            reply = replies.readline()
            assert refusal in reply, name
            assert len(reply) < 500, name


def test_a_picture_that_says_it_is_huge(dev: Any) -> None:
    """Its size is looked at before memory is asked for."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 2_000_000_000, 2_000_000_000, 8, 6, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
    message_id = catch(dev, attached(picture, "image/png", "huge.png"))
    answer = Answer(dev, "GET", f"/api/v1/message/{message_id}/part/2/thumb")
    assert (200, "image/jpeg", b"\xff\xd8") == (answer.status, answer.headers["content-type"], answer.body[:2])


def test_names_are_no_paths(dev: Any) -> None:
    """Neither those of addresses nor those of files lead out of where they belong."""
    message_id = catch(dev, attached(b"x", "application/octet-stream", "../../../../escaped"))
    for path in (
        "/static/../pages.py",
        "/static/%2e%2e/pages.py",
        "/view/..%2f..%2fetc%2fpasswd",
        "/view/%2e%2e%2fcaught.db.html",
        "//etc/passwd",
    ):
        answer = Answer(dev, "GET", path)
        if answer.status == 301:  # to the path that it amounts to, of this server
            location = answer.headers["location"]
            assert re.match(r"/(?!/)", location), location
            answer = Answer(dev, "GET", location)
        assert 404 == answer.status, path
        assert b"root:" not in answer.body
    answer = Answer(dev, "GET", f"/api/v1/message/{message_id}/part/2")
    assert "/" not in answer.headers["content-disposition"]
    assert [] == list(dev.directory.rglob("*escaped*"))


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """A place that must not be asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


def test_nothing_is_fetched(dev: Any, elsewhere: socket.socket) -> None:
    """No check of a message asks its links, whatever they are: no way to this machine's other services."""
    place = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
    html = f'<link rel=stylesheet href="{place}/a.css"><img src="{place}/b.png"><a href="{place}/c">c</a>'
    message_id = catch(dev, b"Content-Type: text/html\r\nList-Unsubscribe: <%b/u>\r\n\r\n%b" % (place.encode(), html.encode()))
    for path in ("link-check?follow=true", "html-check"):
        assert 200 == Answer(dev, "GET", f"/api/v1/message/{message_id}/{path}").status
    assert place.encode() in Answer(dev, "GET", f"/view/{message_id}?tab=checks").body
    with pytest.raises(BlockingIOError):
        elsewhere.accept()
