"""An internet of one machine: own name servers with DNSSEC, ports 25, 53 and 443, two servers that mail each other.

A network namespace has its loopback alone. Knot signs the zone ``example``, Unbound validates it with the
zone's own trust anchor, a web server has the MTA-STS policies. Alpha sends, beta receives for five domains, each with
another promise about its TLS.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.interop.conftest import ROOT, carteiro_command
from tests.interop.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.interop

NAMES, WEB, ALPHA, BETA = "192.0.2.53", "192.0.2.80", "192.0.2.10", "192.0.2.20"
DOMAINS = ("beta", "wrong", "fine", "strict", "trying")
"""beta: a TLSA record that fits; wrong: one that does not; fine, strict, trying: MTA-STS, enforced, enforced and only tested, the
certificate is for the first alone."""
PROGRAMS = ("unshare", "nsenter", "ip", "mount", "knotd", "keymgr", "unbound")

ZONE = """
$TTL 300
@ SOA ns admin 1 3600 600 86400 300
@ NS ns
ns A {names}
mail.alpha A {alpha}
alpha MX 10 mail.alpha
alpha TXT "v=spf1 ip4:{alpha} -all"
_dmarc.alpha TXT "v=DMARC1; p=reject; adkim=s; aspf=s"
"""
WEB_SERVER = """
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        domain = self.headers["Host"].split(".")[1]
        mode = "testing" if domain == "trying" else "enforce"
        body = f"version: STSv1\\r\\nmode: {mode}\\r\\nmx: mx.{domain}.example\\r\\nmax_age: 86400\\r\\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer((sys.argv[1], 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
"""
SEND = """
import smtplib, sys
with smtplib.SMTP("192.0.2.10", 587) as smtp:
    smtp.login("ana", "ana-secret")
    for domain in sys.argv[1:]:
        smtp.sendmail("ana@alpha.example", [f"bob@{domain}.example"],
                      f"From: Ana <ana@alpha.example>\\r\\nTo: bob@{domain}.example\\r\\nSubject: to {domain}\\r\\n\\r\\nhello\\r\\n")
"""
SETTINGS = """
domain = "{domain}"
hostname = "{hostname}"
domains = {domains}
data = "{data}"
trusted_networks = []
[[users]]
name = "{user}"
password = "{{PLAIN}}{user}-secret"
[smtp]
listen = ["{address}:25"]
[submission]
listen = ["{address}:587"]
listen_tls = []
require_tls = false
[imap]
listen = []
listen_tls = []
[pop3]
listen = []
listen_tls = []
[web]
listen = []
[tls]
certificate_file = "{certificate}"
key_file = "{certificate}"
[dns]
servers = ["127.0.0.1"]
validating = true
[relay]
ca_file = "{authority}"
bind_address = "{address}"
[queue]
first_retry_s = 600
"""


@dataclass
class Internet:
    """The namespace and what runs in it."""

    directory: Path
    holder: subprocess.Popen[bytes]
    authority: trustme.CA = field(default_factory=trustme.CA)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def inside(self) -> list[str]:
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m", "--"]

    def run(self, *command: str) -> str:
        found = subprocess.run([*self.inside, *command], capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment())
        assert found.returncode == 0, found.stderr + found.stdout
        return found.stdout

    def start(self, name: str, ready: str, *command: str) -> None:
        """Start a program; return when its output holds ``ready``."""
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([*self.inside, *command], stdout=log, stderr=log, env=environment())
        self.running.append(process)
        wait_until(lambda: ready in self.log(name) or process.poll() is not None, lambda: f"{name}\n{self.log(name)[-3000:]}")
        assert process.poll() is None, self.log(name)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def certificate(self, *hosts: str) -> Path:
        """Return a file with a key and its certificate."""
        path = self.directory / f"{hosts[0]}.pem"
        self.authority.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    def stop(self) -> None:
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            process.wait(PATIENCE_S)
        self.running.clear()
        self.holder.communicate()  # it waits for the end of its input


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def hold_namespace(directory: Path) -> subprocess.Popen[bytes]:
    """Return a process in a namespace of its own; skip the test where that is not allowed."""
    (directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    script = f"""
        set -e
        mount --make-rprivate /
        mount --bind {directory}/resolv.conf /etc/resolv.conf
        ip link set lo up
        for address in {NAMES} {WEB} {ALPHA} {BETA}; do ip address add $address/32 dev lo; done
        echo ready
        exec cat
    """
    holder = subprocess.Popen(
        ["unshare", "-n", "-m", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert holder.stdout is not None
    if holder.stdout.readline() != b"ready\n":
        reason = f"no namespace of its own: {holder.communicate()[1].decode().strip()}"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    return holder


def zone(alpha_keys: Sequence[str], spki: bytes) -> str:
    """Return the zone: alpha's records, and the domains of beta with their promises."""
    lines = [ZONE.format(names=NAMES, alpha=ALPHA), *alpha_keys]
    for domain in DOMAINS:
        lines += [f"{domain} MX 10 mx.{domain}", f"mx.{domain} A {BETA}"]
    lines += [f"_25._tcp.mx.{name} TLSA 3 1 1 {hashlib.sha256(data).hexdigest()}" for name, data in (("beta", spki), ("wrong", b"other"))]
    for domain in ("fine", "strict", "trying"):
        lines += [f'_mta-sts.{domain} TXT "v=STSv1; id=1;"', f"mta-sts.{domain} A {WEB}"]
    return "\n".join(lines) + "\n"


def start_names(internet: Internet, text: str) -> None:
    """Start the two name servers."""
    home = internet.directory / "names"
    home.mkdir()
    (home / "example.zone").write_text("$ORIGIN example.\n" + text)
    (home / "knot.conf").write_text(
        textwrap.dedent(f"""
        server:
            rundir: "{home}"
            listen: {NAMES}@53
        log:
          - target: stdout
            any: info
        database:
            storage: "{home}"
        zone:
          - domain: example.
            storage: "{home}"
            file: example.zone
            zonefile-load: difference
            dnssec-signing: on
    """)
    )
    internet.start("knot", "DNSSEC, next signing", "knotd", "-c", str(home / "knot.conf"))
    (home / "anchor").write_text(internet.run("keymgr", "-c", str(home / "knot.conf"), "example.", "ds"))
    (home / "unbound.conf").write_text(
        textwrap.dedent(f"""
        server:
            interface: 127.0.0.1
            port: 53
            chroot: ""
            username: ""
            directory: "{home}"
            pidfile: "{home}/unbound.pid"
            use-syslog: no
            do-daemonize: no
            do-ip6: no
            verbosity: 1
            trust-anchor-file: "{home}/anchor"
            local-zone: "example." nodefault
            module-config: "validator iterator"
        remote-control:
            control-enable: no
        stub-zone:
            name: "example."
            stub-addr: {NAMES}
    """)
    )
    internet.start("unbound", "start of service", "unbound", "-d", "-c", str(home / "unbound.conf"))


def settings_of(internet: Internet, name: str, user: str, address: str, domains: Sequence[str], certificate: Path) -> Path:
    home = internet.directory / name
    home.mkdir()
    path = home / "settings.toml"
    authority = internet.directory / "authority.pem"
    internet.authority.cert_pem.write_to_path(str(authority))
    others = json.dumps([f"{domain}.example" for domain in domains])
    path.write_text(
        SETTINGS.format(
            domain=f"{name}.example", hostname=f"{'mail' if name == 'alpha' else 'mx'}.{name}.example", domains=others, data=home / "data",
            user=user, address=address, certificate=certificate, authority=authority,
        )
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """Two servers, mail on its way between them: one message for each domain, delivered or tried once."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None and shutil.which(name, path="/usr/sbin:/sbin") is None]
    if missing or os.geteuid() != 0:
        reason = f"not installed: {' '.join(missing)}" if missing else "needs root"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("internet")
    made = Internet(directory, hold_namespace(directory))
    try:
        served = made.certificate("mx.beta.example", "mx.fine.example")
        alpha = settings_of(made, "alpha", "ana", ALPHA, [], made.certificate("mail.alpha.example"))
        beta = settings_of(made, "beta", "bob", BETA, DOMAINS[1:], served)
        keys = json.loads(made.run(*carteiro_command(), "dkim", "new", "alpha.example", "--json", "-c", str(alpha)))["current"]
        leaf = x509.load_pem_x509_certificate(b"".join(served.read_bytes().partition(b"-----BEGIN CERTIFICATE")[1:]))
        start_names(made, zone(keys, leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)))
        web = directory / "web.py"
        web.write_text(WEB_SERVER)
        hosts = made.certificate(*(f"mta-sts.{domain}.example" for domain in ("fine", "strict", "trying")))
        made.start("web", "ready", sys.executable, str(web), WEB, str(hosts))
        made.start("beta", "event=server_started", *carteiro_command(), "serve", "-c", str(beta))
        made.start("alpha", "event=server_started", *carteiro_command(), "serve", "-c", str(alpha))
        made.run(sys.executable, "-c", SEND, *DOMAINS)
        wait_until(
            lambda: made.log("alpha").count("event=recipient_attempted") >= len(DOMAINS),
            lambda: f"five attempts\n{made.log('alpha')[-4000:]}",
        )
        yield made
    finally:
        made.stop()


def attempt(internet: Internet, domain: str) -> str:
    """Return the log line of the attempt to deliver to a domain."""
    [line] = [
        line for line in internet.log("alpha").splitlines() if f"to=<bob@{domain}.example>" in line and "event=recipient_attempted" in line
    ]
    return line


def received(internet: Internet) -> dict[str, str]:
    """Return beta's messages by the domain that they were sent to."""
    folder = internet.directory / "beta" / "data" / "mail" / "bob" / "new"
    texts = [path.read_text() for path in folder.iterdir()] if folder.is_dir() else []
    return {text.partition("Subject: to ")[2].partition("\n")[0].strip(): text for text in texts}


def results(internet: Internet) -> dict[str, list[tuple[str, str, int]]]:
    """Return what alpha keeps of its sessions for TLS reports: policy, failure and number by domain."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    with closing(sqlite3.connect(internet.directory / "alpha" / "data" / "tls.db")) as database:
        rows = database.execute("SELECT domain, source, failure, sum(sessions) FROM result GROUP BY 1, 2, 3 ORDER BY 1, 2, 3")
        for domain, *rest in rows:
            found.setdefault(domain, []).append((rest[0], rest[1], rest[2]))
    return found


def test_all_verdicts_pass(internet: Internet) -> None:
    """What arrives over DANE is what alpha may send and has signed, and its domain says what must be so."""
    wait_until(lambda: len(received(internet)) == 3, lambda: f"three messages\n{internet.log('beta')[-3000:]}")
    text = received(internet)["beta"]
    for verdict in ("spf=pass", "dkim=pass", "dmarc=pass", "header.d=alpha.example", "arc=none"):
        assert verdict in text.replace("\n\t", " ")
    assert 2 == text.count("dkim=pass")
    assert 2 == text.count("DKIM-Signature:")
    assert "TLS1.3" in text or "TLSv1.3" in text, text
    [line] = [line for line in internet.log("beta").splitlines() if "event=message_queued" in line and "size=" in line][:1]
    for verdict in ("spf=pass", "dkim=pass", "dmarc=pass"):
        assert verdict in line


def test_tlsa_records(internet: Internet) -> None:
    """The record that names the certificate is followed; with one that names another nothing is sent."""
    assert "status=sent" in attempt(internet, "beta")
    line = attempt(internet, "wrong")
    assert "status=deferred" in line
    assert "not the one that its TLSA records name" in line
    assert "wrong" not in received(internet)


def test_mta_sts(internet: Internet) -> None:
    """An enforced policy refuses a certificate for another name; one that is only tested lets the mail go."""
    assert "status=sent" in attempt(internet, "fine")
    assert "status=deferred" in attempt(internet, "strict")
    assert "MTA-STS" in attempt(internet, "strict")
    assert "strict" not in received(internet)
    assert "status=sent" in attempt(internet, "trying")


def test_results_are_kept(internet: Internet) -> None:
    """What TLS reports are made of: each domain's policy and what came of it. Last: alpha writes it at its end."""
    alpha = internet.running.pop()
    alpha.terminate()
    assert 0 == alpha.wait(PATIENCE_S)
    expected = {
        "beta.example": [("tlsa", "", 1)],
        "wrong.example": [("tlsa", "validation-failure", 1)],
        "fine.example": [("sts", "", 1)],
        "strict.example": [("sts", "certificate-host-mismatch", 1)],
        "trying.example": [("sts", "certificate-host-mismatch", 1)],
    }
    assert expected == results(internet)
