"""Judging and signing: carteiro beside Postfix with the milters that people put next to it.

``checks``: mail of a stranger with an SPF record, a DKIM key, ``p=reject`` and the seal of a forwarder (ARC), all in a Knot on
this machine, judged by SPF, DKIM and DMARC before it is delivered (ours: and ARC; Debian's milters do not look at it). ``signed``: relayed with a DKIM signature, RSA-2048 from
OpenDKIM, RSA-2048 and Ed25519 from ours. Needs root: programs that ask at port 53 alone get a network of their own.
"""

import ctypes
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from appliance.message.header import HeaderSection, split_message
from appliance.policy.arc import ArcResult, ArcVerdict
from appliance.policy.arc_seal import ArcSealer, seal_message
from appliance.policy.dkim_canon import BodyHash, Canon
from tests.policy.dkimkeys import RSA_KEY, dkimpy_sign, key_record, private_pem

from .load import LINE, Load
from .processes import Group, wait_for
from .suites import Options, Record, ingest, through
from .targets import DOMAIN, RELAY_DOMAIN, Carteiro, Postfix, Target, needs_root

__all__ = ["SUITES", "TARGETS", "leave_private_network"]

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
NAMES, STRANGER = "192.0.2.53", "192.0.2.25"
SENDER = "sender.example"
DIFFERENT_MESSAGES = 64
_names: list[tuple[Group, Path]] = []


def enter_private_network() -> None:
    """Move this process and all that it starts into a network of its own, with a name server for ``example``; once."""
    if _names:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network of its own")
    home = Path(tempfile.mkdtemp(prefix="carteiro-bench-names-"))
    (home / "resolv.conf").write_text(f"nameserver {NAMES}\n")
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "--bind", str(home / "resolv.conf"), "/etc/resolv.conf"],
        ["ip", "link", "set", "lo", "up"],
        *(["ip", "address", "add", f"{address}/32", "dev", "lo"] for address in (NAMES, STRANGER)),
    ):
        subprocess.run(command, check=True)
    (home / "example.zone").write_text(
        f"$ORIGIN example.\n$TTL 300\n@ SOA ns admin 1 3600 600 86400 300\n@ NS ns\nns A {NAMES}\n"
        f'sender TXT "v=spf1 ip4:198.51.100.0/24 ip4:{STRANGER} -all"\n_dmarc.sender TXT "v=DMARC1; p=reject; adkim=s; aspf=s"\n'
        f"mail.sender A {STRANGER}\nsender MX 10 mail.sender\nrsa._domainkey.sender TXT {_strings(key_record(RSA_KEY))}\n"
    )
    (home / "knot.conf").write_text(
        f'server:\n  rundir: "{home}"\n  listen: {NAMES}@53\ndatabase:\n  storage: "{home}"\n'
        f'zone:\n  - domain: example.\n    storage: "{home}"\n    file: example.zone\n'
    )
    names = Group("names")
    names.start(["knotd", "-c", str(home / "knot.conf")], home / "log", dict(os.environ))
    wait_for(_names_answer, "the name server", 20)
    _names.append((names, home))


def leave_private_network() -> None:
    """End the name server; the network ends with us."""
    while _names:
        names, home = _names.pop()
        names.close()
        shutil.rmtree(home, ignore_errors=True)


def _strings(text: str) -> str:
    return " ".join(f'"{text[start : start + 250]}"' for start in range(0, len(text), 250))


def _names_answer() -> bool:
    try:
        socket.create_connection((NAMES, 53), 1).close()
    except OSError:
        return False
    return True


class CarteiroChecks(Carteiro):
    """Nobody is trusted, and the name server is ours."""

    name = "carteiro-checks"
    services = ("checks",)
    trusted: tuple[str, ...] = ()

    @classmethod
    def why_not(cls) -> str:
        return needs_root("knotd")

    def start(self) -> None:
        enter_private_network()
        super().start()

    def settings(self) -> str:
        return super().settings() + f'[dns]\nservers = ["{NAMES}"]\n'


class CarteiroSigning(Carteiro):
    """Keys of both kinds for the sender's domain."""

    name = "carteiro-signing"
    services = ("signed",)

    def configure(self) -> None:
        super().configure()
        make_keys = [*self.program(), "dkim", "new", DOMAIN, "--data", str(self.directory / "data")]
        subprocess.run(make_keys, check=True, capture_output=True, env=self.environment())


class PostfixMilters(Postfix):
    """Postfix, and the programs beside it, each with a socket in the target's directory."""

    programs: tuple[str, ...] = ()

    @classmethod
    def why_not(cls) -> str:
        return next((reason for program in ("postfix", *cls.programs) if (reason := needs_root(program))), "")

    def start(self) -> None:
        """Start the filters, then Postfix."""
        enter_private_network()
        milters = self.directory / "milters"
        milters.mkdir()
        shutil.chown(milters, "postfix", "postfix")
        for name, text in self.filters(milters).items():
            (milters / f"{name}.conf").write_text(text)
            command = [name, "-f", *(["-x"] if name == "opendkim" else ["-c"]), str(milters / f"{name}.conf")]
            self.group.start(command, self.directory / "log", os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin"})
            wait_for((milters / f"{name}.socket").exists, f"{name}: its story is in {self.directory}/log", 20)
        super().start()

    def filters(self, home: Path) -> dict[str, str]:
        """Return the settings of each filter, in the order of their turns."""
        raise NotImplementedError

    def main_extra(self) -> str:
        sockets = " ".join(f"unix:{self.directory}/milters/{name}.socket" for name in self.filters(self.directory / "milters"))
        return f"smtpd_milters = {sockets}\nmilter_default_action = tempfail\n"


class PostfixChecks(PostfixMilters):
    """policyd-spf as a policy service, OpenDKIM and OpenDMARC as milters: Debian's packages with their own settings."""

    name = "postfix-checks"
    services = ("checks",)
    programs = ("policyd-spf", "opendkim", "opendmarc", "knotd")

    def filters(self, home: Path) -> dict[str, str]:
        common = f"UserID postfix\nUMask 000\nSyslog no\nPidFile {home}/%s.pid\nSocket local:{home}/%s.socket\n"
        authserv_id = f"AuthservID mx.{DOMAIN}\n"
        return {
            "opendkim": common % ("opendkim", "opendkim") + f"Mode v\nNameservers {NAMES}\nAlwaysAddARHeader yes\n{authserv_id}",
            "opendmarc": common % ("opendmarc", "opendmarc")
            + f"{authserv_id}TrustedAuthservIDs mx.{DOMAIN}\nRejectFailures true\nSPFSelfValidate false\n"
            + "PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat\n",
        }

    def main_extra(self) -> str:
        (self.directory / "policyd-spf.conf").write_text(
            f"debugLevel = 1\nHELO_reject = Fail\nMail_From_reject = Fail\nHeader_Type = AR\nAuthserv_Id = mx.{DOMAIN}\n"
        )
        return super().main_extra() + (
            "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:private/policyd-spf\n"
            "policyd-spf_time_limit = 3600\n"
        )

    def master_extra(self) -> str:
        # As its manual has it; the user may be any but Postfix' own.
        return f"policyd-spf unix - n n - 0 spawn user=nobody argv=/usr/bin/policyd-spf {self.directory}/policyd-spf.conf\n"


class PostfixSigning(PostfixMilters):
    """OpenDKIM signs as a milter."""

    name = "postfix-signing"
    services = ("signed",)
    programs = ("opendkim",)

    def filters(self, home: Path) -> dict[str, str]:
        key = home / "key.pem"
        key.write_bytes(private_pem(RSA_KEY))
        key.chmod(0o600)
        owner = pwd.getpwnam("postfix")
        os.chown(key, owner.pw_uid, owner.pw_gid)
        return {
            "opendkim": f"UserID postfix\nUMask 000\nSyslog no\nPidFile {home}/pid\nSocket local:{home}/opendkim.socket\nMode s\n"
            f"Domain {DOMAIN}\nSelector rsa\nRequireSafeKeys no\nKeyFile {key}\nCanonicalization relaxed/relaxed\nOversignHeaders From\n"
        }


def _message(number: int, size: int) -> bytes:
    header = (
        f"Received: from desk by mail.{SENDER}; Tue, 14 Nov 2023 22:13:20 +0000\r\nFrom: Load <load@{SENDER}>\r\nTo: <u1@{DOMAIN}>\r\n"
        f"Subject: message {number}\r\nMessage-ID: <{number}@{SENDER}>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    ).encode()
    body = LINE * max(1, (size - len(header)) // len(LINE))
    message = dkimpy_sign(header + body, domain=SENDER, canonicalize=(b"relaxed", b"relaxed"))
    hashed = BodyHash(Canon.RELAXED)
    hashed.feed(body)
    sealer = ArcSealer(SENDER, "rsa", lambda data: RSA_KEY.sign(data, padding.PKCS1v15(), hashes.SHA256()))
    results = f"mail.{SENDER}; spf=pass smtp.mailfrom=load@{SENDER}; arc=none"
    fields = HeaderSection(split_message(message)[0]).fields
    none = ArcVerdict(ArcResult.NONE)
    return seal_message(sealer, fields, none, results=results, body_hash=hashed.digest(), now_s=time.time()) + message


def checks(target: Target, options: Options) -> Iterator[Record]:
    """SMTP in from a stranger, judged, mailbox out."""
    contents = tuple(_message(number, 4_096) for number in range(DIFFERENT_MESSAGES))
    for connections, usual in ((1, 300), (10, 1_000), (50, 1_000)):
        load = Load(
            target.ports["smtp"], connections, options.count(usual), 4_096, f"u%d@{DOMAIN}", pipelining=options.pipelining,
            sender=f"load@{SENDER}", contents=contents, source=STRANGER,
        )  # fmt: skip
        yield from ingest(target, options, f"checks 4 KiB, {connections} conn", load)
        found = next(path for user in target.users for path in (target.maildir(user) / "new").glob("*")).read_text()
        wanted = ["spf=pass", "dkim=pass", "dmarc=pass", *(["arc=pass"] if target.name == CarteiroChecks.name else [])]
        missing = [word for word in wanted if word not in found.lower()]
        if missing:
            raise RuntimeError(f"{target.name}: {', '.join(missing)} not in the message\n{found[:2_000]}")


def signed(target: Target, options: Options) -> Iterator[Record]:
    """SMTP in, signed, SMTP out to a sink."""
    for connections, usual in ((10, 1_000), (50, 1_000)):
        load = Load(
            target.ports["smtp"], connections, options.count(usual), 4_096, f"x%d@{RELAY_DOMAIN}", pipelining=options.pipelining
        )  # fmt: skip
        yield from through(target, options, f"signed 4 KiB, {connections} conn", load, signed=True)


SUITES = {"checks": checks, "signed": signed}
TARGETS: dict[str, type[Target]] = {
    target.name: target for target in (CarteiroChecks, PostfixChecks, CarteiroSigning, PostfixSigning)
}  # fmt: skip
