"""The four states of an IMAP connection, and what a verb needs and does in them.

A connection starts NOT_AUTHENTICATED (or AUTHENTICATED after PREAUTH, which we
never send). LOGIN or AUTHENTICATE leads to AUTHENTICATED, SELECT or EXAMINE to
SELECTED; a SELECT that fails leaves no mailbox selected, whatever was before.
LOGOUT, BYE or the end of the stream lead to LOGOUT, from which nothing leads on.

A ``Verb`` is one row of the state table: where it may be used, who reads its
arguments, to which state its tagged response leads. A family of commands has a
table ``VERBS`` of its own beside its grammar; ``verbs`` puts them together.

Sources:  RFC 3501 section 3 (states, figure), section 6.3.1 (failed SELECT).
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from appliance.protocols.imap.commands import Command
    from appliance.protocols.imap.grammar import Reader

__all__ = ["ANY", "LOGGED_IN", "NOT_YET", "SELECTED", "Condition", "State", "Verb"]


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


NOT_YET: Final = frozenset({State.NOT_AUTHENTICATED})
LOGGED_IN: Final = frozenset({State.AUTHENTICATED, State.SELECTED})
SELECTED: Final = frozenset({State.SELECTED})
ANY: Final = NOT_YET | LOGGED_IN


@dataclass(frozen=True, slots=True)
class Verb:
    """One command word.

    ``read`` gets the position behind the verb and whether ``UID`` stood before it; None: the server reads
    the command itself, because its messages never become part of it. ``moves``: the state to which a tagged
    response leads; what is not in it stays. ``takes_uid``: ``UID`` may stand before it.
    """

    states: frozenset[State]
    read: "Callable[[Reader, bool], Command] | None"
    moves: Mapping[Condition, State] = field(default_factory=lambda: MappingProxyType({}))
    takes_uid: bool = False
