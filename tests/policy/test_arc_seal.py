"""Sealing: the 17 vectors of the ARC test suite to the last octet of each signature, and our own chains."""

import json
import re
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from appliance.message.authres import merged_results
from appliance.message.header import HeaderSection, split_message
from appliance.policy.arc_seal import ArcSealer, seal_message
from appliance.policy.dkim_canon import BodyHash, Canon
from appliance.policy.dkim_tags import parse_tags, without_space
from tests.policy.dkimkeys import RSA_KEY, ZONE
from tests.policy.test_arc import validate

SUITE = json.loads((Path(__file__).parents[1] / "vectors" / "arc" / "sign.json").read_text())
CASES = [pytest.param(scenario, case, id=name) for scenario in SUITE for name, case in scenario["tests"].items()]
FIELDS = {"AS": b"arc-seal", "AMS": b"arc-message-signature", "AAR": b"arc-authentication-results"}


def signer(key: rsa.RSAPrivateKey) -> Any:
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def seal(message: bytes, sealer: ArcSealer, records: Any, authserv: str, **options: Any) -> bytes:
    """Return the fields that are added to a message whose lines end in LF."""
    header, body = split_message(message.replace(b"\n", b"\r\n"))
    hashed = BodyHash(Canon.RELAXED)
    hashed.feed(body)
    section = HeaderSection(header)
    results = f"{authserv}; {merged_results(section, authserv)}"
    return seal_message(sealer, section.fields, validate(message, records), results=results, body_hash=hashed.digest(), **options)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def test_the_suite_is_whole() -> None:
    """No case is lost on the way here."""
    assert 17 == len(CASES)


@pytest.mark.parametrize(("scenario", "case"), CASES)
def test_the_sealing_suite(scenario: Any, case: Any) -> None:
    """One of the 17: the same tags and the same signatures as the suite has."""
    key = serialization.load_pem_private_key(scenario["privatekey"].encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    sealer = ArcSealer(scenario["domain"], scenario["sel"], signer(key), breaks_base64=False)
    names = case["sig-headers"].split(":")
    added = seal(case["message"].encode(), sealer, scenario["txt-records"], case["srv-id"], now_s=case["t"], names=names)
    section = HeaderSection(added)
    for name, field_name in FIELDS.items():
        found = (section.get(field_name) or b"").decode()
        if name == "AAR":
            assert squeezed(case[name]) == squeezed(found)
            continue
        expected, actual = ({tag: without_space(value) for tag, value in parse_tags(text.encode()).items()} for text in (case[name], found))
        assert expected == actual


def test_what_we_seal_is_good_for_us_and_for_dkimpy() -> None:
    """Three stations in a row, with the fields that we sign."""
    message = b"From: a@example.com\nTo: b@example.org\nSubject: hello\n\nText\n"
    sealer = ArcSealer("example.com", "rsa", signer(RSA_KEY))
    for _station in range(3):
        message = seal(message, sealer, ZONE, "mx.example.com", now_s=1_700_000_000).replace(b"\r\n", b"\n") + message
    assert ("pass", ("example.com",) * 3) == (validate(message, ZONE).result.value, validate(message, ZONE).sealers)
    found, _results, reason = dkim.arc_verify(
        message.replace(b"\n", b"\r\n"), dnsfunc=lambda name, timeout=5: ZONE[name.decode().rstrip(".")].encode()
    )
    assert (b"pass", "success") == (found, reason)


def test_a_broken_chain_is_not_continued_twice() -> None:
    """The station that finds it broken says so; those behind it add nothing."""
    message = b"From: a@example.com\n\nText\n"
    sealer = ArcSealer("example.com", "rsa", signer(RSA_KEY))
    message = seal(message, sealer, ZONE, "mx.example.com", now_s=1).replace(b"\r\n", b"\n") + message.replace(b"Text", b"Other")
    broken = seal(message, sealer, ZONE, "mx.example.com", now_s=2)
    assert b"cv=fail" in broken
    assert b"" == seal(broken.replace(b"\r\n", b"\n") + message, sealer, ZONE, "mx.example.com", now_s=3)
