"""Who may ask the catcher, and what harm its pages could do: the list that other catchers learnt the hard way."""

import base64
import json
from typing import Any

import pytest

from appliance.net.http_messages import Response
from appliance.policy.caught_release import ReleaseRules, address_rule
from appliance.services.catcher.releasing import Release

PICTURE = (
    b"Content-Type: multipart/related; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<img src=cid:p>\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-ID: <p>\r\n\r\n\x89PNG\r\n--b--\r\n"
)
HTML = (
    b"From: a@b.test\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script><p>hi\r\n"
    b"--x\r\nContent-Type: text/html; name=evil.html\r\nContent-Disposition: attachment; filename=\"../../e\r\n vil.html\"\r\n\r\n<script>1</script>\r\n--x--\r\n"
)  # fmt: skip


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


async def test_a_foreign_page_reads_and_deletes_nothing(web: Any, catching: Any) -> None:
    """Another origin is refused, WebSocket included; our own and programs are not."""
    await catching.catch(HTML, "c@d.test")
    for method, path in (("DELETE", "/api/v1/messages"), ("GET", "/api/v1/messages"), ("GET", "/api/events"), ("GET", "/api/v2/websocket")):
        assert 403 == (await web.ask(method, path, origin="https://evil.test")).status
    assert 403 == (await web.ask("DELETE", "/api/v1/messages", sec_fetch_site="cross-site")).status
    assert 200 == (await web.ask("GET", "/api/v1/messages", origin="http://localhost:8025")).status
    assert 1 == catching.catcher.store.counts().total


async def test_a_frame_shows_the_pictures_that_came_with_its_message(web: Any, catching: Any) -> None:
    """Its origin is ``null``, as any page's may be: a picture is shown to it, and nothing can be read by it."""
    message_id = await catching.catch(PICTURE, "c@d.test")
    path = f"/api/v1/message/{message_id}/part/2"
    response = await web.ask("GET", path, origin="null", sec_fetch_mode="no-cors", sec_fetch_dest="image")
    assert (200, "cross-origin") == (response.status, response.headers["cross-origin-resource-policy"])
    assert "access-control-allow-origin" not in response.headers
    for how in ({"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}, {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "script"}, {}):
        assert 403 == (await web.ask("GET", path, origin="null", **how)).status
    assert 403 == (await web.ask("DELETE", "/api/v1/messages", origin="null", sec_fetch_mode="no-cors", sec_fetch_dest="image")).status


async def test_pages_that_were_allowed_may_ask(make_web: Any) -> None:
    """``--cors`` names them; they are told so."""
    response = await make_web(origins=("https://app.test",)).ask("GET", "/api/v1/messages", origin="https://app.test")
    assert "https://app.test" == response.headers["access-control-allow-origin"]


async def test_a_password_is_asked_for_each_request(make_web: Any) -> None:
    """Not once for all; health is outside."""
    web = make_web(logins=[("ana", "secret")], tokens=["t0ken"])
    good = "Basic " + base64.b64encode(b"ana:secret").decode()
    assert [401, 200, 401, 401, 200, 401, 200] == [
        (await web.ask("GET", "/api/v1/messages", **headers)).status if headers is not None else (await web.ask("GET", "/livez")).status
        for headers in (
            {},
            {"authorization": good},
            {},
            {"authorization": "Basic %%%"},
            {"authorization": "Bearer t0ken"},
            {"authorization": "Bearer x"},
            None,
        )
    ]


async def test_html_is_shown_without_rights(web: Any, catching: Any) -> None:
    """No script, no form, no frame elsewhere, nothing from the network, an origin of its own."""
    message_id = await catching.catch(HTML, "c@d.test")
    response = await web.ask("GET", f"/view/{message_id}.html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "form-action 'none'" in policy
    assert "https:" not in policy
    assert "img-src http://localhost:8025 data:" in policy
    embedded = (await web.ask("GET", f"/view/{message_id}.html?embed=1")).headers["content-security-policy"]
    assert "script-src 'nonce-" in embedded
    assert "allow-same-origin" not in embedded


async def test_parts_are_inert(web: Any, catching: Any) -> None:
    """An HTML attachment opened by its address runs nothing, and its name ends no header."""
    message_id = await catching.catch(HTML, "c@d.test")
    for path in (f"/api/v1/message/{message_id}/part/2", f"/api/v1/messages/{message_id}/mime/part/1/download"):
        response = await web.ask("GET", path)
        assert 200 == response.status
        assert response.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert not any("\r" in value or "\n" in value for value in response.headers.values())


async def test_paths_are_no_files(web: Any) -> None:
    """An id that climbs finds nothing, nor does the path that it amounts to."""
    for path in ("/view/../../etc/passwd.html", "/api/v1/message/..%2f..%2fcaught.db/raw", "/api/v1/message/../raw"):
        response = await web.ask("GET", path)
        assert 404 == (await web.ask("GET", response.headers["location"]) if response.status == 301 else response).status


@pytest.mark.parametrize(
    ("method", "target", "status", "location"),
    [
        ("GET", "//view/x.html", 301, "/view/x.html"),
        ("GET", "//evil.test/a", 301, "/evil.test/a"),
        ("GET", "///", 301, "/"),
        ("GET", "/api/v1//messages/?start=1&limit=2", 301, "/api/v1/messages/?start=1&limit=2"),
        ("GET", "/a/./b/../c d", 301, "/a/c%20d"),
        ("DELETE", "/api/v1//messages", 308, "/api/v1/messages"),
    ],
)
async def test_a_slash_too_many_is_taken_away(web: Any, method: str, target: str, status: int, location: str) -> None:
    """Clients put a base that ends in a slash before paths that begin with one; no Location names another server."""
    response = await web.ask(method, target)
    assert (status, location) == (response.status, response.headers["location"])


async def test_bodies_of_any_kind_are_answered(web: Any) -> None:
    """Deep, wrong, of another type: told, never failed at."""
    for body in (b"[" * 100_000, b"null", b"[]", b'"x"', b"{", b'{"IDs":5,"Read":"x"}', b'{"IDs":[1,null]}'):
        for method, path in (("PUT", "/api/v1/messages"), ("PUT", "/api/v1/tags"), ("PUT", "/api/v1/chaos"), ("POST", "/api/v1/send")):
            assert (await web.ask(method, path, body)).status in {200, 400}
        assert (await web.ask("POST", "/api/v2/jim", body)).status in {201, 400}


async def test_nothing_is_released_unless_asked_for(web: Any, catching: Any) -> None:
    """Without a server to release to; and only to whom the lists allow."""
    message_id = await catching.catch(HTML, "c@d.test")
    path = f"/api/v1/message/{message_id}/release"
    assert "not enabled" in text(await web.ask("POST", path, {"To": ["x@y.test"]}))
    web.sending.release = Release(None, "mx.test", ReleaseRules(allow=address_rule("*@ok.test"), block=address_rule("no@ok.test")))  # type: ignore[arg-type]
    assert "allowlist: x@y.test" in text(await web.ask("POST", path, {"To": ["x@y.test"]}))
    assert "blocklist: no@ok.test" in text(await web.ask("POST", path, {"To": ["no@ok.test"]}))
    assert 400 == (await web.ask("POST", path, {"To": []})).status


async def test_a_root_of_its_own(make_web: Any) -> None:
    """Behind a proxy everything lies under one path."""
    web = make_web(root="/mail/")
    assert [200, 302, 404] == [(await web.ask("GET", path)).status for path in ("/mail/api/v1/messages", "/mail", "/api/v1/messages")]


async def test_the_monkey_over_http(web: Any) -> None:
    """On, told, changed (what is left out is 0), off."""
    assert [404, 201, 400] == [(await web.ask(method, "/api/v2/jim")).status for method in ("GET", "POST", "POST")]
    assert 0.99 == json.loads(text(await web.ask("GET", "/api/v2/jim")))["AcceptChance"]
    await web.ask("PUT", "/api/v2/jim", {"RejectSenderChance": 0.5})
    assert {"AcceptChance": 0.0, "RejectSenderChance": 0.5}.items() <= json.loads(text(await web.ask("GET", "/api/v2/jim"))).items()
    assert [200, 404] == [(await web.ask("DELETE", "/api/v2/jim")).status for _ in range(2)]


async def test_options_and_unknown_methods(web: Any) -> None:
    """In the words of the program whose interface it is."""
    assert (200, "") == ((await web.ask("OPTIONS", "/api/v1/messages")).status, text(await web.ask("OPTIONS", "/api/v1/messages")))
    assert "Method Not Allowed\n" == text(await web.ask("POST", "/api/v1/messages"))
    assert "File not found\n" == text(await web.ask("GET", "/api/v1/nope"))
