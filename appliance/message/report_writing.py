"""The reports that we send: the XML of DMARC aggregate reports, the JSON of TLSRPT, and the messages around them. Pure.

Owns both formats and the names of the attachments. What is in a report came from strangers: all texts are cut and escaped.

Sources: RFC 9990 sections 3.1 (format), 3.5.2 (file name) and 3.5.1 (message), RFC 8460 sections 4.4 (JSON), 5.1 (file name) and 5.3 (message),
RFC 1952 (gzip).
"""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from xml.sax.saxutils import escape

from appliance.message.date import format_date

__all__ = ["DmarcFinding", "Reporter", "TlsSessions", "dmarc_xml", "packed_report", "report_message", "tls_json"]

NAMESPACE: Final = "urn:ietf:params:xml:ns:dmarc-2.0"
MAX_TEXT: Final = 255
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports: ``organisation`` is a domain, ``email`` the address in From."""

    organisation: str
    email: str
    hostname: str


@dataclass(frozen=True, slots=True)
class DmarcFinding:
    """What was found on one or more equal messages. ``dkim``: domain, selector and result of each signature."""

    address: str
    disposition: str
    dkim_aligned: bool
    spf_aligned: bool
    header_from: str
    envelope_from: str
    spf_domain: str
    spf_scope: str
    spf_result: str
    override: str = ""
    dkim: tuple[tuple[str, str, str], ...] = ()


@dataclass(slots=True)
class TlsSessions:
    """The sessions of a day with one domain under one policy. ``failures``: (type, host, address) -> sessions."""

    kind: str
    policy: str = ""
    good: int = 0
    failures: dict[tuple[str, str, str], int] = field(default_factory=dict)


def _texts(pairs: Sequence[tuple[str, object]], indent: str) -> str:
    return "".join(f"{indent}<{name}>{_clean(str(value))}</{name}>\n" for name, value in pairs)


def _clean(text: str) -> str:
    return escape("".join(letter for letter in text[:MAX_TEXT] if letter.isprintable()))


def dmarc_xml(
    reporter: Reporter, domain: str, policy: Mapping[str, str], rows: Sequence[tuple[DmarcFinding, int]], *, report_id: str, day: int
) -> bytes:
    """Return the report of a day. ``policy``: what the domain has published, tag by tag, in the words of the format."""
    begin = day * _DAY_S
    dates = _texts([("begin", begin), ("end", begin + _DAY_S - 1)], "      ")
    about = [("org_name", reporter.organisation), ("email", reporter.email), ("report_id", report_id)]
    parts = [
        f'<?xml version="1.0" encoding="UTF-8"?>\n<feedback xmlns="{NAMESPACE}">\n  <version>1.0</version>\n  <report_metadata>\n',
        _texts(about, "    "),
        f"    <date_range>\n{dates}    </date_range>\n  </report_metadata>\n  <policy_published>\n",
        _texts([("domain", domain), *policy.items()], "    "),
        "  </policy_published>\n",
        *[_record(finding, count) for finding, count in rows],
        "</feedback>\n",
    ]
    return "".join(parts).encode()


def _record(finding: DmarcFinding, count: int) -> str:
    outcomes = [("disposition", finding.disposition), ("dkim", _word(finding.dkim_aligned)), ("spf", _word(finding.spf_aligned))]
    reason = f"        <reason>\n{_texts([('type', finding.override)], '          ')}        </reason>\n" if finding.override else ""
    names = [("header_from", finding.header_from), ("envelope_from", finding.envelope_from)]
    signatures = "".join(
        "      <dkim>\n" + _texts([("domain", domain), ("selector", selector), ("result", result)], "        ") + "      </dkim>\n"
        for domain, selector, result in finding.dkim
    )
    spf = _texts([("domain", finding.spf_domain), ("scope", finding.spf_scope), ("result", finding.spf_result)], "        ")
    return (
        f"  <record>\n    <row>\n{_texts([('source_ip', finding.address), ('count', count)], '      ')}"
        f"      <policy_evaluated>\n{_texts(outcomes, '        ')}{reason}      </policy_evaluated>\n    </row>\n"
        f"    <identifiers>\n{_texts([one for one in names if one[1]], '      ')}    </identifiers>\n"
        f"    <auth_results>\n{signatures}      <spf>\n{spf}      </spf>\n    </auth_results>\n  </record>\n"
    )


def _word(passes: bool) -> str:
    return "pass" if passes else "fail"


def tls_json(
    reporter: Reporter, domain: str, sessions: Sequence[TlsSessions], *, report_id: str, day: int, bind_address: str = ""
) -> bytes:
    """Return the report on sessions of a day with one domain. ``bind_address``: where we came from, when that is known."""
    begin = datetime.fromtimestamp(day * _DAY_S, UTC)
    report = {
        "organization-name": reporter.organisation,
        "date-range": {"start-datetime": begin.strftime("%Y-%m-%dT00:00:00Z"), "end-datetime": begin.strftime("%Y-%m-%dT23:59:59Z")},
        "contact-info": reporter.email,
        "report-id": report_id,
        "policies": [_tls_policy(domain, each, bind_address) for each in sessions],
    }
    return json.dumps(report, indent=1).encode()


def _tls_policy(domain: str, sessions: TlsSessions, bind_address: str) -> dict[str, Any]:
    policy: dict[str, Any] = {"policy-type": sessions.kind, "policy-domain": domain}
    lines = [line.strip() for line in sessions.policy.splitlines() if line.strip()]
    if lines:
        policy["policy-string"] = lines[:100]
        policy["mx-host"] = [line[3:].strip() for line in lines[:100] if line.startswith("mx:")]
    details = [
        ({"sending-mta-ip": bind_address} if bind_address else {})
        | {"result-type": kind, "receiving-mx-hostname": host, "receiving-ip": address, "failed-session-count": count}
        for (kind, host, address), count in sessions.failures.items()
    ]
    summary = {"total-successful-session-count": sessions.good, "total-failure-session-count": sum(sessions.failures.values())}
    return {"policy": policy, "summary": summary} | ({"failure-details": details} if details else {})


def packed_report(report: bytes, day: int) -> bytes:
    """Return a report as it is attached or posted."""
    return gzip.compress(report, mtime=day * _DAY_S)


def report_message(
    reporter: Reporter, domain: str, to: Sequence[str], report: bytes, *, kind: str, report_id: str, day: int, now_s: float, token: str
) -> bytes:
    """Return the message that carries a report. ``kind``: dmarc or tls; ``token``: letters and digits nobody can guess."""
    begin = day * _DAY_S
    is_tls = kind == "tls"
    suffix = "json" if is_tls else "xml"
    name = f"{reporter.organisation}!{domain}!{begin}!{begin + _DAY_S - 1}.{suffix}.gz"
    media = "application/tlsrpt+gzip" if is_tls else "application/gzip"
    outer = "multipart/report; report-type=tlsrpt" if is_tls else "multipart/mixed"
    own = [f"TLS-Report-Domain: {domain}", f"TLS-Report-Submitter: {reporter.organisation}", "TLS-Required: No"] if is_tls else []
    when = datetime.fromtimestamp(begin, UTC).strftime("%Y-%m-%d")
    what = "TLS sessions with it" if is_tls else "mail with it in From (DMARC)"
    packed = base64.encodebytes(packed_report(report, day)).replace(b"\n", b"\r\n")
    head = [
        f"From: <{reporter.email}>",
        f"To: {', '.join(f'<{address}>' for address in to)}",
        f"Subject: Report Domain: {domain} Submitter: {reporter.organisation} Report-ID: <{report_id}>",
        f"Date: {format_date(now_s).decode()}",
        f"Message-ID: <{token}@{reporter.hostname}>",
        *own,
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f'Content-Type: {outer};\r\n\tboundary="{token}"',
        "",
        f"--{token}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"This is the report of {reporter.organisation} on {domain}: {what},",
        f"on {when} (UTC). The report is attached; programs read it.",
        "",
        f"--{token}",
        f'Content-Type: {media};\r\n\tname="{name}"',
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment;\r\n\tfilename="{name}"',
        "",
        "",
    ]
    return "\r\n".join(head).encode("ascii", "replace") + packed + f"--{token}--\r\n".encode()
