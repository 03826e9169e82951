"""What the sessions of one POP3 service have in common.

Does not: import what only a session needs; the service is there long before its first client.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from appliance.config.schema import Pop3Config
from appliance.model.ports import Authenticator, Clock, MailStores, Offload
from appliance.observe.maillog import MailLog
from appliance.protocols.language import DEFAULT_LANGUAGE
from appliance.protocols.sasl.mechanisms import CHECKED, MechanismSet
from appliance.services.pop3.locks import LoginPauses, MaildropLocks

__all__ = ["Shared"]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the sessions of a service have in common."""

    settings: Pop3Config
    hostname: str
    stores: MailStores
    authenticator: Authenticator
    offload: Offload
    mail_log: MailLog
    tls_context: Callable[[], ssl.SSLContext] | None
    channel_binding: Callable[[], bytes] | None
    require_tls: bool
    locks: MaildropLocks
    pauses: LoginPauses
    clock: Clock
    mechanisms: MechanismSet = CHECKED
    plus_separator: str = ""
    language: str = DEFAULT_LANGUAGE
