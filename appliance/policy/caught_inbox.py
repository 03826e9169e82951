"""Which inbox a caught message belongs to, and which account shows it.

Pure. The inbox without a name is everybody's. An inbox that was made has what is
sent by its name as login, to its name as address or to any address in the domain
of its name; others come into being with their first message, where a rule says so.
"""

import re
from collections.abc import Container
from typing import Final, Literal

from appliance.model.caught import CaughtEnvelope
from appliance.model.ids import AccountName

__all__ = ["EVERYBODY", "InboxRule", "account_of_inbox", "inbox_name", "inbox_of"]

EVERYBODY: Final = AccountName("dev")
"""The account that shows the inbox without a name; no inbox has its name."""
InboxRule = Literal["", "user", "recipient", "domain"]
_UNSAFE = re.compile(r"[^a-z0-9._@+-]+")
_MAX_NAME = 64


def inbox_of(rule: InboxRule, envelope: CaughtEnvelope, made: Container[str] = ()) -> str:
    """Return the name of a message's inbox, ``""`` when nothing names one. ``made``: inboxes that take mail whatever the rule is."""
    for name in (inbox_name(envelope.username), *[found for one in envelope.recipients for found in _names(one)]):
        if name and name in made:
            return name
    recipient = envelope.recipients[0] if envelope.recipients else ""
    if rule == "user":
        return inbox_name(envelope.username)
    if rule == "recipient":
        return inbox_name(recipient)
    if rule == "domain":
        return inbox_name(recipient.rpartition("@")[2])
    return ""


def _names(recipient: str) -> tuple[str, str]:
    return inbox_name(recipient), inbox_name(recipient.rpartition("@")[2])


def account_of_inbox(inbox: str) -> AccountName:
    """Return the account that has an inbox as its INBOX."""
    return AccountName(inbox_name(inbox)) or EVERYBODY


def inbox_name(text: str) -> str:
    """Return what is safe as the name of a directory and of an account; ``""`` for everybody's."""
    name = _UNSAFE.sub("_", text.lower()).strip("._")[:_MAX_NAME].strip("._")
    return "" if name == EVERYBODY else name
