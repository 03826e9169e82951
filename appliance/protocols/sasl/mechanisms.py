"""Mechanisms by name: what a server makes for AUTH, what a client chooses from an offer.

Sources: RFC 4422 section 3.2 (negotiation), RFC 5802 section 6 (-PLUS first).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.model.ports import ScramKeys
from appliance.protocols.sasl.plain import LoginClient, LoginServer, PlainClient, PlainServer
from appliance.protocols.sasl.scram import NAME, ScramClient, ScramServer
from appliance.protocols.sasl.steps import ServerMechanism

__all__ = [
    "CHECKED",
    "PLAINTEXT_MECHANISMS",
    "SCRAM_PLUS",
    "SERVER_MECHANISMS",
    "MakeMechanism",
    "MechanismSet",
    "choose_client_mechanism",
    "make_server_mechanism",
]

SCRAM_PLUS: Final = f"{NAME}-PLUS"
SERVER_MECHANISMS: Final = (SCRAM_PLUS, NAME, "PLAIN", "LOGIN")
"""In order of preference; -PLUS only where channel binding data can be had."""
PLAINTEXT_MECHANISMS: Final = frozenset({"PLAIN", "LOGIN"})


class MakeMechanism(Protocol):
    """Returns a fresh mechanism, None for a name that is not known."""

    def __call__(
        self, name: str, *, scram_keys: Callable[[str], ScramKeys], nonce: str, channel_binding: Mapping[str, bytes] | None = None
    ) -> ServerMechanism | None: ...


@dataclass(frozen=True, slots=True)
class MechanismSet:
    """What a server offers, in order of preference, and what makes it."""

    names: tuple[str, ...]
    make: MakeMechanism

    def offered(self, *, channel_binding: bool) -> tuple[str, ...]:
        """Return the names for a connection; -PLUS only where there is something to bind to."""
        return tuple(name for name in self.names if channel_binding or not name.endswith("-PLUS"))


def make_server_mechanism(
    name: str,
    *,
    scram_keys: Callable[[str], ScramKeys],
    nonce: str,
    channel_binding: Mapping[str, bytes] | None = None,
) -> ServerMechanism | None:
    """Return a fresh mechanism, or None when the name is not known. ``channel_binding``: given exactly when -PLUS was offered."""
    if name == "PLAIN":
        return PlainServer()
    if name == "LOGIN":
        return LoginServer()
    if name in {NAME, SCRAM_PLUS}:
        return ScramServer(scram_keys, nonce, plus=name != NAME, channel_binding=channel_binding)
    return None


CHECKED: Final = MechanismSet(SERVER_MECHANISMS, make_server_mechanism)
"""Those that find out whether somebody knows a password."""


def choose_client_mechanism(
    offered: Collection[str],
    login: str,
    password: str,
    *,
    nonce: str,
    plaintext_allowed: bool,
    channel_binding: tuple[str, bytes] | None = None,
) -> PlainClient | LoginClient | ScramClient | None:
    """Return the best that both sides know, or None. ``plaintext_allowed``: under TLS. Raises PrepError for a name that cannot be."""
    plus = SCRAM_PLUS in offered
    if NAME in offered or (plus and channel_binding is not None):
        return ScramClient(login, password, nonce, channel_binding=channel_binding, server_offers_plus=plus)
    if plaintext_allowed and "PLAIN" in offered:
        return PlainClient(login, password)
    if plaintext_allowed and "LOGIN" in offered:
        return LoginClient(login, password)
    return None
