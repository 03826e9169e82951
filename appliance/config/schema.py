"""The settings: one frozen dataclass per TOML table, each key with its default and a sentence.

Owns names, types, defaults and the words of ``sample.toml``. Decoding with line
numbers is ``config.decode``; rendering is ``config.render``. A key's type
annotation is what the decoder accepts; its unit stands in its name. Defaults
are what an office of 2 to 50 people wants without a thought.

Sources: postconf(5) for what people expect, RFC 5321 section 4.5.3 (limits and
timeouts), RFC 9051 section 5.4 (autologout).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "ChecksConfig",
    "Config",
    "DnsConfig",
    "ImapConfig",
    "LimitsConfig",
    "ListConfig",
    "LmtpConfig",
    "LogConfig",
    "LoginConfig",
    "MailConfig",
    "OauthConfig",
    "Pop3Config",
    "QueueConfig",
    "RelayConfig",
    "ReportsConfig",
    "RouteConfig",
    "SenderRouteConfig",
    "SmarthostConfig",
    "SmtpConfig",
    "SubmissionConfig",
    "TlsConfig",
    "TraceConfig",
    "UserConfig",
    "WebConfig",
    "setting",
]

TlsChoice = Literal["none", "may", "encrypt", "dane", "verify", "implicit"]
MIB = 1_048_576
MOST = 2**53
"""No number in the file may be larger: the largest that JSON and every other tool keeps exact."""


def setting(default: Any, doc: str, *, secret: bool = False, example: str = "", kind: str = "", least: int = 1, most: int = MOST) -> Any:
    """Declare a key: its default, one sentence for people, whether it is hidden, and a TOML example for the sample file.

    ``kind`` names what a text must look like (``config.kinds``); ``least`` and
    ``most`` bound a number.
    """
    metadata = {"doc": doc, "secret": secret, "example": example, "kind": kind, "least": least, "most": most}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def table(kind: type[Any], doc: str) -> Any:
    """Declare a sub-table that is made of its own defaults when the file leaves it out."""
    return field(default_factory=kind, metadata={"doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class UserConfig:
    """One person or role with a login and mailboxes."""

    name: str = field(
        metadata={"doc": "Login and local part: ana is ana@ every one of your domains.", "example": '"ana"', "kind": "account"}
    )
    password: str = setting(
        "",
        "What `carteiro user passwd` writes: an Argon2id hash, then keys for SCRAM; {PLAIN}word for throw-away set-ups; empty: no login.",
        secret=True,
        kind="password",
    )
    addresses: tuple[str, ...] = setting((), "Full addresses of this user; empty: NAME@ each of your domains.", kind="address")
    format: Literal["", "maildir", "mbox"] = setting("", "How this user's mail lies on disk; empty: as [mail] says.")
    quota_bytes: int = setting(0, "Largest total size of this user's mail; 0: no limit.", least=0)
    quota_messages: int = setting(0, "Most messages of this user, in all mailboxes; 0: no limit.", least=0)
    quota_mailboxes: int = setting(0, "Most mailboxes of this user, INBOX among them; 0: no limit.", least=0)
    hide_capabilities: tuple[str, ...] = setting(
        (), "IMAP capabilities not told to this user's mail program, because it handles them badly.", kind="capability"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteConfig:
    """Where mail for one domain goes, whatever MX records say."""

    domain: str = field(
        metadata={"doc": "Domain of the recipient; a leading dot means its subdomains.", "example": '"partner.example"', "kind": "route"}
    )
    host: str = field(
        metadata={
            "doc": "Server that takes its mail; an address literal like [192.0.2.1] is fine.",
            "example": '"mx.partner.example"',
            "kind": "host",
        }
    )
    port: int = setting(25, "Port of that server.", most=65_535)
    use_mx: bool = setting(False, "Look up the MX records of host first.")
    protocol: Literal["smtp", "lmtp"] = setting("smtp", "smtp, or lmtp for a delivery agent of your own (RFC 2033).")
    tls: TlsChoice = setting(
        "may",
        "none, may (when offered, and as strictly as MTA-STS and DANE ask), encrypt (always), dane (always, a certificate that DNSSEC names), "
        "verify (always, valid certificate), implicit (TLS from the first byte).",
    )
    username: str = setting("", "Login there, if it asks for one.")
    password: str = setting("", "Password there.", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderRouteConfig:
    """Which server takes what a sender of yours writes to other domains; [[routes]] of the recipient's domain come first."""

    sender: str = field(
        metadata={"doc": "Address of the sender, or a domain for all of its senders.", "example": '"ana@example.com"', "kind": "sender"}
    )
    host: str = field(metadata={"doc": "Server that takes this mail.", "example": '"smtp.provider.example"', "kind": "host"})
    port: int = setting(587, "Port of that server.", most=65_535)
    tls: TlsChoice = setting("verify", "none, may, encrypt, dane, verify, implicit (port 465).")
    username: str = setting("", "Login there, if it asks for one.")
    password: str = setting("", "Password there.", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmarthostConfig:
    """The server that takes all mail to other domains, usually the provider's."""

    host: str = setting("", "Name of the smart host; empty: mail goes straight to the MX of each domain.", kind="host")
    others: tuple[str, ...] = setting(
        (), "Further smart hosts with the same port and login, asked in order when that one is away.", kind="host"
    )
    port: int = setting(587, "Port of the smart host.", most=65_535)
    tls: TlsChoice = setting("verify", "none, may, encrypt, dane, verify, implicit (port 465).")
    username: str = setting("", "Login at the smart host.")
    password: str = setting("", "Password at the smart host.", secret=True)
    password_file: str = setting("", "File whose first line is that password; better than password.", kind="path")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpConfig:
    """Mail from other servers (MX), and the limits of every SMTP session."""

    listen: tuple[str, ...] = setting(("0.0.0.0:25", "[::]:25"), "Addresses and ports for mail from other servers.", kind="listen")
    banner: str = setting("", "Text after the host name in the greeting; empty: ESMTP Carteiro.")
    max_message_bytes: int = setting(50 * MIB, "Largest message taken in; told to senders with SIZE.")
    max_recipients: int = setting(1_000, "Most recipients of one message; told to senders with LIMITS.")
    max_received: int = setting(50, "Most Received fields before a message is called a loop.", least=0)
    max_header_bytes: int = setting(MIB, "Largest header section of a message.")
    max_errors: int = setting(20, "Bad commands in one session before it is ended; from the half on answers come slowly.")
    max_commands_without_mail: int = setting(200, "Commands without a delivered message before a session is ended; 0: no limit.", least=0)
    idle_timeout_s: int = setting(300, "Seconds without a command before a session is ended.")
    session_timeout_s: int = setting(7_200, "Longest session in seconds, whatever it does.")
    greeting_delay_ms: int = setting(
        0, "Milliseconds before the greeting; a client that talks first is cut. 0: check without waiting.", least=0
    )
    xclient_from: tuple[str, ...] = setting(
        (),
        "Mail proxies and filters that may say with XCLIENT for whom they talk, and who has logged in (Postfix: smtpd_authorized_xclient_hosts).",
        kind="network",
    )
    verify_command: bool = setting(False, "Let VRFY tell everybody whether an address exists; who has logged in is told anyhow.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksConfig:
    """How mail from other servers is judged; not mail of trusted networks, nor of your own people."""

    authenticate: bool = setting(True, "Check SPF, DKIM, DMARC and ARC, and write what was found into Authentication-Results.")
    dmarc: Literal["obey", "mark"] = setting(
        "obey", "obey: refuse mail, or put it into Junk, where its author's domain asks for that (DMARC); mark: only write it down."
    )
    spf_fail: Literal["mark", "junk", "reject"] = setting(
        "mark", "What becomes of mail that SPF forbids and whose author's domain has no DMARC policy."
    )
    trusted_forwarders: tuple[str, ...] = setting(
        (),
        "Domains of mailing lists and forwarders whose mail is taken although DMARC fails, when SPF, DKIM or their ARC seal proves it theirs.",
        kind="domain",
    )
    timeout_s: int = setting(20, "Seconds that all DNS questions of one message may take.")
    helo: Literal["off", "own", "full"] = setting(
        "own", "EHLO: own refuses who says this server's name; full also who says no full host name; off looks at nothing."
    )
    reverse_dns: Literal["off", "named", "confirmed"] = setting(
        "off", "named: refuse clients without a name in the reverse DNS; confirmed: also those whose name does not lead back to them."
    )
    list_score: int = setting(1, "Refuse clients that weigh this much on all address_lists together.")
    greylist: bool = setting(False, "Tell senders never seen before to come back; who does is known from then on, and is not told again.")
    greylist_delay_s: int = setting(300, "Seconds that a sender never seen before has to wait.")
    greylist_remember_days: int = setting(35, "Days that a sender is known after its last message.")
    messages_per_hour: int = setting(0, "Most messages from one address in an hour; 0: no limit.", least=0)
    messages_per_hour_network: int = setting(0, "Most messages from one network (IPv4 /24, IPv6 /64) in an hour; 0: no limit.", least=0)
    max_recipients_unknown: int = setting(0, "Most recipients at once from a sender never seen before; 0: no limit.", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportsConfig:
    """Daily reports from and to other domains. Sending is off at first: they tell strangers how much mail of theirs comes here."""

    addresses: tuple[str, ...] = setting(
        (),
        "Addresses of yours that DMARC and TLSRPT records name (rua=): reports that come to them are kept for `carteiro reports`, and delivered, too.",
        kind="address",
    )
    dmarc: bool = setting(False, "Report to domains that ask for it on mail in their name, once a day (DMARC).")
    tls: bool = setting(False, "Report to domains that ask for it how sessions with their servers were protected, once a day (TLSRPT).")
    sender: str = setting(
        "", "Address in From of reports; empty: postmaster@ your domain. Keys of its domain sign them (DKIM).", kind="address"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListConfig:
    """A list of addresses in the DNS, of bad clients or of good ones (DNSBL, DNSWL)."""

    zone: str = field(metadata={"doc": "Domain of the list; read its terms first.", "example": '"dnsbl.example.org"', "kind": "domain"})
    weight: int = setting(1, "What being on it weighs; below 0 for a list of good clients.", least=-100, most=100)
    answers: tuple[str, ...] = setting((), "Answers that count, such as 127.0.0.2 or 127.0.0.0/28; empty: all.", kind="network")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionConfig:
    """Mail from your own people's programs; login required."""

    listen: tuple[str, ...] = setting(("0.0.0.0:587", "[::]:587"), "Addresses and ports with STARTTLS.", kind="listen")
    listen_tls: tuple[str, ...] = setting(("0.0.0.0:465", "[::]:465"), "Addresses and ports with TLS from the first byte.", kind="listen")
    require_tls: bool = setting(True, "Refuse logins without TLS, except from this machine.")
    check_sender: bool = setting(True, "Let people send only as their own addresses.")
    max_message_bytes: int = setting(50 * MIB, "Largest message taken in from your own people.")
    max_future_release_s: int = setting(
        2_592_000, "How far ahead people may have a message sent later (FUTURERELEASE), in seconds; 0: not offered.", least=0
    )
    max_messages_per_day: int = setting(
        0, "Messages that an account may send in a day (UTC); more go on hold and are told; 0: no limit.", least=0
    )
    max_new_recipients_per_day: int = setting(
        0, "Addresses that an account may write to for the first time in a day; more go on hold and are told; 0: no limit.", least=0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LmtpConfig:
    """Mail from another MTA on this machine (RFC 2033)."""

    listen: tuple[str, ...] = setting((), "Ports or unix:/path sockets for LMTP; empty: off.", kind="listen")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginConfig:
    """What every login has in common."""

    max_failures: int = setting(10, "Failed logins from one address in ten minutes before it must wait; private networks are only slowed.")
    argon2_memory_kib: int = setting(19_456, "Memory that one password check takes.")
    argon2_parallel: int = setting(2, "Password checks at once.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OauthConfig:
    """Logins with an access token (OAUTHBEARER in IMAP). Off until issuer, audience and keys_file are all set."""

    issuer: str = setting("", "The iss that tokens must have, such as https://login.example.com; empty: off.")
    audience: str = setting("", "The aud that tokens must have: our name at the issuer.")
    keys_file: str = setting("", "PEM file with the issuer's public keys: RSA, P-256 or Ed25519.", kind="path")
    claim: str = setting("email", "The claim that names the user: his address or login.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapConfig:
    """Mailboxes for mail programs."""

    listen: tuple[str, ...] = setting(("0.0.0.0:143", "[::]:143"), "Addresses and ports with STARTTLS.", kind="listen")
    listen_tls: tuple[str, ...] = setting(("0.0.0.0:993", "[::]:993"), "Addresses and ports with TLS from the first byte.", kind="listen")
    idle_timeout_s: int = setting(1_800, "Seconds without a command before a logged-in session is ended.")
    login_timeout_s: int = setting(60, "Seconds a client has to log in.")
    max_command_bytes: int = setting(65_536, "Longest command, literals not counted.")
    max_literal_bytes: int = setting(131_072, "Largest literal kept in memory; APPEND goes to a file instead.")
    max_append_bytes: int = setting(50 * MIB, "Largest message an APPEND may bring.")
    max_bad_commands: int = setting(20, "Bad commands before a session is ended.")
    literal_minus: bool = setting(
        False,
        "Tell LITERAL- instead of LITERAL+: a mail program sends more than 4096 bytes only once it may, so that a message which is refused is not "
        "sent in vain; each large one costs a round trip.",
    )
    quota_warning_percent: int = setting(
        90, "How full a quota may be before mail programs are warned when they add something; 0: never.", least=0, most=100
    )
    max_annotations: int = setting(100, "Most annotations (METADATA) of one mailbox.", least=10)
    max_annotation_bytes: int = setting(65_536, "Longest value of an annotation.", least=1_024)
    comment: str = setting("", "What mail programs are told of this server as /shared/comment.")
    admin: str = setting("", "URI under which the administrator is reached, told as /shared/admin; empty: mailto:postmaster@HOSTNAME.")
    full_text: Literal["off", "scan", "triples"] = setting(
        "off",
        "Keep the text of all mail for searching: off; scan: about a third of the mail's size; triples: half of it, faster in very large mailboxes.",
    )
    full_text_share_percent: int = setting(10, "Share of one processor for filling that index in the background.", most=100)
    full_text_max_mib: int = setting(2_048, "Largest index of one account; what does not fit is searched in the mail itself.")
    max_connections_per_user: int = setting(50, "Most sessions of one user at once; 0: no limit.", least=0)
    client_authorities_file: str = setting(
        "",
        "PEM file with the authorities whose client certificates log in without a password (AUTH=EXTERNAL); the certificate's mail address "
        "or common name is the user's address or login. Empty: off.",
        kind="path",
    )
    message_limit: int = setting(
        0, "Messages that one FETCH, STORE, COPY or MOVE may work on, told as MESSAGELIMIT, at best 1000 or more; 0: no limit.", least=0
    )
    save_limit: int = setting(0, "The same for COPY alone, told as SAVELIMIT where there is no message_limit; 0: no limit.", least=0)
    hide_capabilities: tuple[str, ...] = setting(
        (),
        "Capabilities not told to anybody, such as COMPRESS; APPENDLIMIT hides APPENDLIMIT=N. Users have the same setting.",
        kind="capability",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3Config:
    """The maildrop for simple mail programs."""

    listen: tuple[str, ...] = setting(("0.0.0.0:110", "[::]:110"), "Addresses and ports with STLS.", kind="listen")
    listen_tls: tuple[str, ...] = setting(("0.0.0.0:995", "[::]:995"), "Addresses and ports with TLS from the first byte.", kind="listen")
    idle_timeout_s: int = setting(600, "Seconds without a command before a session is ended.")
    login_timeout_s: int = setting(60, "Seconds a client has to log in.")
    login_delay_s: int = setting(0, "Seconds between two logins of the same user; 0: no wait.", least=0)
    keep_deleted_days: int = setting(
        0, "Days that mail deleted by a POP3 program stays for IMAP, counted from its arrival; 0: it goes at once.", least=0
    )
    max_bad_commands: int = setting(20, "Bad commands before a session is ended.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """The status page."""

    listen: tuple[str, ...] = setting(("127.0.0.1:8080",), "Addresses and ports for the status page, /healthz and /metrics.", kind="listen")
    max_connections: int = setting(100, "Most browser connections at once.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Certificates. Without files, a local authority and a certificate are made on first start."""

    certificate_file: str = setting("", "PEM file with the certificate and its chain.", kind="path")
    key_file: str = setting("", "PEM file with the private key.", kind="path")
    reload_interval_s: int = setting(60, "Seconds between looks at the files for a renewed certificate.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailConfig:
    """How mail lies on disk."""

    format: Literal["maildir", "mbox"] = setting("maildir", "maildir: a file per message; mbox: one text file per mailbox.")
    plus_separator: str = setting("+", "ana+lists@ is delivered to ana; empty: off.")
    language: Literal["en", "pt"] = setting("en", "Language of folder names, notifications and the status page.")
    sent: str = setting("", "Name of the folder for sent mail; empty: by language (Sent, Enviados).", kind="folder")
    drafts: str = setting("", "Name of the folder for drafts; empty: by language (Drafts, Rascunhos).", kind="folder")
    trash: str = setting("", "Name of the trash folder; empty: by language (Trash, Lixeira).", kind="folder")
    junk: str = setting("", "Name of the junk folder; empty: by language (Junk, Spam).", kind="folder")
    archive: str = setting("", "Name of the archive folder; empty: by language (Archive, Arquivo).", kind="folder")
    settle_interval_ms: int = setting(
        1_000, "Longest time before delivered mail is flushed to the disk; until then the queue keeps a copy.", least=0
    )
    settle_bytes: int = setting(64 * MIB, "Delivered bytes that make that flush come sooner.")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig:
    """How long and how often delivery is tried."""

    first_retry_s: int = setting(300, "Seconds until the first retry.")
    second_retry_s: int = setting(900, "Seconds until the second; each further wait doubles.")
    max_retry_s: int = setting(14_400, "Longest wait between two tries.")
    delay_notice_s: int = setting(14_400, "Seconds after which the sender is told of a delay; 0: never.", least=0)
    lifetime_s: int = setting(432_000, "Seconds after which a message is given up and returned.")
    backup_lifetime_s: int = setting(864_000, "The same for mail to relay_domains, kept while the domain's own server is away.")
    notice_lifetime_s: int = setting(86_400, "The same for a notification of our own.")
    max_active: int = setting(10_000, "Recipients kept in memory for delivery; more wait on disk.")
    max_pending_bytes: int = setting(64 * MIB, "Message bytes waiting in memory before senders must wait.")
    inline_bytes: int = setting(131_072, "Messages from this size on lie in files of their own.")
    min_free_bytes: int = setting(64 * MIB, "Free disk space below which new mail is refused for now (452).", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """Connections to other servers."""

    delivery: Literal["auto", "direct", "relay", "ladder"] = setting(
        "auto",
        "auto: by the smart host where there is one; direct: never; relay: always; ladder: straight to the destination, and by the smart host "
        "after ladder_after tries in vain or where our address is refused.",
    )
    ladder_after: int = setting(2, "Tries in vain before the ladder takes the smart host.")
    port: int = setting(25, "Port of servers found by MX records.", most=65_535)
    bind_address: str = setting("", "Own address for outgoing connections; empty: the system chooses.", kind="ip")
    tls: TlsChoice = setting("may", "TLS towards servers found by MX records: none, may, encrypt, dane, verify, implicit.")
    srs: bool = setting(
        True, "Forward what aliases send elsewhere under a reverse-path of ours (SRS): SPF holds, and reports come back through here."
    )
    dkim_rotate_days: int = setting(
        0,
        "Days after which the DKIM keys are changed for those prepared, once their records are in the DNS; 0: by carteiro dkim rotate.",
        least=0,
    )
    mta_sts: bool = setting(True, "Fetch and follow the TLS policy that a domain publishes (MTA-STS).")
    ca_file: str = setting("", "Authorities that certificates are checked against; empty: the system's.", kind="path")
    max_connections: int = setting(100, "Outgoing connections at once.")
    max_per_destination: int = setting(20, "Outgoing connections to one destination.")
    initial_per_destination: int = setting(5, "Connections to a destination as soon as it has answered; each success allows one more.")
    max_recipients: int = setting(50, "Recipients handed over in one transaction.")
    max_messages_per_connection: int = setting(100, "Messages sent over one connection before it is closed.")
    idle_s: int = setting(5, "Seconds a connection is kept for the next message.", least=0)
    connect_timeout_s: int = setting(30, "Seconds for a connection to one address.")
    greeting_timeout_s: int = setting(300, "Seconds for the greeting and EHLO.")
    command_timeout_s: int = setting(300, "Seconds for the reply to MAIL, RCPT and others.")
    data_timeout_s: int = setting(600, "Seconds for the reply at the end of a message.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsConfig:
    """Name servers."""

    servers: tuple[str, ...] = setting((), "Name servers as ADDRESS or ADDRESS:PORT; empty: the system's.", kind="server")
    timeout_s: int = setting(10, "Seconds for one lookup, retries included.")
    cache_entries: int = setting(10_000, "Answers kept.", least=0)
    validating: bool = setting(
        False,
        "These name servers check DNSSEC and nobody is between them and us (one on this machine): what they call authentic is, and DANE is used.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What is written to standard error, and so to the journal."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "Least important line that is written.")
    format: Literal["logfmt", "json"] = setting("logfmt", "logfmt: key=value; json: one object per line.")
    transcript: tuple[str, ...] = setting(
        (),
        "Networks whose clients' conversations are logged word for word but for passwords (Postfix: debug_peer_list); empty: off.",
        kind="network",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfig:
    """What is remembered of each message for `carteiro trace`."""

    keep_days: int = setting(30, "Days that the life of a message can be told; 0: nothing is kept.", least=0)
    max_mib: int = setting(256, "Most disk space for it; the oldest goes first. A message takes about 60 bytes packed.")
    page: bool = setting(True, "Show it on the status page, too, to browsers on this machine: senders, recipients and subjects.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """What one client, and all together, may use."""

    max_connections: int = setting(1_000, "Connections at once, per protocol.")
    max_connections_per_address: int = setting(50, "Connections at once from one address, per protocol; 0: no limit.", least=0)
    shutdown_grace_s: int = setting(20, "Seconds that running sessions get when the server stops.", least=0)
    one_processor: bool = setting(True, "While busy, keep the event loop and its storage threads on one processor.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    domain: str = setting("", "Your mail domain; the only key that must be there.", example='"example.com"', kind="domain")
    hostname: str = setting("", "Full name of this machine, as other servers see it; empty: mail.DOMAIN.", kind="domain")
    domains: tuple[str, ...] = setting((), "Further domains whose mail is kept here (Postfix: mydestination).", kind="domain")
    origin: str = setting("", "Domain appended to addresses without one (Postfix: myorigin); empty: domain.", kind="domain")
    data: str = setting("/var/lib/carteiro", "Directory with everything: queue, mail, keys; copy it and you have all.", kind="path")
    user: str = setting("", "System user to become after the ports are open, when started as root.")
    postmaster: str = setting("", "User or address that gets postmaster's and lost mail; empty: the first user.")
    trusted_networks: tuple[str, ...] = setting(
        ("127.0.0.0/8", "::1/128"), "Networks that may send anywhere without login (Postfix: mynetworks).", kind="network"
    )
    proxies: tuple[str, ...] = setting(
        (),
        "Load balancers: each mail connection from these networks must begin with a PROXY protocol header, which names the client "
        "(HAProxy: send-proxy-v2; one on this machine: source 127.0.0.2). Not for the web page.",
        kind="network",
    )
    relay_domains: tuple[str, ...] = setting((), "Domains kept elsewhere for which mail from anybody is passed on.", kind="domain")
    relay_recipients: tuple[str, ...] = setting(
        (),
        "The addresses that exist at relay_domains, or @DOMAIN for all of one; where a domain has some here, mail to others is refused.",
        example='["ana@branch.example", "@club.example"]',
    )
    users: tuple[UserConfig, ...] = field(default=(), metadata={"doc": "Everybody with a login."})
    aliases: Mapping[str, tuple[str, ...]] = setting(
        {},
        "Users and addresses that get mail for an address, or for a local part in each of your domains.",
        example='sales = ["ana", "partner@elsewhere.example"]',
    )
    catch_all: Mapping[str, str] = setting(
        {}, "User or address that gets mail to unknown names of a domain.", example='"example.com" = "ana"'
    )
    smarthost: SmarthostConfig = table(SmarthostConfig, "The provider's server for outgoing mail.")
    address_lists: tuple[ListConfig, ...] = field(default=(), metadata={"doc": "Lists of bad and good clients."})
    routes: tuple[RouteConfig, ...] = field(default=(), metadata={"doc": "Own ways for single domains."})
    sender_routes: tuple[SenderRouteConfig, ...] = field(default=(), metadata={"doc": "Own ways for single senders."})
    smtp: SmtpConfig = table(SmtpConfig, "Mail from other servers.")
    checks: ChecksConfig = table(ChecksConfig, "Mail from other servers, judged.")
    reports: ReportsConfig = table(ReportsConfig, "Reports from and to other domains.")
    submission: SubmissionConfig = table(SubmissionConfig, "Mail from your own people.")
    lmtp: LmtpConfig = table(LmtpConfig, "Mail from another MTA.")
    imap: ImapConfig = table(ImapConfig, "Mailboxes.")
    pop3: Pop3Config = table(Pop3Config, "The maildrop.")
    web: WebConfig = table(WebConfig, "The status page.")
    login: LoginConfig = table(LoginConfig, "Logins.")
    oauth: OauthConfig = table(OauthConfig, "Access tokens.")
    tls: TlsConfig = table(TlsConfig, "Certificates.")
    mail: MailConfig = table(MailConfig, "Mail on disk.")
    queue: QueueConfig = table(QueueConfig, "The queue.")
    relay: RelayConfig = table(RelayConfig, "Connections to other servers.")
    dns: DnsConfig = table(DnsConfig, "Name servers.")
    trace: TraceConfig = table(TraceConfig, "The life of messages.")
    limits: LimitsConfig = table(LimitsConfig, "Limits for clients.")
    log: LogConfig = table(LogConfig, "The log.")

    @property
    def effective_hostname(self) -> str:
        """The name of this machine in greetings and trace fields."""
        return self.hostname or f"mail.{self.domain}"

    @property
    def effective_origin(self) -> str:
        return self.origin or self.domain

    @property
    def mail_domains(self) -> tuple[str, ...]:
        """The domains where each user without ``addresses`` has one, the main one first."""
        return tuple(dict.fromkeys((self.domain, *self.domains)))

    @property
    def local_domains(self) -> tuple[str, ...]:
        """Every domain whose mail stays here: those above, this machine's name and localhost (cron writes there)."""
        return tuple(dict.fromkeys((*self.mail_domains, self.effective_hostname, "localhost")))
