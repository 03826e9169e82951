"""What the DNS and the client's own words say about a client, before it may send anything.

Owns the looks at HELO and reverse DNS, and the score of lists of addresses: each list that
has the client adds its weight, lists of good clients take some away. Generators of DNS questions.

Fails: never; what cannot be asked now counts for nothing.
Sources: RFC 5782 section 2 (lists), RFC 5321 section 4.1.4 (HELO may be checked, and is no reason alone
to refuse, except where it says our own name), RFC 1912 section 2.1 (reverse DNS), Postfix postscreen(8).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from appliance.model.dns import Asking, DnsQuestion, DnsStatus, reverse_name
from appliance.model.hosts import is_this_machine, plain_address

__all__ = ["AddressList", "ListScore", "bad_helo", "parse_answers", "reverse_fault", "score_lists"]

MAX_NAMES: Final = 5
MAX_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class AddressList:
    """One list. ``weight``: below 0 for lists of good clients; ``answers``: networks of 127/8 that count, all when empty."""

    zone: str
    weight: int = 1
    answers: tuple[ipaddress.IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class ListScore:
    """``listed``: the zones that have the client; ``text``: what the first bad one says about it."""

    score: int = 0
    listed: tuple[str, ...] = ()
    text: str = ""


def parse_answers(texts: Sequence[str]) -> tuple[ipaddress.IPv4Network, ...]:
    """Return the networks of answers that count. Raises ValueError."""
    return tuple(ipaddress.IPv4Network(text) for text in texts)


def score_lists(client_address: str, lists: Sequence[AddressList]) -> Asking[ListScore]:
    """Ask every list about a client."""
    try:
        client = str(plain_address(client_address))
    except ValueError:
        return ListScore()
    score, listed, text = 0, [], ""
    for each in lists:
        name = reverse_name(client, each.zone)
        answer = yield DnsQuestion(name, "A")
        if not any(_counts(address, each) for address in answer.records):
            continue
        score += each.weight
        listed.append(each.zone)
        if each.weight > 0 and not text:
            words = yield DnsQuestion(name, "TXT")
            text = words.records[0][:MAX_TEXT] if words.records else ""
    return ListScore(score, tuple(listed), text)


def _counts(address: str, each: AddressList) -> bool:
    """Tell whether an answer says "listed"; 127.255.255.0/24 says that the list does not answer us (RFC 5782 section 2.1)."""
    try:
        found = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    if found not in _LISTED or found in _REFUSED:
        return False
    return not each.answers or any(found in network for network in each.answers)


_LISTED: Final = ipaddress.IPv4Network("127.0.0.0/8")
_REFUSED: Final = ipaddress.IPv4Network("127.255.255.0/24")


def reverse_fault(client_address: str, wanted: Literal["named", "confirmed"]) -> Asking[tuple[str, bool]]:
    """Return what is wrong with a client's reverse DNS, ``""`` for nothing, and whether it may be right later."""
    try:
        client = plain_address(client_address)
    except ValueError:
        return "", False
    answer = yield DnsQuestion(reverse_name(str(client)), "PTR")
    if answer.status is DnsStatus.FAILED:
        return f"the reverse DNS of {client} cannot be looked up now", True
    if not answer.records:
        return f"{client} has no name in the reverse DNS", False
    if wanted == "named":
        return "", False
    is_failed = False
    for name in answer.records[:MAX_NAMES]:
        forward = yield DnsQuestion(name, "A" if client.version == 4 else "AAAA")
        is_failed = is_failed or forward.status is DnsStatus.FAILED
        if any(_same(text, client) for text in forward.records):
            return "", False
    return f"the name {answer.records[0][:100]} of {client} does not lead back to it", is_failed


def _same(text: str, client: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return ipaddress.ip_address(text) == client
    except ValueError:
        return False


def bad_helo(helo: str, wanted: Literal["off", "own", "full"], own_names: Sequence[str], client_address: str) -> str:
    """Return what is wrong with the name said in EHLO, ``""`` for nothing. ``own_names``: ours, in lower case.

    A program on this machine, cron's for one, says our name in truth.
    """
    name = helo.lower().removesuffix(".")
    if wanted == "off":
        return ""
    if name in own_names and not is_this_machine(client_address):
        return f"you are not {name[:100]}; that is this server"
    if wanted == "full" and not (name.startswith("[") or _is_full(name)):
        return f"{name[:100]} is no full host name; say EHLO with one that leads to you"
    return ""


def _is_full(name: str) -> bool:
    labels = name.split(".")
    return len(labels) > 1 and all(labels) and not labels[-1].isdigit()
