"""What other servers publish for those who send to them: MTA-STS records and policies, certificates under TLSA."""

import random
import ssl

import trustme

from appliance.policy.dane import DANE_EE, DANE_TA, TlsaRecord, matches, public_key_info, usable
from appliance.policy.mtasts import StsSyntaxError, parse_policy, parse_record, render_policy
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"


def _check_sts_policy(data: bytes, rnd: random.Random) -> object:
    try:
        policy = parse_policy(data)
    except StsSyntaxError as error:
        return str(error)
    assert parse_policy(render_policy(policy)) == policy
    return policy.mode, len(policy.patterns), policy.covers("mail.example.com"), policy.covers("a.example.net")


def _check_sts_record(data: bytes, rnd: random.Random) -> object:
    found = parse_record(data.decode("latin-1").split("\n"))
    assert found is None or found.isalnum()
    return found is None


def _check_tlsa(data: bytes, rnd: random.Random) -> object:
    key = public_key_info(data)
    assert key in data
    record = TlsaRecord(rnd.randrange(5), rnd.randrange(3), rnd.randrange(4), data[: rnd.choice((0, 32, 64, 100))])
    assert all(one.is_usable for one in usable([record]))
    return bool(key), tuple(matches([record], usage, data) for usage in (DANE_TA, DANE_EE))


def _certificate() -> bytes:
    return ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())


TARGETS = [
    Target(
        "mtasts_policy",
        _check_sts_policy,
        (POLICY, POLICY.replace(b"\r\n", b"\n"), POLICY.replace(b"enforce", b"none"), POLICY.replace(b"enforce", b"testing")),
        (b"version: STSv1\n", b"mode: ", b"mx: ", b"*.", b"max_age: ", b"enforce", b"testing", b"none", b"\r\n", b": ", b"."),
        ((b"version: STSv1\nmode: enforce\nmax_age: 1\nmx: ", b"a.", b"\n"), (POLICY, b"mx: a\n", b""), (POLICY, b"\n", b"")),
    ),
    Target(
        "mtasts_record",
        _check_sts_record,
        (b"v=STSv1; id=20160831085700Z;", b"v=spf1 -all\nv=STSv1; x=y; id=1"),
        (b"v=STSv1;", b"id=", b";", b"=", b" ", b"\n"),
        ((b"v=STSv1;", b"a=b;", b""), (b"v=STSv1", b" ", b"x"), (b"", b"v=STSv1;\n", b"")),
    ),
    Target("tlsa", _check_tlsa, (_certificate(),), (b"\x30\x82", b"\xa0\x03\x02\x01\x02", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff")),
]
