"""The table of commands, and the session that has them all.

Here and in what is imported here lies nearly all of IMAP: a few MiB, a third of a second to
load. ``service`` loads it when the first client has something to say.
"""

from collections.abc import Mapping
from typing import Final

from appliance.net.connection import Connection
from appliance.protocols.imap.commands import Command
from appliance.services.imap import (
    acl,
    auth,
    batches,
    enabling,
    fetch,
    idle,
    languages,
    layers,
    list_commands,
    login,
    metadata,
    multisearch,
    nonauth,
    notify,
    quota,
    search,
    selected,
    store,
)
from appliance.services.imap.append import append
from appliance.services.imap.session import Handler, Session
from appliance.services.imap.shared import Shared

__all__ = ["HANDLERS", "open_session"]

_FAMILIES: tuple[Mapping[type[Command], Handler], ...] = (
    nonauth.HANDLERS,
    layers.HANDLERS,
    login.HANDLERS,
    languages.HANDLERS,
    enabling.HANDLERS,
    auth.HANDLERS,
    list_commands.HANDLERS,
    acl.HANDLERS,
    quota.HANDLERS,
    metadata.HANDLERS,
    idle.HANDLERS,
    selected.HANDLERS,
    search.HANDLERS,
    multisearch.HANDLERS,
    fetch.HANDLERS,
    store.HANDLERS,
    batches.HANDLERS,
    notify.HANDLERS,
)
"""A family of commands adds itself by one line."""
HANDLERS: Final[Mapping[type[Command], Handler]] = {kind: handler for family in _FAMILIES for kind, handler in family.items()}


def open_session(shared: Shared, connection: Connection) -> Session:
    """Return a session that knows every command; it runs behind the greeting."""
    return Session(shared, connection, HANDLERS, append)
