"""What we can do, by the state in which it is told.

Each name stands beside the module that makes it true; a further extension is
one line here, and one in ``ENABLABLE`` if ENABLE switches it on. A capability
that is hidden is not told and cannot be enabled; its commands stay what they
are, because a client that does not see them does not use them.

Sources:  RFC 3501 section 7.2.1, the registry "IMAP Capabilities".
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from appliance.config.schema import ImapConfig
from appliance.protocols.imap.extensions import Extension

__all__ = ["ENABLABLE", "capability_line", "limit_capabilities", "list_capabilities"]

_ALWAYS = ("IMAP4rev1", "IMAP4rev2", "SASL-IR", "ID", "ENABLE", "LANGUAGE")  # protocols.imap, nonauth, enabling, languages
_LOGGED_IN = (
    "IDLE",  # idle
    "NAMESPACE",  # auth
    "CHILDREN",  # listing
    "LIST-EXTENDED",  # listing
    "LIST-STATUS",  # listing
    "SPECIAL-USE",  # listing
    "CREATE-SPECIAL-USE",  # auth
    "STATUS=SIZE",  # list_commands
    "ACL",  # acl
    "RIGHTS=texk",  # acl: RFC 4314 section 2.2
    "LIST-MYRIGHTS",  # list_commands
    "QUOTA",  # quota
    "QUOTA=RES-STORAGE",  # quota
    "QUOTA=RES-MESSAGE",  # quota
    "QUOTA=RES-MAILBOX",  # quota
    "METADATA",  # metadata
    "LIST-METADATA",  # list_commands
    "UNSELECT",  # selected
    "UIDPLUS",  # selected, append
    "MOVE",  # selected
    "ESEARCH",  # search
    "WITHIN",  # search
    "FILTERS",  # filters, metadata
    "CONDSTORE",  # sync, store, fetch, search
    "QRESYNC",  # qresync, news
    "PARTIAL",  # fetch, search
    "UIDONLY",  # uidonly, news
    "UIDBATCHES",  # batches
    "INPROGRESS",  # progress
    "NOTIFY",  # notify
    "SEARCHRES",  # search, view
    "SORT",  # search
    "SORT=DISPLAY",  # search
    "ESORT",  # search
    "THREAD=ORDEREDSUBJECT",  # search
    "THREAD=REFERENCES",  # search
    "THREAD=REFS",  # search
    "CONTEXT=SEARCH",  # contexts
    "CONTEXT=SORT",  # contexts
    "SEARCH=FUZZY",  # matching
    "MULTISEARCH",  # multisearch
    "I18NLEVEL=1",  # matching
    "MULTIAPPEND",  # append
    "COMPRESS=DEFLATE",  # layers
    "UNAUTHENTICATE",  # login
    "UTF8=ACCEPT",  # protocols.imap
    "PREVIEW",  # details
    "SAVEDATE",  # details, object_search
    "OBJECTID",  # details, object_search, selected
    "BINARY",  # binary, incoming
    "CATENATE",  # catenate
    "REPLACE",  # append
)
ENABLABLE: Final[frozenset[Extension]] = frozenset(
    {Extension.CONDSTORE, Extension.IMAP4REV2, Extension.METADATA, Extension.QRESYNC, Extension.UIDONLY, Extension.UTF8_ACCEPT}
)
"""What ENABLE switches on; what is not in here is passed over."""


_UNHIDABLE = frozenset({"IMAP4REV1", "LOGINDISABLED", "STARTTLS"})
"""Without the first nobody speaks to us, without the others passwords travel in the clear."""


def list_capabilities(
    *,
    logged_in: bool,
    start_tls: bool,
    login_allowed: bool,
    append_limit: int,
    mechanisms: Sequence[str],
    hidden: Collection[str] = (),
    limits: Sequence[str] = (),
    literal_minus: bool = False,
) -> tuple[str, ...]:
    """Return the capabilities of this moment. ``literal_minus``: before the login it is told in any case, and never with LITERAL+ (RFC 7888 section 5). ``limits``: those that come from the settings. ``hidden``: in capitals; a name without ``=`` hides those with a value too."""
    if logged_in:
        literals = "LITERAL-" if literal_minus else "LITERAL+"
        found: tuple[str, ...] = (*_ALWAYS, literals, *_LOGGED_IN, f"APPENDLIMIT={append_limit}", *limits)
    else:
        offered: Iterable[str] = (f"AUTH={name}" for name in mechanisms) if login_allowed else ("LOGINDISABLED",)
        found = (*_ALWAYS, "LITERAL-", *(("STARTTLS",) if start_tls else ()), *offered)
    return tuple(name for name in found if not _is_hidden(name.upper(), hidden))


def _is_hidden(name: str, hidden: Collection[str]) -> bool:
    return name not in _UNHIDABLE and (name in hidden or name.partition("=")[0] in hidden)


def limit_capabilities(settings: ImapConfig) -> tuple[str, ...]:
    """Return what is told of the limits on one command."""
    if settings.message_limit:
        return (f"MESSAGELIMIT={settings.message_limit}",)
    return (f"SAVELIMIT={settings.save_limit}",) if settings.save_limit else ()


def capability_line(capabilities: Iterable[str]) -> bytes:
    """Return ``CAPABILITY ...`` as it stands in a response code and an untagged response."""
    return ("CAPABILITY " + " ".join(capabilities)).encode("ascii")
