"""What MailHog's interface answers to everything that can be asked of it."""

import json
from typing import Any

import pytest

from appliance.net.http_messages import Response

MAIL = (
    b"From: ana@shop.test\r\nTo: bo@d.test\r\nSubject: Hi\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/plain\r\n\r\nHello\r\n--x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\neWVz\r\n--x--\r\n"
)


def shown(response: Response) -> tuple[int, str, str]:
    assert isinstance(response.body, bytes)
    return response.status, response.content_type, response.body.decode()


def told(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


@pytest.mark.parametrize(
    ("method", "target", "body", "expected"),
    [
        ("GET", "/api/v1/messages/nope", None, (200, "text/json", "null")),
        ("GET", "/api/v1/messages/nope/download", None, (404, "", "")),
        ("DELETE", "/api/v1/messages/nope", None, (500, "text/json", "")),
        ("POST", "/api/v1/messages/nope/release", {"Email": "a@b.test"}, (404, "", "")),
        ("POST", "/api/v1/messages/ID/release", b"{", (500, "text/json", "Error decoding request body")),
        ("POST", "/api/v1/messages/ID/release", {"Email": 5}, (500, "text/json", "Error decoding request body")),
        ("POST", "/api/v1/messages/ID/release", {"Name": "nobody", "Email": "a@b.test"}, (400, "text/json", "")),
        (
            "POST", "/api/v1/messages/ID/release",
            {"Email": "a@b.test", "Host": "127.0.0.1", "Port": "25", "Username": "u", "Mechanism": "X"}, (400, "text/json", ""),
        ),
        ("POST", "/api/v1/messages/ID/release", {"Email": "a@b.test", "Host": "127.0.0.1", "Port": "x"}, (500, "text/json", "")),
        ("POST", "/api/v1/messages/ID/release", {"Email": "nobody"}, (500, "text/json", "")),
        ("GET", "/api/v1/messages/ID/mime/part/0/download", None, (200, "text/plain", "Hello")),
        ("GET", "/api/v1/messages/ID/mime/part/1/download", None, (200, "text/plain", "yes")),
        ("GET", "/api/v1/messages/ID/mime/part/9/download", None, (404, "", "")),
        ("GET", "/api/v1/messages/ID/mime/part/x/download", None, (404, "", "")),
        ("GET", "/api/v2/search", None, (400, "", "")),
        ("GET", "/api/v2/search?kind=from", None, (400, "", "")),
        ("GET", "/api/v2/search?kind=subject&query=x", None, (400, "", "")),
        ("GET", "/api/v2/search?kind=from&query=zzz", None, (200, "application/json", '{"total":0,"count":0,"start":0,"items":[]}')),
        ("GET", "/api/v2/messages?start=9", None, (200, "text/json", '{"total":1,"count":0,"start":9,"items":[]}')),
        ("GET", "/api/v2/outgoing-smtp", None, (200, "application/json", "{}")),
        ("GET", "/api/v2/jim", None, (404, "", "")),
        ("PUT", "/api/v2/jim", {}, (404, "", "")),
        ("DELETE", "/api/v2/jim", None, (404, "", "")),
        ("OPTIONS", "/api/v2/messages", None, (200, "", "")),
        ("GET", "/api/v2/nope", None, (404, "text/plain; charset=utf-8", "404 page not found\n")),
    ],
)  # fmt: skip
async def test_what_is_answered(web: Any, catching: Any, method: str, target: str, body: Any, expected: tuple[int, str, str]) -> None:
    """Unknown ids, parts, kinds; bodies that are none."""
    message_id = await catching.catch(MAIL, "bo@d.test")
    assert expected == shown(await web.ask(method, target.replace("ID", f"{message_id}=@vm"), body))


@pytest.mark.parametrize(
    ("query", "count"),
    [("kind=from&query=APP@", 1), ("kind=to&query=bo", 1), ("kind=to&query=ana", 0), ("kind=containing&query=hello", 1), ("kind=containing&query=hello&start=1", 0)],
)  # fmt: skip
async def test_each_kind_of_search(web: Any, catching: Any, query: str, count: int) -> None:
    """From and to are those of the envelope."""
    await catching.catch(MAIL, "bo@d.test")
    assert count == told(await web.ask("GET", f"/api/v2/search?{query}"))["count"]


async def test_jim_comes_changes_and_goes(web: Any) -> None:
    """What a change leaves out becomes 0; a body that is none changes nothing."""
    assert (201, "", "") == shown(await web.ask("POST", "/api/v2/jim"))
    assert (400, "", "") == shown(await web.ask("POST", "/api/v2/jim"))
    assert 0.99 == told(await web.ask("GET", "/api/v2/jim"))["AcceptChance"]
    assert (200, "", "") == shown(await web.ask("PUT", "/api/v2/jim", {"rejectsenderchance": 0.5}))
    jim = told(await web.ask("GET", "/api/v2/jim"))
    assert (0.5, 0.0) == (jim["RejectSenderChance"], jim["AcceptChance"])
    for broken in (b"{", b"", {"AcceptChance": "x"}):
        assert (400, "", "") == shown(await web.ask("PUT", "/api/v2/jim", broken))
    assert jim == told(await web.ask("GET", "/api/v2/jim"))
    assert (200, "", "") == shown(await web.ask("DELETE", "/api/v2/jim"))
    assert (201, "", "") == shown(await web.ask("POST", "/api/v2/jim", {"AcceptChance": 1}))
    jim = told(await web.ask("GET", "/api/v2/jim"))
    assert (1.0, 0.0) == (jim["AcceptChance"], jim["DisconnectChance"])


async def test_a_server_is_saved_under_its_name(web: Any, catching: Any) -> None:
    """Once; later releases may name it."""
    path = f"/api/v1/messages/{await catching.catch(MAIL, 'bo@d.test')}=@vm/release"
    server = {
        "Name": "mx",
        "Save": True,
        "Email": "a@b.test",
        "Host": "127.0.0.1",
        "Port": "2525",
        "Username": "",
        "Password": "",
        "Mechanism": "",
    }
    assert (500, "text/json", "") == shown(await web.ask("POST", path, server))
    assert {"mx": server} == told(await web.ask("GET", "/api/v2/outgoing-smtp"))
    assert 400 == (await web.ask("POST", path, server)).status
    assert 500 == (await web.ask("POST", path, {"Name": "mx"})).status
