"""Where reports go: the addresses of a DMARC or TLSRPT record, and whether they want them.

Owns the reading of ``rua=``, with the size limits of old records, the question whether a
domain takes reports about another one, and the TLSRPT record. Generators of DNS questions.

Fails: never; what cannot be looked up now, or is malformed, gets no report.
Does not: send; for DMARC nobody sends over HTTPS any more.

Sources: RFC 9990 section 4 (verifying external destinations), RFC 7489 section 6.2 (size limits), RFC 8460 section 3 (the TLSRPT record).
"""

import re
from dataclasses import dataclass
from typing import Final

from appliance.model.dns import Asking, DnsQuestion
from appliance.policy.dmarc_record import parse_dmarc

__all__ = ["ReportTarget", "dmarc_targets", "rua_addresses", "tls_targets"]

MAX_TARGETS: Final = 10
MAX_RECORD: Final = 4_096
MAX_SIZE: Final = 25 * 1_048_576
_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_MAILTO = re.compile(r"mailto:([^\s@,!?%]+@[A-Za-z0-9_.-]+)(?:!([0-9]{1,12})([kmgt]?))?", re.IGNORECASE)
_PAGE = re.compile(r"https://[A-Za-z0-9_.-]{1,253}(?::[0-9]{1,5})?(?:/[!-~]{0,1000})?", re.IGNORECASE)
_RUA = re.compile(r"(?:^|;)[ \t]*rua[ \t]*=([^;]*)", re.IGNORECASE)
_TLSRPT = re.compile(r"v=TLSRPTv1[ \t]*;", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReportTarget:
    """A mail address, or an https: one, and the largest report that it takes."""

    address: str
    max_bytes: int = MAX_SIZE

    @property
    def is_web(self) -> bool:
        return self.address.startswith("https:")


def rua_addresses(record: str) -> tuple[ReportTarget, ...]:
    """Return the mail addresses of a record's ``rua=``."""
    found = _RUA.search(record[:MAX_RECORD])
    targets: dict[str, ReportTarget] = {}
    for uri in found[1].split(",")[:MAX_TARGETS] if found else []:
        match = _MAILTO.fullmatch(uri.strip())
        if match is not None:
            size = int(match[2]) * _UNITS[match[3].lower()] if match[2] else MAX_SIZE
            targets.setdefault(match[1].lower(), ReportTarget(match[1], min(size, MAX_SIZE)))
    return tuple(targets.values())


def dmarc_targets(domain: str, record: str) -> Asking[tuple[ReportTarget, ...]]:
    """Return who gets the report on a domain: addresses within it, and those whose domain says that it takes its reports."""
    wanted: list[ReportTarget] = []
    for target in rua_addresses(record):
        host = target.address.rpartition("@")[2].lower().rstrip(".")
        if host == domain or host.endswith("." + domain) or domain.endswith("." + host):
            wanted.append(target)
            continue
        answer = yield DnsQuestion(f"{domain}._report._dmarc.{host}", "TXT")
        if any(parse_dmarc(text) is not None for text in answer.records):
            wanted.append(target)
    return tuple(wanted)


def tls_targets(domain: str) -> Asking[tuple[ReportTarget, ...]]:
    """Return who gets the report on sessions with a domain."""
    answer = yield DnsQuestion(f"_smtp._tls.{domain}", "TXT")
    records = [text for text in answer.records if _TLSRPT.match(text)]
    if len(records) != 1:
        return ()  # several are none (RFC 8460 section 3)
    return (rua_addresses(records[0]) + _rua_pages(records[0]))[:MAX_TARGETS]


def _rua_pages(record: str) -> tuple[ReportTarget, ...]:
    found = _RUA.search(record[:MAX_RECORD])
    uris = [uri.strip() for uri in found[1].split(",")[:MAX_TARGETS]] if found else []
    return tuple(ReportTarget("https" + uri[5:]) for uri in dict.fromkeys(uris) if _PAGE.fullmatch(uri))
