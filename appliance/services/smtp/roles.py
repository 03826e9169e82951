"""The roles an SMTP listener can have, as data: what each offers, demands and does to mail.

Owns the differences between MX, submission, LMTP and the catcher; the session
has none of them in its code. A role and a client together give the options of
the protocol core.

Sources: RFC 5321 (MX), RFC 6409 and RFC 8314 (submission), RFC 2033 (LMTP).
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.config.schema import SmtpConfig, SubmissionConfig
from appliance.protocols.sasl.mechanisms import CHECKED, MechanismSet
from appliance.protocols.smtp.options import ServerOptions

__all__ = ["SmtpRole", "catcher_role", "lmtp_role", "mx_role", "server_options", "submission_role"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpRole:
    """One kind of listener. ``service`` is its name in the log."""

    service: str
    max_message_bytes: int
    lmtp: bool = False
    mechanisms: MechanismSet | None = None
    """What logins may use; None: AUTH is not offered."""
    login_required: bool = False
    """Refuse MAIL before AUTH (RFC 6409 section 4.3)."""
    login_needs_tls: bool = True
    """Refuse AUTH without TLS, except from this machine."""
    check_sender: bool = False
    """An account sends as its own addresses only (RFC 6409 section 6.1)."""
    completes: bool = False
    """Qualify addresses and add Date and Message-ID for every client, not only for those in trusted networks."""
    relays: bool = True
    """Take mail for other domains from logins, trusted networks and for relay domains; False: only what is ours (RFC 2033 section 1)."""
    relays_for_all: bool = False
    """Take everything from everybody: the catcher, which sends nothing on."""
    checks_early_talk: bool = False
    future_release_s: int = 0
    """How far ahead a message may be submitted (RFC 4865)."""
    verbatim: bool = False
    """Keep a message byte for byte: no trace field in front, nothing completed."""


def mx_role(smtp: SmtpConfig) -> SmtpRole:
    """Mail from other servers. No logins: passwords are tried on port 25 all day, and people have port 587."""
    return SmtpRole(service="smtp", max_message_bytes=smtp.max_message_bytes, checks_early_talk=True)


def submission_role(submission: SubmissionConfig) -> SmtpRole:
    """Mail from our own people."""
    return SmtpRole(
        service="submission",
        max_message_bytes=submission.max_message_bytes,
        mechanisms=CHECKED,
        login_required=True,
        login_needs_tls=submission.require_tls,
        check_sender=submission.check_sender,
        future_release_s=submission.max_future_release_s,
        completes=True,
    )


def lmtp_role(smtp: SmtpConfig) -> SmtpRole:
    """Mail that another MTA on this machine hands over for our mailboxes."""
    return SmtpRole(service="lmtp", max_message_bytes=smtp.max_message_bytes, lmtp=True, relays=False)


def catcher_role(smtp: SmtpConfig) -> SmtpRole:
    """Whatever a program under development sends, with or without any login."""
    from appliance.protocols.sasl.unchecked import UNCHECKED  # with the catcher alone

    return SmtpRole(
        service="catcher",
        max_message_bytes=smtp.max_message_bytes,
        mechanisms=UNCHECKED,
        login_needs_tls=False,
        verbatim=True,
        relays_for_all=True,
    )


def server_options(
    role: SmtpRole,
    smtp: SmtpConfig,
    *,
    hostname: str,
    can_bind: bool,
    offers_tls: bool,
    is_local: bool,
    is_trusted: bool,
    is_proxy: bool,
    etrn: bool = False,
    now_s: float = 0.0,
) -> ServerOptions:
    """Return the core's options for one client. ``is_local``: on this machine, where nobody listens on the wire; ``now_s``: wall clock."""
    login_needs_tls = role.login_needs_tls and not is_local
    # Channel binding needs a channel; the list is the same before and after STARTTLS.
    mechanisms = role.mechanisms.offered(channel_binding=can_bind and login_needs_tls) if role.mechanisms is not None else ()
    return ServerOptions(
        hostname=hostname,
        banner=smtp.banner or ("LMTP Carteiro" if role.lmtp else "ESMTP Carteiro"),
        lmtp=role.lmtp,
        max_message_bytes=role.max_message_bytes,
        max_recipients=smtp.max_recipients,
        max_errors=smtp.max_errors,
        max_commands_without_mail=smtp.max_commands_without_mail,
        starttls=offers_tls,
        auth_mechanisms=mechanisms,
        auth_needs_tls=login_needs_tls,
        auth_required=role.login_required,
        binarymime=True,
        etrn=etrn,
        future_release_s=role.future_release_s,
        future_release_until=f"{datetime.fromtimestamp(now_s + role.future_release_s, UTC):%Y-%m-%dT%H:%M:%SZ}",
        unqualified=role.completes or role.verbatim or is_trusted,
        xclient=is_proxy,
        # A developer's script that does not wait is a bug of the script, worth seeing in the mail it sends.
        forbid_unauth_pipelining=not role.relays_for_all,
    )
