"""How a command begins: tag, verb, and whether the verb may come now.

Fails:    ``ParseError`` with a sentence for the client; the tag is known by then if there is one.
Sources:  RFC 3501 section 2.2.1 and section 9 (tag, command).
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from appliance.protocols.imap.grammar import ParseError, expectation
from appliance.protocols.imap.state import NOT_YET, State, Verb
from appliance.protocols.imap.verbs import VERBS

__all__ = ["Head", "looks_like_http", "read_head", "read_tag"]

_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+')
_VERB = re.compile(rb"[A-Za-z]+")
_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|CONNECT|PATCH|TRACE) (?:/|[^ ]+ HTTP/)")

looks_like_http: "Callable[[bytes], object]" = _HTTP.match
"""A browser made to talk to us must not get any of its body read as commands."""


class Head(NamedTuple):
    """``at``: where the arguments begin. ``uid``: ``UID`` stands before the verb."""

    name: str
    verb: Verb
    uid: bool
    at: int


def read_tag(data: bytes) -> bytes:
    """Return the tag at the head of a command."""
    match = _TAG.match(data)
    if match is None:
        raise ParseError(expectation("tag", data, 0))
    return match.group()


def read_head(data: bytes, at: int, state: State) -> Head:
    """Read what stands behind the tag, which ends at ``at``."""
    if data[at : at + 1] != b" ":
        raise ParseError(expectation("command", data, at))
    name, at = _read_name(data, at + 1)
    uid = name == "UID" and data[at : at + 1] == b" "
    if uid:
        name, at = _read_name(data, at + 1)
    verb = VERBS.get(name)
    if verb is None or (uid and not verb.takes_uid):
        raise ParseError(f"unknown command {'UID ' if uid else ''}{name[:40]}")
    if state not in verb.states:
        raise ParseError(f"{name} is not possible now: {_why_not(state, verb.states)}")
    return Head(name, verb, uid, at)


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    match = _VERB.match(data, at)
    if match is None:
        raise ParseError(expectation("command", data, at))
    return match.group().upper().decode("ascii"), match.end()


def _why_not(state: State, allowed: frozenset[State]) -> str:
    if state is State.NOT_AUTHENTICATED:
        return "log in first"
    return "already logged in" if allowed == NOT_YET else "no mailbox is selected"
