"""The four states of an IMAP connection and what moves between them.

A connection starts NOT_AUTHENTICATED (or AUTHENTICATED after PREAUTH, which we
never send). LOGIN or AUTHENTICATE leads to AUTHENTICATED, SELECT or EXAMINE to
SELECTED; a SELECT that fails leaves no mailbox selected, whatever was before.
LOGOUT, BYE or the end of the stream lead to LOGOUT, from which nothing leads on.

``ALLOWED`` says in which states a verb may be used; ``TRANSITIONS`` to which
state its tagged response leads. What is in neither table of a state stays.

Sources:  RFC 3501 section 3 (states, figure), section 6.3.1 (failed SELECT).
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["ALLOWED", "TRANSITIONS", "Condition", "State"]


class State(enum.Enum):
    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


class Condition(enum.Enum):
    """How a tagged response begins (RFC 3501 section 7.1)."""

    OK = b"OK"
    NO = b"NO"
    BAD = b"BAD"


_NOT_YET = frozenset({State.NOT_AUTHENTICATED})
_LOGGED_IN = frozenset({State.AUTHENTICATED, State.SELECTED})
_SELECTED = frozenset({State.SELECTED})
_ANY = _NOT_YET | _LOGGED_IN

ALLOWED: Mapping[str, frozenset[State]] = MappingProxyType(
    dict.fromkeys(("CAPABILITY", "NOOP", "LOGOUT", "ID"), _ANY)
    | dict.fromkeys(("STARTTLS", "AUTHENTICATE", "LOGIN"), _NOT_YET)
    | dict.fromkeys(
        (
            "SELECT",
            "EXAMINE",
            "CREATE",
            "DELETE",
            "RENAME",
            "SUBSCRIBE",
            "UNSUBSCRIBE",
            "LIST",
            "LSUB",
            "STATUS",
            "APPEND",
            "NAMESPACE",
            "ENABLE",
            "IDLE",
        ),
        _LOGGED_IN,
    )
    | dict.fromkeys(("CHECK", "CLOSE", "UNSELECT", "EXPUNGE", "SEARCH", "FETCH", "STORE", "COPY", "MOVE"), _SELECTED)
)

_LOGIN_MOVES = {("LOGIN", Condition.OK): State.AUTHENTICATED, ("AUTHENTICATE", Condition.OK): State.AUTHENTICATED}
_SELECT_MOVES = {
    ("SELECT", Condition.OK): State.SELECTED,
    ("EXAMINE", Condition.OK): State.SELECTED,
    ("SELECT", Condition.NO): State.AUTHENTICATED,
    ("EXAMINE", Condition.NO): State.AUTHENTICATED,
}
_CLOSE_MOVES = {("CLOSE", Condition.OK): State.AUTHENTICATED, ("UNSELECT", Condition.OK): State.AUTHENTICATED}
_LOGOUT_MOVES = {("LOGOUT", Condition.OK): State.LOGOUT}

TRANSITIONS: Mapping[State, Mapping[tuple[str, Condition], State]] = MappingProxyType(
    {
        State.NOT_AUTHENTICATED: MappingProxyType(_LOGIN_MOVES | _LOGOUT_MOVES),
        State.AUTHENTICATED: MappingProxyType(_SELECT_MOVES | _LOGOUT_MOVES),
        State.SELECTED: MappingProxyType(_SELECT_MOVES | _CLOSE_MOVES | _LOGOUT_MOVES),
        State.LOGOUT: MappingProxyType({}),
    }
)
