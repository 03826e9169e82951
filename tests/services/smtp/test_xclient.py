"""Sessions of a proxy that talks for others: policy, log, envelope and trace see the client alone."""

from collections.abc import Callable

import pytest

from tests.services.smtp.conftest import House

MakeHouse = Callable[..., House]


@pytest.fixture
def house(make_house: MakeHouse) -> House:
    """One whose proxy is 192.0.2.250, in a trusted network."""
    made = make_house()
    made.is_proxy = lambda address: address == "192.0.2.250"
    made.is_trusted = lambda address: address == "192.0.2.250"
    return made


async def test_the_client_counts(house: House) -> None:
    """Who is named is who sends: his address, his EHLO, none of the proxy's rights."""
    async with house.talk("192.0.2.250") as talk:
        assert "XCLIENT NAME ADDR" in await talk.start("proxy.example")
        assert "220 mail.example.com ESMTP Carteiro" == await talk.ask("XCLIENT ADDR=203.0.113.7 PORT=4711 HELO=client.example PROTO=ESMTP")
        await talk.ask("EHLO proxy.example")
        assert (await talk.mail("elsewhere@far.example")).startswith("550 5.7.1")
        await talk.ask("RSET")
        assert (await talk.mail("ana@example.com")).startswith("250 ")
        await talk.ask("QUIT")
    [(envelope, content)] = house.intake.accepted
    assert ("203.0.113.7", 4_711, "client.example", "ESMTP") == (
        envelope.client.address,
        envelope.client.port,
        envelope.client.helo,
        envelope.client.protocol,
    )
    assert b"from client.example ([203.0.113.7])" in content.replace(b"\r\n\t", b" ")
    assert ["203.0.113.7:4711"] == [fields["client"] for fields in house.logged("session_finished")]
    assert [("203.0.113.7:4711", "192.0.2.250:4000")] == [(fields["client"], fields["proxy"]) for fields in house.logged("client_told")]


async def test_others_have_no_xclient(house: House) -> None:
    """It is neither offered to strangers nor taken from them."""
    async with house.talk("192.0.2.1") as talk:
        assert "XCLIENT" not in await talk.start()
        assert "502 5.5.1 That command is not implemented" == await talk.ask("XCLIENT ADDR=192.0.2.250")
        assert (await talk.mail("elsewhere@far.example")).startswith("550 5.7.1")


async def test_a_trusted_client_behind_the_proxy(house: House) -> None:
    """Trust follows the address that was named, and a proxy may name one client after another."""
    async with house.talk("192.0.2.250") as talk:
        await talk.start()
        await talk.ask("XCLIENT ADDR=203.0.113.7")
        await talk.ask("EHLO a")
        await talk.ask("XCLIENT ADDR=192.0.2.250 PROTO=SMTP")
        await talk.ask("EHLO b")
        assert (await talk.mail("elsewhere@far.example")).startswith("250 ")
    assert ["SMTP"] == [envelope.client.protocol for envelope, _ in house.intake.accepted]


async def test_a_login_that_the_proxy_has_checked(make_house: MakeHouse) -> None:
    """On the submission port the account that it names sends as itself, without AUTH; one that is not ours must log in."""
    house = make_house("submission")
    house.is_proxy = lambda _address: True
    async with house.talk() as talk:
        await talk.start()
        await talk.ask("XCLIENT ADDR=203.0.113.7 LOGIN=nobody@far.example")
        await talk.ask("EHLO a")
        assert (await talk.ask("MAIL FROM:<ana@example.com>")).startswith("530 ")
        await talk.ask("XCLIENT LOGIN=ana")
        assert "AUTH" not in await talk.ask("EHLO a")
        assert (await talk.ask("MAIL FROM:<bob@example.com>")).startswith("553 ")
        assert (await talk.mail("elsewhere@far.example", sender="ana@example.com")).startswith("250 ")
    assert ["ana"] == [envelope.client.account for envelope, _ in house.intake.accepted]


async def test_a_client_with_too_many_connections(house: House) -> None:
    """The limit of connections is the client's."""
    async with house.talk("192.0.2.250") as talk:
        talk.server.readmit = lambda address: address != "203.0.113.7"
        await talk.start()
        assert (await talk.ask("XCLIENT ADDR=203.0.113.7")).startswith("421 4.7.0")
        assert "<closed>" == await talk.reply()
