"""What a client may switch on for its session, because it changes what we say unasked.

Owns the names and what each brings with it. Which of them are offered is the
service's matter; which are on stands in ``ImapServer.enabled``.

Sources:  RFC 5161 section 3, RFC 5464 section 4.1, RFC 6855 section 3, RFC 7162 section 3.1 and section 3.2.3,
          RFC 9051 section 6.3.1, RFC 9586 section 3.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["IMPLIED", "WORDS", "Extension"]


class Extension(enum.Enum):
    """An argument of ENABLE, as it stands in CAPABILITY too."""

    CONDSTORE = "CONDSTORE"
    IMAP4REV2 = "IMAP4rev2"
    METADATA = "METADATA"
    QRESYNC = "QRESYNC"
    UIDONLY = "UIDONLY"
    UTF8_ACCEPT = "UTF8=ACCEPT"


WORDS: Final[Mapping[str, Extension]] = MappingProxyType({extension.value.upper(): extension for extension in Extension})
"""By name in capitals, as the grammar delivers it."""

IMPLIED: Final[Mapping[Extension, frozenset[Extension]]] = MappingProxyType({Extension.QRESYNC: frozenset({Extension.CONDSTORE})})
"""QRESYNC turns CONDSTORE on as well (RFC 7162 section 3.2.3)."""
