"""Sessions as transcripts: what is answered, what is kept, what is logged."""

from typing import Any

import pytest
import trio
import trio.testing

from appliance.model.envelope import Body, EnvelopeRecipient, Notify, Ret
from appliance.model.errors import OutOfSpaceError, UnavailableError


async def test_a_message(make_house: Any) -> None:
    """A message for ana is accepted once, with trace field, envelope and log line; then QUIT."""
    house = make_house()
    async with house.talk() as talk:
        assert "220 mail.example.com ESMTP Carteiro" == await talk.reply()
        assert (await talk.ask("EHLO client.example")).startswith("250-mail.example.com\n")
        assert "250 2.1.0 Sender OK" == await talk.ask("MAIL FROM:<sender@far.example> SIZE=100 RET=HDRS ENVID=e1")
        assert "250 2.1.5 Recipient OK" == await talk.ask("RCPT TO:<ana@example.com> NOTIFY=FAILURE ORCPT=rfc822;Ana@example.com")
        assert (await talk.ask("DATA")).startswith("354 ")
        assert "250 2.0.0 Ok: queued as Q1" == await talk.ask(b"Message-ID: <m@far.example>\r\n\r\n..dot\r\n.\r\n")
        assert (await talk.ask("QUIT")).startswith("221 ")
        assert "<closed>" == await talk.reply()
    ((envelope, content),) = house.intake.accepted
    assert ("sender@far.example", Ret.HEADERS, "e1") == (envelope.reverse_path, envelope.ret, envelope.envid)
    assert (EnvelopeRecipient("ana@example.com", Notify.FAILURE, "rfc822;Ana@example.com"),) == envelope.recipients
    assert ("192.0.2.1", 4_000, "client.example", "ESMTP") == (
        envelope.client.address,
        envelope.client.port,
        envelope.client.helo,
        envelope.client.protocol,
    )
    assert content.startswith(b"Received: from client.example ([192.0.2.1])")
    assert b"for <ana@example.com>" in content
    assert content.endswith(b"\r\nMessage-ID: <m@far.example>\r\n\r\n.dot\r\n")
    (queued,) = house.logged("message_queued")
    assert ("Q1", "<m@far.example>", 1, len(content)) == (queued["queue_id"], queued["message_id"], queued["nrcpt"], queued["size"])
    (finished,) = house.logged("session_finished")
    assert ("smtp", 1, 5, "quit", "") == tuple(finished[key] for key in ("service", "messages", "commands", "reason", "tls"))


async def test_pipelining_batches_replies(make_house: Any) -> None:
    """The replies to one segment of commands come in one segment."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        await talk.send("MAIL FROM:<a@far.example>", "RCPT TO:<ana@example.com>", "RCPT TO:<nobody@example.com>", "DATA")
        segment = await talk.connection.receive_some()
        assert [b"250", b"250", b"550", b"354"] == [line[:3] for line in segment.splitlines()]
        assert "250 2.0.0 Ok: queued as Q1" == await talk.ask(b"x\r\n.\r\n")


async def test_nothing_is_acknowledged_before_it_is_durable(make_house: Any, autojump_clock: trio.testing.MockClock) -> None:
    """250 goes out when accept returns and not earlier."""
    house = make_house()
    house.intake.accept_takes_s = 5
    async with house.talk() as talk:
        await talk.start()
        started = trio.current_time()
        assert "250 2.0.0 Ok: queued as Q1" == await talk.mail("ana@example.com")
        assert 5 == pytest.approx(trio.current_time() - started)


@pytest.mark.parametrize(
    ("where", "error", "reply"),
    [
        ("begin_error", OutOfSpaceError("/var is full"), "452 4.3.1 Disk is full, try again later"),
        ("begin_error", UnavailableError(), "451 4.3.0 Not possible just now, try again later"),
        ("write_error", OutOfSpaceError(), "452 4.3.1 Disk is full, try again later"),
        ("accept_error", OutOfSpaceError(), "452 4.3.1 Disk is full, try again later"),
        ("accept_error", UnavailableError("/var/x"), "451 4.3.0 Not possible just now, try again later"),
    ],
)
async def test_failed_resources(make_house: Any, where: str, error: Exception, reply: str) -> None:
    """What fails on our side is a temporary reply without our paths; the session goes on and the next message is taken."""
    house = make_house()
    setattr(house.intake, where, error)
    async with house.talk() as talk:
        await talk.start()
        assert reply == await talk.mail("ana@example.com")
        assert "/var" not in reply
        setattr(house.intake, where, None)
        await talk.ask("RSET")
        assert (await talk.mail("ana@example.com")).startswith("250 ")
    assert 1 == len(house.intake.accepted)
    assert len(house.intake.discarded) == house.intake.begun - 1
    # Of a full disk the queue tells, once; a line for each refused message would flood the log.
    assert (not isinstance(error, OutOfSpaceError)) == len(house.logged("intake_failed"))


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("nobody@example.com", "550 5.1.1 "),
        ("x@elsewhere.example", "550 5.7.1 "),
        ("ana@example.com", "250 2.1.5 "),
        ("x@partner.example", "250 2.1.5 "),
        ("postmaster", "250 2.1.5 "),
    ],
)
async def test_recipients_of_strangers(make_house: Any, recipient: str, reply: str) -> None:
    """Strangers reach our addresses and relay domains; the refusal stands at RCPT and in the log."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        await talk.ask("MAIL FROM:<a@far.example>")
        assert (await talk.ask(f"RCPT TO:<{recipient}>")).startswith(reply)
    refusals = house.logged("message_refused")
    assert (reply[0] == "5") == bool(refusals)
    assert all(("RCPT", "a@far.example", recipient) == (line["stage"], line["from"], line["to"]) for line in refusals)


async def test_trusted_networks_relay(make_house: Any) -> None:
    """A trusted client sends anywhere, without a domain where it is ours, and its header is completed."""
    house = make_house()
    house.is_trusted = lambda address: address == "10.0.0.7"
    async with house.talk("10.0.0.7") as talk:
        await talk.start()
        assert (await talk.mail("x@elsewhere.example", "bob", sender="root", content=b"Bcc: secret@x.example\r\n\r\nhi\r\n")).startswith(
            "250 "
        )
    ((envelope, content),) = house.intake.accepted
    assert "root@example.com" == envelope.reverse_path
    assert ["x@elsewhere.example", "bob@example.com"] == [recipient.address for recipient in envelope.recipients]
    assert b"\r\nDate: " in content
    assert b"\r\nMessage-ID: <Q1." in content
    assert b"Bcc" not in content
    assert b" for <" not in content


async def test_a_strangers_header_is_left_alone(make_house: Any) -> None:
    """Mail from other servers is completed by nobody: signatures would break."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        await talk.mail("ana@example.com", content=b"Bcc: x@y.example\r\n\r\nhi\r\n")
    ((_, content),) = house.intake.accepted
    assert content.endswith(b"\r\nBcc: x@y.example\r\n\r\nhi\r\n")
    assert b"\r\nDate: " not in content


async def test_aliases_expand_and_duplicates_go(make_house: Any) -> None:
    """Each final recipient is in the envelope once, with the address that led there."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        assert (await talk.mail("Ana@example.com", "team@example.com", "bob+lists@example.org", "ana@example.com")).startswith("250 ")
    ((envelope, _),) = house.intake.accepted
    assert (
        EnvelopeRecipient("ana@example.com", original="Ana@example.com"),
        EnvelopeRecipient("bob@example.com", original="team@example.com"),
        EnvelopeRecipient("carla@far.example", original="team@example.com"),
        EnvelopeRecipient("bob+lists@example.com", original="bob+lists@example.org"),
    ) == envelope.recipients


async def test_too_many_recipients(make_house: Any) -> None:
    """Those over the limit are put off, those below it are served."""
    house = make_house(max_recipients=2)
    async with house.talk() as talk:
        assert "LIMITS RCPTMAX=2" in await talk.start()
        await talk.ask("MAIL FROM:<a@far.example>")
        replies = [await talk.ask(f"RCPT TO:<{name}@example.com>") for name in ("ana", "bob", "team")]
        assert ["250", "250", "452"] == [reply[:3] for reply in replies]


async def test_sizes(make_house: Any) -> None:
    """Too large is refused at MAIL when declared, at the end of the content when not; the session goes on."""
    house = make_house(max_message_bytes=1_000)
    async with house.talk() as talk:
        assert "SIZE 1000" in await talk.start()
        assert (await talk.ask("MAIL FROM:<a@far.example> SIZE=1001")).startswith("552 5.3.4")
        assert (await talk.mail("ana@example.com", content=b"x" * 50 + b"\r\n" + b"y\r\n" * 400)).startswith("552 5.3.4")
        assert (await talk.mail("ana@example.com")).startswith("250 ")
    assert ["Q1"] == house.intake.discarded
    assert 1 == len(house.intake.accepted)


async def test_a_header_too_large(make_house: Any) -> None:
    """A header section without end is refused, and none of it was kept in memory or on disk."""
    house = make_house(max_header_bytes=1_000)
    async with house.talk() as talk:
        await talk.start()
        reply = await talk.mail("ana@example.com", content=b"X-Long: yes\r\n" * 100 + b"\r\nbody\r\n")
        assert reply.startswith("552 5.3.4 The header")
    assert [] == house.intake.accepted


async def test_mail_loops(make_house: Any) -> None:
    """A message with too many Received fields goes in circles."""
    house = make_house(max_received=3)
    async with house.talk() as talk:
        await talk.start()
        content = b"Received: by x; now\r\n" * 4 + b"\r\nbody\r\n"
        assert (await talk.mail("ana@example.com", content=content)).startswith("554 5.4.6")
        assert (await talk.mail("ana@example.com", content=content[21:])).startswith("250 ")
    (refusal,) = house.logged("message_refused")
    assert ("DATA", "ana@example.com") == (refusal["stage"], refusal["to"])


@pytest.mark.parametrize("content", [b"", b"\r\n", b"Subject: only\r\n", b"no header at all\r\n"])
async def test_odd_contents(make_house: Any, content: bytes) -> None:
    """A message without body, header or anything is a message."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        assert (await talk.mail("ana@example.com", content=content)).startswith("250 ")
    ((_, kept),) = house.intake.accepted
    assert kept.startswith(b"Received: ")
    assert kept.endswith(content)


async def test_a_header_in_small_pieces(make_house: Any) -> None:
    """However the content was cut on the way, it is the same message."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        for command in ("MAIL FROM:<a@far.example>", "RCPT TO:<ana@example.com>", "DATA"):
            await talk.ask(command)
        for byte in b"Subject: x\r\n\r\n..\r\n":
            await talk.send(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert (await talk.ask(b".\r\n")).startswith("250 ")
    ((_, kept),) = house.intake.accepted
    assert kept.endswith(b"\r\nSubject: x\r\n\r\n.\r\n")


async def test_bare_newlines_are_refused(make_house: Any) -> None:
    """A smuggled end of data neither ends the message nor is kept (CVE-2023-51764)."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        assert (await talk.mail("ana@example.com", content=b"a\n.\nMAIL FROM:<x@y.example>\r\n")).startswith("550 5.5.2")
        assert "<closed>" == await talk.reply()
    assert [] == house.intake.accepted
    assert ["Q1"] == house.intake.discarded


async def test_bdat(make_house: Any) -> None:
    """Chunks make a message; everything in one segment, two messages at once."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        message = (
            "MAIL FROM:<a@far.example> BODY=8BITMIME",
            "RCPT TO:<ana@example.com>",
            "BDAT 14",
            b"Subject: x\r\n\r\n",
            "BDAT 4 LAST",
            b"hi\r\n",
        )
        await talk.send(*message, *message)
        replies = [await talk.reply() for _ in range(8)]
        assert ["250"] * 8 == [reply[:3] for reply in replies]
        assert ["250 2.0.0 Ok: queued as Q1", "250 2.0.0 Ok: queued as Q2"] == [replies[3], replies[7]]
    assert [Body.EIGHT_BIT_MIME] * 2 == [envelope.body for envelope, _ in house.intake.accepted]
    assert all(content.endswith(b"\r\nSubject: x\r\n\r\nhi\r\n") for _, content in house.intake.accepted)


@pytest.mark.parametrize("where", ["begin_error", "write_error", "accept_error"])
async def test_bdat_that_fails(make_house: Any, where: str) -> None:
    """A chunk is refused after it has arrived, and the transaction is over (RFC 3030 section 2)."""
    house = make_house()
    setattr(house.intake, where, OutOfSpaceError())
    async with house.talk() as talk:
        await talk.start()
        await talk.ask("MAIL FROM:<a@far.example>")
        await talk.ask("RCPT TO:<ana@example.com>")
        assert (await talk.ask("BDAT 14 LAST", b"Subject: x\r\n\r\n")).startswith("452 4.3.1")
        assert (await talk.ask("BDAT 2 LAST", b"\r\n")).startswith("503 ")
    assert [] == house.intake.accepted


async def test_unannounced_8bit_is_recorded(make_house: Any) -> None:
    """What the relay must know is taken from the content, whatever MAIL said."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        await talk.mail("ana@example.com", content="Subject: x\r\n\r\nolá\r\n".encode())
        await talk.mail("ana@example.com")
    assert [Body.EIGHT_BIT_MIME, Body.SEVEN_BIT] == [envelope.body for envelope, _ in house.intake.accepted]


async def test_smtputf8(make_house: Any) -> None:
    """Addresses beyond ASCII are taken when announced; the trace field says so."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        await talk.ask("MAIL FROM:<josé@far.example> SMTPUTF8")
        await talk.ask("RCPT TO:<ana@example.com>")
        await talk.ask("DATA")
        assert (await talk.ask(b".\r\n")).startswith("250 ")
    ((envelope, content),) = house.intake.accepted
    assert envelope.smtputf8
    assert "josé@far.example" == envelope.reverse_path
    assert b"with UTF8SMTP" in content


async def test_rset_and_ehlo_forget(make_house: Any) -> None:
    """A transaction ends with RSET and with EHLO; the content received so far is dropped."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        for command in ("RSET", "EHLO again.example"):
            await talk.ask("MAIL FROM:<a@far.example>")
            await talk.ask("RCPT TO:<ana@example.com>")
            await talk.ask("BDAT 1", b"x")
            assert (await talk.ask(command)).startswith("250")
            assert (await talk.ask("RCPT TO:<ana@example.com>")).startswith("503")
    assert ["Q1", "Q2"] == house.intake.discarded


async def test_a_client_that_leaves_in_the_middle(make_house: Any) -> None:
    """Half a message is no message."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        for command in ("MAIL FROM:<a@far.example>", "RCPT TO:<ana@example.com>", "DATA"):
            await talk.ask(command)
        await talk.send(b"Subject: x\r\n\r\nhalf")
    assert ([], ["Q1"]) == (house.intake.accepted, house.intake.discarded)
    (finished,) = house.logged("session_finished")
    assert "lost" == finished["reason"]


async def test_verify_expand_help(make_house: Any) -> None:
    """To who has not logged in VRFY tells nothing unless it is allowed to, EXPN nothing at all; HELP tells the commands."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        replies = [await talk.ask(command) for command in ("VRFY ana", "EXPN team", "HELP", "NOOP")]
        assert ["252", "502", "214", "250"] == [reply[:3] for reply in replies]
    house.limit(verify_command=True)
    async with house.talk() as talk:
        await talk.start()
        replies = [await talk.ask(f"VRFY {name}") for name in ("<ana@example.com>", "nobody", "x@far.example")]
        assert ["250 2.1.5 <ana@example.com>", "550 5.1.1 No such address here: nobody@example.com"] == replies[:2]
        assert replies[2].startswith("252 ")


async def test_starttls(make_house: Any) -> None:
    """TLS starts over, is told in the trace field and in the log."""
    house = make_house()
    async with house.talk() as talk:
        assert "STARTTLS" in await talk.start()
        assert "STARTTLS" not in await talk.start_tls()
        assert (await talk.mail("ana@example.com")).startswith("250 ")
        await talk.ask("QUIT")
    ((envelope, content),) = house.intake.accepted
    assert "ESMTPS" == envelope.client.protocol
    assert b"with ESMTPS id Q1" in content.replace(b"\r\n\t", b" ")
    assert b"TLSv1.3" in content
    (finished,) = house.logged("session_finished")
    assert "TLSv1.3" == finished["tls"]


async def test_starttls_not_offered(make_house: Any) -> None:
    """Without a certificate STARTTLS is neither told nor taken."""
    house = make_house()
    house.offers_tls = False
    async with house.talk() as talk:
        assert "STARTTLS" not in await talk.start()
        assert (await talk.ask("STARTTLS")).startswith("502 ")


async def test_a_handshake_that_fails(make_house: Any) -> None:
    """Plain text in place of a handshake ends the session, with the reason in the log."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        await talk.ask("STARTTLS")
        await talk.send("MAIL FROM:<a@far.example>")
        await talk.connection.receive_some()
    (finished,) = house.logged("session_finished")
    assert finished["reason"].startswith("TLS handshake failed: ")


async def test_commands_smuggled_behind_starttls(make_house: Any) -> None:
    """What was sent in the clear behind STARTTLS is never executed (CVE-2011-0411)."""
    house = make_house()
    async with house.talk() as talk:
        await talk.start()
        assert (await talk.ask("STARTTLS", "MAIL FROM:<a@far.example>")).startswith("554 ")
        assert "<closed>" == await talk.reply()
    (finished,) = house.logged("session_finished")
    assert "input after STARTTLS" == finished["reason"]
