"""Who caught mail may be let go to, and in which form.

Owns the rules for addresses (a pattern like ``*@example.com``, or a regular
expression where another program's settings are taken over) and what is changed
in the header of a message that leaves: the Bcc fields go, the rest only where asked.

Pure. The rules come from who starts the program, never from a message.

Sources: RFC 5322 section 3.6, Mailpit's relay settings.
"""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.message.header import HeaderSection, split_message

__all__ = ["ReleaseRules", "RuleError", "address_rule", "any_rule"]

_ANGLED = re.compile(rb"<([^<>\r\n]*)>")


class RuleError(ValueError):
    """A rule that cannot be read."""


def address_rule(text: str) -> str:
    """Return the expression of a pattern: ``*@example.com``, or ``example.com`` for the whole domain."""
    pattern = text.strip().lower()
    return fnmatch.translate(pattern if "@" in pattern or "*" in pattern else f"*@{pattern}")


def any_rule(expressions: Sequence[str]) -> str:
    """Return one expression that fits what any of these does; ``""`` for none. Raises RuleError."""
    for expression in expressions:
        try:
            re.compile(expression)
        except re.error as error:
            raise RuleError(f"{expression}: {error}") from error
    return "|".join([f"(?:{expression})" for expression in expressions])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRules:
    """Expressions over addresses: ``allow`` (``""``: everybody), ``block``, ``forward`` (let go without being asked).

    ``return_path``: the reverse-path of all that leaves; ``override_from``: its From address; ``keep_message_id``: off, it gets a new one.
    """

    allow: str = ""
    block: str = ""
    forward: str = ""
    return_path: str = ""
    override_from: str = ""
    keep_message_id: bool = True

    def refusal(self, recipients: Sequence[str]) -> str:
        """Return why these may not be written to, in Mailpit's words; ``""`` when they may."""
        denied = [one for one in recipients if self.allow and not _fits(self.allow, one)]
        if denied:
            return f"Failed: {_counted(denied)} do not match the allowlist: {', '.join(denied)}"
        blocked = [one for one in recipients if _fits(self.block, one)]
        if blocked:
            return f"Failed: {_counted(blocked)} found on blocklist: {', '.join(blocked)}"
        return ""

    def forwarded(self, recipients: Sequence[str]) -> list[str]:
        """Return the recipients that get their mail for real."""
        return [one for one in recipients if _fits(self.forward, one) and not self.refusal([one])]

    def sender(self, reverse_path: str, author: str) -> str:
        """Return the reverse-path of what leaves: the author's address where the message came without one, so that failures are told."""
        return self.return_path or reverse_path or author

    def rewritten(self, data: bytes, new_message_id: str) -> bytes:
        """Return a message as it leaves; byte for byte the same but for what the rules name."""
        header, body = split_message(data)
        changed = HeaderSection(header).without({b"bcc"}).to_bytes()
        if self.override_from:
            original = HeaderSection(changed).get(b"from") or b""
            changed = _replaced(changed, b"From", _with_address(original, self.override_from.encode("utf-8", "replace")))
        if not self.keep_message_id:
            changed = _replaced(changed, b"Message-ID", new_message_id.encode("ascii"))
        return changed + body


def _fits(expression: str, address: str) -> bool:
    return bool(expression) and re.search(expression, address, re.IGNORECASE) is not None


def _counted(addresses: Sequence[str]) -> str:
    return f"{len(addresses)} {'Address' if len(addresses) == 1 else 'Addresses'}"


def _with_address(value: bytes, address: bytes) -> bytes:
    """Return a From value with another address and the same name."""
    name = _ANGLED.sub(b"", value).strip() if b"<" in value else b""
    return name + b" <" + address + b">" if name else address


def _replaced(header: bytes, name: bytes, value: bytes) -> bytes:
    rest = HeaderSection(header).without({name.lower()}).to_bytes()
    return name + b": " + value + b"\r\n" + rest
