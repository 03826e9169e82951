"""Chains up to a trust anchor that DANE names."""

import datetime
import ssl
from collections.abc import Callable

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.net.chains import ChainError, verify_chain

NOW_S = datetime.datetime.now(datetime.UTC).timestamp()


def _der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


@pytest.fixture(scope="module")
def chain() -> list[bytes]:
    """A server's, an intermediate's and a root's."""
    root = trustme.CA()
    middle = root.create_child_ca()
    issued = middle.issue_cert("mx1.example", "*.wild.example")
    return [*(_der(blob.bytes()) for blob in issued.cert_chain_pems), _der(root.cert_pem.bytes())]


@pytest.mark.parametrize("anchor", [0, 1, 2])
@pytest.mark.parametrize("name", ["mx1.example", "MX1.example.", "a.wild.example"])
def test_a_good_chain(chain: list[bytes], anchor: int, name: str) -> None:
    """Whichever of its certificates is the anchor; one of several names is enough."""
    verify_chain(chain, lambda one: one == chain[anchor], ["other.example", name], NOW_S)


@pytest.mark.parametrize("name", ["mx2.example", "wild.example", "a.b.wild.example"])
def test_for_somebody_else(chain: list[bytes], name: str) -> None:
    """The name must be there; a wildcard is one label."""
    with pytest.raises(ChainError, match="not for"):
        verify_chain(chain, lambda one: one == chain[2], [name], NOW_S)


def test_no_anchor(chain: list[bytes]) -> None:
    """Nothing that TLSA names was shown."""
    with pytest.raises(ChainError, match="none of"):
        verify_chain(chain, lambda _one: False, ["mx1.example"], NOW_S)
    with pytest.raises(ChainError, match="no certificate"):
        verify_chain([], lambda _one: True, ["mx1.example"], NOW_S)


def test_not_in_its_time(chain: list[bytes]) -> None:
    """A certificate of tomorrow leads nowhere, nor would an expired one."""
    with pytest.raises(ChainError, match="not valid now"):
        verify_chain(chain, lambda one: one == chain[2], ["mx1.example"], 86_400.0)


def test_links_must_hold(chain: list[bytes]) -> None:
    """A certificate of another authority in between, or one that may not sign, does not do."""
    stranger = _der(trustme.CA().cert_pem.bytes())
    with pytest.raises(ChainError):
        verify_chain([chain[0], stranger], lambda one: one == stranger, ["mx1.example"], NOW_S)
    with pytest.raises(ChainError, match="may not sign"):
        verify_chain(*_signed_by_a_layman(), ["mx1.example"], NOW_S)


def _signed_by_a_layman() -> tuple[list[bytes], Callable[[bytes], bool]]:
    """Return two certificates, the second of which signed the first without being an authority, and who it is."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx1.example")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    made = [
        x509.CertificateBuilder(name, name, key.public_key(), number, start, start + datetime.timedelta(days=9))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
        for number in (1, 2)
    ]
    return made, lambda one: one == made[1]


def test_garbage() -> None:
    """What is no certificate is told in words."""
    with pytest.raises(ChainError, match="cannot be read"):
        verify_chain([b"garbage"], lambda _one: True, ["mx1.example"], NOW_S)
