"""Which inbox a caught message belongs to, and which account shows it.

Pure. The inbox without a name is everybody's; others come into being with their
first message.
"""

import re
from typing import Literal

from appliance.model.caught import CaughtEnvelope
from appliance.model.ids import AccountName

__all__ = ["InboxRule", "account_of_inbox", "inbox_of"]

InboxRule = Literal["", "user", "recipient", "domain"]
_UNSAFE = re.compile(r"[^a-z0-9._@+-]+")
_MAX_NAME = 64


def inbox_of(rule: InboxRule, envelope: CaughtEnvelope) -> str:
    """Return the name of a message's inbox, ``""`` when nothing names one."""
    recipient = envelope.recipients[0] if envelope.recipients else ""
    if rule == "user":
        return _name(envelope.username)
    if rule == "recipient":
        return _name(recipient)
    if rule == "domain":
        return _name(recipient.rpartition("@")[2])
    return ""


def account_of_inbox(inbox: str, default: AccountName) -> AccountName:
    """Return the account that has an inbox as its INBOX."""
    return AccountName(_name(inbox)) if inbox else default


def _name(text: str) -> str:
    """Return what is safe as the name of a directory and of an account."""
    return _UNSAFE.sub("_", text.lower()).strip("._")[:_MAX_NAME]
