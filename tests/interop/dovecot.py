"""A private real Dovecot: its own directory, high ports on 127.0.0.1, Maildir, no system service.

Runs as whoever runs the tests. Root's server reads mail as an unprivileged user, as Dovecot demands,
and so in a directory that others may enter.
"""

import grp
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Dovecot", "running_dovecot"]

PATIENCE_S = 30.0
MAIL_USER = "mail"
"""Owns the mail of a server that root starts; Debian always has it."""
PROTOCOLS = ("imap", "pop3", "lmtp")


@dataclass
class Dovecot:
    """One server; its users' passwords are their name and ``-secret``.

    ``directory`` must be one that the mail user may enter. ``maildirs``: users whose mail lies
    elsewhere, such as a Maildir that carteiro wrote; all others have theirs below ``directory``.
    ``locations``: users whose mail is no Maildir, with what Dovecot calls a mail location.
    ``extra``: further settings.
    """

    directory: Path
    ports: Mapping[str, int]
    users: Sequence[str] = ("ana", "bob")
    maildirs: Mapping[str, Path] = field(default_factory=dict)
    extra: str = ""
    locations: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def owner(self) -> pwd.struct_passwd:
        """Who reads and writes the mail."""
        return pwd.getpwnam(MAIL_USER) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())

    @property
    def configuration(self) -> Path:
        return self.directory / "dovecot.conf"

    @property
    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def maildir(self, user: str) -> Path:
        return self.maildirs.get(user, self.directory / "mail" / user)

    def adopt(self, user: str, maildir: Path) -> Path:
        """Put a copy of a Maildir, names and times kept, in the place of a user's mail; return where it lies."""
        place = self.maildir(user)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(maildir, place)
        self.own(place)
        return place

    def own(self, path: Path) -> None:
        """Give a directory and all in it to the mail user."""
        if os.geteuid() == 0:
            for place in (path, *path.rglob("*")):
                os.chown(place, self.owner.pw_uid, self.owner.pw_gid)

    def configure(self) -> None:
        """Write its files."""
        owner = self.owner
        (self.directory / "mail").mkdir(exist_ok=True)
        self.own(self.directory / "mail")
        lines = [
            f"{user}:{{PLAIN}}{user}-secret:{owner.pw_uid}:{owner.pw_gid}::{self.directory}/mail/{user}::"
            f"userdb_mail={self.locations.get(user, f'maildir:{self.maildir(user)}:LAYOUT=maildir++')}"
            for user in self.users
        ]
        passwords = self.directory / "passwords"
        passwords.write_text("\n".join(lines) + "\n")
        passwords.chmod(0o644)
        self.configuration.write_text(self._settings())

    def _settings(self) -> str:
        wanted = [name for name in PROTOCOLS if name in self.ports]
        settings = textwrap.dedent(f"""\
            base_dir = {self.directory}/run
            state_dir = {self.directory}/state
            log_path = {self.directory}/log
            instance_name = carteiro-test-{self.directory.name}
            protocols = {" ".join(wanted)}
            listen = 127.0.0.1
            ssl = no
            disable_plaintext_auth = no
            auth_mechanisms = plain login
            first_valid_uid = 1
            first_valid_gid = 1
            mail_max_userip_connections = 1000
            namespace inbox {{
              inbox = yes
              separator = /
            }}
            passdb {{
              driver = passwd-file
              args = {self.directory}/passwords
            }}
            userdb {{
              driver = passwd-file
              args = {self.directory}/passwords
            }}
            """)
        if os.geteuid() != 0:
            me, group = self.owner.pw_name, grp.getgrgid(self.owner.pw_gid).gr_name
            settings += f"default_internal_user = {me}\ndefault_internal_group = {group}\ndefault_login_user = {me}\n"
        logins = {"imap": "imap-login", "pop3": "pop3-login"}
        for name in wanted:
            service = logins.get(name, name)
            off = f"\n  inet_listener {name}s {{\n    port = 0\n  }}" if name in logins else ""
            settings += f"service {service} {{\n  chroot =\n  inet_listener {name} {{\n    port = {self.ports[name]}\n  }}{off}\n}}\n"
        return settings + "service anvil {\n  chroot =\n}\n" + self.extra

    def start(self) -> None:
        """Start; return when its log says that it is ready."""
        self.configure()
        before = self.log.count("starting up for")
        with (self.directory / "out").open("ab") as out:
            self.process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", str(self.configuration)], stdout=out, stderr=out)
        deadline = time.monotonic() + PATIENCE_S
        while self.log.count("starting up for") == before:
            said = (self.directory / "out").read_text(errors="replace")
            assert self.process.poll() is None, f"dovecot ended: {said}{self.log}"
            assert time.monotonic() < deadline, f"dovecot does not start: {said}{self.log}"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it and all its processes."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)
            self.process = None

    def doveadm(self, *arguments: str) -> str:
        """Run ``doveadm`` against it; return what it prints."""
        command = ["doveadm", "-c", str(self.configuration), *arguments]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert found.returncode == 0, f"{command}\n{found.stdout}\n{found.stderr}"
        return found.stdout


@contextmanager
def running_dovecot(
    ports: Mapping[str, int],
    *,
    users: Sequence[str] = ("ana", "bob"),
    maildirs: Mapping[str, Path] | None = None,
    extra: str = "",
    locations: Mapping[str, str] | None = None,
) -> Iterator[Dovecot]:
    """Run one until the block ends, in a directory that its mail user may enter."""
    with tempfile.TemporaryDirectory(prefix="carteiro-dovecot-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        server = Dovecot(directory, ports, users, maildirs or {}, extra, locations or {})
        server.start()
        try:
            yield server
        finally:
            server.stop()
