"""Comparing over our own interface."""

import json
from typing import Any

from appliance.net.http_messages import Response

FIRST = b"From: a@b.test\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\nMessage-ID: <1@b.test>\r\nSubject: Code\r\n\r\nYour code is 1\r\n"
AGAIN = FIRST.replace(b"10:00", b"11:00").replace(b"<1@", b"<2@")
OTHER = AGAIN.replace(b"is 1", b"is 2")


def told(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


async def test_two_sendings_of_a_message_are_the_same(web: Any, catching: Any) -> None:
    """Until what differs with each is asked for."""
    first, again, other = [await catching.catch(data, "c@d.test") for data in (FIRST, AGAIN, OTHER)]
    path = f"/api/carteiro/v1/compare?a={first}&b="
    assert told(await web.ask("GET", path + again))["same"]
    exact = told(await web.ask("GET", f"{path}{again}&ignore="))
    assert (False, 2) == (exact["same"], exact["sections"][0]["changes"])
    found = told(await web.ask("GET", path + other))
    assert not found["same"]
    assert {"kind": "changed", "left": "Your code is 1", "right": "Your code is 2"} in found["sections"][1]["rows"]


async def test_a_baseline_comes_with_the_request(web: Any, catching: Any) -> None:
    """As a message; boundaries are as different as they like."""
    baseline = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=one\r\n\r\n--one\r\n\r\nHi\r\n--one--\r\n"
    path = f"/api/carteiro/v1/messages/{await catching.catch(baseline.replace(b'one', b'two'), 'c@d.test')}/compare"
    assert told(await web.ask("POST", path, baseline))["same"]
    assert not told(await web.ask("POST", path, baseline.replace(b"Hi", b"Ho")))["same"]
    assert 400 == (await web.ask("POST", path, b"")).status


async def test_what_is_not_there_cannot_be_compared(web: Any) -> None:
    """Told with which one."""
    assert {"error": "no such message: a"} == told(await web.ask("GET", "/api/carteiro/v1/compare?b=x"))
    assert 404 == (await web.ask("POST", "/api/carteiro/v1/messages/x/compare", b"x")).status
