"""ARC chains and Authentication-Results that strangers send."""

import random

from appliance.message.authres import build_authentication_results, merged_results, parse_results, without_claims_of
from appliance.message.header import HeaderSection, split_message
from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.arc import MAX_SETS, ArcResult, ArcValidator
from appliance.policy.arc_seal import ArcSealer, seal_message
from appliance.policy.dkim import BodyHashes
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]

_KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
_SEALER = ArcSealer("example.com", "a", lambda data: data[:64])


def _check_chain(data: bytes, rnd: random.Random) -> object:
    header, body = split_message(data)
    fields = HeaderSection(header).fields
    bodies = BodyHashes()
    validator = ArcValidator(fields, now_s=1_800_000_000, bodies=bodies)
    bodies.feed(body)
    asked = 0

    def look_up(question: DnsQuestion) -> DnsAnswer:
        nonlocal asked
        asked += 1
        return DnsAnswer(DnsStatus.FOUND, (_KEY,)) if rnd.random() < 0.8 else DnsAnswer(DnsStatus.FAILED)

    verdict = answer_with(look_up, validator.finish())
    assert verdict.result is not ArcResult.PASS, "a chain that nobody signed is good"
    assert asked <= MAX_SETS + 1
    added = seal_message(_SEALER, fields, verdict, results="mx.example.com; none", body_hash=b"x" * 32, now_s=1)
    assert added.count(b"\n") < 100_000
    return verdict.result, verdict.reason[:30], bool(added)


def _check_results(data: bytes, rnd: random.Random) -> object:
    authserv, results = parse_results(data)
    written = build_authentication_results("mx.example.com", results)
    assert all(len(line) < 20_000 for line in written.split(b"\r\n"))
    assert len(results) <= 50
    section = HeaderSection(b"Authentication-Results: " + data + b"\r\n\r\n")
    left = without_claims_of(section, "mx.example.com")
    assert "none" == merged_results(left, "mx.example.com"), "a claim of ours is left"
    return authserv[:10], tuple((found.method[:8], found.result[:8], len(found.properties)) for found in results[:4])


_EMPTY = b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def _set(number: int, chain: bytes) -> bytes:
    i = b"i=%d; " % number
    return (
        b"ARC-Seal: " + i + b"a=ed25519-sha256; cv=" + chain + b"; d=example.com; s=a; t=1; b=AAAA\r\nARC-Message-Signature: " + i
        + b"a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=a; h=from; bh=" + _EMPTY + b"; b=AAAA\r\n"
        b"ARC-Authentication-Results: " + i + b"mx.example.com; none\r\n"
    )  # fmt: skip


_TAIL = b"From: a@example.com\r\n\r\n"
_FIELDS = [_set(1, b"none") + _TAIL, _set(2, b"pass") + _set(1, b"none") + _TAIL, _set(2, b"fail") + _set(1, b"none") + _TAIL]
_WORDS = [b"ARC-Seal: ", b"ARC-Message-Signature: ", b"ARC-Authentication-Results: ", b"i=1", b"i=2", b"i=", b"; ", b"cv=none", b"cv=pass", b"cv=fail",
          b"a=ed25519-sha256", b"b=AAAA", b"h=from", b"bh=" + _EMPTY, b"d=example.com", b"s=a", b"t=1", b"\r\n", b"\r\n ", b" ", b"0", b"\xff"]  # fmt: skip
_RESULTS = [
    b'mx.example.com 1; spf=pass (c) smtp.mailfrom=a@b.example; dkim=fail reason="a; b" header.d=b',
    b'"mx.example.com"; none',
    b"x; dmarc=pass",
]
_RESULT_WORDS = [
    b"mx.example.com",
    b"spf=pass",
    b"dkim/1=fail",
    b"reason=",
    b'"',
    b"\\",
    b"(",
    b")",
    b";",
    b"=",
    b" ",
    b"\r\n ",
    b"smtp.mailfrom=",
    b"a@b",
    b"/",
    b"\xff",
    b"\0",
]

TARGETS = [
    Target("arc_chain", _check_chain, _FIELDS, _WORDS, [(b"", b"ARC-Seal: i=1\r\n", b"\r\n"), (_set(1, b"none"), b"From: a\r\n", b"\r\n"), (b"ARC-Authentication-Results: ", b" ", b"i=1;\r\n\r\n")]),
    Target("authentication_results", _check_results, _RESULTS, _RESULT_WORDS, [(b"a; ", b'"', b""), (b"a; ", b"x=y ", b""), (b"a; x=y ", b"z=", b""), (b"a;", b"a ", b""), (b"", b"(", b""), (b"a;x=y", b" ", b""), (b'a;x=y z="', b"\\", b"")]),
]  # fmt: skip
