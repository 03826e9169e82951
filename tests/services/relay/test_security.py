"""MTA-STS, DANE and REQUIRETLS on the way out, against servers on the loopback."""

import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from appliance.model.outcome import Action
from appliance.model.routing import TlsLevel
from appliance.net.clock import SystemClock
from appliance.net.connection import Connection, ConnectionLostError
from appliance.net.offload import InlineOffload
from appliance.net.resolver import ResolveError
from appliance.policy.dane import TlsaRecord, public_key_info
from appliance.policy.tlspolicy import TlsaAnswer, TlsaStatus
from appliance.services.relay.sts import StsPolicies
from appliance.storage.tls_state import TlsState

POLICY = "version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: {age}\r\n"


@dataclass
class Web:
    """The policy host of far.example: a page, how often it was asked for, and what DNS says of it."""

    context: ssl.SSLContext
    port: int = 0
    page: str = ""
    asked: int = 0
    record: str | None = "v=STSv1; id=1;"
    addresses_known: bool = True

    async def handle(self, stream: trio.SocketStream) -> None:
        connection = Connection(stream)
        try:
            await connection.start_tls(self.context)
            await connection.receive_some()
            self.asked += 1
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(self.page)}\r\n\r\n"
            await connection.send_all((head + self.page).encode())
        except ConnectionLostError:
            return
        finally:
            await connection.aclose()

    async def texts(self, name: str) -> tuple[bytes, ...]:
        await trio.lowlevel.checkpoint()
        if self.record is None:
            raise ResolveError("no answer", temporary=True)
        return (self.record.encode(),) if name == "_mta-sts.far.example" else ()

    async def addresses(self, host: str) -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        assert host == "mta-sts.far.example"
        if not self.addresses_known:
            raise ResolveError("no answer", temporary=True)
        return ("127.0.0.1",)


@dataclass
class FakeClock:
    """Wall and monotonic time that tests move."""

    offset_s: float = 0.0
    real: SystemClock = field(default_factory=SystemClock)

    def now_s(self) -> float:
        return self.real.now_s() + self.offset_s

    def monotonic_s(self) -> float:
        return self.real.monotonic_s() + self.offset_s


@pytest.fixture
async def web(nursery: trio.Nursery, certificates: Any) -> AsyncIterator[Web]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.authority.issue_cert("mta-sts.far.example").configure_cert(context)
    found = Web(context)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found.port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, found.handle, listeners)
    yield found
    nursery.cancel_scope.cancel()


@pytest.fixture
def with_sts(house: Any, web: Web, certificates: Any) -> Callable[..., StsPolicies]:
    """Give the relay MTA-STS, with a policy."""

    def make(mode: str = "enforce", mx: str = "mx1.example", age: int = 86_400, clock: Any = None) -> StsPolicies:
        web.page = POLICY.format(mode=mode, mx=mx, age=age)
        state = TlsState(house.directory / "tls.db")
        sts = StsPolicies(web, lambda: certificates.client, state, InlineOffload(), clock or FakeClock(), house.mail_log(), port=web.port)
        house.start(sts=sts, max_messages_per_connection=1)
        return sts

    return make


async def outcome_of(house: Any, **more: Any) -> Any:
    (outcome,) = await house.send(next_hop=house.hop(tls=more.pop("level", TlsLevel.MAY)), **more)
    return outcome


def failures(house: Any) -> set[str]:
    """Return the results that were counted."""
    return {result.failure for result in house.security._results}


# MTA-STS


async def test_an_enforced_policy_is_met(house: Any, web: Web, with_sts: Any) -> None:
    """The policy is fetched once; the result says whose policy it was."""
    with_sts()
    await house.peer(tls=True)
    assert [Action.RELAYED, Action.RELAYED] == [(await outcome_of(house)).action for _ in range(2)]
    assert 1 == web.asked
    (result,) = house.security._results
    assert ("sts", "far.example", "mx1.example", "", web.page) == (
        result.source, result.domain, result.host, result.failure, result.policy,
    )  # fmt: skip


async def test_a_bad_certificate_keeps_the_mail_back(house: Any, certificates: Any, with_sts: Any) -> None:
    """Neither any TLS nor clear text will do; the reason says why."""
    with_sts()
    peer = await house.peer(tls=True)
    peer.tls = certificates.other
    outcome = await outcome_of(house)
    assert (Action.DEFERRED, "4.7.5", 1) == (outcome.action, outcome.status, peer.connections)
    assert "MTA-STS" in outcome.reason
    assert {"certificate-not-trusted"} == failures(house)


async def test_a_server_that_hides_starttls(house: Any, with_sts: Any) -> None:
    """The classic downgrade ends in waiting."""
    with_sts()
    peer = await house.peer()
    outcome = await outcome_of(house)
    assert (Action.DEFERRED, "4.7.4", {"starttls-not-supported"}) == (outcome.action, outcome.status, failures(house))
    assert "mail" not in peer.said


async def test_a_host_that_the_policy_does_not_name(house: Any, with_sts: Any) -> None:
    """It is not spoken to; the next one is."""
    with_sts(mx="mx2.example")
    first, second = await house.peer(tls=True), await house.peer("mx2.example", 20, tls=True)
    assert Action.RELAYED is (await outcome_of(house)).action
    assert (0, 1) == (first.connections, second.connections)


@pytest.mark.parametrize("mx", ["mx1.example", "other.example"])
async def test_a_policy_under_test_only_tells(house: Any, certificates: Any, with_sts: Any, mx: str) -> None:
    """Bad certificate or unknown host: counted and logged, and the mail goes."""
    with_sts(mode="testing", mx=mx)
    peer = await house.peer(tls=True)
    peer.tls = certificates.other
    outcome = await outcome_of(house)
    assert (Action.RELAYED, "TLSv1.3") == (outcome.action, outcome.tls)
    assert failures(house) & {"certificate-not-trusted", "validation-failure"}
    assert "" not in failures(house), "the session without a proof is no success of the policy"
    assert not any("mail waits" in str(fields) for _, fields in house.warnings)


async def test_a_policy_outlives_dns_and_web(house: Any, web: Web, certificates: Any, with_sts: Any) -> None:
    """Whoever can suppress DNS cannot suppress a policy that was fetched; nor does it go with a restart."""
    with_sts()
    peer = await house.peer(tls=True)
    assert Action.RELAYED is (await outcome_of(house)).action
    web.record, peer.tls = None, certificates.other
    assert Action.DEFERRED is (await outcome_of(house)).action
    house.relay = None
    with_sts()
    assert Action.DEFERRED is (await outcome_of(house)).action
    assert 1 == web.asked


async def test_a_new_id_brings_the_new_policy(house: Any, web: Web, with_sts: Any) -> None:
    """Section 3.1; one whose fetch fails leaves the old one in force and is not asked for again at once."""
    sts = with_sts()
    assert "mx1.example" in (await sts.policy("far.example")).text
    web.record, web.page = "v=STSv1; id=2;", POLICY.format(mode="none", mx="mx9.example", age=86_400)
    assert "mx9.example" in (await sts.policy("far.example")).text
    web.record, web.page = "v=STSv1; id=3;", "garbage"
    for _ in range(3):
        assert "mx9.example" in (await sts.policy("far.example")).text
    assert 3 == web.asked
    assert ["mta_sts_unavailable"] == [event for event, _fields in house.warnings]


async def test_a_policy_expires_and_is_refreshed_before(house: Any, web: Web, with_sts: Any) -> None:
    """Unused ones are let go; those in use are fetched again after a day."""
    clock = FakeClock()
    sts = with_sts(age=200_000, clock=clock)
    await sts.policy("far.example")
    clock.offset_s = 90_000
    await sts.refresh()
    assert 2 == web.asked
    web.addresses_known = False
    clock.offset_s = 300_000
    found = await sts.policy("far.example")
    assert (None, "sts-policy-fetch-error") == (found.policy, found.failure)


async def test_a_policy_that_cannot_be_had_is_told(house: Any, web: Web, with_sts: Any, certificates: Any) -> None:
    """RFC 8460 section 4.3.2.2: the mail goes as if there were none, and the report says what was wrong."""
    with_sts()
    web.context = certificates.other
    await house.peer(tls=True)
    assert Action.RELAYED is (await outcome_of(house)).action
    assert {"sts-webpki-invalid"} == failures(house)


# DANE


def key_record(certificates: Any, usage: int = 3) -> TlsaRecord:
    """Return the record that names the key of the peers, or of their authority."""
    if usage == 2:
        der = ssl.PEM_cert_to_DER_cert(certificates.authority.cert_pem.bytes().decode())
        return TlsaRecord(2, 0, 1, hashlib.sha256(der).digest())
    return TlsaRecord(3, 1, 1, hashlib.sha256(public_key_info(certificates.server_der)).digest())


@pytest.fixture
def dane(house: Any) -> Any:
    """A relay whose name server validates."""
    house.names.is_secure = True
    house.start(dane=True, max_messages_per_connection=1)
    return house


@pytest.mark.parametrize("usage", [2, 3])
async def test_dane(dane: Any, certificates: Any, usage: int) -> None:
    """DANE-EE by the key, DANE-TA by the authority that the server shows."""
    dane.names.records["mx1.example"] = TlsaAnswer(TlsaStatus.FOUND, (key_record(certificates, usage),))
    peer = await dane.peer(tls=True)
    peer.tls = certificates.server_with_root
    outcome = await outcome_of(dane)
    assert (Action.RELAYED, "TLSv1.3") == (outcome.action, outcome.tls), outcome
    assert dane.security.level("far.example").is_authenticated


@pytest.mark.parametrize("usage", [2, 3])
async def test_dane_with_another_key(dane: Any, certificates: Any, usage: int) -> None:
    """The mail waits: this may be an attack."""
    dane.names.records["mx1.example"] = TlsaAnswer(TlsaStatus.FOUND, (TlsaRecord(usage, 1, 1, bytes(32)),))
    peer = await dane.peer(tls=True)
    outcome = await outcome_of(dane)
    assert (Action.DEFERRED, "4.7.5", 1) == (outcome.action, outcome.status, peer.connections)
    assert {"validation-failure"} == failures(dane)


async def test_dane_without_dnssec_for_the_mx(house: Any, certificates: Any) -> None:
    """TLSA records prove nothing where the way to the host's name is not signed."""
    house.names.records["mx1.example"] = TlsaAnswer(TlsaStatus.FOUND, (TlsaRecord(3, 1, 1, bytes(32)),))
    house.start(dane=True)
    await house.peer(tls=True)
    assert Action.RELAYED is (await outcome_of(house)).action


async def test_a_lookup_of_tlsa_that_fails(dane: Any) -> None:
    """The next host is asked; this one is not used."""
    dane.names.records["mx1.example"] = TlsaAnswer(TlsaStatus.FAILED)
    first, second = await dane.peer(tls=True), await dane.peer("mx2.example", 20, tls=True)
    assert Action.RELAYED is (await outcome_of(dane)).action
    assert (0, 1, {"dnssec-invalid", ""}) == (first.connections, second.connections, failures(dane))


async def test_settings_that_demand_dane(dane: Any) -> None:
    """No record, no mail."""
    peer = await dane.peer(tls=True)
    assert Action.DEFERRED is (await outcome_of(dane, level=TlsLevel.DANE)).action
    assert 0 == peer.connections


# What a message itself demands


async def test_requiretls_goes_on_to_who_offers_it(dane: Any, certificates: Any) -> None:
    """RFC 8689 section 4.2.1: signed MX, a certificate for the host, the offer; the demand travels along."""
    peer = await dane.peer(tls=True)
    outcome = await outcome_of(dane, requires_tls=True)
    assert Action.RELAYED is outcome.action
    assert peer.messages[0].sender.requiretls


async def test_requiretls_is_not_offered(dane: Any) -> None:
    """The message is returned with 5.7.30, and was never shown."""
    peer = await dane.peer(tls=True)
    peer.options = type(peer.options)(hostname="mx1.example", starttls=True, requiretls=False)
    outcome = await outcome_of(dane, requires_tls=True)
    assert (Action.BOUNCED, "5.7.30", False) == (outcome.action, outcome.status, "mail" in peer.said)


async def test_requiretls_without_a_proof(house: Any, certificates: Any) -> None:
    """Neither DNSSEC nor MTA-STS says that the host is the domain's: 5.7.10."""
    peer = await house.peer(tls=True)
    outcome = await outcome_of(house, requires_tls=True)
    assert (Action.BOUNCED, "5.7.10", 0) == (outcome.action, outcome.status, peer.connections)


async def test_requiretls_with_a_bad_certificate(dane: Any, certificates: Any) -> None:
    """Returned, not kept for days."""
    peer = await dane.peer(tls=True)
    peer.tls = certificates.other
    outcome = await outcome_of(dane, requires_tls=True)
    assert (Action.BOUNCED, "5.7.10") == (outcome.action, outcome.status)


async def test_requiretls_waits_for_a_host_that_is_away(dane: Any) -> None:
    """Nobody was spoken to: that is no verdict."""
    dane.absent("mx1.example", 10, "127.0.0.250")
    assert Action.DEFERRED is (await outcome_of(dane, requires_tls=True)).action


async def test_a_report_that_requires_tls_is_not_held_back(house: Any) -> None:
    """RFC 8689 section 5: with the null reverse-path the demand is a wish."""
    peer = await house.peer(tls=True)
    assert Action.RELAYED is (await outcome_of(house, requires_tls=True, reverse_path="")).action
    assert peer.messages[0].sender.requiretls


async def test_tls_required_no(house: Any, certificates: Any, with_sts: Any) -> None:
    """Section 5: the sender wants it delivered whatever the policy says; the weaker connection serves nobody else."""
    with_sts()
    peer = await house.peer(tls=True)
    peer.tls = certificates.other
    waived = await outcome_of(house, content=b"Subject: x\r\nTLS-Required: No\r\n\r\nHello\r\n")
    other = await outcome_of(house, content=b"Subject: x\r\n\r\nTLS-Required: No\r\n")
    assert (Action.RELAYED, Action.DEFERRED) == (waived.action, other.action)


# Memory


async def test_a_downgrade_is_told(house: Any) -> None:
    """TLS yesterday, none today: the mail goes, and the admin hears of it, also after a restart."""
    peer = await house.peer(tls=True)
    house.start(max_messages_per_connection=1)
    await outcome_of(house)
    await house.security.write()
    house.relay = None
    peer.options = type(peer.options)(hostname="mx1.example")
    assert Action.RELAYED is (await outcome_of(house)).action
    assert ["relay_tls_downgraded"] == [event for event, _fields in house.warnings]


async def test_results_are_written_down(house: Any) -> None:
    """Per day, domain, policy and host; sessions that went alike are counted."""
    await house.peer(tls=True)
    house.start(max_messages_per_connection=1)
    for _ in range(3):
        await outcome_of(house)
    await house.security.write()
    results = TlsState(house.directory / "tls.db").results(int(SystemClock().now_s() // 86_400))
    assert [("far.example", "no-policy-found", "mx1.example", "", 3)] == [
        (one.domain, one.source, one.host, one.failure, one.sessions) for one in results
    ]
