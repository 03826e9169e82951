"""Looks at certificate files before a client does: readable, belonging together, in date, for this machine's name.

Fails: never; whatever is wrong is a sentence.
Does not: verify the chain up to an authority; every client has its own list of those.

Sources: RFC 5280 section 4.1.2.5 (validity), section 4.2.1.6 (subjectAltName).
"""

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.config.schema import Config
from appliance.model.domain import canonical_domain

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["check_authorities", "check_certificate"]

_SOON = datetime.timedelta(days=14)


def check_certificate(config: Config) -> Iterator[tuple[str, str, bool]]:
    """Yield key of ``[tls]``, sentence, and whether the server cannot start with it. Blocks: disk."""
    certificate = config.tls.certificate_file
    for key, name in (("certificate_file", certificate), ("key_file", config.tls.key_file)):
        try:
            Path(name).read_bytes()
        except OSError as error:
            yield key, f"{name} cannot be read: {error.strerror}", True
            return
    if Path(config.tls.key_file).stat().st_mode & 0o007:
        yield "key_file", f"everybody on this machine can use {config.tls.key_file}; run chmod o= {config.tls.key_file}", False
    try:
        # A key with a passphrase must not make OpenSSL ask at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, config.tls.key_file, password=lambda: b"")
    except ssl.SSLError as error:
        yield _key_and_message(error, config)
        return
    yield from _validity(config)


def _key_and_message(error: ssl.SSLError, config: Config) -> tuple[str, str, bool]:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "key_file", f"{config.tls.key_file} is not the key of {config.tls.certificate_file}", True
    # OpenSSL does not say which of the two it could not read; a certificate's first line does.
    text = Path(config.tls.certificate_file).read_bytes()
    if b"-----BEGIN CERTIFICATE-----" not in text:
        return "certificate_file", f"{config.tls.certificate_file} holds no certificate in PEM form", True
    reason = error.reason or str(error)
    return "key_file", f"{config.tls.key_file} holds no usable private key in PEM form without a passphrase ({reason})", True


def _validity(config: Config) -> Iterator[tuple[str, str, bool]]:
    # 80 ms of import, and only who has certificate files needs it.
    from cryptography import x509

    name = config.tls.certificate_file
    try:
        certificate = x509.load_pem_x509_certificate(Path(name).read_bytes())
        names = _names(certificate)
    except ValueError as error:
        yield "certificate_file", f"{name} cannot be understood: {error}", False
        return
    now = datetime.datetime.now(datetime.UTC)
    end = certificate.not_valid_after_utc
    if end <= now:
        yield "certificate_file", f"{name} expired on {end:%Y-%m-%d}; clients refuse it", True
    elif end - now < _SOON:
        yield "certificate_file", f"{name} expires on {end:%Y-%m-%d}; renew it", False
    if certificate.not_valid_before_utc > now:
        yield "certificate_file", f"{name} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}; is the clock right?", False
    host = canonical_domain(config.effective_hostname)
    if host not in names and f"*.{host.partition('.')[2]}" not in names:
        told = ", ".join(sorted(names)) or "no name"
        yield "certificate_file", f"{name} is for {told} and not for {config.effective_hostname}; mail programs will complain", False


def _names(certificate: "x509.Certificate") -> frozenset[str]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(canonical_domain(name) for name in extension.value.get_values_for_type(x509.DNSName))


def check_authorities(name: str) -> Iterator[str]:
    """Yield what is wrong with a file of authorities. Blocks: disk."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=name)
    except ssl.SSLError:
        yield f"{name} holds no certificates in PEM form"
    except OSError as error:
        yield f"{name} cannot be read: {error.strerror}"
