"""The Debian package on a booted machine: installed, started, upgraded, removed, and nobody's mail harmed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SETTINGS = """domain = "office.example"
[[users]]
name = "ana"
password = "{PLAIN}ana-secret"
"""
Wait = Callable[[Callable[[], object]], None]


def install(machine: Any) -> str:
    return str(machine.run("dpkg", "-i", "/root/carteiro.deb").stdout)


def configure(machine: Any) -> None:
    """Write the settings as the administrator would."""
    path = machine.root / "etc" / "carteiro" / "carteiro.toml"
    path.write_text(SETTINGS)
    path.chmod(0o640)
    machine.run("chgrp", "carteiro", "/etc/carteiro/carteiro.toml")


def mail_of_ana(machine: Any) -> list[Path]:
    return sorted((machine.root / "var/lib/carteiro/mail/ana/new").glob("*"))


def greeting(machine: Any, port: int) -> str:
    """Return the first line a port says."""
    return str(machine.run("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}; timeout 10 head -n 1 <&3").stdout)


def test_the_life_of_a_package(machine: Any, wait: Wait) -> None:
    """Install, configure, start, send as anybody, upgrade, remove, purge: it runs when it should, and mail stays."""
    assert "write /etc/carteiro/carteiro.toml" in install(machine)
    assert "inactive\n" == machine.out("systemctl is-active carteiro")
    assert "enabled\n" == machine.out("systemctl is-enabled carteiro")
    assert "everything works" in machine.out("carteiro selftest")

    configure(machine)
    machine.run("systemctl", "start", "carteiro")
    assert "active\n" == machine.out("systemctl is-active carteiro")
    assert greeting(machine, 25).startswith("220 mail.office.example")
    assert greeting(machine, 110).startswith("+OK")
    assert greeting(machine, 143).startswith("* OK")

    # An ordinary user cannot read the settings, and need not.
    machine.run("useradd", "--create-home", "somebody")
    machine.run("su", "somebody", "-c", "/usr/lib/sendmail -oi -t", text="To: ana\nSubject: from cron\n\nline\n.\nlast\n")
    wait(lambda: len(mail_of_ana(machine)) == 1)
    assert "Subject: from cron" in mail_of_ana(machine)[0].read_text()
    assert "The queue is empty.\n" == machine.out("mailq")

    before = machine.out("systemctl show -P MainPID carteiro")
    install(machine)
    assert "active\n" == machine.out("systemctl is-active carteiro")
    assert before != machine.out("systemctl show -P MainPID carteiro")
    machine.run("systemctl", "disable", "carteiro")
    install(machine)
    assert "disabled\n" == machine.out("systemctl is-enabled carteiro")

    machine.run("dpkg", "--remove", "carteiro")
    assert "" == machine.out("systemctl list-units --no-legend 'carteiro*'")
    assert not (machine.root / "usr/sbin/sendmail").exists()
    assert "mail and keys are still in" in machine.run("dpkg", "--purge", "carteiro").stdout
    assert 1 == len(mail_of_ana(machine))
    assert (machine.root / "etc/carteiro/carteiro.toml").exists()


def test_systemd_may_open_the_ports(machine: Any, wait: Wait) -> None:
    """The first connection starts the server, the others have the ports of their units; upgrade and removal mind the sockets."""
    install(machine)
    configure(machine)
    names = [path.name for path in sorted(UNITS.glob("*.socket"))]
    machine.run("systemctl", "enable", "--now", *names)
    assert "inactive\n" == machine.out("systemctl is-active carteiro")
    assert greeting(machine, 143).startswith("* OK")
    # It takes connections a moment before it says that it is ready.
    wait(lambda: "active\n" == machine.out("systemctl is-active carteiro"))
    assert greeting(machine, 25).startswith("220 ")
    assert (
        "ok" in machine.run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3").stdout
    )
    listening = machine.out("cat /proc/net/tcp")
    assert {25, 110, 143, 465, 587, 993, 995, 8080} <= {int(port, 16) for port in re.findall(r":([0-9A-F]{4}) 00000000:0000 0A", listening)}

    install(machine)
    assert ["active"] * (len(names) + 1) == machine.out(f"systemctl is-active carteiro {' '.join(names)}").split()
    assert greeting(machine, 25).startswith("220 ")
    machine.run("dpkg", "--remove", "carteiro")
    assert "" == machine.out("systemctl list-units --no-legend 'carteiro*'")


def test_the_unit_tells_its_exposure(machine: Any) -> None:
    """The figure in the unit's first line is what systemd says of it, and it is small."""
    install(machine)
    said = re.search(r"Overall exposure level for carteiro.service: ([0-9.]+)", machine.out("systemd-analyze security carteiro.service"))
    written = re.search(r"on systemd 252: ([0-9.]+) OK", (UNITS / "carteiro.service").read_text())
    assert said is not None
    assert written is not None
    assert float(said[1]) <= 2.0
    if "systemd 252 " in machine.out("systemctl --version"):
        assert said[1] == written[1]
