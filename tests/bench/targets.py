"""The servers: each with its own directory, settings and high ports on 127.0.0.1.

Settings stay at their defaults except for addresses, ports, paths, one owner of all
mail, no TLS on the loopback, and limits that would refuse the load.
"""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from .processes import Group, free_ports, wait_for

__all__ = ["DOMAIN", "PASSWORD", "RELAY_DOMAIN", "TARGETS", "Carteiro", "Dovecot", "Postfix", "Target", "needs_root"]

ROOT = Path(__file__).resolve().parents[2]
DOMAIN, RELAY_DOMAIN, PASSWORD = "bench.test", "relay.test", "secret"
PROGRAM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


class Target:
    """One server."""

    name = ""
    services: tuple[str, ...] = ()
    """Of smtp, relay, pop3, imap: what it is measured at."""

    def __init__(self, work: Path) -> None:
        self.directory = work / self.name
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(mode=0o755, parents=True)
        self.ports = dict(zip(("smtp", "pop3", "imap", "sink"), free_ports(4), strict=True))
        self.users = [f"u{number}" for number in range(10)] + ["big"]
        self.group = Group(self.name)

    @classmethod
    def why_not(cls) -> str:
        """Return why it cannot be measured here, or nothing."""
        return ""

    def configure(self) -> None:
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and return when its ports answer."""
        self.configure()
        self.group.start(self.command(), self.directory / "log", self.environment())
        for service in sorted({"smtp", "pop3", "imap"}.intersection(self.services) or {"smtp"}):
            try:
                wait_for(partial(self._answers, self.ports[service]), f"{self.name} at {service}", 30)
            except TimeoutError as error:
                raise RuntimeError(f"{error}; its log ends: {(self.directory / 'log').read_text(errors='replace')[-1_000:]}") from error

    def environment(self) -> dict[str, str]:
        return os.environ | {"PATH": PROGRAM_PATH, "PYTHONPATH": str(ROOT)}

    def _answers(self, port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as sock:
                return bool(sock.recv(1))
        except OSError:
            return False

    def stop(self) -> None:
        self.group.close()

    def maildir(self, user: str) -> Path:
        return self.directory / "mail" / user / "Maildir"

    def delivered(self) -> int:
        """Count the messages in the mailboxes on disk that load goes to."""
        count = 0
        for user in self.users[:10]:
            for name in ("new", "cur"):
                try:
                    count += sum(1 for _ in (self.maildir(user) / name).iterdir())
                except FileNotFoundError:
                    continue
        return count

    def wipe(self) -> None:
        """Empty those mailboxes; the server is idle."""
        for user in self.users[:10]:
            for name in ("new", "cur"):
                for path in (self.maildir(user) / name).glob("*"):
                    path.unlink()

    def populate(self, user: str, messages: Sequence[bytes]) -> None:
        """Put messages into an inbox that nobody has opened yet."""
        base = self.maildir(user)
        for name in ("new", "tmp", "cur"):
            (base / name).mkdir(parents=True, exist_ok=True)
        for number, message in enumerate(messages):
            (base / "cur" / f"{1_700_000_000 + number}.M{number}P1.bench:2,").write_bytes(message)
        self.own(self.directory / "mail")

    def own(self, path: Path) -> None:
        """Give files to who must own them."""


class Carteiro(Target):
    name = "carteiro"
    services: tuple[str, ...] = ("smtp", "relay", "pop3", "imap")

    trusted: tuple[str, ...] = ("127.0.0.0/8",)

    def configure(self) -> None:
        (self.directory / "carteiro.toml").write_text(self.settings())

    def settings(self) -> str:
        """Return the settings file; what is added at its end are whole tables."""
        users = "".join(f'[[users]]\nname = "{user}"\npassword = "{{PLAIN}}{PASSWORD}"\n' for user in self.users)
        ports, trusted = self.ports, json.dumps(self.trusted)
        return (
            f'domain = "{DOMAIN}"\nhostname = "mail.{DOMAIN}"\ndata = "{self.directory}/data"\ntrusted_networks = {trusted}\n{users}'
            f'[[routes]]\ndomain = "{RELAY_DOMAIN}"\nhost = "[127.0.0.1]"\nport = {ports["sink"]}\ntls = "none"\n'
            f'[smtp]\nlisten = ["127.0.0.1:{ports["smtp"]}"]\nmax_commands_without_mail = 0\n'
            f"[submission]\nlisten = []\nlisten_tls = []\n"
            f'[imap]\nlisten = ["127.0.0.1:{ports["imap"]}"]\nlisten_tls = []\n[pop3]\nlisten = ["127.0.0.1:{ports["pop3"]}"]\nlisten_tls = []\n'
            f"[web]\nlisten = []\n[limits]\nmax_connections = 5000\nmax_connections_per_address = 0\n"
        )

    @staticmethod
    def program() -> list[str]:
        built = os.environ.get("CARTEIRO_EXECUTABLE")
        return [built] if built else [sys.executable, "-m", "appliance"]

    def command(self) -> Sequence[str]:
        return [*self.program(), "serve", "-c", str(self.directory / "carteiro.toml")]

    def maildir(self, user: str) -> Path:
        return self.directory / "data" / "mail" / user


def needs_root(program: str) -> str:
    if shutil.which(program, path=PROGRAM_PATH) is None:
        return f"{program} is not installed"
    return "" if os.geteuid() == 0 else f"{program} needs root"


class Postfix(Target):
    """virtual(8) to Maildir, smtp(8) to the sink."""

    name = "postfix"
    services: tuple[str, ...] = ("smtp", "relay")

    @classmethod
    def why_not(cls) -> str:
        return needs_root("postfix")

    def configure(self) -> None:
        base = self.directory
        for name in ("etc", "spool", "data", "mail", "logs"):
            (base / name).mkdir()
        owner = pwd.getpwnam("postfix").pw_uid
        for name in ("data", "mail", "logs"):
            os.chown(base / name, owner, owner)
        boxes = " ".join(f"{{{user}@{DOMAIN}={user}/Maildir/}}" for user in self.users)
        (base / "etc" / "main.cf").write_text(
            textwrap.dedent(f"""\
            compatibility_level = 3.6
            queue_directory = {base}/spool
            data_directory = {base}/data
            maillog_file = {base}/logs/postfix
            maillog_file_prefixes = {base}
            myhostname = mx.{DOMAIN}
            mydestination =
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            mynetworks = 127.0.0.0/8
            disable_dns_lookups = yes
            smtp_dns_support_level = disabled
            smtpd_peername_lookup = no
            alias_maps =
            alias_database =
            local_recipient_maps =
            message_size_limit = 60000000
            mailbox_size_limit = 0
            virtual_mailbox_limit = 0
            virtual_mailbox_domains = {DOMAIN}
            virtual_mailbox_base = {base}/mail
            virtual_mailbox_maps = inline:{{ {boxes} }}
            virtual_uid_maps = static:{owner}
            virtual_gid_maps = static:{owner}
            virtual_minimum_uid = 1
            transport_maps = inline:{{ {{{RELAY_DOMAIN} = smtp:[127.0.0.1]:{self.ports["sink"]}}} }}
            smtpd_recipient_restrictions = permit_mynetworks, reject
            """)
            + self.main_extra()
        )
        services = [
            f"127.0.0.1:{self.ports['smtp']} inet n - n - - smtpd", "pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup",
            "qmgr unix n - n 300 1 qmgr", "tlsmgr unix - - n 1000? 1 tlsmgr", "rewrite unix - - n - - trivial-rewrite",
            "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "verify unix - - n - 1 verify",
            "flush unix n - n 1000? 0 flush", "proxymap unix - - n - - proxymap", "smtp unix - - n - - smtp", "relay unix - - n - - smtp",
            "error unix - - n - - error", "retry unix - - n - - error", "virtual unix - n n - - virtual", "anvil unix - - n - 1 anvil",
            "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd",
        ]  # fmt: skip
        (base / "etc" / "master.cf").write_text("\n".join(services) + "\n" + self.master_extra())

    def main_extra(self) -> str:
        """Return further lines of main.cf."""
        return ""

    def master_extra(self) -> str:
        """Return further lines of master.cf."""
        return ""

    def command(self) -> Sequence[str]:
        return ["postfix", "-c", str(self.directory / "etc"), "start-fg"]

    def stop(self) -> None:
        command = ["postfix", "-c", str(self.directory / "etc"), "stop"]
        subprocess.run(command, capture_output=True, check=False, env=os.environ | {"PATH": PROGRAM_PATH})
        super().stop()


class Dovecot(Target):
    """POP3 and IMAP over Maildir."""

    name = "dovecot"
    services = ("pop3", "imap")
    owner = 20_001

    @classmethod
    def why_not(cls) -> str:
        if reason := needs_root("dovecot"):
            return reason
        version = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=False, env={"PATH": PROGRAM_PATH})
        return (
            ""
            if version.stdout.startswith("2.3")
            else f"its settings here are for Dovecot 2.3, this is {version.stdout.split(' ')[0].strip()}"
        )

    def configure(self) -> None:
        base = self.directory
        for name in ("run", "mail"):
            (base / name).mkdir()
        self.own(base / "mail")
        (base / "dovecot.conf").write_text(
            textwrap.dedent(f"""\
            base_dir = {base}/run
            state_dir = {base}/run/state
            instance_name = carteiro-bench
            log_path = {base}/dovecot.log
            listen = 127.0.0.1
            protocols = imap pop3
            ssl = no
            disable_plaintext_auth = no
            mail_uid = {self.owner}
            mail_gid = {self.owner}
            first_valid_uid = {self.owner}
            mail_home = {base}/mail/%n
            mail_location = maildir:~/Maildir
            mail_max_userip_connections = 5000
            namespace inbox {{
              inbox = yes
            }}
            passdb {{
              driver = static
              args = password={PASSWORD}
            }}
            userdb {{
              driver = static
              args = uid={self.owner} gid={self.owner} home={base}/mail/%n allow_all_users=yes
            }}
            service imap-login {{
              inet_listener imap {{
                port = {self.ports["imap"]}
              }}
              inet_listener imaps {{
                port = 0
              }}
            }}
            service pop3-login {{
              inet_listener pop3 {{
                port = {self.ports["pop3"]}
              }}
              inet_listener pop3s {{
                port = 0
              }}
            }}
            """)
        )

    def command(self) -> Sequence[str]:
        return ["dovecot", "-F", "-c", str(self.directory / "dovecot.conf")]

    def own(self, path: Path) -> None:
        for found in (path, *path.rglob("*")):
            os.chown(found, self.owner, self.owner)


TARGETS: dict[str, type[Target]] = {target.name: target for target in (Carteiro, Postfix, Dovecot)}
