"""Contexts, their renewal, and the certificate of the house."""

import hashlib
import os
import ssl
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from appliance.net import tls as tls_module
from appliance.net.localca import ensure_local_certificate
from appliance.net.tls import (
    ServerTls,
    TlsSetupError,
    certificate_names,
    client_context,
    read_certificate_info,
    server_context,
    server_end_point,
)

NOW_S = 1_790_000_000.0
DAY_S = 86_400.0


def write_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    certificate = trustme.CA().issue_cert(name)
    chain, key = directory / "cert.pem", directory / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(key))
    return chain, key


def test_server_context(tmp_path: Path) -> None:
    """Nothing older than TLS 1.2, and no cipher without forward secrecy."""
    chain, key = write_certificate(tmp_path, "mail.example")
    context = server_context(str(chain), str(key))
    assert ssl.TLSVersion.TLSv1_2 == context.minimum_version
    assert all(cipher["name"].startswith(("TLS_", "ECDHE-", "DHE-")) for cipher in context.get_ciphers())


def test_unusable_files_are_explained(tmp_path: Path) -> None:
    """Each mistake has its own words."""
    chain, key = write_certificate(tmp_path, "mail.example")
    (tmp_path / "other").mkdir()
    _, other_key = write_certificate(tmp_path / "other", "other.example")
    junk = tmp_path / "junk"
    junk.write_text("junk")
    with pytest.raises(TlsSetupError, match=r"cannot read .*missing"):
        server_context(str(tmp_path / "missing"), str(key))
    with pytest.raises(TlsSetupError, match="does not belong"):
        server_context(str(chain), str(other_key))
    with pytest.raises(TlsSetupError, match="not usable"):
        server_context(str(junk), str(key))
    with pytest.raises(TlsSetupError, match="holds no certificate"):
        read_certificate_info(str(junk))
    with pytest.raises(TlsSetupError, match="cannot read"):
        read_certificate_info(str(tmp_path / "missing"))


def test_a_key_with_a_password_is_explained(tmp_path: Path) -> None:
    """OpenSSL must not ask on the terminal."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    chain, key = write_certificate(tmp_path, "mail.example")
    loaded = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
        )
    )
    with pytest.raises(TlsSetupError, match="protected by a password"):
        server_context(str(chain), str(key))


async def test_renewal(tmp_path: Path, recorded: Any, autojump_clock: trio.testing.MockClock) -> None:
    """New files are used for the next handshake; broken ones leave the old certificate in use and are told once."""
    chain, key = write_certificate(tmp_path, "mail.example")
    tls = ServerTls(str(chain), str(key), mail_log=recorded.log)
    first, first_binding = tls.context(), tls.channel_binding()
    assert not tls.reload_if_changed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tls.watch, 60)
        write_certificate(tmp_path, "mail.example")
        await trio.sleep(61)
        second = tls.context()
        assert second is not first
        assert tls.channel_binding() != first_binding
        key.write_text("junk")
        await trio.sleep(180)
        assert second is tls.context()
        key.unlink()
        await trio.sleep(60)
        assert second is tls.context()
        nursery.cancel_scope.cancel()
    assert ["certificate_loaded", "certificate_rejected", "certificate_rejected"] == recorded.names()


def test_certificates_of_clients(tmp_path: Path, recorded: Any) -> None:
    """Asked for where they are logins, in a context of its own; a file that is no authority is told at the start."""
    chain, key = write_certificate(tmp_path, "mail.example")
    plain = ServerTls(str(chain), str(key), mail_log=recorded.log)
    assert plain.asking_context() is plain.context()
    authority = trustme.CA()
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    asking = ServerTls(str(chain), str(key), mail_log=recorded.log, client_authorities_file=str(path))
    assert (ssl.CERT_NONE, ssl.CERT_OPTIONAL) == (asking.context().verify_mode, asking.asking_context().verify_mode)
    for bad, reason in ((tmp_path / "missing", "No such file"), (key, "give a PEM file with certificates")):
        with pytest.raises(TlsSetupError, match=reason):
            server_context(str(chain), str(key), str(bad))


def test_names_in_certificates() -> None:
    """Mail addresses first, then common names; what is no certificate names nobody."""
    authority = trustme.CA()

    def names(*identities: str, common_name: str | None = None) -> tuple[str, ...]:
        pem = authority.issue_cert(*identities, common_name=common_name).cert_chain_pems[0].bytes()
        return certificate_names(ssl.PEM_cert_to_DER_cert(pem.decode()))

    assert ("ana@example.org", "Ana") == names("ana@example.org", common_name="Ana")
    assert ("ana",) == names("mail.example", common_name="ana")
    assert () == names("mail.example")
    assert () == certificate_names(b"junk")


def test_client_contexts(tmp_path: Path) -> None:
    """Opportunistic TLS believes anybody; verification needs authorities."""
    loose = client_context(verify=False)
    assert (ssl.CERT_NONE, False) == (loose.verify_mode, loose.check_hostname)
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    strict = client_context(verify=True, authorities_file=str(authority))
    assert (ssl.CERT_REQUIRED, True) == (strict.verify_mode, strict.check_hostname)
    authority.write_text("junk")
    with pytest.raises(TlsSetupError, match="cannot use"):
        client_context(verify=True, authorities_file=str(authority))


def test_the_systems_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's file comes first, then the known places."""
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    assert 1 == len(client_context(verify=True).get_ca_certs())


def test_server_end_point_uses_sha256() -> None:
    """ECDSA with SHA-256, as our own certificates have, is bound by SHA-256."""
    der = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
    assert hashlib.sha256(der).digest() == server_end_point(der)
    assert hashlib.sha384(b"x\x2a\x86\x48\xce\x3d\x04\x03\x03").digest() == server_end_point(b"x\x2a\x86\x48\xce\x3d\x04\x03\x03")
    assert hashlib.sha512(b"x\x2a\x86\x48\xce\x3d\x04\x03\x04").digest() == server_end_point(b"x\x2a\x86\x48\xce\x3d\x04\x03\x04")


def test_local_certificate(tmp_path: Path) -> None:
    """On first start a machine gets an authority and a certificate for its names, private to their owner."""
    keys = tmp_path / "keys"
    chain, key = ensure_local_certificate(keys, ["mail.example", "example", "Bücher.example"], now_s=NOW_S)
    assert {0o600} == {path.stat().st_mode & 0o777 for path in keys.iterdir()}
    info = read_certificate_info(str(chain))
    assert ("mail.example", "example", "xn--bcher-kva.example", "localhost") == info.names
    assert info.not_after_s - info.not_before_s <= 825 * DAY_S
    context = client_context(verify=True, authorities_file=str(keys / "ca.pem"))
    assert 1 == len(context.get_ca_certs())
    server_context(str(chain), str(key))


def test_local_certificate_is_kept_and_renewed(tmp_path: Path) -> None:
    """It stays until its last month or until the names change; the authority stays, so that nobody must import it again."""
    names = ["mail.example"]
    chain, key = ensure_local_certificate(tmp_path, names, now_s=NOW_S)
    first, authority = chain.read_bytes(), (tmp_path / "ca.pem").read_bytes()
    ensure_local_certificate(tmp_path, names, now_s=NOW_S + 780 * DAY_S)
    assert first == chain.read_bytes()
    ensure_local_certificate(tmp_path, names, now_s=NOW_S + 800 * DAY_S)
    second = chain.read_bytes()
    assert first != second
    ensure_local_certificate(tmp_path, ["other.example"], now_s=NOW_S + 800 * DAY_S)
    assert second != chain.read_bytes()
    assert authority == (tmp_path / "ca.pem").read_bytes()
    key.unlink()
    ensure_local_certificate(tmp_path, ["other.example"], now_s=NOW_S + 800 * DAY_S)
    assert key.exists()


@pytest.mark.parametrize("damage", [b"", b"junk"])
def test_a_damaged_authority_is_replaced(tmp_path: Path, damage: bytes) -> None:
    """Half a pair is no authority."""
    ensure_local_certificate(tmp_path, ["mail.example"], now_s=NOW_S)
    before = (tmp_path / "ca.pem").read_bytes()
    (tmp_path / "ca.key").write_bytes(damage)
    (tmp_path / "server.names").write_bytes(damage)
    chain, key = ensure_local_certificate(tmp_path, ["mail.example"], now_s=NOW_S)
    assert before != (tmp_path / "ca.pem").read_bytes()
    server_context(str(chain), str(key))
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".new")]  # noqa: PTH208 - names with a dot, too


def test_no_authorities_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without a list of authorities is told what to install, unless certifi has one."""
    monkeypatch.setattr(tls_module, "_AUTHORITY_FILES", ())
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setitem(sys.modules, "certifi", None)
    with pytest.raises(TlsSetupError, match="install ca-certificates"):
        client_context(verify=True)
    bundle = types.ModuleType("certifi")
    bundle.where = lambda: "/bundle.pem"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "certifi", bundle)
    assert "/bundle.pem" == tls_module.system_authorities()
