"""Trace fields: Received, Return-Path, Delivered-To.

Owns their grammar and that nothing a client says gets out of its clause: a name
that is no domain becomes the address literal, control characters never pass.

Fails: never.

Sources: RFC 5321 section 4.4, RFC 3848 and RFC 6531 section 4.3 (with), RFC 8314
section 4.3 (tls), RFC 5321 section 4.4 (Return-Path at final delivery), Postfix (Delivered-To).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from appliance.message.date import format_date

__all__ = ["TlsFacts", "build_delivered_to", "build_received", "build_return_path", "with_protocol"]

_FOLD_AT = 78
_is_domain = re.compile(r"[^\W_](?:[\w.-]{0,253}[^\W_])?\.?").fullmatch
_UNSAFE_IN_PATH = re.compile(r"[\x00-\x1f\x7f<>]")
_UNSAFE_IN_TOKEN = re.compile(r"[^A-Za-z0-9._-]")
_OPENSSL_CIPHER = re.compile(r"(ECDHE|DHE)-(RSA|ECDSA)-(?:AES(128|256)-(GCM-)?(SHA\d*)|(CHACHA20-POLY1305))").fullmatch


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """``version`` such as ``TLSv1.3`` and ``cipher`` as the TLS library names them."""

    version: str
    cipher: str


def with_protocol(
    *, extended: bool = True, tls: bool = False, authenticated: bool = False, smtputf8: bool = False, lmtp: bool = False
) -> str:
    """Return the registered keyword of the with clause: SMTP, ESMTPSA, UTF8SMTPS, LMTPA ..."""
    suffix = ("S" if tls else "") + ("A" if authenticated else "")
    if lmtp:
        return ("UTF8LMTP" if smtputf8 else "LMTP") + suffix
    if smtputf8:
        return "UTF8SMTP" + suffix
    return "ESMTP" + suffix if extended or suffix else "SMTP"


def build_received(
    *,
    helo: str,
    client_address: str,
    client_name: str,
    hostname: str,
    protocol: str,
    queue_id: str,
    now_s: float,
    recipient: str = "",
    tls: TlsFacts | None = None,
) -> bytes:
    """Return a Received field with its line end, folded below 78 columns where the words allow.

    ``client_name`` is the verified reverse name or ``""``; ``recipient`` is named
    only when it is the only one (RFC 5321 section 7.6 on blind copies).
    """
    folded, line = _opening(helo, client_address, client_name, hostname, protocol)
    words = [_token(queue_id)]
    if recipient:
        words += ["for", f"<{_UNSAFE_IN_PATH.sub('', recipient)}>"]
    if tls is not None:
        registered = _registered_cipher(tls.cipher)
        words += ["tls", registered] if registered else []
        words.append(f"({_token(tls.version)})")
    words[-1] += ";"
    words += format_date(now_s).decode("ascii").split(" ")
    return "\r\n".join(_fold(folded, line, words)).encode("utf-8", "replace") + b"\r\n"


@lru_cache(maxsize=256)
def _opening(helo: str, client_address: str, client_name: str, hostname: str, protocol: str) -> tuple[tuple[str, ...], str]:
    """Return what is the same for all messages of a session: lines that are full, and the line so far."""
    literal = _address_literal(client_address)
    tcp_info = f"({_domain(client_name)} {literal})" if _domain(client_name) else f"({literal})"
    words = ["from", _domain(helo) or literal, tcp_info, "by", _domain(hostname) or "localhost", "with", _token(protocol), "id"]
    *folded, line = _fold((), "Received:", words)
    return tuple(folded), line


def build_return_path(reverse_path: str) -> bytes:
    """Return a Return-Path field; ``""`` is the null reverse-path."""
    return f"Return-Path: <{_UNSAFE_IN_PATH.sub('', reverse_path)}>\r\n".encode()


def build_delivered_to(address: str) -> bytes:
    """Return a Delivered-To field, by which loops through forwarding are found."""
    return f"Delivered-To: {_UNSAFE_IN_PATH.sub('', address)}\r\n".encode()


def _fold(lines: tuple[str, ...], line: str, words: list[str]) -> list[str]:
    """Return ``lines`` and ``line`` continued with words, a new line where one would not fit."""
    folded = list(lines)
    for word in words:
        if len(line) + 1 + len(word) >= _FOLD_AT and line != "Received:":
            folded.append(line)
            line = "\t" + word
        else:
            line += " " + word
    folded.append(line)
    return folded


def _domain(name: str) -> str:
    """Return a name that is fit to stand as Domain, else ``""``."""
    return name if _is_domain(name) and ".." not in name else ""


def _token(text: str) -> str:
    return _UNSAFE_IN_TOKEN.sub("", text)[:255] or "unknown"


def _address_literal(address: str) -> str:
    address = re.sub(r"[^0-9A-Fa-f:.]", "", address.partition("%")[0])[:45]
    if not address:
        return "[0.0.0.0]"
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _registered_cipher(cipher: str) -> str:
    """Return the name the TLS registry has for a cipher suite; ``""`` when OpenSSL's name says too little."""
    if re.fullmatch(r"TLS_[A-Z0-9_]+", cipher):
        return cipher
    found = _OPENSSL_CIPHER(cipher)
    if found is None:
        return ""
    exchange, signature, bits, gcm, digest, chacha = found.groups()
    if chacha:
        return f"TLS_{exchange}_{signature}_WITH_CHACHA20_POLY1305_SHA256"
    return f"TLS_{exchange}_{signature}_WITH_AES_{bits}_{'GCM' if gcm else 'CBC'}_{digest}"
