"""Mail that is passed on: what the next server finds of it, and mail that goes in circles."""

import json
import re
import smtplib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.policy.judgement import Fate, Rules, decide
from tests.interop.conftest import free_ports
from tests.interop.test_office import PARTNER, inbox, queued, submission, text
from tests.interop.test_verdicts import Case, by_mailauth, judged, node_modules

pytestmark = pytest.mark.interop

ZONE = """$ORIGIN example.
$TTL 60
@ SOA ns.example. root.example. 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
far A 127.0.0.1
far TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc.far TXT "v=DMARC1; p=reject"
"""
LETTER = "From: Bob <bob@far.example>\r\nTo: far@office.example\r\nSubject: passed on\r\nMessage-ID: <1@far.example>\r\n\r\nBody of it\r\n"


def test_what_the_next_server_finds(
    make_office: Any, make_postfix: Any, name_server: Any, wait: Any, tmp_path: Path, need_program: Any
) -> None:
    """A copy stays; what goes on has a sender of ours that SPF holds for, and a seal on what was found: DMARC fails there, ARC tells why."""
    modules = node_modules(need_program, "mailauth")
    postfix = make_postfix()
    postfix.start()
    more = f'[dns]\nservers = ["{name_server(ZONE)}"]\n[[routes]]\ndomain = "remote.example"\nhost = "[127.0.0.1]"\nport = {postfix.port}\ntls = "none"\n'
    office = make_office(more=more, start=False)
    settings = office.directory / "office.toml"
    settings.write_text(settings.read_text().replace('["friend@remote.example"]', '["friend@remote.example", "ana@office.example"]'))
    made = json.loads(office.command("dkim", "new", "office.example", "--json", "-c", str(settings)).stdout)
    office.start()
    with smtplib.SMTP("127.0.0.1", office.ports["smtp"], timeout=30) as client:
        client.ehlo("far.example")
        client.sendmail("bob@far.example", ["far@office.example"], LETTER)
    wait(lambda: inbox(office, "ana"), lambda: f"a copy: {office.log[-3000:]}")
    [kept] = inbox(office, "ana")
    assert ("Return-Path: <bob@far.example>" in kept, "dmarc=pass" in kept, "ARC-Seal" in kept) == (True, True, False)
    wait(lambda: postfix.delivered("friend"), lambda: f"mail: {office.log[-3000:]}")
    raw = postfix.delivered("friend")[0].replace("\r\n", "\n").replace("\n", "\r\n")
    sender = re.search(r"Return-Path: <(SRS0=[^>]*=far\.example=bob@office\.example)>", raw)
    assert sender is not None, raw
    zone: dict[str, dict[str, list[str]]] = {
        "office.example": {"TXT": ["v=spf1 ip4:127.0.0.1 -all"]},
        "far.example": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
        "_dmarc.far.example": {"TXT": ["v=DMARC1; p=reject"]},
    }
    for line in made["current"]:
        name, _in, _txt, value = line.split(" ", 3)
        zone[name.rstrip(".")] = {"TXT": ["".join(re.findall(r'"([^"]*)"', value))]}
    changed = raw.replace("Body of", "Another body of")
    cases = [Case(one.encode(), "127.0.0.1", "mail.office.example", sender[1]) for one in (raw, changed)]
    good, bad = by_mailauth(modules, tmp_path / "cases.json", zone, cases)
    assert ("pass", "fail", "pass") == (good["spf"], good["dmarc"], good["arc"])
    assert "fail" == bad["arc"]
    # Our own receiver trusts that forwarder, and has the seal alone to go by: the mail comes from an address that SPF denies.
    rules = Rules(forwarders=frozenset({"office.example"}))
    sealed, forged = (judged(replace(case, ip="198.51.100.1"), zone, rules) for case in cases)
    assert ("trusted_forwarder", Fate.TAKEN) == (sealed.override, decide(sealed, rules).fate)
    assert Fate.REFUSED is decide(forged, rules).fate


def test_mail_that_goes_in_circles_comes_back(make_office: Any, wait: Any) -> None:
    """Two servers whose aliases pass each other's mail on: after so many hops it comes back to its author, once, and nothing is left."""
    office_port, partner_port = free_ports(2)
    hops = "[smtp]\nmax_received = 8\n"
    routes = '[[routes]]\ndomain = "{domain}"\nhost = "[127.0.0.1]"\nport = {port}\ntls = "none"\n'
    office = make_office(more=routes.format(domain="partner.example", port=partner_port), start=False)
    partner = make_office("partner", settings=PARTNER, start=False, more=routes.format(domain="office.example", port=office_port))
    for server, port, alias in ((office, office_port, "circle@partner.example"), (partner, partner_port, "circle@office.example")):
        settings = server.directory / "office.toml"
        changed = settings.read_text().replace("[smtp]\n", hops, 1).replace(f"127.0.0.1:{server.ports['smtp']}", f"127.0.0.1:{port}")
        if "[aliases]" in changed:
            changed = changed.replace("[aliases]\n", f'[aliases]\ncircle = ["{alias}"]\n')
        else:
            changed = changed.replace("[smtp]\n", f'[aliases]\ncircle = ["{alias}"]\n[smtp]\n', 1)
        settings.write_text(changed)
        server.ports = {**server.ports, "smtp": port}
        server.start()
    with submission(office) as client:
        client.sendmail("ana@office.example", ["circle@office.example"], text("round and round"))
    wait(lambda: inbox(office, "ana"), lambda: f"a report: {office.log[-3000:]}\n{partner.log[-3000:]}")
    wait(lambda: queued(office) == [] == queued(partner), lambda: f"empty queues: {office.log[-3000:]}\n{partner.log[-3000:]}")
    [report] = inbox(office, "ana")
    assert ("5.4.6" in report, "goes in circles" in report) == (True, True), report
    assert 10 > office.log.count("event=message_queued") + partner.log.count("event=message_queued") - 2
