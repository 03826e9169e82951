"""Others' verdicts beside ours: mailauth on 200 generated messages, OpenDKIM, dkimpy and mailauth on what we sign."""

import base64
import json
import os
import random
import re
import smtplib
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dkim
import pytest

from appliance.app.check_message import RecordsFile
from appliance.message.header import HeaderSection, split_message
from appliance.model.dns import answer_with
from appliance.policy.dkim import DkimResult
from appliance.policy.dkim_canon import BodyHash, Canon
from appliance.policy.dkim_sign import DkimSigner, sign_message
from appliance.policy.judgement import MessageChecks, Rules, Verdicts
from appliance.policy.spf import SpfRequest, SpfResult
from tests.interop.conftest import OFFICE, OFFICE_PORTS, Carteiro, free_ports
from tests.interop.waiting import wait_until
from tests.policy.dkimkeys import ED_KEY, RSA_KEY, dkimpy_sign, key_record

pytestmark = pytest.mark.interop

PROGRAMS = Path(__file__).parent / "programs"
NOW_S = time.time()
COUNT = 200
Zone = Mapping[str, Mapping[str, list[str]]]

SPF = ["", "v=spf1 ip4:192.0.2.0/28 -all", "v=spf1 a:mail.out.example ~all", "v=spf1 mx ?all", "v=spf1 include:out.example -all",
       "v=spf1 redirect=out.example", "v=spf1 +all", "v=spf1 ip6:2001:db8::/32 -all", "v=spf1 exists:%{ir}.ok.out.example -all",
       "v=spf1 foo:bar -all"]  # fmt: skip
DMARC = [
    "",
    "v=DMARC1; p=none",
    "v=DMARC1; p=reject; adkim=s; aspf=s",
    "v=DMARC1; p=quarantine; sp=none",
    "v=DMARC1; p=reject; rua=mailto:d@x.example",
]
CLIENTS = ["192.0.2.5", "192.0.2.77", "198.51.100.9", "2001:db8::7"]
BODIES = [
    b"",
    b"\r\n",
    b"plain\r\n",
    b"two  spaces\t and tab \r\n\r\n\r\n",
    "Ol\u00e1, \u00e9\r\n".encode(),
    b"no line end",
    b"x" * 5_000 + b"\r\n",
]


def records() -> dict[str, dict[str, list[str]]]:
    """Return the DNS of senders: one domain for each pair of SPF and DMARC records, and what they point at."""
    zone = {
        "out.example": {"TXT": ["v=spf1 ip4:192.0.2.0/28 ip6:2001:db8::7 ?all"]},
        "mail.out.example": {"A": ["192.0.2.77"], "AAAA": ["2001:db8::7"]},
        "5.2.0.192.ok.out.example": {"A": ["127.0.0.2"]},
        "list.example": {"TXT": ["v=spf1 ip4:198.51.100.9 -all"]},
        "rsa._domainkey.list.example": {"TXT": [key_record(RSA_KEY)]},
    }
    for spf_at, spf in enumerate(SPF):
        for dmarc_at, dmarc in enumerate(DMARC):
            domain = f"d{spf_at}{dmarc_at}.example"
            zone[domain] = {"A": ["192.0.2.5"], "MX": ["10 mail.out.example"]} | ({"TXT": ["other", spf]} if spf else {})
            zone[f"news.{domain}"] = {"TXT": ["v=spf1 ip4:192.0.2.5 -all"], "A": ["192.0.2.5"]}
            zone[f"rsa._domainkey.{domain}"] = {"TXT": [key_record(RSA_KEY)]}
            zone[f"ed._domainkey.{domain}"] = {"TXT": [key_record(ED_KEY)]}
            zone[f"old._domainkey.{domain}"] = {"TXT": ["v=DKIM1; k=rsa; p="]}
            if dmarc:
                zone[f"_dmarc.{domain}"] = {"TXT": [dmarc]}
    return zone


@dataclass
class Case:
    message: bytes
    ip: str
    helo: str
    sender: str

    def as_json(self) -> dict[str, str]:
        return {"message": base64.b64encode(self.message).decode(), "ip": self.ip, "helo": self.helo, "sender": self.sender}


@dataclass
class Generator:
    """Makes messages of all kinds, the same ones each time."""

    rnd: random.Random = field(default_factory=lambda: random.Random(8_601))

    def case(self) -> Case:
        rnd = self.rnd
        domain = f"d{rnd.randrange(len(SPF))}{rnd.randrange(len(DMARC))}.example"
        author = rnd.choice([domain, domain, f"news.{domain}"])
        sender = rnd.choice([f"ana@{domain}", f"bounce@news.{domain}", "owner@list.example", "x@missing.example", ""])
        subject = rnd.choice([b"plain", b" odd   spaces\r\n folded", b"=?utf-8?q?Ol=C3=A1?="])
        message = b"From: Ana <ana@%b>\r\nTo: bob@example.org\r\nSubject: %b\r\nMessage-ID: <%d@%b>\r\n\r\n" % (
            author.encode(), subject, rnd.randrange(10**9), domain.encode(),
        ) + rnd.choice(BODIES)  # fmt: skip
        return Case(self._damaged(self._signed(message, domain)), rnd.choice(CLIENTS), rnd.choice(["mail.out.example", domain]), sender)

    def _signed(self, message: bytes, domain: str) -> bytes:
        for signer in self.rnd.sample(["domain", "ours", "list", "revoked"], self.rnd.randrange(3)):
            if signer == "ours":
                message = ours(message, domain)
            else:
                canons = (self.rnd.choice([b"simple", b"relaxed"]), self.rnd.choice([b"simple", b"relaxed"]))
                named = {"selector": "old"} if signer == "revoked" else {}
                message = dkimpy_sign(message, domain="list.example" if signer == "list" else domain, canonicalize=canons, **named)
        return message

    def _damaged(self, message: bytes) -> bytes:
        changed = [
            message + b"a footer of the list\r\n",
            message.replace(b"\r\nSubject: ", b"\r\nSubject: [list] "),
            b"Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\r\n" + message,
        ]
        return self.rnd.choice([message, message, *changed])


def ours(message: bytes, domain: str) -> bytes:
    """Sign as the relay does, by RSA and Ed25519 at once."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    header, body = split_message(message)
    hashed = BodyHash(Canon.RELAXED)
    hashed.feed(body)
    signers = (
        DkimSigner(domain, "rsa", "rsa-sha256", lambda data: RSA_KEY.sign(data, padding.PKCS1v15(), hashes.SHA256())),
        DkimSigner(domain, "ed", "ed25519-sha256", ED_KEY.sign),
    )
    return sign_message(signers, HeaderSection(header).fields, hashed.digest(), NOW_S) + message


def judged(case: Case, zone: Zone, rules: Rules | None = None) -> Verdicts:
    look_up = RecordsFile(zone).answer
    header, body = split_message(case.message)
    checks = MessageChecks(
        HeaderSection(header).fields, SpfRequest(case.ip, case.helo, case.sender, "mx.example.org", NOW_S), rules or Rules(), now_s=NOW_S
    )
    checks.feed(body)
    spf, dkim_asking, arc = checks.askings()
    return answer_with(look_up, checks.conclude(answer_with(look_up, spf), answer_with(look_up, dkim_asking), answer_with(look_up, arc)))


def summary(verdicts: Verdicts) -> dict[str, Any]:
    """Return our findings in mailauth's words: a changed body is ``neutral`` there, a revoked key too.

    It takes ``adkim=s`` and ``aspf=s`` for ``r`` (its getAlignment falls through to the organizational domains).
    """
    dmarc, neutral = verdicts.dmarc, {"the body is not what was signed", "the key was revoked"}
    vouching = {verdicts.spf.domain} if verdicts.spf.result is SpfResult.PASS else set()
    vouching |= {one.domain for one in verdicts.dkim if one.result is DkimResult.PASS}
    is_strict = dmarc.record is not None and dmarc.record.strict_dkim
    related = is_strict and any(one.removeprefix("news.") == dmarc.domain.removeprefix("news.") for one in vouching)
    return {
        "spf": verdicts.spf.result.value,
        "dkim": sorted(f"{one.domain} {'neutral' if one.reason in neutral else one.result.value}" for one in verdicts.dkim),
        "dmarc": "pass" if related else dmarc.result.value,
    }


def node_modules(need_program: Callable[[str], str], name: str) -> str:
    need_program("node")
    modules = os.environ.get("CARTEIRO_NODE_MODULES", "")
    if not Path(modules, name).is_dir():
        assert os.environ.get("CI") != "true", f"{name} is not installed"
        pytest.skip(f"{name} is not installed: packaging/test does it")
    return modules


def by_mailauth(modules: str, path: Path, zone: Zone, cases: list[Case]) -> list[dict[str, Any]]:
    path.write_text(json.dumps({"zone": zone, "cases": [case.as_json() for case in cases]}))
    found = subprocess.run(
        ["node", str(PROGRAMS / "mailauth.cjs"), str(path)], capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"NODE_PATH": modules},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    seen: list[dict[str, Any]] = json.loads(found.stdout)
    return seen


def test_mailauth_agrees(tmp_path: Path, need_program: Callable[[str], str]) -> None:
    """SPF, DKIM and DMARC of 200 messages: the same verdict on each."""
    modules = node_modules(need_program, "mailauth")
    generator, zone = Generator(), records()
    cases = [generator.case() for _ in range(COUNT)]
    theirs = by_mailauth(modules, tmp_path / "cases.json", zone, cases)
    for one in theirs:
        del one["arc"]
    mine = [summary(judged(case, zone)) for case in cases]
    differences = [(case.sender, case.ip, one, other) for case, one, other in zip(cases, mine, theirs, strict=True) if one != other]
    assert [] == differences
    # All sorts were there.
    for name, wanted in (("spf", {"pass", "fail", "softfail", "neutral", "none", "permerror"}), ("dmarc", {"pass", "fail", "none"})):
        assert wanted <= {one[name] for one in mine}
    assert {"pass", "fail", "neutral"} == {word.split()[1] for one in mine for word in one["dkim"]}


# What we sign


@pytest.fixture(scope="module")
def signed_by_relay(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, str]]:
    """Return a message as it leaves a server that has keys, and the records of these keys."""
    directory = tmp_path_factory.mktemp("signing")
    names = ("smtp", "pop3", "imap", "http")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    options = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
    catcher = Carteiro(directory, ["dev", "--data", str(directory / "caught"), *options], ports)
    catcher.start()
    chosen = dict(zip(OFFICE_PORTS, free_ports(len(OFFICE_PORTS)), strict=True))
    home = directory / "office"
    home.mkdir()
    route = f'[[routes]]\ndomain = "remote.example"\nhost = "[127.0.0.1]"\nport = {ports["smtp"]}\ntls = "none"\n'
    settings = home / "office.toml"
    settings.write_text(OFFICE.format(data=home / "data", more=route, **chosen))
    office = Carteiro(home, ["serve", "-c", str(settings)], chosen)
    made = json.loads(office.command("dkim", "new", "office.example", "--json", "-c", str(settings)).stdout)
    office.start()
    try:
        with smtplib.SMTP("127.0.0.1", chosen["submission"]) as smtp:
            smtp.login("ana", "ana-secret")
            smtp.sendmail(
                "ana@office.example",
                ["friend@remote.example"],
                "From: Ana <ana@office.example>\r\nTo: friend@remote.example\r\nSubject:  two  words\r\n folded\r\nList-Id: <a.office.example>\r\n\r\n"
                "Hello  there \r\n.dots\r\n\r\n\r\n",
            )
        url = f"http://127.0.0.1:{ports['http']}/api/v1"
        wait_until(lambda: json.load(urllib.request.urlopen(f"{url}/messages"))["total"] == 1, lambda: f"the message\n{office.log[-3000:]}")
        found = json.load(urllib.request.urlopen(f"{url}/messages"))["messages"][0]["ID"]
        raw = urllib.request.urlopen(f"{url}/message/{found}/raw").read()
    finally:
        office.stop()
        catcher.stop()
    published = {}
    for line in made["current"]:
        name, _in, _txt, value = line.split(" ", 3)
        published[name.rstrip(".")] = "".join(re.findall(r'"([^"]*)"', value))
    return raw, published


def test_dkimpy_verifies_what_we_sign(signed_by_relay: tuple[bytes, dict[str, str]]) -> None:
    """The signature by RSA; that by Ed25519 needs a library which dkimpy does without here."""
    raw, published = signed_by_relay
    answers = {name: text.encode() for name, text in published.items()}
    assert dkim.verify(signed_alone(raw, "rsa"), dnsfunc=lambda name, timeout=5: answers.get(name.decode().rstrip(".")))


def signed_alone(raw: bytes, kind: str) -> bytes:
    """Return the message with the signature by one of the two keys."""
    fields: list[bytes] = re.findall(rb"DKIM-Signature:(?:[^\r]|\r\n[ \t])*\r\n", raw)
    assert 2 == len(fields)
    [other] = [one for one in fields if f"a={kind}".encode() not in one]
    return raw.replace(other, b"")


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_opendkim_verifies_what_we_sign(
    signed_by_relay: tuple[bytes, dict[str, str]], kind: str, tmp_path: Path, need_program: Any
) -> None:
    """Each signature alone, with the keys from a file; a changed body is found."""
    need_program("opendkim")
    raw, published = signed_by_relay
    keys = tmp_path / "keys"
    keys.write_text("".join(f"{name} {text}\n" for name, text in published.items()))
    settings = tmp_path / "opendkim.conf"
    settings.write_text(f"TestDNSData {keys}\nMode v\nSyslog no\nMilterDebug 0\nOn-BadSignature reject\nOn-Default accept\n")
    alone = signed_alone(raw, kind)
    for name, message, word in (("good", alone, "dkim=pass"), ("bad", alone + b"more\r\n", "dkim=fail")):
        path = tmp_path / f"{name}.eml"
        path.write_bytes(message.replace(b"\r\n", b"\n"))
        told = subprocess.run(
            ["opendkim", "-x", str(settings), "-t", str(path), "-vv"], capture_output=True, text=True, timeout=60, check=False
        )
        assert word in told.stdout, told.stdout + told.stderr
        assert f"header.a={kind}-sha256" in told.stdout


def test_mailauth_verifies_what_we_sign(signed_by_relay: tuple[bytes, dict[str, str]], tmp_path: Path, need_program: Any) -> None:
    """Both signatures."""
    modules = node_modules(need_program, "mailauth")
    raw, published = signed_by_relay
    zone = {name: {"TXT": [text]} for name, text in published.items()}
    [found] = by_mailauth(modules, tmp_path / "case.json", zone, [Case(raw, "192.0.2.1", "mail.office.example", "ana@office.example")])
    assert ["office.example pass", "office.example pass"] == found["dkim"]
