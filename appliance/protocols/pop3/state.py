"""The states of a POP3 session and which command leads from one to the next.

RFC 1939 knows three states. Three more make waiting visible, so that nothing
can be parsed while an outcome is open:

    AUTHORIZATION --USER--> USER_GIVEN --PASS--> AUTHENTICATING --+--succeeded--> TRANSACTION --QUIT--> UPDATE --updated--> CLOSED
      |  ^                                            ^           |
      |  +----------------------failed----------------|-----------+
      +--AUTH--> AUTHENTICATING <---response----> SASL_RESPONSE
      +--STLS--> NEGOTIATING --TLS up--> AUTHORIZATION

A command that is missing in a state's row is refused there and changes
nothing. QUIT before login leads to CLOSED at once: RFC 1939 section 6 enters
UPDATE only from TRANSACTION.

Sources: RFC 1939 sections 3 to 6, RFC 2449 section 5, RFC 2595 section 4
(STLS only before login), RFC 5034 section 4, RFC 6856 sections 2.1 and 3.1.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["OUTCOMES", "TRANSITIONS", "Outcome", "State", "Verb"]


class State(enum.Enum):
    AUTHORIZATION = "authorization"
    USER_GIVEN = "user given"
    AUTHENTICATING = "authenticating"
    SASL_RESPONSE = "SASL response"
    NEGOTIATING = "negotiating TLS"
    TRANSACTION = "transaction"
    UPDATE = "update"
    CLOSED = "closed"


class Verb(enum.Enum):
    AUTH = b"AUTH"
    CAPA = b"CAPA"
    DELE = b"DELE"
    LANG = b"LANG"
    LIST = b"LIST"
    NOOP = b"NOOP"
    PASS = b"PASS"
    QUIT = b"QUIT"
    RETR = b"RETR"
    RSET = b"RSET"
    STAT = b"STAT"
    STLS = b"STLS"
    TOP = b"TOP"
    UIDL = b"UIDL"
    USER = b"USER"
    UTF8 = b"UTF8"


class Outcome(enum.Enum):
    """What the service reports back; the other half of the diagram's arrows."""

    LOGIN_SUCCEEDED = "login succeeded"
    LOGIN_FAILED = "login failed"
    CHALLENGED = "challenged"
    RESPONDED = "responded"
    TLS_STARTED = "TLS started"
    UPDATED = "updated"


_LOGIN: dict[Verb, State] = {
    Verb.CAPA: State.AUTHORIZATION,
    Verb.LANG: State.AUTHORIZATION,
    Verb.UTF8: State.AUTHORIZATION,
    Verb.STLS: State.NEGOTIATING,
    Verb.USER: State.USER_GIVEN,
    Verb.AUTH: State.AUTHENTICATING,
    Verb.QUIT: State.CLOSED,
}

TRANSITIONS: Mapping[State, Mapping[Verb, State]] = MappingProxyType(
    {
        State.AUTHORIZATION: MappingProxyType(_LOGIN),
        State.USER_GIVEN: MappingProxyType(
            _LOGIN
            | {
                Verb.PASS: State.AUTHENTICATING,
                Verb.CAPA: State.USER_GIVEN,
                Verb.LANG: State.USER_GIVEN,
                Verb.UTF8: State.USER_GIVEN,
            },
        ),
        State.AUTHENTICATING: MappingProxyType({}),
        State.SASL_RESPONSE: MappingProxyType({}),
        State.NEGOTIATING: MappingProxyType({}),
        State.TRANSACTION: MappingProxyType(
            {
                Verb.CAPA: State.TRANSACTION,
                Verb.DELE: State.TRANSACTION,
                Verb.LANG: State.TRANSACTION,
                Verb.LIST: State.TRANSACTION,
                Verb.NOOP: State.TRANSACTION,
                Verb.QUIT: State.UPDATE,
                Verb.RETR: State.TRANSACTION,
                Verb.RSET: State.TRANSACTION,
                Verb.STAT: State.TRANSACTION,
                Verb.TOP: State.TRANSACTION,
                Verb.UIDL: State.TRANSACTION,
            },
        ),
        State.UPDATE: MappingProxyType({}),
        State.CLOSED: MappingProxyType({}),
    },
)
"""State and accepted command to the next state."""

OUTCOMES: Mapping[State, Mapping[Outcome, State]] = MappingProxyType(
    {
        State.AUTHENTICATING: MappingProxyType(
            {
                Outcome.LOGIN_SUCCEEDED: State.TRANSACTION,
                Outcome.LOGIN_FAILED: State.AUTHORIZATION,
                Outcome.CHALLENGED: State.SASL_RESPONSE,
            },
        ),
        State.SASL_RESPONSE: MappingProxyType(
            {Outcome.RESPONDED: State.AUTHENTICATING, Outcome.LOGIN_FAILED: State.AUTHORIZATION},
        ),
        State.NEGOTIATING: MappingProxyType({Outcome.TLS_STARTED: State.AUTHORIZATION}),
        State.UPDATE: MappingProxyType({Outcome.UPDATED: State.CLOSED}),
    },
)
"""State and reported outcome to the next state; an outcome missing here is a bug of ours."""
