"""All verbs that the server knows: the tables of the command families, put together.

A family adds itself by one line in ``_FAMILIES``.

Sources:  RFC 3501 section 6.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.protocols.imap import (
    acl_grammar,
    append_grammar,
    commands_uid,
    find_grammar,
    metadata_grammar,
    notify_grammar,
    parser,
    quota_grammar,
    session_grammar,
)
from appliance.protocols.imap.state import Verb

__all__ = ["VERBS"]

_FAMILIES: tuple[Mapping[str, Verb], ...] = (
    parser.VERBS,
    append_grammar.VERBS,
    find_grammar.VERBS,
    session_grammar.VERBS,
    commands_uid.VERBS,
    acl_grammar.VERBS,
    quota_grammar.VERBS,
    metadata_grammar.VERBS,
    notify_grammar.VERBS,
)

VERBS: Final[Mapping[str, Verb]] = MappingProxyType({name: verb for family in _FAMILIES for name, verb in family.items()})
"""By name, in capitals. No two families have a name in common; a test sees to it."""
