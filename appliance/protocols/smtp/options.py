"""What a server core offers and how much it bears: constructor arguments, each with its source.

Sources: RFC 5321 section 4.5.3.1 (sizes), RFC 4954 section 4 (12,288 octets for
AUTH), RFC 9422 (LIMITS), Postfix smtpd_forbid_unauth_pipelining.
"""

from dataclasses import dataclass

__all__ = ["ServerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """One listener's offer. A session hands the same object to each of its cores."""

    hostname: str
    """Said in the greeting, in the EHLO reply and nowhere else."""
    banner: str = "ESMTP Carteiro"
    lmtp: bool = False
    """RFC 2033: LHLO instead of EHLO, one reply per recipient after the content."""

    max_message_bytes: int = 52_428_800
    """Told with SIZE (RFC 1870); 0: no limit."""
    max_recipients: int = 1_000
    """Told with LIMITS RCPTMAX (RFC 9422); RFC 5321 section 4.5.3.1.8 asks for 100 at least."""
    max_command_line: int = 12_288
    """Without CRLF; RFC 4954 section 4 asks for it, RFC 5321 section 4.5.3.1.4 for 512."""
    max_text_line: int = 1_048_576
    """RFC 5321 section 4.5.3.1.6 says 998 + CRLF; longer lines are common in HTML mail and harm nobody here."""
    max_errors: int = 20
    """Rejected commands before 421 and the end; 0: no limit."""
    max_commands_without_mail: int = 200
    """Commands other than MAIL, RCPT, DATA, BDAT since the last message; 0: no limit."""

    starttls: bool = False
    auth_mechanisms: tuple[str, ...] = ()
    """Upper case, in order of preference; empty: AUTH is not offered."""
    auth_needs_tls: bool = True
    """Neither offer nor take AUTH without TLS (RFC 4954 section 4)."""
    auth_required: bool = False
    """Refuse MAIL before AUTH with 530 (RFC 6409 section 4.3)."""
    tls_required: bool = False
    """Refuse MAIL and AUTH before STARTTLS with 530 (RFC 3207 section 4)."""

    extended: bool = True
    """Know EHLO at all; without it, HELO."""
    pipelining: bool = True
    size: bool = True
    eight_bit: bool = True
    enhanced_status: bool = True
    """Told with ENHANCEDSTATUSCODES (RFC 2034); whoever sends the replies leaves the codes out where it is not."""
    limits: bool = True
    smtputf8: bool = True
    dsn: bool = True
    chunking: bool = True
    requiretls: bool = True
    """Offered inside TLS alone (RFC 8689 section 4)."""
    etrn: bool = False
    """RFC 1985: a server that was away may ask for its mail."""
    future_release_s: int = 0
    """How far ahead a message may be submitted (RFC 4865); 0: not at all."""
    future_release_until: str = ""
    """The same as a moment, as the EHLO reply tells it."""
    binarymime: bool = False
    """Only where everything behind can carry binary content on (RFC 3030 section 3)."""
    help: bool = True
    xclient: bool = False
    """Take XCLIENT: the peer may say on whose behalf it talks."""

    forbid_unauth_pipelining: bool = True
    """End a session whose client does not wait for the replies to EHLO and DATA (RFC 2920 section 3.1): half of every smuggling."""
    unqualified: bool = False
    """Take paths without a domain (``<root>``), for programs on this machine; the session qualifies them."""
