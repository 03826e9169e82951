"""What a connection is doing: the states inside one command, finer than those of RFC 3501 section 3."""

import enum

__all__ = ["Phase"]


class Phase(enum.Enum):
    """The value says what goes on, for who did not expect it."""

    COMMAND = "reading a command"
    LITERAL = "reading a literal of a command"
    ANSWER = "the session has to answer"
    APPEND_STEP = "telling what stands before a message"
    APPEND_DECISION = "the session has to take or refuse a message"
    APPEND_DATA = "reading a message"
    APPEND_TAIL = "reading what follows a message"
    SKIP_LITERAL = "dropping a literal"
    SKIP_LINE = "dropping the rest of a command"
    AUTHENTICATE = "reading a SASL response"
    IDLE = "waiting for DONE"
    ENDED = "over"
