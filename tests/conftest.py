"""Fixtures for every test: a name server in this process, and what to do when a peer program is missing."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import trio
from hypothesis import HealthCheck, settings

# A loaded machine is no defect: time is measured by the benchmarks alone.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@dataclass
class FakeDns:
    """An authoritative server over UDP for ``records``: (name, type) -> texts. Names not listed do not exist.

    ``failing``: names answered with SERVFAIL; ``silent``: names never answered.
    """

    records: Mapping[tuple[str, str], Sequence[str]]
    failing: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    authentic: Callable[[str], bool] = lambda _name: False
    """Which names' answers have the AD bit."""
    address: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, wire: bytes) -> bytes | None:
        """Return the reply to one query, None for silence."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self.silent:
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        if self.authentic(name):
            reply.flags |= dns.flags.AD
        if name in self.failing:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply.to_wire()
        target = name
        while (target, "CNAME") in self.records:
            alias = self.records[target, "CNAME"][0]
            reply.answer.append(dns.rrset.from_text(target + ".", 60, "IN", "CNAME", alias + "."))
            target = alias
        if texts := self.records.get((target, kind)):
            reply.answer.append(dns.rrset.from_text(target + ".", 60, "IN", kind, *texts))
        elif not any(known == target for known, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()

    async def serve(self, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            await sock.bind(("127.0.0.1", 0))
            self.address = "{}:{}".format(*sock.getsockname())
            task_status.started(self.address)
            while True:
                wire, peer = await sock.recvfrom(4096)
                if (reply := self.answer(wire)) is not None:
                    await sock.sendto(reply, peer)


@pytest.fixture(scope="session", autouse=True)
def watches_come_back() -> Iterator[None]:
    """Fail when the tests keep more watch queues than a few: the kernel gives a user 128, and other programs need some."""
    yield
    gc.collect()
    links = [str(path.readlink()) for path in Path("/proc/self/fd").glob("*") if path.is_symlink()]
    assert 16 > links.count("anon_inode:inotify")


@pytest.fixture
def fake_dns() -> type[FakeDns]:
    """The class of the in-process name server; start it with ``nursery.start(server.serve)``."""
    return FakeDns


@pytest.fixture
def need_program() -> Callable[[str], str]:
    """Return a program's path; without it the test is skipped, and fails where CI=true."""

    def need(name: str) -> str:
        if found := shutil.which(name):
            return found
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")

    return need
