"""DKIM: tag lists, canonical bodies in pieces, and whole messages with hostile signatures and keys."""

import random

from appliance.message.header import HeaderSection, split_message
from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.dkim import DkimVerifier
from appliance.policy.dkim_canon import BodyHash, Canon
from appliance.policy.dkim_key import KeyRecordError, parse_key_record
from appliance.policy.dkim_tags import TagListError, parse_tags
from tests.fuzz.engine import Target, cut

__all__ = ["TARGETS"]


def _check_tags(data: bytes, rnd: random.Random) -> object:
    try:
        tags = parse_tags(data)
    except TagListError as error:
        return str(error)[:20]
    assert parse_tags(";".join(f"{name}={value}" for name, value in tags.items()).encode()) == tags
    return tuple(tags)[:5]


def _check_key(data: bytes, rnd: random.Random) -> object:
    try:
        key = parse_key_record(data)
    except KeyRecordError as error:
        return str(error)[:40]
    assert not key.check(b"x" * 256, b"signed"), "a signature of nobody's is good"
    return key.kind, key.bits


def _check_body(data: bytes, rnd: random.Random) -> object:
    canon = rnd.choice(list(Canon))
    limit = rnd.choice((None, None, rnd.randrange(64)))
    whole, pieces = BodyHash(canon, limit), BodyHash(canon, limit)
    whole.feed(data)
    for piece in cut(data, rnd):
        pieces.feed(piece)
    assert whole.digest() == pieces.digest(), "the chunks matter"
    assert whole.size == pieces.size
    return canon, whole.size == len(data), data[-3:].count(b"\n")


def _check_message(data: bytes, rnd: random.Random) -> object:
    """What stands before the first NUL is the key record."""
    record, nul, message = data.partition(b"\0")
    header, body = split_message(message if nul else data)
    verifier = DkimVerifier(HeaderSection(header).fields, now_s=1_800_000_000)
    verifier.feed(body)
    asked = 0

    def look_up(question: DnsQuestion) -> DnsAnswer:
        nonlocal asked
        asked += 1
        return DnsAnswer(rnd.choice((DnsStatus.FOUND, DnsStatus.FOUND, DnsStatus.FAILED)), (record.decode("latin-1"),))

    verdicts = answer_with(look_up, verifier.finish())
    assert asked <= len(verdicts) <= 6
    return tuple((verdict.result, verdict.reason[:20]) for verdict in verdicts[:3])


_EMPTY = b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
_KEY = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
_SIGNATURE = b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=a; h=from:to; bh=" + _EMPTY + b"; b=AAAA\r\n"
_WORDS = [b"v=1", b"a=rsa-sha256", b"a=ed25519-sha256", b"c=", b"simple", b"relaxed", b"d=", b"s=", b"h=from", b":", b";", b"=", b"bh=", b"b=", b"l=0", b"l=",
          b"t=", b"x=1", b"i=@", b"q=dns/txt", b"p=", b"k=rsa", b"h=sha256", b"t=y:s", b" ", b"\t", b"\r\n", b"\r\n ", b"\r", b"\n", b"\0", _EMPTY, b"\xff"]  # fmt: skip
_MESSAGES = [
    _KEY + b"\0" + _SIGNATURE * count + b"From: a@example.com\r\nTo: b\r\n\r\n" + body
    for count in (1, 8)
    for body in (b"", b"text  \r\n\r\n")
]

TARGETS = [
    Target("dkim_tags", _check_tags, [_KEY, _SIGNATURE[16:]], _WORDS, [(b"a=", b" ", b""), (b"", b"a=;", b""), (b"a=", b"\r\n ", b";")]),
    Target("dkim_key", _check_key, [_KEY, b"v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKYf"], _WORDS, [(b"p=", b"AAAA", b""), (b"h=", b":", b";p=AA")]),
    Target("dkim_body", _check_body, [b"a  b\t\r\n\r\n", b"\r\n\r\n", b" \r\n", b"a\r\r\n\n"], [b" ", b"\t", b"\r", b"\n", b"\r\n", b"a"], [(b"", b" ", b""), (b"", b"\r\n", b""), (b"", b" \r\n", b""), (b"", b"\n\r", b""), (b"", b"\t ", b"x")]),
    Target("dkim_message", _check_message, _MESSAGES, _WORDS, [(_KEY + b"\0", _SIGNATURE, b"\r\n"), (_KEY + b"\0" + _SIGNATURE, b"from: x\r\n", b"\r\n"), (_SIGNATURE[:-2] + b"; h=", b"from:", b"\r\n\r\n"), (_KEY + b"\0" + _SIGNATURE + b"From:", b" ", b"\r\n\r\n")]),
]  # fmt: skip
