"""A message judged by everything at once: the findings, the fate, the words."""

import time
from collections.abc import Mapping, Sequence

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from appliance.message.authres import parse_results
from appliance.message.header import HeaderSection, split_message
from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.arc import ArcResult, ArcVerdict
from appliance.policy.arc_seal import ArcSealer, seal_message
from appliance.policy.dkim_canon import BodyHash, Canon
from appliance.policy.judgement import Decision, Fate, MessageChecks, Rules, Verdicts, decide
from appliance.policy.judgement_fields import findings, received_spf, result_fields, summary
from appliance.policy.spf import SpfRequest
from tests.policy.dkimkeys import RSA_KEY, ZONE, dkimpy_sign

RECORDS: Mapping[str, str] = ZONE | {
    "example.com": "v=spf1 ip4:192.0.2.1 -all",
    "quiet.example": "v=spf1 -all exp=why.quiet.example",
    "why.quiet.example": "%{i} is not ours",
    "lists.example.org": "v=spf1 ip4:198.51.100.1 -all",
    "_dmarc.example.com": "v=DMARC1; p=reject",
    "_dmarc.careful.example": "v=DMARC1; p=quarantine",
    "rsa._domainkey.lists.example.org": ZONE["rsa._domainkey.example.com"],
}
MESSAGE = b"From: Ana <ana@example.com>\r\nTo: bob@example.org\r\nSubject: hello\r\n\r\nText\r\n"
PLAIN = Rules()
FORWARDERS = Rules(forwarders=frozenset({"lists.example.org"}))


def look_up(question: DnsQuestion) -> DnsAnswer:
    if question.name.endswith("broken.example"):
        return DnsAnswer(DnsStatus.FAILED)
    found = RECORDS.get(question.name) if question.kind == "TXT" else None
    return DnsAnswer(DnsStatus.FOUND, (found,)) if found else DnsAnswer(DnsStatus.MISSING)


def judge(message: bytes, *, ip: str = "203.0.113.9", sender: str = "ana@example.com", rules: Rules = PLAIN) -> Verdicts:
    header, body = split_message(message)
    request = SpfRequest(ip, "helo.example", sender, "mx.example.org", time.time())
    checks = MessageChecks(HeaderSection(header).fields, request, rules, now_s=time.time())
    checks.feed(body)
    spf, dkim, arc = checks.askings()
    return answer_with(look_up, checks.conclude(answer_with(look_up, spf), answer_with(look_up, dkim), answer_with(look_up, arc)))


def fate(message: bytes, *, ip: str = "203.0.113.9", sender: str = "ana@example.com", rules: Rules = PLAIN) -> Fate:
    return decide(judge(message, ip=ip, sender=sender, rules=rules), rules).fate


def sealed(message: bytes, results: str) -> bytes:
    header, body = split_message(message)
    hashed = BodyHash(Canon.RELAXED)
    hashed.feed(body)
    sealer = ArcSealer("lists.example.org", "rsa", lambda data: RSA_KEY.sign(data, padding.PKCS1v15(), hashes.SHA256()))
    fields = HeaderSection(header).fields
    return seal_message(sealer, fields, ArcVerdict(ArcResult.NONE), results=results, body_hash=hashed.digest(), now_s=1) + message


def test_what_spf_or_dkim_vouch_for_is_taken() -> None:
    """One of the two is enough."""
    assert Fate.TAKEN is fate(MESSAGE, ip="192.0.2.1")
    assert Fate.TAKEN is fate(dkimpy_sign(MESSAGE))
    assert Fate.TAKEN is fate(dkimpy_sign(MESSAGE), sender="")


def test_a_forgery_is_refused_with_words_that_help() -> None:
    """The sentence names the domain, the client, what failed, and what its owner should do; it fits into one reply line."""
    verdicts = judge(dkimpy_sign(MESSAGE).replace(b"Text", b"Spam"))
    decision = decide(verdicts, Rules())
    assert (Fate.REFUSED, "5.7.1") == (decision.fate, decision.status)
    for word in ("example.com", "203.0.113.9", "SPF of example.com: fail", "example.com: fail", "DMARC p=reject"):
        assert word in decision.reason
    assert len(decision.reason) < 500


def test_quarantine_is_junk() -> None:
    """The message is taken all the same."""
    message = MESSAGE.replace(b"example.com", b"careful.example")
    decision = decide(judge(message), Rules())
    assert Decision(Fate.JUNK, reason="careful.example asks for quarantine (DMARC)") == decision
    assert Fate.TAKEN is fate(message, rules=Rules(dmarc="mark"))


@pytest.mark.parametrize(("rule", "expected"), [("mark", Fate.TAKEN), ("junk", Fate.JUNK), ("reject", Fate.REFUSED)])
def test_spf_alone_decides_where_there_is_no_dmarc(rule: str, expected: Fate) -> None:
    """As the settings want it; the domain's own explanation is passed on."""
    rules = Rules(spf_fail=rule)  # type: ignore[arg-type]
    message = MESSAGE.replace(b"example.com", b"quiet.example")
    decision = decide(judge(message, sender="ana@quiet.example", rules=rules), rules)
    assert expected is decision.fate
    assert expected is not Fate.REFUSED or '"203.0.113.9 is not ours"' in decision.reason
    assert Fate.REFUSED is fate(MESSAGE, rules=rules)


def test_a_dns_that_fails_is_not_held_against_the_author() -> None:
    """SPF might have passed."""
    verdicts = judge(MESSAGE, sender="ana@broken.example")
    assert ("temperror", Fate.TAKEN) == (verdicts.dmarc.result.value, decide(verdicts, Rules()).fate)


def test_a_trusted_list_may_change_what_it_passes_on() -> None:
    """When the list itself is authenticated, and only then."""
    changed = dkimpy_sign(MESSAGE).replace(b"Text", b"Text and a footer")
    verdicts = judge(changed, ip="198.51.100.1", sender="bounce@lists.example.org", rules=FORWARDERS)
    assert ("fail", "mailing_list", "lists.example.org") == (verdicts.dmarc.result.value, verdicts.override, verdicts.forwarder)
    assert Fate.TAKEN is decide(verdicts, FORWARDERS).fate
    assert Fate.REFUSED is fate(changed, sender="bounce@lists.example.org", rules=FORWARDERS)
    assert Fate.REFUSED is fate(changed, ip="198.51.100.1", sender="bounce@lists.example.org")


def test_a_trusted_sealer_is_believed() -> None:
    """What it saw pass, passes; what it saw fail, or an unknown sealer, does not."""
    good, bad = (sealed(MESSAGE, f"lists.example.org; dmarc={word} header.from=example.com") for word in ("pass", "fail"))
    verdicts = judge(good, rules=FORWARDERS)
    assert ("pass", "trusted_forwarder") == (verdicts.arc.result.value, verdicts.override)
    assert [Fate.TAKEN, Fate.REFUSED, Fate.REFUSED] == [fate(good, rules=FORWARDERS), fate(bad, rules=FORWARDERS), fate(good)]
    assert Fate.REFUSED is fate(good.replace(b"Text", b"Spam"), rules=FORWARDERS)


@pytest.mark.parametrize(
    ("froms", "expected"),
    [
        ([], "permerror"),
        ([b"nobody"], "permerror"),
        ([b"a@unknown.example", b"b@example.com"], "fail"),
        (["é@exämple.com".encode()], "none"),
    ],
)
def test_odd_authors(froms: Sequence[bytes], expected: str) -> None:
    """No From, one without domain, two of them, one in another script."""
    message = b"".join(b"From: " + value + b"\r\n" for value in froms) + b"\r\nText\r\n"
    assert expected == judge(message).dmarc.result.value


def test_the_findings_in_words() -> None:
    """Authentication-Results can be read back, Received-SPF has what RFC 7208 wants, the log gets a word each."""
    verdicts = judge(dkimpy_sign(MESSAGE), ip="192.0.2.1", sender="a b;c@example.com")
    fields = HeaderSection(result_fields(verdicts, "mx.example.org"))
    authserv, results = parse_results(fields.get(b"authentication-results") or b"")
    assert ("mx.example.org", ["spf", "dkim", "dmarc", "arc"]) == (authserv, [found.method for found in results])
    assert (("smtp.mailfrom", "a b;c@example.com"),) == results[0].properties
    assert ("header.d", "example.com") in results[1].properties
    assert (("header.from", "example.com"), ("policy.dmarc", "reject")) == results[2].properties
    spf = received_spf(verdicts)
    assert spf.startswith(
        b"Received-SPF: pass (domain of a b;c@example.com designates 192.0.2.1 as permitted sender)\r\n\tclient-ip=192.0.2.1;"
    )
    assert b'envelope-from="a b c@example.com"' in spf
    assert {"spf": "pass", "dkim": "pass:example.com", "dmarc": "pass", "arc": "none"} == summary(verdicts)
    assert "pass" == findings(verdicts)["dkim"][0]["result"]


def test_hostile_names_stay_inside_their_fields() -> None:
    """Line ends and parentheses cannot make a field of their own."""
    verdicts = judge(MESSAGE, sender="a)\r\nX: (b@example.com")
    section = HeaderSection(result_fields(verdicts, "mx.example.org"))
    assert [b"Authentication-Results", b"Received-SPF"] == [field.name for field in section.fields]
