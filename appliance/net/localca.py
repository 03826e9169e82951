"""A certificate authority of the house and a server certificate from it, for machines that have none yet.

Owns four files in the keys directory: ``ca.pem`` (to import into mail programs
once), ``ca.key``, ``server.pem`` (certificate and authority), ``server.key``.
The authority stays for ten years; the certificate is made anew in time, or when
the names change, so that clients which trust the authority notice nothing.
Does not: replace what an administrator set in [tls].

Sources: RFC 5280 section 4.2, Apple's limit of 825 days for certificates below a private authority.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["ensure_local_certificate"]

_CA_DAYS = 3_650
_CERTIFICATE_DAYS = 825
_RENEW_DAYS = 30


def ensure_local_certificate(keys_directory: Path, names: Sequence[str], *, now_s: float) -> tuple[Path, Path]:
    """Return certificate and key file for ``names`` (``localhost`` and loopback are added), made when missing or soon to expire.

    Units:    ``now_s`` seconds since the epoch, UTC.
    Blocks:   disk; milliseconds of computing when something is made.
    Raises:   OSError when the directory cannot be written.
    Durable:  keys are flushed before the certificates that need them; each file is replaced as a whole.
    """
    now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    wanted = tuple(dict.fromkeys([*(name.lower() for name in names if name), "localhost"]))
    certificate_file, key_file = keys_directory / "server.pem", keys_directory / "server.key"
    # cryptography takes 100 ms to import: ask the marker file first, which tells names and end without it.
    marker = keys_directory / "server.names"
    if certificate_file.exists() and key_file.exists() and _is_fresh(marker, wanted, now):
        return certificate_file, key_file
    keys_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_key, ca_certificate = _ensure_authority(keys_directory, now)
    key = _new_key()
    certificate = _sign_server(key, ca_key, ca_certificate, wanted, now)
    _write(key_file, _private_pem(key))
    _write(certificate_file, _public_pem(certificate) + _public_pem(ca_certificate))
    end = certificate.not_valid_after_utc
    _write(marker, (f"{end.isoformat()}\n" + "\n".join(wanted) + "\n").encode())
    return certificate_file, key_file


def _is_fresh(marker: Path, wanted: Sequence[str], now: datetime.datetime) -> bool:
    try:
        end_text, *names = marker.read_text("utf-8").split()
        end = datetime.datetime.fromisoformat(end_text)
    except (OSError, ValueError):
        return False
    return tuple(names) == tuple(wanted) and end - now > datetime.timedelta(days=_RENEW_DAYS)


def _ensure_authority(directory: Path, now: datetime.datetime) -> "tuple[ec.EllipticCurvePrivateKey, x509.Certificate]":
    from cryptography import x509  # 100 ms, once in 825 days
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        loaded = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
    except (OSError, ValueError):
        pass  # None yet, or damaged: a new one.
    else:
        if (
            isinstance(loaded, ec.EllipticCurvePrivateKey)
            and certificate.public_key() == loaded.public_key()
            and certificate.not_valid_after_utc - now > datetime.timedelta(days=_CERTIFICATE_DAYS)
        ):
            return loaded, certificate
    key = _new_key()
    certificate = _sign_authority(key, now)
    _write(directory / "ca.key", _private_pem(key))
    _write(directory / "ca.pem", _public_pem(certificate))
    return key, certificate


def _new_key() -> "ec.EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _builder(
    subject: str, issuer: "x509.Name | None", public_key: "ec.EllipticCurvePublicKey", now: datetime.datetime, days: int
) -> "x509.CertificateBuilder":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks of clients differ
        .not_valid_after(now + datetime.timedelta(days=days - 1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _sign_authority(key: "ec.EllipticCurvePrivateKey", now: datetime.datetime) -> "x509.Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    # The serial in the name keeps two machines' authorities apart in a client's list.
    title = f"Carteiro local authority {x509.random_serial_number() & 0xFFFFFF:06x}"
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _builder(title, None, key.public_key(), now, _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _sign_server(
    key: "ec.EllipticCurvePrivateKey",
    ca_key: "ec.EllipticCurvePrivateKey",
    ca_certificate: "x509.Certificate",
    names: Sequence[str],
    now: datetime.datetime,
) -> "x509.Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    loopback = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    alternatives: list[x509.GeneralName] = [*(x509.DNSName(_a_label(name)) for name in names), *loopback]
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        _builder(names[0], ca_certificate.subject, key.public_key(), now, _CERTIFICATE_DAYS)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(authority_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _a_label(name: str) -> str:
    """Return the ASCII form of a host name."""
    if name.isascii():
        return name
    import idna  # its tables cost 2 MiB and few names need them

    return idna.encode(name, uts46=True).decode("ascii")


def _private_pem(key: "ec.EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _public_pem(certificate: "x509.Certificate") -> bytes:
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, data: bytes) -> None:
    """Replace a file as a whole, mode 0600 from its first byte on, flushed."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - wraps the descriptor
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)  # noqa: PTH105 - one name for the one atomic step
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
