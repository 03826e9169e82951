"""DMARC: records, the walk up the tree, alignment and the policy that comes of it."""

import pytest

from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.dmarc import DmarcResult, DmarcVerdict, check_dmarc
from appliance.policy.dmarc_record import DmarcPolicy, parse_dmarc

RECORDS = {
    "_dmarc.example.com": ["v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:d@example.com"],
    "_dmarc.mail.example.com": ["v=DMARC1; p=none"],
    "_dmarc.strict.example": ["v=DMARC1; p=reject; adkim=s; aspf=s"],
    "_dmarc.testing.example": ["v=DMARC1; p=reject; t=y"],
    "_dmarc.old.example": ["v=DMARC1; p=quarantine; pct=0"],
    "_dmarc.twice.example": ["v=DMARC1; p=reject", "v=DMARC1; p=none"],
    "_dmarc.wrong.example": ["v=DMARC1; p=rejekt; rua=mailto:d@wrong.example"],
    "_dmarc.silent.example": ["v=DMARC1; p=rejekt"],
    "_dmarc.bank": ["v=DMARC1; p=reject; psd=y; np=quarantine"],
    "_dmarc.own.example.com": ["v=DMARC1; p=quarantine; psd=n"],
}
EXISTING = {"sub.example.com", "a.own.example.com", "x.mail.example.com"}


def look_up(question: DnsQuestion) -> DnsAnswer:
    if question.name.endswith("broken.example"):
        return DnsAnswer(DnsStatus.FAILED)
    if question.kind == "TXT":
        found = RECORDS.get(question.name)
        return DnsAnswer(DnsStatus.FOUND, tuple(found)) if found else DnsAnswer(DnsStatus.MISSING)
    return DnsAnswer(DnsStatus.EMPTY if question.name in EXISTING else DnsStatus.MISSING)


def judge(*authors: str, spf: str = "", dkim: tuple[str, ...] = ()) -> DmarcVerdict:
    return answer_with(look_up, check_dmarc(authors, spf_domain=spf, dkim_domains=dkim))


@pytest.mark.parametrize(
    ("author", "spf", "dkim", "result", "policy"),
    [
        ("example.com", "example.com", (), "pass", "reject"),
        ("Example.COM.", "", ("example.com",), "pass", "reject"),
        ("example.com", "bounce.example.com", (), "pass", "reject"),
        ("sub.example.com", "", ("example.com",), "pass", "quarantine"),
        ("example.com", "example.org", ("example.net",), "fail", "reject"),
        ("sub.example.com", "", (), "fail", "quarantine"),
        ("gone.example.com", "", (), "fail", "reject"),
        ("mail.example.com", "", ("example.com",), "pass", "none"),
        ("strict.example", "a.strict.example", ("b.strict.example",), "fail", "reject"),
        ("strict.example", "strict.example", (), "pass", "reject"),
        ("testing.example", "", (), "fail", "quarantine"),
        ("old.example", "", (), "fail", "none"),
        ("twice.example", "", (), "none", "none"),
        ("wrong.example", "", (), "fail", "none"),
        ("silent.example", "", (), "none", "none"),
        ("shop.bank", "", (), "fail", "quarantine"),
        ("shop.bank", "", ("www.shop.bank",), "pass", "quarantine"),
        ("shop.bank", "", ("other.bank",), "fail", "quarantine"),
        ("shop.bank", "", ("bank",), "fail", "quarantine"),
        ("bank", "", ("bank",), "pass", "reject"),
        ("a.own.example.com", "", ("example.com",), "fail", "quarantine"),
        ("a.own.example.com", "", ("own.example.com",), "pass", "quarantine"),
        ("unknown.example", "", (), "none", "none"),
        ("broken.example", "", (), "temperror", "none"),
    ],
)
def test_verdicts(author: str, spf: str, dkim: tuple[str, ...], result: str, policy: str) -> None:
    """Who vouches, and what the domain wants done with the rest."""
    verdict = judge(author, spf=spf, dkim=dkim)
    assert (result, policy) == (verdict.result.value, verdict.policy.word)


def test_the_verdict_names_what_vouches() -> None:
    """For the report and the log."""
    verdict = judge("example.com", spf="b.example.com", dkim=("example.org", "example.com"))
    assert ("b.example.com", "example.com", "example.com") == (verdict.spf_domain, verdict.dkim_domain, verdict.record_domain)


def test_the_walk_asks_eight_questions_at_most() -> None:
    """RFC 9989 section 4.10: a long name is cut to seven labels after the first question."""
    asked = []

    def count(question: DnsQuestion) -> DnsAnswer:
        asked.append(question.name)
        return DnsAnswer(DnsStatus.MISSING)

    answer_with(count, check_dmarc(["a.b.c.d.e.f.g.h.i.j.mail.example.com"], spf_domain="", dkim_domains=()))
    expected = ["_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com", "_dmarc.g.h.i.j.mail.example.com", "_dmarc.h.i.j.mail.example.com"]
    assert expected == asked[:3]
    assert (8, "_dmarc.com") == (len(asked), asked[-1])


@pytest.mark.parametrize(("authors", "result"), [((), "permerror"), (("a.x", "b.x", "c.x", "d.x", "e.x"), "permerror"), (("mail.example.com", "example.com"), "fail")])  # fmt: skip
def test_several_authors(authors: tuple[str, ...], result: str) -> None:
    """The worst verdict counts; nobody and everybody is an error."""
    assert result == judge(*authors).result.value


def test_several_authors_get_the_strictest_policy() -> None:
    """A forger cannot put a domain without policy beside the one he forges."""
    assert DmarcPolicy.REJECT is judge("mail.example.com", "example.com", spf="mail.example.com").policy


@pytest.mark.parametrize("text", ["v=DMARC2; p=none", "p=none; v=DMARC1", "v=dmarc1", "v=DMARC1 p=none", "", "v=spf1"])
def test_what_is_no_record(text: str) -> None:
    """The version stands first and is written as it is."""
    assert parse_dmarc(text) is None


def test_a_record_is_read_with_its_mistakes() -> None:
    """RFC 9989 section 4.7: what is wrong is left out; RFC 7489's size limits are understood."""
    record = parse_dmarc("v=DMARC1;; P=Quarantine; x; rua=mailto:a@b.example!10m , http://x, mailto:c@d.example; psd=q; ri=1; p=none")
    assert record is not None
    assert (DmarcPolicy.QUARANTINE, ("a@b.example", "c@d.example"), "u") == (record.policy, record.reports_to, record.psd)


def test_the_walk_of_an_identifier_may_fail() -> None:
    """Then nobody can tell now."""

    def fail_below(question: DnsQuestion) -> DnsAnswer:
        return DnsAnswer(DnsStatus.FAILED) if "bounce" in question.name else look_up(question)

    verdict = answer_with(fail_below, check_dmarc(["example.com"], spf_domain="bounce.example.com", dkim_domains=()))
    assert DmarcResult.TEMPERROR is verdict.result
