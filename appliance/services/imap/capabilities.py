"""What we can do, by the state in which it is told.

Each name stands beside the module that makes it true; a further extension is
one line here.

Sources:  RFC 3501 section 7.2.1, the registry "IMAP Capabilities".
"""

from collections.abc import Iterable, Sequence

__all__ = ["MECHANISMS", "capability_line", "list_capabilities"]

_ALWAYS = ("IMAP4rev1", "SASL-IR", "LITERAL+", "ID", "ENABLE")  # protocols.imap, nonauth, auth
_LOGGED_IN = (
    "IDLE",  # idle
    "NAMESPACE",  # auth
    "CHILDREN",  # listing
    "LIST-EXTENDED",  # listing
    "LIST-STATUS",  # listing
    "SPECIAL-USE",  # listing
    "CREATE-SPECIAL-USE",  # auth
    "STATUS=SIZE",  # auth
    "UNSELECT",  # selected
    "UIDPLUS",  # selected, append
    "MOVE",  # selected
    "ESEARCH",  # search
    "WITHIN",  # search
    "MULTIAPPEND",  # append
)
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256")


def list_capabilities(
    *, logged_in: bool, start_tls: bool, login_allowed: bool, append_limit: int, mechanisms: Sequence[str] = MECHANISMS
) -> tuple[str, ...]:
    """Return the capabilities of this moment."""
    if logged_in:
        return (*_ALWAYS, *_LOGGED_IN, f"APPENDLIMIT={append_limit}")
    offered: Iterable[str] = (f"AUTH={name}" for name in reversed(mechanisms)) if login_allowed else ("LOGINDISABLED",)
    return (*_ALWAYS, *(("STARTTLS",) if start_tls else ()), *offered)


def capability_line(capabilities: Iterable[str]) -> bytes:
    """Return ``CAPABILITY ...`` as it stands in a response code and an untagged response."""
    return ("CAPABILITY " + " ".join(capabilities)).encode("ascii")
