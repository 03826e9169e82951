"""Postfix's smtp-sink as a next hop that refuses, hangs up or is slow at each command: the outcome, the report and the retry are right."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.interop.conftest import answers, free_ports
from tests.interop.test_office import inbox, queued, submission, text
from tests.interop.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.interop

COMMANDS = ("connect", "ehlo", "mail", "rcpt", "data", ".")
FAULTS = {"soft": "-r", "hard": "-f", "cut": "-q", "busy": "-Q"}
"""What smtp-sink calls them: 4xx, 5xx, the connection cut without a word, 421 and the connection cut."""
RETURNED = {("hard", command) for command in ("mail", "rcpt", "data", ".")}
DELIVERED = {("hard", "ehlo")}
"""After a refusal of EHLO for good the client says HELO (RFC 5321 section 4.1.4)."""
CASES = [(fault, command) for fault in FAULTS for command in COMMANDS]


@pytest.fixture
def sink(need_program: Callable[[str], str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return a starter of smtp-sink on a port, with options."""
    program = need_program("smtp-sink")
    running: list[subprocess.Popen[bytes]] = []

    def start(port: int, *options: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [program, *("-u", "nobody") * (os.geteuid() == 0), *options, f"127.0.0.1:{port}", "100"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running.append(process)
        wait_until(partial(answers, port), f"smtp-sink {options}")
        return process

    yield start
    for process in running:
        process.kill()
        process.wait(PATIENCE_S)


def domain(fault: str, command: str) -> str:
    return f"{fault}-{'dot' if command == '.' else command}.example"


def test_each_fault_at_each_command(make_office: Any, sink: Any, wait: Any) -> None:
    """A refusal for good comes back with the server's words; all else waits, and is delivered when the server behaves."""
    ports = dict(zip(CASES, free_ports(len(CASES)), strict=True))
    misbehaving = [sink(port, FAULTS[fault], command) for (fault, command), port in ports.items()]
    routes = "".join(
        f'[[routes]]\ndomain = "{domain(*case)}"\nhost = "[127.0.0.1]"\nport = {port}\ntls = "none"\n' for case, port in ports.items()
    )
    office = make_office(more=routes)
    with submission(office) as client:
        for case in CASES:
            client.sendmail("ana@office.example", [f"friend@{domain(*case)}"], text(domain(*case)))

    def outcomes(case: tuple[str, str]) -> list[str]:
        return re.findall(rf"to=<friend@{re.escape(domain(*case))}> .*?status=(\w+)", office.log)

    wait(lambda: all(outcomes(case) for case in CASES), lambda: f"a first attempt each: {office.log[-3000:]}")
    expected = {case: "bounced" if case in RETURNED else "sent" if case in DELIVERED else "deferred" for case in CASES}
    assert expected == {case: outcomes(case)[0] for case in CASES}
    for process in misbehaving:
        process.kill()
        process.wait(PATIENCE_S)
    for port in ports.values():
        sink(port)
    wait(lambda: queued(office) == [], lambda: f"an empty queue: {queued(office)}\n{office.log[-3000:]}")
    assert {case: "bounced" if case in RETURNED else "sent" for case in CASES} == {case: outcomes(case)[-1] for case in CASES}
    assert len(RETURNED) == len(inbox(office, "ana"))
    reports = {
        found[1]: report for report in inbox(office, "ana") if (found := re.search(r"Final-Recipient: rfc822; friend@(\S+)", report))
    }
    assert {domain(*case) for case in RETURNED} == set(reports)
    assert all("Action: failed" in report and "Diagnostic-Code: smtp; 5" in report for report in reports.values())


def test_a_slow_server_gets_its_mail(make_office: Any, sink: Any, wait: Any) -> None:
    """A server that waits at each step holds up nobody else's mail and gets its own in the end; LMTP's fates are each recipient's own."""
    slow, quick, lmtp = free_ports(3)
    sink(slow, "-p", "-W", "mail:1")  # it answers out of order when commands are pipelined
    sink(quick)
    sink(lmtp, "-L")
    routes = "".join(
        f'[[routes]]\ndomain = "{name}.example"\nhost = "[127.0.0.1]"\nport = {port}\ntls = "none"\nprotocol = "{protocol}"\n'
        for name, port, protocol in (("slow", slow, "smtp"), ("quick", quick, "smtp"), ("agent", lmtp, "lmtp"))
    )
    office = make_office(more=routes)
    with submission(office) as client:
        for number in range(3):
            client.sendmail("ana@office.example", ["one@slow.example", "two@slow.example"], text(f"slow {number}"))
        client.sendmail("ana@office.example", ["one@quick.example"], text("quick"))
        client.sendmail("ana@office.example", ["one@agent.example", "two@agent.example"], text("agent"))
    wait(lambda: queued(office) == [], lambda: f"an empty queue: {office.log[-3000:]}")
    order = re.findall(r"to=<\w+@(\w+)\.example> .*?status=sent", office.log)
    assert {"slow": 6, "quick": 1, "agent": 2} == {name: order.count(name) for name in set(order)}
    assert order.index("quick") < order.index("slow")
