"""The resolver tells apart what is there, what is not, and what nobody knows right now."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from appliance.net.resolver import MailHosts, MxHost, ResolveError, Resolver
from appliance.policy.dane import TlsaRecord
from appliance.policy.tlspolicy import TlsaAnswer, TlsaStatus

RECORDS = {
    ("example.com", "MX"): ["20 mx2.example.com.", "10 mx1.example.com."],
    ("mx1.example.com", "A"): ["192.0.2.1"],
    ("mx1.example.com", "AAAA"): ["2001:db8::1"],
    ("alone.example", "A"): ["192.0.2.9"],
    ("nomail.example", "MX"): ["0 ."],
    ("www.example.com", "CNAME"): ["mx1.example.com"],
    ("bare.example", "TXT"): ['"nothing else"'],
    ("odd.example", "MX"): ["0 .", "10 MX1.Example.com."],
    ("crowd.example", "MX"): [f"{number} mx{number}.example." for number in range(150, 0, -1)],
    ("half.example", "A"): ["192.0.2.3"],
    ("xn--caf-dma.example", "A"): ["192.0.2.7"],
}


@pytest.fixture
async def resolver(fake_dns: Any, nursery: trio.Nursery) -> AsyncIterator[Resolver]:
    """A resolver that asks the in-process server."""
    server = fake_dns(RECORDS, failing=frozenset({"broken.example"}), silent=frozenset({"silent.example"}))
    address = await nursery.start(server.serve)
    found = Resolver([address], timeout_s=0.3)
    found.server = server  # type: ignore[attr-defined]
    yield found
    nursery.cancel_scope.cancel()


async def test_mx_hosts_come_by_preference(resolver: Resolver) -> None:
    """The lowest preference number stands first."""
    expected = MailHosts((MxHost(10, "mx1.example.com"), MxHost(20, "mx2.example.com")))
    assert expected == await resolver.mail_hosts("example.com")


async def test_a_domain_without_mx_is_its_own_host(resolver: Resolver) -> None:
    """RFC 5321 section 5.1: the implicit MX has preference 0."""
    assert MailHosts((MxHost(0, "alone.example"),)) == await resolver.mail_hosts("alone.example")


async def test_null_mx_is_told(resolver: Resolver) -> None:
    """RFC 7505: a single dot means that no mail is taken."""
    assert MailHosts((), is_null=True) == await resolver.mail_hosts("nomail.example")


@pytest.mark.parametrize(
    ("name", "temporary"), [("missing.example", False), ("broken.example", True), ("silent.example", True), ("a" * 70 + ".example", False)]
)
async def test_failures_are_told_apart(resolver: Resolver, name: str, temporary: bool) -> None:
    """No such domain is final; a broken or silent server is not."""
    with pytest.raises(ResolveError) as caught:
        await resolver.mail_hosts(name)
    assert temporary == caught.value.temporary


async def test_addresses_follow_cnames_and_know_both_families(resolver: Resolver) -> None:
    """IPv6 stands first."""
    assert ("2001:db8::1", "192.0.2.1") == await resolver.addresses("www.example.com")


async def test_an_address_is_its_own_answer(resolver: Resolver) -> None:
    """No query is made for an address literal."""
    assert ("192.0.2.5",) == await resolver.addresses("192.0.2.5")
    assert [] == resolver.server.asked  # type: ignore[attr-defined]


async def test_a_host_without_address_is_final(resolver: Resolver) -> None:
    """Names with neither A nor AAAA cannot take mail."""
    with pytest.raises(ResolveError) as caught:
        await resolver.addresses("bare.example")
    assert caught.value.temporary is False


async def test_answers_are_kept(resolver: Resolver) -> None:
    """The second look-up asks nobody, until the cache is flushed."""
    await resolver.mail_hosts("example.com")
    await resolver.mail_hosts("example.com")
    assert [("example.com", "MX")] == resolver.server.asked  # type: ignore[attr-defined]
    resolver.flush()
    await resolver.mail_hosts("example.com")
    assert 2 == len(resolver.server.asked)  # type: ignore[attr-defined]


async def test_international_domains_are_asked_in_ascii(resolver: Resolver) -> None:
    """The A-label goes out."""
    assert ("192.0.2.7",) == await resolver.addresses("café.example")


async def test_a_domain_of_its_own_is_told_in_ascii(resolver: Resolver) -> None:
    """The implicit MX of an international domain is a name that TLS can check."""
    assert MailHosts((MxHost(0, "xn--caf-dma.example"),)) == await resolver.mail_hosts("café.example")


async def test_a_null_record_beside_others_is_a_mistake(resolver: Resolver) -> None:
    """RFC 7505 section 3 allows it alone; the others count, in lower case."""
    assert MailHosts((MxHost(10, "mx1.example.com"),)) == await resolver.mail_hosts("odd.example")


async def test_the_best_of_too_many_hosts_are_kept(resolver: Resolver) -> None:
    """Whatever the order on the wire. The answer comes over UDP, so nothing is cut there."""
    found = await resolver.mail_hosts("crowd.example")
    assert [*range(1, 101)] == [host.preference for host in found.hosts]


async def test_one_family_is_enough(resolver: Resolver) -> None:
    """No AAAA record is no failure."""
    assert ("192.0.2.3",) == await resolver.addresses("half.example")


@pytest.mark.parametrize("name", ["broken.example", "silent.example"])
async def test_addresses_that_nobody_can_tell_now(resolver: Resolver, name: str) -> None:
    """Neither family answered: later."""
    with pytest.raises(ResolveError) as caught:
        await resolver.addresses(name)
    assert caught.value.temporary


# Texts, and what DNSSEC vouches for

SIGNED = {
    ("signed.example", "MX"): ["10 mx.signed.example."],
    ("mx.signed.example", "A"): ["192.0.2.1"],
    ("_25._tcp.mx.signed.example", "TLSA"): ["3 1 1 " + "ab" * 32],
    ("bare.signed.example", "A"): ["192.0.2.2"],
    ("open.example", "A"): ["192.0.2.3"],
    ("_25._tcp.open.example", "TLSA"): ["3 1 1 " + "ab" * 32],
    ("half.signed.example", "A"): ["192.0.2.4"],
    ("texts.example", "TXT"): ['"v=STSv1; " "id=1;"', '"other"'],
}


@pytest.fixture
async def validating(fake_dns: Any, nursery: trio.Nursery) -> AsyncIterator[Resolver]:
    """A resolver whose server sets AD for names below signed.example."""
    server = fake_dns(
        SIGNED,
        failing=frozenset({"_25._tcp.half.signed.example", "broken.signed.example"}),
        authentic=lambda name: name.endswith("signed.example"),
    )
    found = Resolver([await nursery.start(server.serve)], timeout_s=0.3, validating=True)
    found.server = server  # type: ignore[attr-defined]
    yield found
    nursery.cancel_scope.cancel()


async def test_texts_are_joined(validating: Resolver) -> None:
    """The strings of a record are one text; a name without any has none, existing or not."""
    # The order of records is the server's to choose.
    assert {b"v=STSv1; id=1;", b"other"} == set(await validating.texts("texts.example"))
    assert ((), ()) == (await validating.texts("open.example"), await validating.texts("missing.example"))


async def test_tlsa_records_that_are_signed(validating: Resolver) -> None:
    """They count, and so does the MX that led there."""
    assert TlsaAnswer(TlsaStatus.FOUND, (TlsaRecord(3, 1, 1, b"\xab" * 32),)) == await validating.tlsa("mx.signed.example", 25)
    assert (await validating.mail_hosts("signed.example")).is_secure
    assert TlsaAnswer() == await validating.tlsa("bare.signed.example", 25)


async def test_a_host_that_is_not_signed_is_not_asked(validating: Resolver) -> None:
    """RFC 7672 section 2.2.2: its name server may choke on the question."""
    assert TlsaAnswer() == await validating.tlsa("open.example", 25)
    assert "TLSA" not in [kind for _name, kind in validating.server.asked]  # type: ignore[attr-defined]


@pytest.mark.parametrize("host", ["half.signed.example", "broken.signed.example"])
async def test_a_lookup_that_fails_is_no_absence(validating: Resolver, host: str) -> None:
    """Whoever breaks the answer must not turn DANE off."""
    assert TlsaStatus.FAILED is (await validating.tlsa(host, 25)).status


async def test_ad_is_not_believed_without_the_setting(validating: Resolver) -> None:
    """Anybody on the way can set that bit."""
    trusting = Resolver([validating.server.address], timeout_s=0.3)  # type: ignore[attr-defined]
    assert TlsaAnswer() == await trusting.tlsa("mx.signed.example", 25)
    assert not (await trusting.mail_hosts("signed.example")).is_secure
