"""An office's server: people, aliases, a smart host that is a real Postfix, MX by a real name server, and a peer that is down for a while."""

import contextlib
import imaplib
import json
import re
import smtplib
import ssl
from typing import Any

import pytest

pytestmark = pytest.mark.interop


def trusting() -> ssl.SSLContext:
    """Accept the certificate that the server made for itself."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def text(subject: str, to: str = "somebody", sender: str = "ana@office.example") -> str:
    return f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nBcc: secret@office.example\r\n\r\nBody of {subject}\r\n"


@contextlib.contextmanager
def submission(office: Any, user: str = "ana") -> Any:
    """A logged-in session on the submission port."""
    with smtplib.SMTP("127.0.0.1", office.ports["submission"], timeout=30) as client:
        client.starttls(context=trusting())
        client.login(user, f"{user}-secret")
        yield client


def inbox(office: Any, user: str, folder: str = "INBOX") -> list[str]:
    """Return every message of a mailbox, over IMAP."""
    with imaplib.IMAP4("127.0.0.1", office.ports["imap"]) as client:
        client.starttls(trusting())
        client.login(user, f"{user}-secret")
        assert client.select(folder, readonly=True)[0] == "OK"
        numbers = client.search(None, "ALL")[1][0].split()
        return [client.fetch(number, "(BODY.PEEK[])")[1][0][1].decode() for number in numbers]  # type: ignore[index, union-attr]


def queued(office: Any) -> list[Any]:
    """Return what ``carteiro queue list --json`` tells, an object a line."""
    return [json.loads(line) for line in office.command("queue", "list", "--json", "-c", "office.toml").stdout.splitlines()]


def test_mail_between_people(make_office: Any, wait: Any) -> None:
    """STARTTLS on 587 and TLS on 465; aliases, plus addresses and the catch-all lead where they should; Bcc is gone."""
    office = make_office()
    with submission(office) as client:
        client.sendmail("ana@office.example", ["bob@office.example", "eva+lists@branch.example"], text("one"))
        client.sendmail("ana@office.example", ["sales@office.example"], text("two"))
        client.sendmail("ana@office.example", ["nobody-known@branch.example"], text("three"))
    with smtplib.SMTP_SSL("127.0.0.1", office.ports["submissions"], timeout=30, context=trusting()) as client:
        client.login("bob@office.example", "bob-secret")
        client.sendmail("bob@office.example", ["davi@branch.example"], text("four", sender="bob@office.example"))
    expected = {"ana": ["two"], "bob": ["one", "two"], "carla": ["three"], "davi": ["four"], "eva": ["one"]}
    for user, subjects in expected.items():
        wait(lambda user=user, subjects=subjects: len(inbox(office, user)) >= len(subjects), f"mail of {user}: {office.log[-2000:]}")
        messages = inbox(office, user)
        assert subjects == sorted(re.findall(r"^Subject: (.*?)\r$", "".join(messages), re.MULTILINE))
        assert all("Bcc:" not in message and "Message-ID:" in message and "Date:" in message for message in messages)
        assert all(message.startswith("Return-Path: <") for message in messages)
    mbox = (office.data / "mail" / "bob" / "bob.mbox").read_text()
    assert 2 == mbox.count("Subject: ")


def test_strangers_are_refused_at_rcpt(make_office: Any) -> None:
    """Unknown users and relaying without login get 5xx at RCPT, foreign senders at MAIL; known users are taken."""
    office = make_office()
    with smtplib.SMTP("127.0.0.1", office.ports["smtp"], timeout=30) as client:
        client.ehlo("stranger.example")
        client.mail("stranger@elsewhere.example")
        assert 250 == client.rcpt("ana@office.example")[0]
        assert 550 == client.rcpt("nobody@office.example")[0]
        code, reply = client.rcpt("someone@remote.example")
        assert (550, True) == (code, b"5.7.1" in reply)
    with submission(office) as client:
        assert 550 <= client.mail("bob@office.example")[0] <= 559
    with smtplib.SMTP("127.0.0.1", office.ports["submission"], timeout=30) as client:
        client.ehlo()
        assert 530 == client.mail("ana@office.example")[0]
    with smtplib.SMTP("127.0.0.1", office.ports["submission"], timeout=30) as client:
        client.starttls(context=trusting())
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            client.login("ana", "wrong")
        assert 535 == caught.value.smtp_code


def test_the_smart_host_gets_what_is_for_elsewhere(make_office: Any, make_postfix: Any, wait: Any) -> None:
    """While Postfix is down mail waits, survives kill -9, and arrives when Postfix is back."""
    postfix = make_postfix()
    office = make_office(more=f'[smarthost]\nhost = "[127.0.0.1]"\nport = {postfix.port}\ntls = "may"\n')
    with submission(office) as client:
        client.sendmail("ana@office.example", ["friend@remote.example", "other@remote.example"], text("to the smart host"))
        client.sendmail("ana@office.example", ["far@office.example"], text("by alias"))
    listed = queued(office)
    assert 2 == len(listed)
    office.kill()
    assert 2 == len(queued(office))
    office.start()
    wait(lambda: "deferred" in office.log, "a deferred attempt")
    postfix.start()
    wait(lambda: (len(postfix.delivered("friend")), len(postfix.delivered("other"))) == (2, 1), f"mail at postfix: {office.log[-3000:]}")
    wait(lambda: queued(office) == [], "an empty queue")
    assert "Received: from mail.office.example" in postfix.delivered("other")[0]


ZONE = """$ORIGIN example.
$TTL 60
@ SOA ns.example. root.example. 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
partner MX 20 mx2.partner
partner MX 10 mx1.partner
mx1.partner A 127.0.0.1
mx2.partner A 127.0.0.1
nomail MX 0 .
"""


def test_mx_leads_to_another_carteiro(make_office: Any, name_server: Any, wait: Any) -> None:
    """The partner's MX is asked of a real name server; what cannot be delivered comes back with a reason."""
    address = name_server(ZONE)
    partner = make_office("partner", settings=PARTNER, start=False)
    partner.start()
    more = f'[dns]\nservers = ["{address}"]\n[relay]\nport = {partner.ports["smtp"]}\n'
    office = make_office(more=more)
    with submission(office) as client:
        client.sendmail("ana@office.example", ["zoe@partner.example"], text("by MX"))
        client.sendmail("ana@office.example", ["nobody@partner.example"], text("unknown there"))
        client.sendmail("ana@office.example", ["x@nomail.example"], text("null MX"))
        client.sendmail("ana@office.example", ["x@missing.example"], text("no domain"))
    wait(lambda: len(inbox(office, "ana")) == 3, f"three notifications: {office.log[-3000:]}")
    notes = "".join(inbox(office, "ana"))
    assert notes.count("Content-Type: multipart/report") == 3
    assert "550 5.1.1" in notes
    wait(
        lambda: (
            "by MX"
            in "".join(
                (partner.data / "mail" / "zoe" / "new" / name.name).read_text()
                for name in (partner.data / "mail" / "zoe" / "new").glob("*")
            )
        ),
        "mail",
    )
    assert "tls=TLSv1.3" in office.log or "TLSv1.3" in office.log


BACKUP_ZONE = """$ORIGIN example.
$TTL 60
@ SOA ns.example. root.example. 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
partner MX 10 mx1.partner
partner MX 20 mail.office
partner MX 30 mx3.partner
mx1.partner A 127.0.0.1
mx3.partner A 127.0.0.1
mail.office A 127.0.0.1
"""


def test_a_backup_mx_keeps_mail_until_the_domains_own_server_is_back(make_office: Any, name_server: Any, wait: Any) -> None:
    """While the better MX is down its mail waits here, not sent round by our own name or a worse one; unknown recipients are refused."""
    address = name_server(BACKUP_ZONE)
    partner = make_office("partner", settings=PARTNER, start=False)
    more = f'[dns]\nservers = ["{address}"]\n[relay]\nport = {partner.ports["smtp"]}\n'
    office = make_office(more=more, start=False)
    settings = office.directory / "office.toml"
    relayed = 'relay_domains = ["partner.example"]\nrelay_recipients = ["zoe@partner.example"]\n'
    settings.write_text(relayed + settings.read_text())
    office.start()
    with smtplib.SMTP("127.0.0.1", office.ports["smtp"], timeout=30) as client:
        client.ehlo("stranger.example")
        client.mail("friend@remote.example")
        assert 250 == client.rcpt("zoe+lists@partner.example")[0]
        assert 550 == client.rcpt("nobody@partner.example")[0]
        assert 250 == client.data(text("kept for you", sender="friend@remote.example"))[0]
    wait(lambda: "status=deferred" in office.log, "a first attempt in vain")
    assert "mx3.partner.example" not in office.log
    partner.start()
    partner.wait_for_mail("zoe", 1)
    wait(lambda: queued(office) == [], "an empty queue")
    assert "kept for you" in office.command("trace", "zoe+lists@partner.example", "-c", "office.toml").stdout


def test_the_smart_host_asks_for_a_login(make_office: Any, wait: Any) -> None:
    """Another carteiro takes mail from who logs in; the password does not cross."""
    partner = make_office("partner", settings=PARTNER.replace("[submission]", "[submission]\ncheck_sender = false"))
    smarthost = f'[smarthost]\nhost = "[127.0.0.1]"\nport = {partner.ports["submission"]}\ntls = "encrypt"\nusername = "zoe"\npassword = "zoe-secret"\n'
    office = make_office(more=smarthost)
    with submission(office) as client:
        client.sendmail("ana@office.example", ["zoe@partner.example"], text("with a login"))
    partner.wait_for_mail("zoe", 1)
    assert "user=zoe mechanism=SCRAM-SHA-256 status=ok" in partner.log


PARTNER = """
domain = "partner.example"
data = "{data}"
trusted_networks = []
[[users]]
name = "zoe"
password = "{{PLAIN}}zoe-secret"
{more}
[smtp]
listen = ["127.0.0.1:{smtp}"]
[submission]
listen = ["127.0.0.1:{submission}"]
listen_tls = ["127.0.0.1:{submissions}"]
[lmtp]
listen = ["127.0.0.1:{lmtp}"]
[pop3]
listen = ["127.0.0.1:{pop3}"]
listen_tls = ["127.0.0.1:{pop3s}"]
[imap]
listen = ["127.0.0.1:{imap}"]
listen_tls = ["127.0.0.1:{imaps}"]
[web]
listen = ["127.0.0.1:{http}"]
"""


def test_queue_commands(make_office: Any, wait: Any) -> None:
    """Hold keeps, release lets go, show tells, delete removes; strangers' ids are refused."""
    from_nowhere = '[smarthost]\nhost = "[127.0.0.1]"\nport = 1\ntls = "none"\n'
    office = make_office(more=from_nowhere)
    with submission(office) as client:
        client.sendmail("ana@office.example", ["friend@remote.example"], text("waiting"))
    queue = ("queue",)
    (entry,) = queued(office)
    queue_id = entry["id"]
    assert "friend@remote.example" in office.command(*queue, "list", "-c", "office.toml").stdout
    assert "Subject: waiting" in office.command(*queue, "show", queue_id, "-c", "office.toml").stdout
    office.command(*queue, "hold", queue_id, "-c", "office.toml")
    assert "hold" in office.command(*queue, "list", "-c", "office.toml").stdout
    office.command(*queue, "release", queue_id, "-c", "office.toml")
    office.command(*queue, "retry", "--all", "-c", "office.toml")
    assert office.command(*queue, "show", "nosuchid", "-c", "office.toml", check=False).returncode != 0
    office.command(*queue, "delete", queue_id, "-c", "office.toml")
    assert [] == queued(office)


def test_cron_can_send(make_office: Any, wait: Any) -> None:
    """``carteiro send -t`` behaves as sendmail does."""
    office = make_office()
    office.command(
        "send", "-t", "-i", "-f", "root@office.example", "-F", "Cron", "-c", "office.toml",
        text="To: ana@office.example\nSubject: from cron\n\nline\n.\nlast\n",
    )  # fmt: skip
    wait(lambda: len(inbox(office, "ana")) == 1, "the message")
    assert inbox(office, "ana")[0].endswith("line\r\n.\r\nlast\r\n")


def test_reload_and_shutdown(make_office: Any, wait: Any) -> None:
    """SIGHUP takes a new user and a limit in and names what waits, a bad file keeps the old settings and says so, SIGTERM ends with 0."""
    import signal

    office = make_office()
    path = office.directory / "office.toml"
    good = path.read_text()
    path.write_text(good.replace("[aliases]", '[[users]]\nname = "fred"\npassword = "{PLAIN}fred-secret"\n[aliases]'))
    office.process.send_signal(signal.SIGHUP)

    def takes(user: str) -> bool:
        with smtplib.SMTP("127.0.0.1", office.ports["smtp"], timeout=30) as client:
            client.ehlo("x.example")
            client.mail("a@elsewhere.example")
            return client.rcpt(f"{user}@office.example")[0] == 250

    def is_busy(port: int) -> bool:
        try:
            smtplib.SMTP("127.0.0.1", port, timeout=30).close()
        except smtplib.SMTPConnectError:
            return True
        return False

    wait(lambda: takes("fred"), "the new user")
    path.write_text(good.replace("[queue]", "[limits]\nmax_connections = 1\n[queue]\nmax_active = 9"))
    office.process.send_signal(signal.SIGHUP)
    wait(lambda: "settings=queue.max_active" in office.log, "the word about what waits for a restart")
    with smtplib.SMTP("127.0.0.1", office.ports["smtp"], timeout=30):
        wait(lambda: is_busy(office.ports["smtp"]), "the new limit")
    path.write_text(good + "\n[smpt]\nx = 1\n")
    office.process.send_signal(signal.SIGHUP)
    wait(lambda: "did you mean smtp" in office.log, "the word about the bad file")
    path.write_text(good)
    assert 0 == office.stop()
