"""The states of a server session and what leads from one to the next: data, not code.

A session is in one state. A command (Verb) or something that is no command
(Signal) leads to another; None in the table means refused, 503 for a verb.
A verb moves the state only when its answer is positive. The table is total:
tests walk it, and nothing about order is decided anywhere else, except what
depends on options (login or TLS demanded) and what a session refuses.

CONNECTED  before the greeting              MAIL   reverse-path accepted
START      greeted, or TLS just begun       RCPT   at least one recipient accepted
READY      EHLO accepted, no transaction    DATA   content until the lone dot
AUTH       between AUTH and its end         CHUNK  inside the octets of BDAT
TLS        220 to STARTTLS, handshake       BDAT   between BDAT chunks
CLOSED     nothing more in either direction

Sources: RFC 5321 section 4.1.4 (order), RFC 3030 section 2 (BDAT excludes DATA and
RCPT), RFC 3207 section 4.2 (back to START; Postfix's XCLIENT likewise), RFC 4954 section 4 (AUTH not within a
transaction).
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["TRANSITIONS", "Signal", "State", "Verb"]


class State(enum.Enum):
    __hash__ = object.__hash__

    CONNECTED = "connected"
    START = "start"
    READY = "ready"
    AUTH = "auth"
    TLS = "tls"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CHUNK = "chunk"
    BDAT = "bdat"
    CLOSED = "closed"


class Verb(enum.Enum):
    """The commands; EHLO stands for HELO and LHLO too."""

    __hash__ = object.__hash__  # Enum's own is Python code, and each command looks up several of these

    EHLO = "EHLO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    EXPN = "EXPN"
    ETRN = "ETRN"
    HELP = "HELP"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    QUIT = "QUIT"
    XCLIENT = "XCLIENT"


class Signal(enum.Enum):
    """What moves a session and is no command."""

    __hash__ = object.__hash__

    GREETING_SENT = "greeting sent"
    TLS_ESTABLISHED = "TLS established"
    AUTH_ENDED = "AUTH ended"
    CONTENT_ENDED = "content ended"
    CHUNK_ENDED = "chunk ended"
    LOST = "connection lost or violated"


def _row(**moves: State) -> Mapping[Verb | Signal, State | None]:
    row: dict[Verb | Signal, State | None] = {**dict.fromkeys(Verb), **dict.fromkeys(Signal)}
    for name, state in moves.items():
        row[Verb[name] if name in Verb.__members__ else Signal[name]] = state
    row[Signal.LOST] = State.CLOSED
    return MappingProxyType(row)


def _commands(here: State, **moves: State) -> Mapping[Verb | Signal, State | None]:
    """Return the row of a state in which commands are read."""
    same = dict.fromkeys(("NOOP", "VRFY", "EXPN", "HELP"), here)
    return _row(EHLO=State.READY, QUIT=State.CLOSED, **same, **moves)


TRANSITIONS: Mapping[State, Mapping[Verb | Signal, State | None]] = MappingProxyType(
    {
        State.CONNECTED: _row(GREETING_SENT=State.START),
        State.START: _commands(State.START, ETRN=State.START, RSET=State.START, STARTTLS=State.TLS, XCLIENT=State.START),
        State.READY: _commands(
            State.READY, ETRN=State.READY, RSET=State.READY, MAIL=State.MAIL, STARTTLS=State.TLS, AUTH=State.AUTH, XCLIENT=State.START
        ),
        State.AUTH: _row(AUTH_ENDED=State.READY),
        State.TLS: _row(TLS_ESTABLISHED=State.START),
        State.MAIL: _commands(State.MAIL, RSET=State.READY, RCPT=State.RCPT),
        State.RCPT: _commands(State.RCPT, RSET=State.READY, RCPT=State.RCPT, DATA=State.DATA, BDAT=State.CHUNK),
        State.DATA: _row(CONTENT_ENDED=State.READY),
        State.CHUNK: _row(CHUNK_ENDED=State.BDAT, CONTENT_ENDED=State.READY),
        State.BDAT: _commands(State.BDAT, RSET=State.READY, BDAT=State.CHUNK),
        State.CLOSED: _row(),
    }
)
