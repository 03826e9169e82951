"""NOTIFY from bytes."""

import pytest

from appliance.model.ids import MailboxName
from appliance.protocols.imap.fetch_items import Attribute
from appliance.protocols.imap.grammar import ParseError, Reader
from appliance.protocols.imap.mailbox_filter import MailboxScope
from appliance.protocols.imap.notify_grammar import VERBS, EventGroup, Notify

MESSAGES = frozenset({"MESSAGENEW", "MESSAGEEXPUNGE"})


def parse(line: bytes) -> object:
    """Parse one command without its tag."""
    read = VERBS["NOTIFY"].read
    assert read is not None
    reader = Reader(line, len(b"NOTIFY"))
    command = read(reader, False)
    reader.read_end()
    return command


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"NOTIFY NONE", Notify(None)),
        (b"notify set (personal none)", Notify((EventGroup(MailboxScope.PERSONAL),))),
        (
            b"NOTIFY SET STATUS (selected (MessageNew (UID FLAGS) MessageExpunge)) (subtree (Lists Work) (MessageExpunge MessageNew))",
            Notify(
                (
                    EventGroup(MailboxScope.SELECTED, (), MESSAGES, (Attribute.UID, Attribute.FLAGS)),
                    EventGroup(MailboxScope.SUBTREE, (MailboxName("Lists"), MailboxName("Work")), MESSAGES),
                ),
                status=True,
            ),
        ),
        (
            b"NOTIFY SET (selected-delayed MessageNew (uid) MessageExpunge FlagChange) (mailboxes INBOX (MailboxName))",
            Notify(
                (
                    EventGroup(MailboxScope.SELECTED_DELAYED, (), MESSAGES | {"FLAGCHANGE"}, (Attribute.UID,)),
                    EventGroup(MailboxScope.MAILBOXES, (MailboxName("INBOX"),), frozenset({"MAILBOXNAME"})),
                )
            ),
        ),
        (b"NOTIFY SET (inboxes (SomethingElse))", Notify((EventGroup(MailboxScope.INBOXES, (), frozenset({"SOMETHINGELSE"})),))),
    ],
)
def test_notify(line: bytes, expected: Notify) -> None:
    """Filters, events and FETCH items, with the parentheses of the grammar or without, as in the RFC's examples."""
    assert expected == parse(line)


@pytest.mark.parametrize(
    "line",
    [
        b"NOTIFY",
        b"NOTIFY SET (subtree-one a (MailboxName))",
        b"NOTIFY ALL",
        b"NOTIFY SET",
        b"NOTIFY SET STATUS",
        b"NOTIFY SET (personal (MessageNew))",
        b"NOTIFY SET (personal (FlagChange))",
        b"NOTIFY SET (personal (MessageExpunge FlagChange))",
        b"NOTIFY SET (selected (MailboxName))",
        b"NOTIFY SET (selected NONE) (selected-delayed NONE)",
        b"NOTIFY SET (personal (MessageNew (UID) MessageExpunge))",
        b"NOTIFY SET (subtree (MessageNew MessageExpunge))",
        b"NOTIFY SET (nowhere NONE)",
        b"NOTIFY SET (personal NONE",
        b"NOTIFY SET (personal ())",
    ],
)
def test_refused(line: bytes) -> None:
    """What RFC 5465 section 5 calls BAD, and what is no grammar."""
    with pytest.raises(ParseError):
        parse(line)
