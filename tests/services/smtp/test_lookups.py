"""What VRFY and EXPN tell whom."""

import base64
from typing import Any

import pytest

from appliance.model.ids import AccountName
from appliance.model.routing import Deliverable, LocalTarget, RemoteTarget
from appliance.services.smtp import lookups
from tests.services.smtp.conftest import FakeDirectory


@pytest.mark.parametrize(
    ("argument", "wire"),
    [
        ("team", b"250-2.1.5 <ana@example.com>\r\n250-2.1.5 <bob@example.com>\r\n250 2.1.5 <carla@far.example>\r\n"),
        ("<Team@example.com>", b"250-2.1.5 <ana@example.com>\r\n250-2.1.5 <bob@example.com>\r\n250 2.1.5 <carla@far.example>\r\n"),
        ("bob+lists@example.com SMTPUTF8", b"250 2.1.5 <bob@example.com>\r\n"),
        ("nobody", b"550 5.1.1 No such address here: nobody@example.com\r\n"),
        ("x@far.example", b"550 5.1.2 That address is not at this server; ask the one that has it\r\n"),
    ],
)
def test_expand(argument: str, wire: bytes) -> None:
    """The addresses that a list leads to in the end."""
    assert wire == lookups.expand(FakeDirectory(), argument, may_know=True).to_bytes()
    assert 502 == lookups.expand(FakeDirectory(), argument, may_know=False).code


class Unicode(FakeDirectory):
    def resolve(self, address: str) -> Deliverable:
        return Deliverable((LocalTarget(AccountName("ana")), RemoteTarget("josé@far.example")))


def test_addresses_in_utf8() -> None:
    """They are told to who says that it takes them (RFC 6531 section 3.7.4.2)."""
    assert 553 == lookups.expand(Unicode(), "team", may_know=True).code
    assert ("<ana@example.com>", "<josé@far.example>") == lookups.expand(Unicode(), "team smtputf8", may_know=True).lines
    assert 553 == lookups.verify(Unicode(), "josé@example.com", may_know=True).code
    assert ("<josé@example.com>",) == lookups.verify(Unicode(), "<josé@example.com> SMTPUTF8", may_know=True).lines


async def test_who_has_logged_in_may_ask(make_house: Any) -> None:
    """Before the login nothing is told."""
    house = make_house("submission")
    async with house.talk("127.0.0.1") as talk:
        await talk.start()
        assert ["252", "502"] == [(await talk.ask(command))[:3] for command in ("VRFY ana", "EXPN team")]
        await talk.ask("AUTH PLAIN " + base64.b64encode(b"\0ana\0correct horse").decode())
        assert "250 2.1.5 <ana@example.com>" == await talk.ask("VRFY ana")
        assert 3 == len((await talk.ask("EXPN team")).splitlines())
