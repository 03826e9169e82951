"""SPF, DKIM, DMARC and ARC of a caught message, from records that are given."""

import json
from functools import partial
from typing import Any

import pytest

from appliance.app.verdicts import judge_caught
from appliance.net.http_messages import Request
from appliance.services.catcher.desk import Desk
from appliance.services.catcher.routes import Routes
from appliance.services.catcher.verdicts import VerdictApi
from tests.policy.dkimkeys import ZONE, dkimpy_sign

RECORDS: dict[str, Any] = {name: {"TXT": text} for name, text in ZONE.items()} | {
    "example.com": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject"]},
}
BASE = "/api/carteiro/v1"


async def _judge(data: bytes, address: str, helo: str, reverse_path: str, records: object) -> dict[str, Any]:
    return await judge_caught(data, address, helo, reverse_path, records, "here.test")


@pytest.fixture
def ask(catching: Any) -> Any:
    """Return what asks; everything is kept between two calls."""
    routes = Routes()
    VerdictApi(Desk(catching.catcher, "vm"), _judge).add_to(routes)

    async def asked(method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = await routes.answer(Request(method, f"{BASE}{path}", query, [], data, "127.0.0.1"))
        assert response is not None
        assert isinstance(response.body, bytes)
        return response.status, json.loads(response.body)

    return asked


async def test_by_the_records_of_the_moment(ask: Any, catching: Any) -> None:
    """Off at first, then by what was put; the client's address may be said."""
    signed = dkimpy_sign(b"From: a@example.com\r\nSubject: x\r\n\r\nbody\r\n")
    message_id = await catching.catch(signed, "c@d.test", sender="a@example.com")
    path = f"/messages/{message_id}/verdict"
    status, found = await ask("GET", path)
    assert (200, "off", "temperror") == (status, found["dns"], found["dkim"][0]["result"])
    assert 200 == (await ask("PUT", "/dns", {"records": RECORDS}))[0]
    status, found = await ask("GET", path, ip="192.0.2.1")
    results = (found["spf"]["result"], found["dkim"][0]["result"], found["dmarc"]["result"], found["arc"]["result"])
    assert ("given", "pass", "pass", "pass", "none", "taken") == (found["dns"], *results, found["fate"])
    status, found = await ask("GET", path, ip="203.0.113.9")
    assert "fail" == found["spf"]["result"]


async def test_records_for_once(ask: Any, catching: Any) -> None:
    """A pasted zone judges one message and is not kept."""
    message_id = await catching.catch(b"From: a@example.com\r\n\r\nbody\r\n", "c@d.test", sender="a@example.com")
    status, found = await ask("POST", f"/messages/{message_id}/verdict", {"records": RECORDS, "ip": "192.0.2.1"})
    assert (200, "pass") == (status, found["spf"]["result"])
    assert {"records": None} == (await ask("GET", "/dns"))[1]


@pytest.mark.parametrize("records", [5, [], "x", {"a.test": 5}, {"a.test": {"SRV": []}}, {"a.test": {"TXT": [1]}}])
async def test_records_that_make_no_sense(ask: Any, records: object) -> None:
    """Told, and nothing is taken."""
    assert 400 == (await ask("PUT", "/dns", {"records": records}))[0]
    assert {"records": None} == (await ask("GET", "/dns"))[1]


async def test_what_is_not_there(ask: Any, catching: Any) -> None:
    """No such message, no address, no JSON."""
    message_id = await catching.catch(b"\r\n", "c@d.test")
    path = f"/messages/{message_id}/verdict"
    ask_once = partial(ask, "POST", path)
    assert [404, 400, 400, 400, 400] == [
        (await ask("GET", "/messages/nope/verdict"))[0],
        (await ask("GET", path, ip="here"))[0],
        (await ask_once(b"{"))[0],
        (await ask_once([]))[0],
        (await ask_once({"records": {"shop.test": {"MX": ["no number"]}, "x": 3}}))[0],
    ]
