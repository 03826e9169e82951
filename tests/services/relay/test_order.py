"""Which host is tried for whom, and which connection is used again."""

from typing import Any

import pytest
import trio
import trio.testing

from appliance.model.envelope import Body, EnvelopeRecipient, Notify
from appliance.model.outcome import Action
from appliance.net.connection import connect_tcp
from appliance.net.resolver import Resolver
from appliance.protocols.smtp.options import ServerOptions
from appliance.protocols.smtp.replies import Reply

LATER = Reply(451, "4.3.0", "Not now")
STAGES = ["greeting", "hello", "mail", "rcpt", "data", "end"]


def actions(outcomes: Any) -> list[Action]:
    return [outcome.action for outcome in outcomes]


@pytest.mark.parametrize(("stage", "act"), [*[(stage, LATER) for stage in STAGES], *[(stage, "close") for stage in STAGES[:-1]]])
async def test_the_next_host_is_asked_when_the_first_cannot(house: Any, stage: str, act: Any) -> None:
    """A soft failure before the final dot goes on, as in Postfix; after a loss at the dot nothing does (test_stages)."""
    await house.peer(**{stage: act})
    second = await house.peer("mx2.example", 20)
    assert [Action.RELAYED] == actions(await house.send())
    assert 1 == len(second.messages)


async def test_only_the_recipients_left_over_go_to_the_next_host(house: Any) -> None:
    """Nobody gets two copies; a refusal for good is not asked about again."""
    first = await house.peer(
        **{"rcpt later@far.example": Reply(450, "4.2.1", "Greylisted"), "rcpt no@far.example": Reply(550, "5.1.1", "No such user")}
    )
    second = await house.peer("mx2.example", 20)
    outcomes = await house.send("ana@far.example", "later@far.example", "no@far.example")
    assert [Action.RELAYED, Action.RELAYED, Action.BOUNCED] == actions(outcomes)
    assert ["mx1.example", "mx2.example", "mx1.example"] == [outcome.remote_mta for outcome in outcomes]
    assert [["ana@far.example"], ["later@far.example"]] == [taken.addresses for taken in first.messages + second.messages]


async def test_two_hosts_are_spoken_to_and_no_more(house: Any) -> None:
    """Postfix smtp_mx_session_limit: greylisting is not asked of ten hosts; hosts that are not there do not count."""
    house.absent("gone.example", 1, "127.0.0.9")
    for number in (1, 2):
        await house.peer(f"mx{number}.example", number * 10, rcpt=LATER)
    third = await house.peer("mx3.example", 30)
    assert [Action.DEFERRED] == actions(await house.send())
    assert 0 == third.connections


async def test_a_hard_refusal_of_the_host_does_not_outweigh_a_soft_one(house: Any) -> None:
    """One host is away, the other never takes mail: wait for the first."""
    house.absent("mx1.example", 10, "127.0.0.9")
    await house.peer("mx2.example", 20, greeting=Reply(521, "", "No mail here"))
    (outcome,) = await house.send()
    assert (Action.DEFERRED, "4.4.1") == (outcome.action, outcome.status)


async def test_a_connection_is_used_for_the_next_message(house: Any) -> None:
    """MAIL follows at once, RSET only where a transaction was left open."""
    peer = await house.peer()
    setups = []
    for _ in range(3):
        outcomes = await house.send()
        assert [Action.RELAYED] == actions(outcomes)
        setups.append(outcomes[0].setup_s > 0)
    assert [True, False, False] == setups
    assert (1, 3) == (peer.connections, len(peer.messages))
    assert ["greeting", "hello", *["mail", "rcpt", "data", "end"] * 3] == peer.said


async def test_a_connection_is_not_used_for_another_login(house: Any) -> None:
    """Equal next hops only; two of the fields differ here."""
    peer = await house.peer()
    await house.send()
    await house.send(next_hop=house.hop(host="mx1.example", use_mx=False))
    assert 2 == peer.connections


@pytest.mark.parametrize("ends", ["close", Reply(421, "4.4.2", "Idle too long"), LATER, b"?\r\n"])
async def test_a_tired_connection_says_nothing_about_a_fresh_one(house: Any, ends: Any) -> None:
    """A refusal of MAIL on a kept connection - too many messages, timed out - leads to a new one, in the same attempt."""
    peer = await house.peer(mail=[None, ends, None])
    assert [Action.RELAYED] * 2 == actions([*await house.send(), *await house.send()])
    assert 2 == peer.connections


async def test_a_verdict_on_a_kept_connection_stands(house: Any) -> None:
    """The recipient is greylisted: the same server is not asked twice in one attempt."""
    peer = await house.peer(rcpt=[None, Reply(450, "4.2.1", "Greylisted")])
    await house.send()
    assert [Action.DEFERRED] == actions(await house.send())
    assert 1 == peer.connections


async def test_a_connection_carries_so_many_messages(house: Any) -> None:
    """max_messages_per_connection, then QUIT."""
    peer = await house.peer()
    house.start(max_messages_per_connection=2)
    for _ in range(3):
        await house.send()
    assert (2, 1) == (peer.connections, peer.said.count("quit"))


async def test_idle_connections_are_closed_in_time_and_at_the_end(house: Any) -> None:
    """idle_s after the last message; the rest when the service stops."""
    house.start(idle_s=0.05)
    peer = await house.peer()
    await house.send()
    assert 1 == peer.open
    with trio.fail_after(5):
        await peer.deserted.wait()
    assert "quit" in peer.said


async def test_nothing_is_kept_where_the_settings_say_so(house: Any) -> None:
    """idle_s = 0."""
    house.start(idle_s=0)
    peer = await house.peer()
    await house.send()
    await house.send()
    assert 2 == peer.connections


async def test_open_connections_have_a_total(house: Any) -> None:
    """A connection to a new destination takes the place of the one that has waited longest."""
    relay = house.start(max_connections=2)
    peers = [await house.peer(f"mx{number}.example") for number in (1, 2, 3)]
    for number in (1, 2, 3):
        await house.send(next_hop=house.hop(host=f"mx{number}.example", use_mx=False))
    await trio.testing.wait_all_tasks_blocked(0.02)
    assert ([0, 1, 1], 2) == ([peer.open for peer in peers], relay._pool.idle_count)


async def test_the_server_counts_recipients(house: Any) -> None:
    """RFC 9422: as many transactions as RCPTMAX asks for, on one connection."""
    peer = await house.peer()
    peer.options = ServerOptions(hostname="mx1.example", max_recipients=2)
    addresses = [f"user{number}@far.example" for number in range(5)]
    assert [Action.RELAYED] * 5 == actions(await house.send(*addresses))
    assert (1, [addresses[:2], addresses[2:4], addresses[4:]]) == (peer.connections, [taken.addresses for taken in peer.messages])


@pytest.mark.parametrize("reply", [Reply(452, "4.5.3", "Too many recipients"), Reply(452, "", "Too many"), Reply(552, "", "Too many")])
async def test_the_server_counts_without_telling(house: Any, reply: Reply) -> None:
    """RFC 5321 section 4.5.3.1.10: who was one too many goes into another transaction; 552 is taken for 452."""
    peer = await house.peer(rcpt=[None, None, reply, None])
    assert [Action.RELAYED] * 3 == actions(await house.send("a@far.example", "b@far.example", "c@far.example"))
    assert (1, [2, 1]) == (peer.connections, [len(taken.addresses) for taken in peer.messages])


async def test_a_full_mailbox_is_not_about_the_count(house: Any) -> None:
    """552 5.2.2 is final, 452 4.2.2 waits."""
    await house.peer(
        **{"rcpt full@far.example": Reply(552, "5.2.2", "Full"), "rcpt filling@far.example": Reply(452, "4.2.2", "Nearly full")}
    )
    outcomes = await house.send("full@far.example", "ana@far.example", "filling@far.example")
    assert [Action.BOUNCED, Action.RELAYED, Action.DEFERRED] == actions(outcomes)


async def test_who_wants_no_report_goes_alone(house: Any) -> None:
    """NOTIFY=NEVER beside another wish is too much for some servers: two transactions, one session; one where all wish alike."""
    peer = await house.peer()
    wishes = [Notify.SUCCESS, Notify.NEVER, None, Notify.NEVER]
    recipients = [EnvelopeRecipient(f"r{number}@far.example", notify=wish) for number, wish in enumerate(wishes)]
    assert [Action.RELAYED] * 4 == actions(await house.send(recipients=recipients))
    assert [["r0@far.example", "r2@far.example"], ["r1@far.example", "r3@far.example"]] == [taken.addresses for taken in peer.messages]
    await house.send(recipients=recipients[1::2])
    assert (1, 3) == (peer.connections, len(peer.messages))


async def test_the_envelope_passes_whole(house: Any) -> None:
    """SIZE, BODY and DSN parameters where they are offered (RFC 3461 section 5.2.1)."""
    peer = await house.peer()
    wanted = EnvelopeRecipient("ana@far.example", notify=Notify.SUCCESS, orcpt="rfc822;first@us.example")
    (outcome,) = await house.send(recipients=[wanted], body=Body.EIGHT_BIT_MIME, envid="E1", content=b"X: y\r\n\r\n.dot\r\n")
    taken = peer.messages[0]
    assert (14, Body.EIGHT_BIT_MIME, "E1") == (taken.sender.size, taken.sender.body, taken.sender.envid)
    assert (Notify.SUCCESS, "rfc822;first@us.example") == (taken.recipients[0].notify, taken.recipients[0].orcpt)
    assert (b"X: y\r\n\r\n.dot\r\n", True) == (taken.content, outcome.dsn_passed)


async def test_a_server_without_dsn_leaves_the_duty_here(house: Any) -> None:
    """RFC 3461 section 5.2.2: dsn_passed is False, the parameters are not sent."""
    peer = await house.peer()
    peer.options = ServerOptions(hostname="mx1.example", dsn=False)
    (outcome,) = await house.send(recipients=[EnvelopeRecipient("ana@far.example", notify=Notify.SUCCESS)])
    assert (False, None) == (outcome.dsn_passed, peer.messages[0].recipients[0].notify)


@pytest.mark.parametrize(
    ("options", "envelope", "status"),
    [
        ({"smtputf8": False}, {"smtputf8": True}, "5.6.7"),
        ({"chunking": False}, {"body": Body.BINARY_MIME}, "5.6.3"),
        ({"max_message_bytes": 10}, {}, "5.3.4"),
    ],
)
async def test_messages_that_a_server_cannot_take(house: Any, options: Any, envelope: Any, status: str) -> None:
    """Bounced without a word on the wire; the connection stays."""
    peer = await house.peer()
    peer.options = ServerOptions(hostname="mx1.example", **options)
    (outcome,) = await house.send(**envelope)
    assert (Action.BOUNCED, status, ["greeting", "hello"]) == (outcome.action, outcome.status, peer.said)


async def test_binary_goes_by_bdat(house: Any) -> None:
    """RFC 3030 section 3."""
    peer = await house.peer()
    peer.options = ServerOptions(hostname="mx1.example", binarymime=True)
    binary = b"X: y\r\n\r\n\x00\xff\n.\r\r\n" * 40_000
    assert [Action.RELAYED] == actions(await house.send(body=Body.BINARY_MIME, content=binary))
    assert binary == peer.messages[0].content


async def test_the_names_are_really_looked_up(house: Any, fake_dns: Any, nursery: trio.Nursery) -> None:
    """The resolver's answers fit the relay: MX, null MX, implicit MX."""
    peer = await house.peer()
    records = {("far.example", "MX"): ["10 mx1.example."], ("mx1.example", "A"): ["127.0.0.11"], ("nomail.example", "MX"): ["0 ."]}
    server = fake_dns(records)
    house.names = Resolver([await nursery.start(server.serve)])
    assert [Action.RELAYED] == actions(await house.send())
    assert [Action.RELAYED] == actions(await house.send(next_hop=house.hop(host="mx1.example")))
    (outcome,) = await house.send(next_hop=house.hop(host="nomail.example"))
    assert ("5.1.10", 2) == (outcome.status, len(peer.messages))


async def test_own_addresses_are_used_for_their_family(house: Any) -> None:
    """bind_address is IPv4, and the peer sees it."""
    peer = await house.peer()
    house.start(bind_address="127.0.0.77", own_listeners=[("192.0.2.1", 25)])
    assert [Action.RELAYED] == actions(await house.send())
    assert ["127.0.0.77"] == peer.clients


async def test_a_server_that_closes_while_nobody_speaks(house: Any) -> None:
    """The kept connection is found closed; the message goes over a new one in the same attempt."""
    peer = await house.peer(end=[b"250 2.0.0 Taken\r\n", None])
    assert [Action.RELAYED] * 2 == actions([*await house.send(), *await house.send()])
    assert 2 == peer.connections


async def test_a_loss_after_the_final_dot_on_a_kept_connection(house: Any) -> None:
    """RFC 1047 holds there, too: no fresh connection."""
    peer = await house.peer(end=[None, "close"])
    assert [Action.RELAYED, Action.DEFERRED] == actions([*await house.send(), *await house.send()])
    assert 1 == peer.connections


async def test_an_address_that_does_not_answer(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection has its own deadline; the next host is tried."""

    async def connect(address: str, port: int, *, bind_address: str = "") -> Any:
        if address == "127.0.0.9":
            await trio.sleep_forever()
        return await connect_tcp(address, port, bind_address=bind_address)

    monkeypatch.setattr("appliance.services.relay.opener.connect_tcp", connect)
    house.settings = {"connect_timeout_s": 0.05}
    house.absent("mx1.example", 10, "127.0.0.9")
    (outcome,) = await house.send()
    assert ("4.4.1", f"cannot connect to mx1.example[127.0.0.9]:{house.port}: timed out") == (outcome.status, outcome.reason)
    second = await house.peer("mx2.example", 20)
    assert [Action.RELAYED] == actions(await house.send())
    assert 1 == len(second.messages)


async def test_the_service_ends_while_a_message_is_on_its_way(house: Any) -> None:
    """What comes back after the end of ``run`` is closed, not kept."""
    peer = await house.peer()
    relay = house.start()
    async with trio.open_nursery() as inner:
        inner.start_soon(relay.run)
        await trio.testing.wait_all_tasks_blocked()
        inner.cancel_scope.cancel()
    assert [Action.RELAYED] == actions(await house.send())
    with trio.fail_after(5):
        await peer.deserted.wait()
    assert 0 == relay._pool.idle_count
