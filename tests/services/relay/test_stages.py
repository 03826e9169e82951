"""What a server does wrong at each stage becomes an outcome that says so, and never an exception."""

import contextlib
import random
from typing import Any

import pytest
import trio

from appliance.model.outcome import Action
from appliance.protocols.smtp.replies import Reply

STAGES = ["greeting", "hello", "mail", "rcpt", "data", "end"]
HANG, CLOSE, GARBAGE = "hang", "close", b"\x15\x03\x01 what?\r\n"


async def test_a_good_server_takes_the_message(house: Any) -> None:
    """The outcome names the server and what it said."""
    peer = await house.peer()
    (outcome,) = await house.send()
    assert (Action.RELAYED, "2.0.0", "250 2.0.0 Ok: queued as 1") == (outcome.action, outcome.status, outcome.diagnostic)
    assert ("mx1.example", f"mx1.example[127.0.0.11]:{house.port}", "") == (outcome.remote_mta, outcome.relay, outcome.tls)
    assert outcome.dsn_passed
    assert [["ana@far.example"]] == [taken.addresses for taken in peer.messages]
    assert b"Subject: x\r\n\r\nHello\r\n" == peer.messages[0].content


@pytest.mark.parametrize("stage", STAGES)
async def test_a_refusal_for_now_defers(house: Any, stage: str) -> None:
    """4xx at any stage: later."""
    await house.peer(**{stage: Reply(451, "4.7.1", "Come back later")})
    (outcome,) = await house.send()
    assert (Action.DEFERRED, "4.7.1") == (outcome.action, outcome.status)
    assert "451 4.7.1 Come back later" == outcome.diagnostic
    assert "in reply to" in outcome.reason


@pytest.mark.parametrize(
    ("stage", "action"),
    [
        ("greeting", Action.DEFERRED),
        ("hello", Action.BOUNCED),
        ("mail", Action.BOUNCED),
        ("rcpt", Action.BOUNCED),
        ("data", Action.BOUNCED),
        ("end", Action.BOUNCED),
    ],
)
async def test_a_refusal_for_good_bounces_but_in_the_greeting(house: Any, stage: str, action: Action) -> None:
    """5xx is final, except that a host may greet so for a bad day (Postfix smtp_skip_5xx_greeting)."""
    await house.peer(**{stage: Reply(554, "5.7.1", "Go away")})
    (outcome,) = await house.send()
    assert (action, f"{4 if action is Action.DEFERRED else 5}.7.1") == (outcome.action, outcome.status)


async def test_521_in_the_greeting_is_final(house: Any) -> None:
    """RFC 7504 section 3: the host never takes mail."""
    await house.peer(greeting=Reply(521, "", "We take no mail"))
    (outcome,) = await house.send()
    assert (Action.BOUNCED, "5.0.0") == (outcome.action, outcome.status)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("act", [CLOSE, GARBAGE])
async def test_a_broken_conversation_defers(house: Any, stage: str, act: Any) -> None:
    """A closed connection and bytes that are no reply defer, with the stage in words."""
    await house.peer(**{stage: act})
    (outcome,) = await house.send()
    assert (Action.DEFERRED, "4.4.2") == (outcome.action, outcome.status)
    assert "lost connection with mx1.example" in outcome.reason


@pytest.mark.parametrize("stage", STAGES)
async def test_silence_ends_at_the_deadline_of_its_stage(house: Any, stage: str) -> None:
    """Each wait has its own setting; only the one that matters is short here."""
    setting = {"greeting": "greeting_timeout_s", "hello": "greeting_timeout_s", "end": "data_timeout_s"}.get(stage, "command_timeout_s")
    house.settings = {setting: 0.05}
    peer = await house.peer(**{stage: HANG})
    (outcome,) = await house.send()
    assert (Action.DEFERRED, "4.4.2") == (outcome.action, outcome.status)
    assert "timed out" in outcome.reason
    assert 1 == peer.connections


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "end"])
async def test_421_closes(house: Any, stage: str) -> None:
    """RFC 5321 section 3.8: the connection is not used again."""
    peer = await house.peer(**{stage: [Reply(421, "4.3.2", "Shutting down"), None]})
    (outcome,) = await house.send()
    assert (Action.DEFERRED, "4.3.2") == (outcome.action, outcome.status)
    (outcome,) = await house.send()
    assert (Action.RELAYED, 2) == (outcome.action, peer.connections)


async def test_nobody_listens(house: Any) -> None:
    """The kernel's words reach the log."""
    house.absent("mx1.example", 10, "127.0.0.9")
    (outcome,) = await house.send()
    assert (Action.DEFERRED, "4.4.1") == (outcome.action, outcome.status)
    assert f"cannot connect to mx1.example[127.0.0.9]:{house.port}: Connection refused" == outcome.reason


async def test_an_old_server_is_greeted_with_helo(house: Any) -> None:
    """RFC 5321 section 3.2: EHLO refused, HELO taken; nothing is pipelined or asked of extensions."""
    peer = await house.peer(hello=[Reply(502, "5.5.1", "What?"), None])
    outcomes = await house.send("ana@far.example", "bia@far.example")
    assert [Action.RELAYED] * 2 == [outcome.action for outcome in outcomes]
    assert not outcomes[0].dsn_passed
    assert ["greeting", "hello", "hello", "mail", "rcpt", "rcpt", "data", "end"] == peer.said[:8]


async def test_recipients_have_their_own_fates(house: Any) -> None:
    """One refused for good, one for now, one taken: in the order of the job."""
    peer = await house.peer(
        **{"rcpt no@far.example": Reply(550, "5.1.1", "No such user"), "rcpt later@far.example": Reply(450, "4.2.1", "Greylisted")}
    )
    outcomes = await house.send("no@far.example", "ana@far.example", "later@far.example")
    assert [Action.BOUNCED, Action.RELAYED, Action.DEFERRED] == [outcome.action for outcome in outcomes]
    assert "mx1.example said: 550 5.1.1 No such user (in reply to RCPT TO)" == outcomes[0].reason
    assert [["ana@far.example"]] == [taken.addresses for taken in peer.messages]


async def test_no_recipient_left_takes_no_content(house: Any) -> None:
    """RFC 2920 section 3.1: everybody refused, the connection stays good for the next message."""
    peer = await house.peer(**{"rcpt no@far.example": Reply(550, "5.1.1", "No such user")})
    assert [Action.BOUNCED] == [outcome.action for outcome in await house.send("no@far.example")]
    assert [Action.RELAYED] == [outcome.action for outcome in await house.send()]
    assert (1, 1) == (peer.connections, len(peer.messages))


async def test_a_loss_after_some_verdicts_keeps_them(house: Any) -> None:
    """The 550 was said; only the others wait."""
    peer = await house.peer(**{"rcpt no@far.example": Reply(550, "5.1.1", "No such user")}, data=CLOSE)
    outcomes = await house.send("no@far.example", "ana@far.example")
    assert [Action.BOUNCED, Action.DEFERRED] == [outcome.action for outcome in outcomes]
    assert [] == peer.messages


async def test_a_loss_after_the_final_dot_is_not_tried_again_at_once(house: Any) -> None:
    """RFC 1047: the message may have been taken; another host now would make two of it for sure."""
    await house.peer(end=CLOSE)
    second = await house.peer("mx2.example", 20)
    (outcome,) = await house.send()
    assert (Action.DEFERRED, "4.4.2", 0) == (outcome.action, outcome.status, second.connections)
    assert "end of the message" in outcome.reason


async def test_what_servers_say_is_cleaned_and_cut(house: Any) -> None:
    """Escape sequences and novels do not reach log, queue and bounce."""
    await house.peer(mail=b"550-5.7.1 \x1b[31mred\x00\r\n" + b"550-5.7.1 " + b"long " * 700 + b"\r\n550 5.7.1 end\r\n")
    (outcome,) = await house.send()
    assert Action.BOUNCED is outcome.action
    assert outcome.reason.isprintable()
    assert "550 5.7.1 ?[31mred?" in outcome.diagnostic
    assert 1_000 == len(outcome.diagnostic)


@pytest.mark.parametrize("code", [530, 538])
async def test_a_login_that_is_missing_in_the_settings_waits(house: Any, code: int) -> None:
    """The smart host asks for a login: the admin's to mend; an MX that asks for one refuses."""
    peer = await house.peer(mail=Reply(code, "5.7.0", "Authentication required"))
    (bounced,) = await house.send()
    (deferred,) = await house.send(next_hop=house.hop(host="mx1.example", use_mx=False))
    assert (Action.BOUNCED, Action.DEFERRED) == (bounced.action, deferred.action)
    assert "4.7.0" == deferred.status
    assert [] == peer.messages


async def test_a_server_that_greets_with_our_name_is_ourselves(house: Any) -> None:
    """A port forwarded back to us is a loop, whatever its address."""
    peer = await house.peer("us.example")
    house.names.domains["far.example"] = [(10, "alias.example")]
    house.names.hosts["alias.example"] = house.names.hosts["us.example"]
    (outcome,) = await house.send()
    assert (Action.BOUNCED, "5.4.6") == (outcome.action, outcome.status)
    (outcome,) = await house.send(next_hop=house.hop(host="us.example", use_mx=False))
    assert (Action.RELAYED, 1) == (outcome.action, len(peer.messages))


async def test_a_whole_attempt_has_an_end(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers each command just in time is given up all the same."""
    monkeypatch.setattr("appliance.services.relay.service.ATTEMPT_S", 0.05)
    peer = await house.peer(**{"rcpt no@far.example": Reply(550, "5.1.1", "No such user")}, end=HANG)
    (outcome,) = await house.send()
    assert (Action.DEFERRED, "4.4.7") == (outcome.action, outcome.status)
    assert [] == peer.messages


ANSWERS = [
    b"220 hello\r\n", b"250 ok\r\n", b"250-x\r\n250 PIPELINING\r\n", b"250-x\r\n250-LIMITS RCPTMAX=1\r\n250 SIZE 10\r\n", b"354 go\r\n", b"421 bye\r\n",
    b"450 4.2.0 later\r\n", b"452 4.5.3 many\r\n", b"550 5.1.1 no\r\n", b"552 full\r\n", b"235 in\r\n", b"334 \r\n", b"250-never ending\r\n", b"\x00\xff\r\n",
    b"", b"250 o", b"999 what\r\n", b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", b"530 5.7.0 login\r\n", b"503 order\r\n",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_a_server_says_every_recipient_has_an_outcome(house: Any, nursery: trio.Nursery, seed: int) -> None:
    """Nothing raises, nothing hangs, and nobody's mail counts as taken without a 250 after the content."""
    chance = random.Random(seed)
    house.settings = dict.fromkeys(("greeting_timeout_s", "command_timeout_s", "data_timeout_s"), 0.02)
    said = []

    async def answer(stream: trio.SocketStream) -> None:
        said.append(b"220 hello\r\n" if chance.random() < 0.9 else chance.choice(ANSWERS))
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(said[-1])
            while await stream.receive_some():
                said.append(b"250 ok\r\n" if chance.random() < 0.4 else chance.choice(ANSWERS))
                await stream.send_all(said[-1])
                if chance.random() < 0.05:
                    break
        await stream.aclose()

    house.absent("mx1.example", 10, "127.0.0.11")
    listeners = await trio.open_tcp_listeners(house.port, host="127.0.0.11")
    nursery.start_soon(trio.serve_listeners, answer, listeners)
    hop = house.hop(username="u", password="p") if chance.random() < 0.2 else house.hop()
    for _ in range(3):
        outcomes = await house.send("a@far.example", "b@far.example", next_hop=hop)
        assert 2 == len(outcomes)
        assert all(outcome.reason for outcome in outcomes)
        if any(outcome.action is Action.RELAYED for outcome in outcomes):
            assert b"354 go\r\n" in b"".join(said)
    assert 0 == house.relay._pool._in_use
