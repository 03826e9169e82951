"""What the clients of a storm do beside their messages: mailboxes that come, go and change their names under others, annotations, NOTIFY.

The mailboxes of this pool may be gone at any word, so nothing is held against the server but a wrong kind of answer: what is
known of messages is known of the two mailboxes that stay.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.storm.client import Client

__all__ = ["POOL", "ThrownOutError", "look_in", "move_house", "note", "notify", "replace"]

POOL = (b"Pool", b"Pool/a", b"Pool/b", b"Pool/a/deep", b"Other")
_EVENTS = (
    b"(selected-delayed (MessageNew MessageExpunge FlagChange)) (personal (MessageNew MessageExpunge MailboxName SubscriptionChange))",
    b"(selected-delayed (MessageNew (UID FLAGS) MessageExpunge FlagChange)) (subtree Pool (MessageNew MessageExpunge FlagChange MailboxName))",
    b"STATUS (selected-delayed (MessageNew MessageExpunge FlagChange)) (mailboxes Lists (MessageNew MessageExpunge))",
)


class ThrownOutError(Exception):
    """The mailbox that the client had open was deleted by another."""


async def move_house(client: "Client") -> None:
    """Make, rename or delete a mailbox that others may have open just now."""
    rnd = client.rnd
    name, other = rnd.sample(POOL, 2)
    await client.ask(
        rnd.choice(
            (
                b"CREATE " + name,
                b"CREATE " + name,
                b"DELETE " + name,
                b"RENAME " + name + b" " + other,
                b"SUBSCRIBE " + name,
                b"UNSUBSCRIBE " + name,
                b'LIST "" (Pool* Other) RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES UIDNEXT))',
                b"STATUS " + name + b" (MESSAGES UIDVALIDITY HIGHESTMODSEQ MAILBOXID)",
            )
        )
    )


async def look_in(client: "Client") -> None:
    """Open a mailbox of the pool, work in it while others take it away, and come back; whose mailbox is deleted is thrown out."""
    client.leave_mailbox()
    await client.ask(b"UNSELECT")
    try:
        await _work_in(client)
    except ThrownOutError:
        client.counts["thrown out"] += 1
        await client.stop()
        await client.start()
        return
    await client.select(client.rnd.choice(client.boxes))


async def _work_in(client: "Client") -> None:
    rnd = client.rnd
    name = rnd.choice(POOL)
    body = b"Subject: pool\r\n\r\n%d\r\n" % rnd.randrange(1_000)
    await client.ask(b"APPEND %b {%d+}" % (name, len(body)), literal=body)
    lines = await client.ask(b"SELECT " + name)
    if b" OK " in lines[-1]:
        for command in rnd.sample(
            (b"UID FETCH 1:* (FLAGS)", b"UID STORE 1:* +FLAGS (\\Deleted)", b"EXPUNGE", b"NOOP", b"UID COPY 1:* Other", b"UID SEARCH ALL"),
            3,
        ):
            await client.ask(command)
        await client.ask(b"UNSELECT")


async def note(client: "Client") -> None:
    """Write an annotation, or read one."""
    rnd = client.rnd
    box = rnd.choice((*client.boxes, *POOL, b'""'))
    value = rnd.choice((b"NIL", b'"storm %d"' % rnd.randrange(100)))
    await client.ask(
        rnd.choice((b"SETMETADATA " + box + b" (/private/comment " + value + b")", b"GETMETADATA " + box + b" (/private/comment)"))
    )


async def notify(client: "Client") -> None:
    """Be told of everything, or of nothing more."""
    client.notified = b"NOTIFY " + (b"NONE" if client.rnd.random() < 0.3 else b"SET " + client.rnd.choice(_EVENTS))
    await client.ask(client.notified)


async def replace(client: "Client", prefix: bytes) -> None:
    """Put another message in the place of one (RFC 8508)."""
    view, rnd = client.view, client.rnd
    assert view is not None
    known = [(at, uid) for at, uid in enumerate(view.uids, 1) if uid]
    if view.read_only or not known:
        return
    number, uid = rnd.choice(known)
    body = b"Subject: storm replaced\r\n\r\nbody %d\r\n" % rnd.randrange(1_000)
    command = b"%bREPLACE %d %b {%d+}" % (prefix, uid if prefix else number, rnd.choice(client.boxes), len(body))
    await client.ask(command, literal=body)
