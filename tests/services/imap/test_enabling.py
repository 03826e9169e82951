"""ENABLE."""

from collections.abc import Callable
from typing import Any

import pytest

from appliance.protocols.imap.extensions import Extension
from appliance.services.imap import enabling

House = Any
Make = Callable[..., House]


async def test_exactly_what_is_new_is_told(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the spelling of CAPABILITY; unknown names and what is on already are passed over, what is implied is on."""
    monkeypatch.setattr(enabling, "ENABLABLE", frozenset(Extension) - {Extension.UIDONLY})
    async with make_house().session() as client:
        await client.log_in()
        ask = client.ask
        assert [b"* ENABLED QRESYNC", b"OK Enable completed"] == await ask(b"ENABLE X-SPACE qresync UIDONLY Qresync")
        assert [b"* ENABLED", b"OK Enable completed"] == await ask(b"ENABLE CONDSTORE")
        assert [b"* ENABLED IMAP4rev2", b"OK Enable completed"] == await ask(b"ENABLE imap4REV2 QRESYNC")


async def test_what_is_hidden_cannot_be_enabled(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that handles it badly might ask for it unseen."""
    monkeypatch.setattr(enabling, "ENABLABLE", frozenset(Extension))
    async with make_house(hidden={"ana": ("condstore",)}).session() as client:
        await client.log_in()
        assert [b"* ENABLED UIDONLY", b"OK Enable completed"] == await client.ask(b"ENABLE CONDSTORE UIDONLY")
