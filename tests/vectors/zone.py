"""Zones as the test suites of others write them, asked in process or served by a real name server."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.ANY.TXT import TXT

from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus

__all__ = ["Zone", "ZoneServer"]

Records = Mapping[str, Sequence[Any]]


class Zone:
    """Records by name; a name's ``TIMEOUT`` fails every kind that has no record before it; SPF records are TXT, too."""

    def __init__(self, records: Records) -> None:
        self._records = {name.lower(): list(_plain(found)) for name, found in records.items()}

    def find(self, name: str, kind: str, most: int = 8) -> tuple[DnsStatus, list[Any]]:
        """Return the status and the values of one kind, CNAMEs followed, ``most`` of them."""
        found = self._records.get(name.lower())
        if found is None:
            return DnsStatus.MISSING, []
        values = [value for key, value in found if key == kind]
        if values:
            return DnsStatus.FOUND, values
        if ("TIMEOUT", "") in found:
            return DnsStatus.FAILED, []
        aliases = [str(value) for key, value in found if key == "CNAME"]
        if aliases and kind != "CNAME":
            return self.find(aliases[0].rstrip("."), kind, most - 1) if most else (DnsStatus.FAILED, [])
        return DnsStatus.EMPTY, []

    def __call__(self, question: DnsQuestion) -> DnsAnswer:
        status, values = self.find(question.name, question.kind)
        if question.kind == "MX":
            return DnsAnswer(status, tuple(host.rstrip(".") for _preference, host in sorted(values)))
        if question.kind == "PTR":
            return DnsAnswer(status, tuple(host.rstrip(".") for host in values))
        if question.kind == "TXT":
            return DnsAnswer(status, tuple("".join(map(_octets, _strings(value))) for value in values))
        return DnsAnswer(status, tuple(values))


def _octets(text: str) -> str:
    return text.encode("utf-8").decode("latin-1")


def _strings(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _plain(found: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    pairs = [(each, "") if isinstance(each, str) else next(iter(each.items())) for each in found]
    has_text = any(kind == "TXT" for kind, _value in pairs)
    for kind, value in pairs:
        if kind == "TXT" and value == "NONE":
            continue
        yield kind, value
        if kind == "SPF" and not has_text:
            yield "TXT", value


class ZoneServer:
    """Answers queries on the wire; pass it where ``FakeDns.answer`` is looked for."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def answer(self, wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        reply = dns.message.make_response(query, recursion_available=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        status, values = self.zone.find(_unescaped(question.name), kind)
        if status is DnsStatus.MISSING:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif status is DnsStatus.FAILED:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif values:
            reply.answer.append(_rrset(question.name, kind, values))
        return reply.to_wire(max_size=65_535)


def _unescaped(name: dns.name.Name) -> str:
    return ".".join(label.decode("latin-1") for label in name.labels if label)


def _rrset(name: dns.name.Name, kind: str, values: list[Any]) -> dns.rrset.RRset:
    if kind == "TXT":
        texts = [
            TXT(dns.rdataclass.IN, dns.rdatatype.TXT, [text.encode("utf-8") for text in _cut(_strings(value) or [""])]) for value in values
        ]
        return dns.rrset.from_rdata_list(name, 60, texts)
    if kind == "MX":
        return dns.rrset.from_text(name, 60, "IN", kind, *(f"{preference} {host.rstrip('.')}." for preference, host in values))
    if kind in {"PTR", "CNAME"}:
        values = [host.rstrip(".") + "." for host in values]
    return dns.rrset.from_text(name, 60, "IN", kind, *values)


def _cut(texts: list[str]) -> list[str]:
    return [text[at : at + 255] for text in texts for at in range(0, max(len(text), 1), 255)]
