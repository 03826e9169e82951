"""DMARC records, and whole messages judged against hostile records."""

import random

from appliance.message.header import HeaderSection, split_message
from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.dmarc_record import parse_dmarc
from appliance.policy.judgement import MessageChecks, Rules, decide
from appliance.policy.judgement_fields import findings, result_fields
from appliance.policy.spf import SpfRequest
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]


def _check_record(data: bytes, rnd: random.Random) -> object:
    record = parse_dmarc(data.decode("latin-1"))
    if record is None:
        return None
    assert all("@" in address for address in record.reports_to)
    return record.policy, record.subdomain_policy, record.psd, record.is_usable, len(record.reports_to)


def _check_message(data: bytes, rnd: random.Random) -> object:
    """What stands before the first NUL is what every TXT question gets."""
    record, nul, message = data.partition(b"\0")
    header, body = split_message(message if nul else data)
    asked = 0

    def look_up(question: DnsQuestion) -> DnsAnswer:
        nonlocal asked
        asked += 1
        assert asked < 400, "a message makes us ask without end"
        if rnd.random() < 0.2:
            return DnsAnswer(rnd.choice(list(DnsStatus)))
        return DnsAnswer(DnsStatus.FOUND, (record.decode("latin-1") if question.kind == "TXT" else "192.0.2.1",))

    sender = rnd.choice(("", "a@example.com", header[:40].decode("latin-1")))
    request = SpfRequest("192.0.2.1", header[:20].decode("latin-1"), sender, "mx.example.org", 1.0)
    rules = Rules(spf_fail=rnd.choice(("mark", "junk", "reject")), forwarders=frozenset({"example.com"}))
    checks = MessageChecks(HeaderSection(header).fields, request, rules, now_s=1_800_000_000)
    checks.feed(body)
    spf, dkim, arc = (answer_with(look_up, asking) for asking in checks.askings())
    verdicts = answer_with(look_up, checks.conclude(spf, dkim, arc))  # type: ignore[arg-type]
    decision = decide(verdicts, rules)
    section = HeaderSection(result_fields(verdicts, "mx.example.org") + b"\r\n")
    assert [field.name for field in section.fields] == [b"Authentication-Results", b"Received-SPF"], "a field of somebody else's making"
    assert len(decision.reason) < 500 or not decision.status
    return verdicts.dmarc.result, decision.fate, verdicts.spf.result, len(findings(verdicts)["dkim"])


_RECORDS = [
    b"v=DMARC1; p=reject; sp=none; np=quarantine; psd=y; t=y; adkim=s; rua=mailto:a@b.example!10m,mailto:c@d.example",
    b"v=spf1 -all",
]
_WORDS = [b"v=DMARC1", b"p=reject", b"p=none", b"sp=", b"np=", b"psd=n", b"psd=y", b"t=y", b"pct=0", b"rua=mailto:a@b", b"adkim=s", b";", b",", b"=", b"!", b" ",
          b"From: ", b"<a@example.com>", b"@", b"\r\n", b"\r\n ", b"\0", b"(", b"\"", b"xn--", b"\xc3\xa9", b".", b"v=spf1 ", b"+all"]  # fmt: skip
_MESSAGES = [record + b"\0From: A <a@sub.example.com>\r\nSubject: x\r\n\r\nText\r\n" for record in _RECORDS]

TARGETS = [
    Target("dmarc_record", _check_record, _RECORDS, _WORDS, [(b"v=DMARC1;", b"p=x;", b""), (b"v=DMARC1; rua=", b"mailto:a@b,", b""), (b"v=DMARC1", b" ", b"")]),
    Target("judgement", _check_message, _MESSAGES, _WORDS, [(_RECORDS[0] + b"\0From: ", b"a@b.c,", b"\r\n\r\n"), (_RECORDS[0] + b"\0", b"From: a@b.c\r\n", b"\r\n"), (_RECORDS[0] + b"\0From: a@", b"b.", b"\r\n\r\n")]),
]  # fmt: skip
