"""What Mailpit's interface answers to everything that can be asked of it, each case beside its neighbours."""

import json
from typing import Any

import pytest

from appliance.net.http_messages import Response

PLAIN = "text/plain"
CHARSET = "text/plain; charset=utf-8"
JSON = "application/json"
NO_PAGE = (404, PLAIN, "404 page not found")
NO_CALL = (404, CHARSET, "File not found\n")
NO_MESSAGE = (404, CHARSET, "Message not found")
WRONG_METHOD = (405, CHARSET, "Method Not Allowed\n")
OK = (200, PLAIN, "ok")

HTML = (
    b"From: Ana <ana@shop.test>\r\nTo: Bo <bo@d.test>\r\nCc: cy@d.test\r\nReply-To: re@shop.test\r\nSubject: =?utf-8?q?Ol=C3=A1?= order 7\r\n"
    b"Message-ID: <m1@shop.test>\r\nX-Tags: news, One two\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hello <a href='https://x.test/'>there</a></p>\r\n"
    b"--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=f.pdf\r\n\r\n%PDF\r\n--x--\r\n"
)
TEXT = b"From: root@pi.test\r\nTo: dee@d.test\r\nSubject: backup done\r\n\r\nAll went well\r\n"


def shown(response: Response) -> tuple[int, str, str]:
    assert isinstance(response.body, bytes)
    return response.status, response.content_type, response.body.decode("utf-8", "replace")


def told(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    assert response.body.endswith(b"\n")
    return json.loads(response.body)


@pytest.fixture
async def ids(catching: Any) -> dict[str, str]:
    """Return the ids of a message with everything, ``html``, and of a newer plain one, ``text``."""
    html = await catching.catch(HTML, "bo@d.test", "hidden@d.test", sender="ana@shop.test")
    text = await catching.catch(TEXT, "dee@d.test", sender="root@pi.test")
    return {"html": html, "text": text}


@pytest.mark.parametrize("ending", ["", "/headers", "/raw", "/part/2"])
async def test_an_unknown_id_has_no_page(web: Any, ids: dict[str, str], ending: str) -> None:
    """Whatever is asked of it; ``latest`` of a search without a match is told in other words."""
    assert ids
    assert NO_PAGE == shown(await web.ask("GET", f"/api/v1/message/nope{ending}"))
    assert NO_MESSAGE == shown(await web.ask("GET", f"/api/v1/message/latest{ending}?query=zzz"))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/api/v1/message/nope/html-check", NO_PAGE),
        ("/api/v1/message/nope/link-check", NO_PAGE),
        ("/api/v1/message/latest/html-check?query=zzz", NO_PAGE),
        ("/api/v1/message/latest/link-check?query=zzz", NO_PAGE),
        ("/api/v1/message/nope/part/2/thumb", (400, PLAIN, "message not found")),
        ("/api/v1/message/latest/part/9/thumb", (400, PLAIN, "attachment not found")),
        ("/api/v1/message/latest/part/9", NO_PAGE),
        ("/api/v1/message/latest/part/1.2.3", NO_PAGE),
        ("/api/v1/message/latest/part/x", NO_PAGE),
        ("/api/v1/message/latest/html-check", (400, PLAIN, "message does not contain HTML")),
        ("/api/v1/message/latest/sa-check", NO_CALL),
        ("/api/v1/message/nope/sa-check", NO_CALL),
        ("/api/v1/message/", NO_CALL),
        ("/api/v1/messages/", NO_CALL),
        ("/api/v1", NO_CALL),
        ("/api/v3/messages", NO_CALL),
        ("/api/v2/nope", (404, CHARSET, "404 page not found\n")),
        ("/view/nope.html", NO_MESSAGE),
        ("/view/nope.txt", NO_MESSAGE),
        ("/view/latest.html?query=zzz", NO_MESSAGE),
        ("/view/latest.html", (404, CHARSET, "This message does not contain a HTML part")),
        ("/view/latest.txt", (200, CHARSET, "All went well\r\n")),
        ("/api/v1/search", (400, PLAIN, "Error: no search query")),
        ("/api/v1/search?query= ", (400, PLAIN, "Error: no search query")),
        ("/api/v1/messages?limit=x&start=y", (200, JSON, None)),
        ("/livez", (200, "", "")),
        ("/readyz", (200, "", "")),
    ],
)
async def test_what_is_read(web: Any, ids: dict[str, str], target: str, expected: tuple[int, str, str | None]) -> None:
    """Ids that are unknown, parts that are not there, calls that do not exist."""
    assert ids
    status, content_type, body = shown(await web.ask("GET", target))
    assert expected == (status, content_type, body if expected[2] is not None else None)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/api/v1/messages"), ("PATCH", "/api/v1/messages"), ("POST", "/api/v1/search"), ("PUT", "/api/v1/search"), ("POST", "/api/v1/tags"),
        ("GET", "/api/v1/tags/x"), ("POST", "/api/v1/info"), ("DELETE", "/api/v1/webui"), ("DELETE", "/api/v1/chaos"), ("POST", "/api/v1/chaos"),
        ("GET", "/api/v1/send"), ("PUT", "/api/v1/send"), ("DELETE", "/api/v1/message/x"), ("PUT", "/api/v1/message/x/raw"),
        ("GET", "/api/v1/message/x/release"), ("POST", "/api/v1/message/x/html-check"), ("POST", "/api/v1/message/x/part/1"),
    ],
)  # fmt: skip
async def test_other_methods_are_refused(web: Any, method: str, target: str) -> None:
    """With what is allowed (RFC 9110 section 15.5.6)."""
    response = await web.ask(method, target, {})
    assert WRONG_METHOD == shown(response)
    assert method not in response.headers["allow"].split(", ")


@pytest.mark.parametrize("target", ["/api/v1/messages", "/api/v1/message/x/raw", "/api/v1/send", "/api/v1/nope", "/api/v1/tags/x"])
async def test_a_preflight_is_answered_everywhere(web: Any, target: str) -> None:
    """With nothing, and with what is allowed from elsewhere."""
    response = await web.ask("OPTIONS", target)
    assert (200, PLAIN, "") == shown(response)
    assert "GET, POST, DELETE, PUT, OPTIONS" == response.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    ("method", "target", "body", "expected"),
    [
        ("PUT", "/api/v1/messages", b"", (400, PLAIN, "EOF")),
        ("PUT", "/api/v1/messages", b"{", (400, PLAIN, "unexpected EOF")),
        ("PUT", "/api/v1/messages", {}, OK),
        ("PUT", "/api/v1/messages", {"IDs": ["nope"], "Read": True}, OK),
        ("PUT", "/api/v1/messages", {"Search": "zzz", "Read": True}, OK),
        (
            "PUT", "/api/v1/messages", {"IDs": "x"},
            (400, PLAIN, "json: cannot unmarshal string into Go struct field .IDs of type []string"),
        ),
        ("DELETE", "/api/v1/messages", {"IDs": ["nope"]}, OK),
        ("DELETE", "/api/v1/search", None, (400, PLAIN, "Error: no search query")),
        ("DELETE", "/api/v1/search?query=zzz", None, OK),
        ("PUT", "/api/v1/tags", b"", (400, PLAIN, "EOF")),
        ("PUT", "/api/v1/tags", {}, OK),
        ("PUT", "/api/v1/tags", {"IDs": [], "Tags": ["x"]}, OK),
        ("PUT", "/api/v1/tags/news", b"", (400, PLAIN, "EOF")),
        ("PUT", "/api/v1/tags/news", {"Name": "One two"}, (400, PLAIN, "tag already exists: One two")),
        ("PUT", "/api/v1/tags/news", {"Name": "!!"}, (400, PLAIN, "invalid tag name: ")),
        ("PUT", "/api/v1/tags/news", {"Name": ""}, (400, PLAIN, "invalid tag name: ")),
        ("PUT", "/api/v1/tags/news", {"Name": "news"}, OK),
        ("PUT", "/api/v1/tags/none", {"Name": "x"}, (400, PLAIN, "tag not found: none")),
        ("DELETE", "/api/v1/tags/none", None, (400, PLAIN, "tag not found: none")),
        ("DELETE", "/api/v1/tags/One two", None, OK),
        ("PUT", "/api/v1/chaos", b"", (400, PLAIN, "EOF")),
        ("PUT", "/api/v1/chaos", {"Sender": {"ErrorCode": 399}}, (400, PLAIN, "error code must be between 400 and 599")),
        ("PUT", "/api/v1/chaos", {"Sender": {"Probability": 101}}, (400, PLAIN, "probability must be between 0 and 100")),
        ("PUT", "/api/v1/chaos", {"Sender": {"Probability": -1}}, (400, PLAIN, "probability must be between 0 and 100")),
        ("POST", "/api/v1/message/nope/release", {"To": ["a@b.test"]}, NO_PAGE),
        ("POST", "/api/v1/message/latest/release", b"", (400, PLAIN, "EOF")),
        ("POST", "/api/v1/message/latest/release", {"To": ["x"]}, (400, PLAIN, "Invalid email address: x")),
        ("POST", "/api/v1/send", b"", (400, JSON, '{"Error":"EOF"}\n')),
        ("POST", "/api/v1/send", {}, (400, JSON, '{"Error":"error building message: from not set"}\n')),
        (
            "POST", "/api/v1/send", {"From": {"Email": "root"}},
            (400, JSON, '{"Error":"error building message: no recipients (to, cc, bcc) set"}\n'),
        ),
        ("POST", "/api/v1/send", {"From": {"Email": "a@b.test"}, "Cc": [{"Email": "x"}]}, (400, JSON, '{"Error":"invalid Cc address: x"}\n')),
        ("POST", "/api/v1/send", {"From": {"Email": "a@b.test"}, "Bcc": ["x"]}, (400, JSON, '{"Error":"invalid Bcc address: x"}\n')),
        (
            "POST", "/api/v1/send", {"From": {"Email": "a@b.test"}, "ReplyTo": [{"Email": "x"}]},
            (400, JSON, '{"Error":"invalid Reply-To address: x"}\n'),
        ),
        (
            "POST", "/api/v1/send", {"From": {"Email": "a@b.test"}, "Bcc": ["c@d.test"], "Attachments": [{"Filename": "f", "Content": "abcd%"}]},
            (400, JSON, '{"Error":"error decoding base64 attachment \\"f\\": illegal base64 data at input byte 4"}\n'),
        ),
        (
            "POST", "/api/v1/send", {"From": {"Email": "a@b.test"}, "To": "c@d.test"},
            (400, JSON, '{"Error":"json: cannot unmarshal string into Go struct field .To of type []struct { Name string; Email string }"}\n'),
        ),
    ],
)  # fmt: skip
async def test_what_is_changed(web: Any, ids: dict[str, str], method: str, target: str, body: Any, expected: tuple[int, str, str]) -> None:
    """Bodies that are missing, broken, of the wrong kind, or about nobody."""
    assert ids
    assert expected == shown(await web.ask(method, target, body))
    assert 2 == told(await web.ask("GET", "/api/v1/messages"))["total"]


@pytest.mark.parametrize(("body", "left"), [(b"", 0), (b"{", 0), ({}, 0), ({"IDs": []}, 0), ({"IDs": "x"}, 0), ("lower", 1)])
async def test_what_deletes_everything(web: Any, ids: dict[str, str], body: Any, left: int) -> None:
    """A body that names nobody does; field names in lower case name somebody."""
    assert OK == shown(await web.ask("DELETE", "/api/v1/messages", {"ids": [ids["text"]]} if body == "lower" else body))
    assert left == told(await web.ask("GET", "/api/v1/messages"))["total"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("backup", ["text"]), ('"went well"', ["text"]), ('"well went"', []), ("BACKUP", ["text"]), ("-backup", ["html"]), ("!backup", ["html"]),
        ("to:bo@d.test", ["html"]), ("from:ana", ["html"]), ("cc:cy", ["html"]), ("bcc:hidden", ["html"]), ("reply-to:re@", ["html"]),
        ("addressed:shop.test", ["html"]), ("subject:olá", ["html"]), ("subject:OLÁ", ["html"]), ("message-id:m1@", ["html"]),
        ("tag:news", ["html"]), ("tag:NEWS", ["html"]), ("tag:new", []), ('tag:"one two"', ["html"]), ("-tag:news", ["text"]),
        ("is:tagged", ["html"]), ("is:unread", ["text", "html"]), ("is:read", []), ("-is:read", ["text", "html"]), ("is:odd", []),
        ("has:attachment", ["html"]), ("has:attachments", ["html"]), ("-has:attachment", ["text"]), ("has:inline", []),
        ("larger:1", ["text", "html"]), ("larger:1m", []), ("smaller:1m", ["text", "html"]), ("-larger:1", []),
        ("before:2100-01-01", ["text", "html"]), ("after:2100-01-01", []), ("f.pdf", ["html"]), ("backup subject:done", ["text"]),
        ("backup tag:news", []), ("from:", ["text", "html"]), ("10%", []), ("_", ["text", "html"]),
    ],
)  # fmt: skip
async def test_each_operator_of_a_search(web: Any, ids: dict[str, str], query: str, expected: list[str]) -> None:
    """Found newest first, with counts of what matches beside those of everything."""
    names = {value: name for name, value in ids.items()}
    found = told(await web.ask("GET", f"/api/v1/search?query={query}"))
    assert expected == [names[one["ID"]] for one in found["messages"]]
    assert (2, len(expected), len(expected)) == (found["total"], found["messages_count"], found["count"])


@pytest.mark.parametrize(
    ("values", "start", "count"),
    [("", 0, 2), ("limit=1", 0, 1), ("limit=0", 0, 2), ("limit=-5", 0, 2), ("start=1", 1, 1), ("start=9", 9, 0), ("start=-1", 0, 2), ("start=x&limit=x", 0, 2)],
)  # fmt: skip
async def test_pages_of_a_list(web: Any, ids: dict[str, str], values: str, start: int, count: int) -> None:
    """Beyond the end there is nothing; what is no number is as if it was not there."""
    assert ids
    for path in ("/api/v1/messages?", "/api/v1/search?query=is:unread&"):
        found = told(await web.ask("GET", (path + values).rstrip("?&")))
        assert (start, count, count, 2) == (found["start"], found["count"], len(found["messages"]), found["messages_count"])
    assert ["news", "One two"] == found["tags"]


async def test_an_empty_mailbox(web: Any) -> None:
    """Lists are empty, never null."""
    empty = {"total": 0, "unread": 0, "count": 0, "messages_count": 0, "messages_unread": 0, "start": 0, "tags": [], "messages": []}
    assert empty == told(await web.ask("GET", "/api/v1/messages"))
    assert empty == told(await web.ask("GET", "/api/v1/search?query=x"))
    assert [] == told(await web.ask("GET", "/api/v1/tags"))
    for target in ("/api/v1/message/latest", "/api/v1/message/latest/raw", "/view/latest.html", "/view/latest.txt"):
        assert NO_MESSAGE == shown(await web.ask("GET", target))
    assert OK == shown(await web.ask("DELETE", "/api/v1/messages"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["a", "a", "A"], ["a"]),
        (["z", "b"], ["b", "z"]),
        (["  two   words "], ["two words"]),
        (["b@d!*"], ["b@d"]),
        (["é", "!"], []),
        ([], []),
    ],
)
async def test_tags_are_cleaned(web: Any, ids: dict[str, str], given: list[str], kept: list[str]) -> None:
    """And kept once each, sorted."""
    assert OK == shown(await web.ask("PUT", "/api/v1/tags", {"IDs": [ids["text"]], "Tags": given}))
    assert kept == told(await web.ask("GET", f"/api/v1/message/{ids['text']}"))["Tags"]


async def test_a_sender_need_be_no_address(web: Any) -> None:
    """Who writes to a catcher may be called ``root``."""
    sent = told(await web.ask("POST", "/api/v1/send", {"from": {"email": "root"}, "to": [{"email": "c@d.test"}], "SUBJECT": "x"}))
    message = told(await web.ask("GET", f"/api/v1/message/{sent['ID']}"))
    assert ("root", "x") == (message["From"]["Address"], message["Subject"])


async def test_chaos_is_reset_by_what_is_left_out(web: Any) -> None:
    """A code of 0 is the default one."""
    told(await web.ask("PUT", "/api/v1/chaos", {"sender": {"errorcode": 421, "probability": 5}}))
    assert {"ErrorCode": 421, "Probability": 5} == told(await web.ask("GET", "/api/v1/chaos"))["Sender"]
    assert {
        "Sender": {"ErrorCode": 451, "Probability": 0},
        "Recipient": {"ErrorCode": 452, "Probability": 1},
        "Authentication": {"ErrorCode": 535, "Probability": 0},
    } == told(
        await web.ask("PUT", "/api/v1/chaos", {"Recipient": {"ErrorCode": 452, "Probability": 1}, "Authentication": {"ErrorCode": 0}})
    )


async def test_what_the_message_view_says(web: Any, ids: dict[str, str]) -> None:
    """A thumbnail of what is no picture is a blank one; bytes for download have a name; a link check finds what it finds."""
    thumb = await web.ask("GET", f"/api/v1/message/{ids['html']}/part/2/thumb")
    assert (200, "image/jpeg", 'filename="f.pdf"') == (thumb.status, thumb.content_type, thumb.headers["content-disposition"])
    raw = await web.ask("GET", f"/api/v1/message/{ids['html']}/raw?dl=1")
    assert f'attachment; filename="{ids["html"]}.eml"' == raw.headers["content-disposition"]
    assert {"Errors": 0, "Links": []} == told(await web.ask("GET", f"/api/v1/message/{ids['text']}/link-check"))
    assert ["https://x.test/"] == [
        one["URL"] for one in told(await web.ask("GET", "/api/v1/message/latest/link-check?query=tag:news"))["Links"]
    ]
