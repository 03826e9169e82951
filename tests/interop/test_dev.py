"""The mail catcher with the programs people have: mail goes in by any of them and comes out by any other."""

import imaplib
import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.running import run

pytestmark = pytest.mark.interop

MESSAGE = "From: app@example.com\r\nTo: anybody@example.org\r\nSubject: Hello by {name}\r\n\r\nFirst line\r\n.dotted line\r\n"
Need = Callable[[str], str]


def send_by_swaks(dev: Any, _: Path) -> None:
    """Swaks, without login."""
    run(
        "swaks", "--server", f"127.0.0.1:{dev.ports['smtp']}", "--from", "app@example.com", "--to", "anybody@example.org",
        "--header", "Subject: Hello by swaks", "--body", "First line\n.dotted line\n",
    )  # fmt: skip


def send_by_swaks_with_login(dev: Any, _: Path) -> None:
    """Swaks, with a login nobody knows."""
    run(
        "swaks", "--server", f"127.0.0.1:{dev.ports['smtp']}", "--from", "app@example.com", "--to", "anybody@example.org", "--auth", "PLAIN",
        "--auth-user", "whoever", "--auth-password", "whatever", "--header", "Subject: Hello by login", "--body", "First line\n.dotted line\n",
    )  # fmt: skip


def send_by_curl(dev: Any, directory: Path) -> None:
    """Curl's smtp:// form."""
    (directory / "message").write_bytes(MESSAGE.format(name="curl").encode())
    run(
        "curl", "-sS", f"smtp://127.0.0.1:{dev.ports['smtp']}", "--mail-from", "app@example.com", "--mail-rcpt", "anybody@example.org",
        "-T", str(directory / "message"),
    )  # fmt: skip


def send_by_msmtp(dev: Any, directory: Path) -> None:
    """Msmtp, as PHP and cron use it."""
    run(
        "msmtp", "-C", "/dev/null", "--host=127.0.0.1", f"--port={dev.ports['smtp']}", "--from=app@example.com", "--tls=off", "--auth=off",
        "anybody@example.org", text=MESSAGE.format(name="msmtp").replace("\r\n", "\n"), HOME=str(directory),
    )  # fmt: skip


SENDERS = {"swaks": send_by_swaks, "login": send_by_swaks_with_login, "curl": send_by_curl, "msmtp": send_by_msmtp}


@pytest.mark.parametrize("name", SENDERS)
def test_any_program_sends_and_the_mail_is_everywhere(name: str, dev: Any, tmp_path: Path, need_program: Need) -> None:
    """One message goes in; IMAP, the Maildir and the page have it."""
    need_program("swaks" if name == "login" else name)
    need_program("curl")
    SENDERS[name](dev, tmp_path)
    dev.wait_for_mail("dev", 1)
    base = f"imap://127.0.0.1:{dev.ports['imap']}/INBOX"
    fetched = run("curl", "-sS", "-u", "dev:any", f"{base};MAILINDEX=1")
    assert f"Subject: Hello by {name}" in fetched
    assert "\n.dotted line" in fetched.replace("\r", "")
    files = [path for folder in ("new", "cur") for path in (dev.data / "mail" / "dev" / folder).iterdir()]
    assert len(files) == 1
    assert f"Subject: Hello by {name}" in files[0].read_text()
    assert f"Hello by {name}" in run("curl", "-sS", f"http://127.0.0.1:{dev.ports['http']}/")


def fill(dev: Any, directory: Path, count: int) -> None:
    """Send some messages and wait until they are in the mailbox: the queue delivers after it has acknowledged."""
    for number in range(count):
        (directory / "message").write_bytes(MESSAGE.format(name=f"number {number}").encode())
        run(
            "curl", "-sS", f"smtp://127.0.0.1:{dev.ports['smtp']}", "--mail-from", "app@example.com", "--mail-rcpt", "anybody@example.org",
            "-T", str(directory / "message"),
        )  # fmt: skip
    dev.wait_for_mail("dev", count)


def subjects(text: str) -> list[str]:
    """Return the subjects of our messages in a mailbox file."""
    return sorted(re.findall(r"^Subject: Hello by (number \d+)", text, re.MULTILINE))


EXPECTED = ["number 0", "number 1", "number 2"]


def test_fetchmail_empties_the_maildrop(dev: Any, tmp_path: Path, need_program: Need) -> None:
    """POP3 by fetchmail; afterwards nothing is left, over IMAP either."""
    need_program("fetchmail")
    fill(dev, tmp_path, 3)
    rc = tmp_path / "fetchmailrc"
    rc.write_text(
        f'poll 127.0.0.1 service {dev.ports["pop3"]} protocol POP3 auth password user "dev" password "any" sslproto "" '
        f'mda "cat >> {tmp_path}/taken" fetchall\n'
    )
    rc.chmod(0o600)
    run("fetchmail", "-f", str(rc), "--nosyslog", "--pidfile", str(tmp_path / "pid"), FETCHMAILHOME=str(tmp_path), HOME=str(tmp_path))
    assert subjects((tmp_path / "taken").read_text()) == EXPECTED
    assert run("curl", "-sS", "-u", "dev:any", f"imap://127.0.0.1:{dev.ports['imap']}/INBOX", "-X", "SEARCH ALL").strip() == "* SEARCH"
    assert [] == list((dev.data / "mail" / "dev" / "cur").iterdir()) + list((dev.data / "mail" / "dev" / "new").iterdir())


def test_mpop_takes_each_message_once(dev: Any, tmp_path: Path, need_program: Need) -> None:
    """POP3 by mpop, which keeps mail on the server and remembers UIDLs."""
    need_program("mpop")
    fill(dev, tmp_path, 3)
    words = [
        "mpop", "-C", "/dev/null", "--host=127.0.0.1", f"--port={dev.ports['pop3']}", "--user=dev", "--passwordeval=echo any", "--tls=off",
        "--auth=user", f"--delivery=mbox,{tmp_path}/taken", "--keep=on", f"--uidls-file={tmp_path}/uidls",
    ]  # fmt: skip
    run(*words, HOME=str(tmp_path))
    run(*words, HOME=str(tmp_path))
    assert subjects((tmp_path / "taken").read_text()) == EXPECTED


def test_getmail_takes_everything(dev: Any, tmp_path: Path, need_program: Need) -> None:
    """POP3 by getmail6."""
    need_program("getmail")
    fill(dev, tmp_path, 3)
    (tmp_path / "getmailrc").write_text(
        textwrap.dedent(f"""\
        [retriever]
        type = SimplePOP3Retriever
        server = 127.0.0.1
        port = {dev.ports["pop3"]}
        username = dev
        password = any
        [destination]
        type = MDA_external
        path = /bin/sh
        arguments = ("-c", "cat >> {tmp_path}/taken")
        allow_root_commands = true
        [options]
        delete = true
        """)
    )
    run("getmail", f"--getmaildir={tmp_path}", f"--rcfile={tmp_path}/getmailrc", HOME=str(tmp_path))
    assert subjects((tmp_path / "taken").read_text()) == EXPECTED


def test_mbsync_goes_both_ways(dev: Any, tmp_path: Path, need_program: Need) -> None:
    """What is caught comes down, a flag set here goes up, and a second run has nothing to do."""
    need_program("mbsync")
    fill(dev, tmp_path, 3)
    (tmp_path / "local").mkdir()
    (tmp_path / "mbsyncrc").write_text(
        textwrap.dedent(f"""\
        IMAPAccount dev
        Host 127.0.0.1
        Port {dev.ports["imap"]}
        User dev
        Pass any
        SSLType None
        AuthMechs LOGIN

        IMAPStore far
        Account dev

        MaildirStore near
        Path {tmp_path}/local/
        Inbox {tmp_path}/local/INBOX
        SubFolders Verbatim

        Channel all
        Far :far:
        Near :near:
        Patterns *
        Create Both
        Expunge Both
        SyncState *
        """)
    )
    run("mbsync", "-c", str(tmp_path / "mbsyncrc"), "-a", HOME=str(tmp_path))
    files = sorted(path for folder in ("new", "cur") for path in (tmp_path / "local" / "INBOX" / folder).iterdir())
    assert sorted(subjects("\n".join(path.read_text() for path in files))) == EXPECTED
    flagged = files[0].parent.parent / "cur" / (files[0].name.partition(":2,")[0] + ":2,FS")
    files[0].rename(flagged)
    run("mbsync", "-c", str(tmp_path / "mbsyncrc"), "-a", HOME=str(tmp_path))
    found = run("curl", "-sS", "-u", "dev:any", f"imap://127.0.0.1:{dev.ports['imap']}/INBOX", "-X", "SEARCH FLAGGED SEEN")
    assert re.fullmatch(r"\* SEARCH \d+\s*", found)
    assert 3 == len(list((tmp_path / "local" / "INBOX" / "new").iterdir()) + list((tmp_path / "local" / "INBOX" / "cur").iterdir()))


def test_offlineimap_goes_both_ways(dev: Any, tmp_path: Path, need_program: Need) -> None:
    """Mail comes down, a new local message goes up, and a deletion there is taken over here."""
    need_program("offlineimap")
    fill(dev, tmp_path, 3)
    (tmp_path / "offlineimaprc").write_text(
        textwrap.dedent(f"""\
        [general]
        accounts = dev
        metadata = {tmp_path}/meta
        ui = basic
        [Account dev]
        localrepository = near
        remoterepository = far
        [Repository near]
        type = Maildir
        localfolders = {tmp_path}/local
        [Repository far]
        type = IMAP
        remotehost = 127.0.0.1
        remoteport = {dev.ports["imap"]}
        remoteuser = dev
        remotepass = any
        ssl = no
        starttls = no
        """)
    )
    words = ("offlineimap", "-o", "-c", str(tmp_path / "offlineimaprc"))
    run(*words, HOME=str(tmp_path))
    inbox = tmp_path / "local" / "INBOX"
    files = sorted(path for folder in ("new", "cur") for path in (inbox / folder).iterdir())
    assert subjects("\n".join(path.read_text() for path in files)) == EXPECTED
    (inbox / "new" / "1700000000.1.here").write_text("From: me@example.com\nSubject: Hello by number 7\n\nwritten here\n")
    run(*words, HOME=str(tmp_path))
    with imaplib.IMAP4("127.0.0.1", dev.ports["imap"]) as client:
        client.login("dev", "any")
        assert client.select("INBOX")[1] == [b"4"]
        client.store("1", "+FLAGS", "\\Deleted")
        client.expunge()
    run(*words, HOME=str(tmp_path))
    left = [path.read_text() for folder in ("new", "cur") for path in (inbox / folder).iterdir()]
    assert subjects("\n".join(left)) == ["number 1", "number 2", "number 7"]


def test_mutt_reads_over_imap(dev: Any, tmp_path: Path, terminal: Any, need_program: Need) -> None:
    """Mutt opens the mailbox, shows a message, and its flag arrives."""
    need_program("mutt")
    fill(dev, tmp_path, 2)
    (tmp_path / "muttrc").write_text(
        f'set folder="imap://dev@127.0.0.1:{dev.ports["imap"]}/"\nset imap_pass="any"\nset ssl_starttls=no ssl_force_tls=no\n'
        'set spoolfile="+INBOX"\nset header_cache=""\nset record=""\nset quit=yes mark_old=no\n'
    )
    terminal.run(["mutt", "-n", "-F", str(tmp_path / "muttrc")], {"HOME": str(tmp_path), "TERM": "screen"})
    terminal.wait_for("Hello by number 1")
    terminal.type("Enter")
    terminal.wait_for("First line")
    terminal.type("q")
    terminal.wait_for("Hello by number 1")
    terminal.type("q")
    terminal.wait_for("ended")
    found = run("curl", "-sS", "-u", "dev:any", f"imap://127.0.0.1:{dev.ports['imap']}/INBOX", "-X", "SEARCH SEEN")
    assert re.search(r"\* SEARCH \d", found)


def test_the_page_and_the_health_answers(dev: Any, need_program: Need) -> None:
    """The page is there in both languages, health is ok, metrics are text."""
    need_program("curl")
    base = f"http://127.0.0.1:{dev.ports['http']}"
    assert run("curl", "-sS", f"{base}/healthz").startswith("ok")
    assert "carteiro_" in run("curl", "-sS", f"{base}/metrics")
    assert 'lang="en"' in run("curl", "-sS", "-H", "Accept-Language: en", f"{base}/")
    assert 'lang="pt' in run("curl", "-sS", "-H", "Accept-Language: pt-BR", f"{base}/")


def test_dev_says_where_it_listens_and_ends_cleanly(dev: Any) -> None:
    """The addresses are printed; SIGTERM ends it with 0."""
    dev.wait_for_log("Ctrl-C stops it")
    for name in ("smtp", "pop3", "imap", "http"):
        assert str(dev.ports[name]) in dev.log
    assert str(dev.data) in dev.log
    assert dev.stop() == 0


def test_version_is_for_scripts_too(dev: Any) -> None:
    """The version command answers in JSON."""
    assert "carteiro" in json.loads(dev.command("version", "--json").stdout)
