"""TLS contexts: ours from files that may be renewed while we run, and those for connections to other servers.

Owns protocol versions, ciphers and which files of authorities are believed.
``ServerTls`` hands out the current context for each handshake, so that a
renewed certificate serves the next connection without a restart.
Fails: ``TlsSetupError`` with file, reason and fix; a bad renewal keeps the old
context and is told once.
Does not: make certificates (``net.localca``) or ask an ACME server.

Sources: RFC 9325 (recommendations), RFC 7435 (opportunistic security),
RFC 5929 section 4 (tls-server-end-point), RFC 8446.
"""

import hashlib
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from appliance.observe.maillog import MailLog

__all__ = [
    "CertificateInfo",
    "ServerTls",
    "TlsSetupError",
    "certificate_names",
    "client_context",
    "read_certificate_info",
    "server_context",
    "server_end_point",
    "system_authorities",
]

_SERVER_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!MD5:!SHA1:!DSS"
"""For TLS 1.2; 1.3 has no bad ones. Forward secrecy throughout, CBC with SHA-256 for old mail programs."""

_AUTHORITY_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch, Raspberry Pi OS
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # BSD, macOS
)


_MAX_NAMES = 20
"""Of a client's certificate; a person has few."""


class TlsSetupError(Exception):
    """A certificate or key cannot be used; ``reason`` and ``fix`` are for the administrator."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}; {fix}")
        self.reason = reason
        self.fix = fix


@dataclass(frozen=True, slots=True)
class CertificateInfo:
    """What the status page tells of a certificate. Times in seconds since the epoch, UTC."""

    subject: str
    names: tuple[str, ...]
    issuer: str
    not_before_s: float
    not_after_s: float
    fingerprint_sha256: str


def server_context(certificate_file: str, key_file: str, client_authorities_file: str = "") -> ssl.SSLContext:
    """Return a context for our side of a handshake.

    ``client_authorities_file``: clients may show a certificate, which then must be of one of these authorities.

    Blocks:   disk.
    Raises:   TlsSetupError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SERVER_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    for path in (certificate_file, key_file):
        try:
            with open(path, "rb"):  # noqa: PTH123 - only to hear the kernel's word; ssl does not name the file
                pass
        except OSError as error:
            raise TlsSetupError(f"cannot read {path}: {error.strerror}", "check [tls] and the file's owner and mode") from error
    try:
        context.load_cert_chain(certificate_file, key_file, password=_no_password)
    except ssl.SSLError as error:
        reason = (
            "the key does not belong to the certificate"
            if error.reason == "KEY_VALUES_MISMATCH"
            else f"not usable: {error.reason or error}"
        )
        raise TlsSetupError(f"{certificate_file} and {key_file}: {reason}", "both must be PEM, the certificate's chain after it") from error
    except ValueError as error:
        raise TlsSetupError(f"{key_file} is protected by a password", "write it without one: openssl pkey -in KEY -out NEW") from error
    if client_authorities_file:
        try:
            context.load_verify_locations(client_authorities_file)
        except OSError as error:
            reason = error.strerror or str(error)
            raise TlsSetupError(f"{client_authorities_file}: {reason}", "give a PEM file with certificates of authorities") from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _no_password() -> str:
    """Keep OpenSSL from asking on the terminal."""
    raise ValueError("encrypted key")


def system_authorities() -> str:
    """Return the file of authorities that this system believes in, or ``""``.

    OpenSSL's built-in path is the build machine's, hence the list of known places; then certifi, if there.
    """
    candidates = (os.environ.get("SSL_CERT_FILE", ""), *_AUTHORITY_FILES)
    for path in candidates:
        if path and os.path.isfile(path):  # noqa: PTH113 - text in, text out
            return path
    try:
        # Not a dependency; in a frozen executable it may be all there is.
        import certifi  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return ""
    return str(certifi.where())


def client_context(*, verify: bool, authorities_file: str = "") -> ssl.SSLContext:
    """Return a context for connections to other servers.

    ``verify``: certificate and name must be right; otherwise any certificate
    will do, as it protects against listeners at least (RFC 7435 section 3).
    Blocks:   disk.
    Raises:   TlsSetupError when there is nothing to verify against.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    path = authorities_file or system_authorities()
    if not path:
        raise TlsSetupError("no file of certificate authorities was found", "install ca-certificates or set relay.ca_file")
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise TlsSetupError(f"cannot use {path}: {error}", "relay.ca_file must be a PEM file of authorities") from error
    return context


def server_end_point(certificate_der: bytes) -> bytes:
    """Return the channel binding ``tls-server-end-point`` of a certificate.

    Source:   RFC 5929 section 4.1: the certificate's own hash function, SHA-256 in place of MD5 and SHA-1.
    """
    # The DER of AlgorithmIdentifier ends the certificate; OIDs of the SHA-384 and SHA-512 signatures that occur.
    tail = certificate_der[-600:]
    if any(oid in tail for oid in (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c")):
        return hashlib.sha384(certificate_der).digest()
    if any(oid in tail for oid in (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d")):
        return hashlib.sha512(certificate_der).digest()
    return hashlib.sha256(certificate_der).digest()


def read_certificate_info(certificate_file: str) -> CertificateInfo:
    """Return what there is to tell of the first certificate of a file.

    Blocks:   disk.
    Raises:   TlsSetupError.
    """
    # 100 ms at import, and only the status page and `check` ask.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        with open(certificate_file, "rb") as file:  # noqa: PTH123 - text in, text out
            found = x509.load_pem_x509_certificate(file.read())
    except OSError as error:
        raise TlsSetupError(f"cannot read {certificate_file}: {error.strerror}", "check [tls]") from error
    except ValueError as error:
        raise TlsSetupError(f"{certificate_file} holds no certificate", "it must be PEM") from error
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    return CertificateInfo(
        subject=found.subject.rfc4514_string(),
        names=tuple(names),
        issuer=found.issuer.rfc4514_string(),
        not_before_s=found.not_valid_before_utc.timestamp(),
        not_after_s=found.not_valid_after_utc.timestamp(),
        fingerprint_sha256=found.fingerprint(hashes.SHA256()).hex(),
    )


def certificate_names(certificate: bytes) -> tuple[str, ...]:
    """Return whom a certificate (DER) names, mail addresses first: the subject's alternative names, then its common names.

    Blocks:   the processor for about 0.1 ms.
    Source:   RFC 5280 sections 4.2.1.6 and 4.1.2.6; whoever asks has verified the certificate.
    """
    from cryptography import x509  # 80 ms, once, where a client shows a certificate

    try:
        parsed = x509.load_der_x509_certificate(certificate)
        subject = parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        names = [str(attribute.value) for attribute in subject]
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = [*extension.value.get_values_for_type(x509.RFC822Name), *names]
    except x509.ExtensionNotFound:
        pass
    except ValueError:
        return ()
    return tuple(name for name in dict.fromkeys(names[:_MAX_NAMES]) if name.isprintable())


class ServerTls:
    """The server's certificate, loaded again when its files change.

    ``context`` is what ``Role.tls_context`` and STARTTLS call for each handshake.
    """

    def __init__(self, certificate_file: str, key_file: str, *, mail_log: MailLog, client_authorities_file: str = "") -> None:
        """Load the certificate. Blocks: disk. Raises TlsSetupError."""
        self.certificate_file = certificate_file
        self.client_authorities_file = client_authorities_file
        self.key_file = key_file
        self._mail_log = mail_log
        self._marks = self._read_marks()
        self._context, self._asking_context = self._load()
        self._end_point = self._read_end_point()

    def context(self) -> ssl.SSLContext:
        return self._context

    def asking_context(self) -> ssl.SSLContext:
        """Return the context for services where a client's certificate is a login; without authorities, that for all."""
        return self._asking_context

    def _load(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        context = server_context(self.certificate_file, self.key_file)
        if not self.client_authorities_file:
            return context, context
        return context, server_context(self.certificate_file, self.key_file, self.client_authorities_file)

    def channel_binding(self) -> bytes:
        """Return ``tls-server-end-point`` of the certificate in use, for SCRAM-SHA-256-PLUS."""
        return self._end_point

    def reload_if_changed(self) -> bool:
        """Load the files again when they are not what they were; True when a new context is in use.

        Blocks:   disk, a millisecond.
        """
        marks = self._read_marks()
        if marks == self._marks:
            return False
        self._marks = marks
        try:
            contexts = self._load()
            end_point = self._read_end_point()
        except TlsSetupError as error:
            self._mail_log.error("certificate_rejected", reason=error.reason, fix=error.fix, consequence="the old certificate stays in use")
            return False
        self._context, self._asking_context = contexts
        self._end_point = end_point
        self._mail_log.notice("certificate_loaded", file=self.certificate_file)
        return True

    async def watch(self, interval_s: float) -> None:
        """Look at the files every ``interval_s`` seconds, for ever."""
        while True:
            await trio.sleep(interval_s)
            self.reload_if_changed()

    def _read_marks(self) -> Sequence[tuple[int, int, int]]:
        """Return what changes when a file is replaced or rewritten; a missing file is a change, too."""
        marks = []
        for path in (self.certificate_file, self.key_file):
            try:
                found = os.stat(path)  # noqa: PTH116 - text in
            except OSError:
                marks.append((0, 0, 0))
            else:
                marks.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return marks

    def _read_end_point(self) -> bytes:
        try:
            with open(self.certificate_file, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - text in
                first, _end, _chain = file.read().partition("-----END CERTIFICATE-----")
            start = first.index("-----BEGIN CERTIFICATE-----")
            return server_end_point(ssl.PEM_cert_to_DER_cert(first[start:] + "-----END CERTIFICATE-----\n"))
        except (OSError, ValueError) as error:
            raise TlsSetupError(f"{self.certificate_file} holds no certificate", "it must be PEM") from error
