"""SPF: records, macros and whole evaluations against hostile answers."""

import random

from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.spf import SpfRequest, check_spf
from appliance.policy.spf_record import SpfSyntaxError, parse_spf
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]

_MOST_QUESTIONS = 1 + 10 * 11 + 1


def _check_record(data: bytes, rnd: random.Random) -> object:
    text = data.decode("latin-1")
    try:
        record = parse_spf("v=spf1 " + text)
    except SpfSyntaxError as error:
        return str(error).rpartition(":")[2][:30]
    return tuple(mechanism.name for mechanism in record.mechanisms[:6]), bool(record.redirect), bool(record.exp)


def _check_evaluation(data: bytes, rnd: random.Random) -> object:
    """Lines are the texts and names that questions get, in turn."""
    lines = [line.decode("latin-1") for line in data.split(b"\n")[:64]] or [""]
    count = 0

    def look_up(question: DnsQuestion) -> DnsAnswer:
        nonlocal count
        count += 1
        assert count <= _MOST_QUESTIONS, "a message makes us ask without end"
        assert len(question.name) <= 253 or question.kind in {"A", "AAAA"}, "a name that cannot be"
        if rnd.random() < 0.1:
            return DnsAnswer(rnd.choice((DnsStatus.FAILED, DnsStatus.EMPTY, DnsStatus.MISSING)))
        text = lines[count % len(lines)]
        if question.kind == "TXT":
            return DnsAnswer(DnsStatus.FOUND, ("v=spf1 " + text if rnd.random() < 0.9 else text,))
        if question.kind in {"A", "AAAA"}:
            return DnsAnswer(DnsStatus.FOUND, (rnd.choice(("192.0.2.1", "2001:db8::1", "198.51.100.1")),))
        return DnsAnswer(DnsStatus.FOUND, tuple(lines[:12]))

    request = SpfRequest(rnd.choice(("192.0.2.1", "2001:db8::1", "::ffff:1.2.3.4", "unix")), lines[0], lines[-1] + "@example.com", "r", 1.0)
    verdict = answer_with(look_up, check_spf(request))
    assert verdict.explanation.isascii()
    return verdict.result, min(count, 12), bool(verdict.explanation)


_SEEDS = [
    b"ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx:example.com/24//64 ptr include:b.example ~all exp=e.%{d}",
    b"exists:%{ir}.%{l1r+-}._spf.%{d2} redirect=_spf.%{o}",
    b"a:%{h}.example mx ?all moo=%{s}\n-all exp=x.example\nconnections from %{c} to %{r} at %{t} %% %_ %-",
]
_WORDS = [b"ip4:", b"ip6:", b"a", b"a:", b"mx", b"ptr", b"include:", b"exists:", b"redirect=", b"exp=", b"all", b"-", b"~", b"?", b"+", b" ", b"/", b"//",
          b"/24", b"%{", b"}", b"%{d}", b"%{i}", b"%{p}", b"%{l1r+}", b"%{S}", b"%%", b"%_", b"%-", b"%", b".example", b"\xe9", b"\n", b"9", b":", b"=", b"."]  # fmt: skip
_SHAPES = [
    (b"a:", b"%{d}", b".b"),
    (b"", b"ip4:1.2.3.4 ", b""),
    (b"a:", b"/1", b""),
    (b"exp=", b"a.", b"b"),
    (b"a:%{d", b"-", b"}"),
    (b"x=", b"%%", b""),
]

TARGETS = [
    Target("spf_record", _check_record, _SEEDS, _WORDS, _SHAPES),
    Target("spf_evaluation", _check_evaluation, _SEEDS, _WORDS, [], 8_192, judges_growth=False),
]
