"""Whom a webhook tells of caught mail, and whom never."""

from typing import Any

import pytest

from appliance.net.http_client import RequestError, target_of
from appliance.services.catcher.webhook import Webhook, WebhookOptions


def make(catching: Any, url: str, **more: Any) -> Webhook:
    return Webhook(WebhookOptions(url=url, **more), catching.catcher, lambda _: {}, [("127.0.0.1", 8025)], lambda: None)  # type: ignore[arg-type, return-value]


async def test_never_itself(catching: Any) -> None:
    """By any name."""
    for url in ("http://127.0.0.1:8025/", "http://localhost:8025/x"):
        with pytest.raises(RequestError, match=r"nothing to itself|not found"):
            await make(catching, url)._addresses(target_of(url))


async def test_private_addresses(catching: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was written as such is meant; a name that leads to one is not, unless that is allowed."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [(0, 0, 0, "", ("10.0.0.7", 80))])
    assert ["10.0.0.7"] == await make(catching, "http://10.0.0.7/")._addresses(target_of("http://10.0.0.7/"))
    with pytest.raises(RequestError, match="--webhook-private"):
        await make(catching, "http://hook.test/")._addresses(target_of("http://hook.test/"))
    assert ["10.0.0.7"] == await make(catching, "http://hook.test/", private=True)._addresses(target_of("http://hook.test/"))


@pytest.mark.parametrize("url", ["ftp://x.test/", "http://", "http://a:b@x.test/", "http://x.test/a b", "http://x.test/\r\nX: y"])
def test_what_is_no_url(url: str) -> None:
    """Nothing that could write a header of its own, or carry a login."""
    with pytest.raises(ValueError, match=r"http|ASCII"):
        target_of(url)
