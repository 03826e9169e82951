"""Who may send what to whom: small decisions, each a reply to refuse with, or None.

Pure. Owns the words of refusals that name what to do about them.

Sources: RFC 5321 section 7.9 (relaying), RFC 6409 section 6.1 (sender of a
login), RFC 5321 section 3.6.2, Postfix reject_sender_login_mismatch.
"""

from typing import Final

from appliance.message.submission import HeaderFault, HeaderReport
from appliance.model.ids import AccountName
from appliance.model.ports import Directory
from appliance.model.routing import Deliverable, Refused, Resolution
from appliance.policy.relay_access import check_recipient
from appliance.protocols.smtp.events import MailRequested
from appliance.protocols.smtp.replies import HOLD_TOO_LONG, RELAY_DENIED, Reply
from appliance.services.smtp.roles import SmtpRole

__all__ = ["HEADER_TOO_LARGE", "refuse_header", "refuse_recipient", "refuse_sender", "release_at"]

HEADER_TOO_LARGE: Final = Reply(552, "5.3.4", "The header of the message is larger than this server takes")
_LOOP: Final = Reply(554, "5.4.6", "Too many hops: this message goes in circles")


def refuse_sender(role: SmtpRole, directory: Directory, account: AccountName | None, reverse_path: str) -> Reply | None:
    """Return the refusal of a MAIL. The null reverse-path is everybody's: notifications and receipts have it."""
    if not role.check_sender or account is None or not reverse_path or directory.may_send_as(account, reverse_path):
        return None
    return Reply(553, "5.7.1", f"The login {account} may not send as <{reverse_path}>; use one of its own addresses")


def release_at(request: MailRequested, now_s: float, limit_s: int) -> float | Reply:
    """Return when a message is to be sent (whole seconds; 0: at once), or the refusal of a moment too far ahead.

    Source:   RFC 4865 section 4 (a moment that has passed is no error).
    """
    until_s = now_s + request.hold_for_s if request.hold_for_s else request.hold_until_s
    if until_s <= now_s:
        return 0.0
    return HOLD_TOO_LONG if until_s > now_s + limit_s else float(int(until_s))


def refuse_recipient(role: SmtpRole, resolution: Resolution, account: AccountName | None, *, trusted: bool) -> Reply | None:
    """Return the refusal of a RCPT."""
    if role.relays_for_all:
        return None
    if not role.relays and not isinstance(resolution, Deliverable | Refused):
        return RELAY_DENIED
    refused = check_recipient(resolution, account=account, trusted=trusted)
    return Reply(refused.code, refused.status, refused.reason) if refused is not None else None


def refuse_header(report: HeaderReport | None, fault: HeaderFault | None, *, max_received: int) -> Reply | None:
    """Return the refusal of a message for its header. ``max_received`` 0: loops are not looked for."""
    if fault is not None:
        return HEADER_TOO_LARGE
    if report is not None and 0 < max_received < report.received_count:
        return _LOOP
    return None
