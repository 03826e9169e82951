"""``carteiro reports``: what other servers report about mail in our name and about TLS towards us, in sentences.

Owns the sums over many reports and their words. Without a name it reads what the server has kept of the mail to
``[reports] addresses``; else files, or a Maildir. ``--sent`` tells which reports this server has sent.

Fails: exit 66 for what cannot be read; a file that holds no report is told and passed over, exit 65 when none does.
Blocks: disk.
Sources: RFC 9990, RFC 8460 section 4.
"""

import argparse
import ipaddress
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from appliance.app.configfile import EX_CONFIG, add_data_arguments, data_directory
from appliance.message.reports import DmarcReport, DmarcRow, ReportError, TlsReport, parse_report, reports_in
from appliance.model.errors import UnavailableError
from appliance.storage.received_reports import ReceivedReports
from appliance.storage.report_results import ReportResults

__all__ = ["HELP", "add_arguments", "run"]

HELP = "Tell what DMARC and TLS reports say: those that came, or message files, attachments, a Maildir."

EX_DATAERR: Final = 65
EX_NOINPUT: Final = 66
_DAY_S: Final = 86_400
MAX_SOURCES: Final = 10
_MAGIC: Final = (b"\x1f\x8b", b"PK", b"<", b"{", b"\xef\xbb\xbf")


@dataclass
class _Domain:
    """The sums over one domain of ours."""

    good: int = 0
    bad: int = 0
    refused: int = 0
    reporters: set[str] = field(default_factory=set)
    half: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    begin_s: int = 2**40
    end_s: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as a JSON list of reports")
    parser.add_argument("--sent", action="store_true", help="show instead which reports this server has sent")
    add_data_arguments(parser)
    parser.add_argument("paths", nargs="*", metavar="FILE|DIRECTORY", help="messages, attachments (.xml.gz, .zip, .json.gz) or a Maildir")


def run(args: argparse.Namespace) -> int:
    if args.sent:
        return _show_sent(args)
    found: list[DmarcReport | TlsReport] = []
    if not args.paths:
        data = data_directory(args)
        if data is None:
            return EX_CONFIG
        try:
            found = _kept(Path(data) / "received.db")
        except UnavailableError as error:
            print(f"carteiro: {error.detail}", file=sys.stderr)
            return EX_NOINPUT
        _tell(args, found)
        return 0
    try:
        for path in _files([Path(name) for name in args.paths]):
            try:
                found += _read(path)
            except ReportError as error:
                print(f"{path}: no report: {error}", file=sys.stderr)
    except OSError as error:
        print(f"carteiro: {error.filename}: {error.strerror}", file=sys.stderr)
        return EX_NOINPUT
    _tell(args, found)
    return 0 if found else EX_DATAERR


def _kept(path: Path) -> list[DmarcReport | TlsReport]:
    """Return what the server has kept. Raises UnavailableError."""
    found: list[DmarcReport | TlsReport] = []
    kept = ReceivedReports(path)
    try:
        for data in kept.all() if path.exists() else ():
            try:
                found.append(parse_report(data))
            except ReportError as error:
                print(f"{path}: a report that cannot be read: {error}", file=sys.stderr)
    finally:
        kept.close()
    return found


def _tell(args: argparse.Namespace, found: Sequence[DmarcReport | TlsReport]) -> None:
    """Print each report once, however often it came."""
    unique = list({(type(report), report.organisation, report.report_id): report for report in found}.values())
    if args.json:
        print(json.dumps([asdict(report) for report in unique], ensure_ascii=False, indent=2))
    elif unique:
        print("\n".join(_dmarc_words([report for report in unique if isinstance(report, DmarcReport)])))
        print("\n".join(_tls_words([report for report in unique if isinstance(report, TlsReport)])))
    elif not args.paths:
        print("No report has come; [reports] addresses in the settings says whose mail is looked at, and DMARC and TLSRPT records name it.")


def _show_sent(args: argparse.Namespace) -> int:
    """Tell which reports went to whom."""
    data = data_directory(args)
    if data is None:
        return EX_CONFIG
    path = Path(data) / "reports.db"
    results = ReportResults(path)
    try:
        sent = results.sent() if path.exists() else []
    except UnavailableError as error:
        print(f"carteiro: {error.detail}", file=sys.stderr)
        return EX_NOINPUT
    finally:
        results.close()
    if args.json:
        print(json.dumps([asdict(one) for one in sent], ensure_ascii=False, indent=2))
        return 0
    for one in sent:
        what = f"{one.messages} messages" if one.kind == "dmarc" else f"{one.messages} TLS sessions"
        fate = f"not sent: {one.problem}" if one.problem else f"sent to {_plain(one.recipients)}"
        print(f"{_day(one.day * _DAY_S)}, {_plain(one.domain)}: {what}, {fate}.")
    if not sent:
        print("No report was sent; [reports] dmarc and tls in the settings turn them on.")
    return 0


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            folders = [path / name for name in ("cur", "new") if (path / name).is_dir()] or [path]
            yield from sorted(entry for folder in folders for entry in folder.iterdir() if entry.is_file())
        else:
            yield path


def _read(path: Path) -> list[DmarcReport | TlsReport]:
    with path.open("rb") as file:
        if file.read(3).startswith(_MAGIC):
            file.seek(0)
            return [parse_report(file.read(2**24))]
        file.seek(0)
        reports = list(reports_in(file))
    if not reports:
        raise ReportError("nothing attached looks like one")
    return reports


def _dmarc_words(reports: Sequence[DmarcReport]) -> list[str]:
    """Return, for each domain of ours, what its mail met."""
    domains: dict[str, _Domain] = {}
    for report in reports:
        sums = domains.setdefault(report.domain, _Domain())
        sums.reporters.add(_plain(report.organisation) or "somebody")
        sums.begin_s, sums.end_s = min(sums.begin_s, report.begin_s), max(sums.end_s, report.end_s)
        for row in report.rows:
            _add(sums, row)
    lines = []
    for name, sums in sorted(domains.items()):
        total = sums.good + sums.bad
        lines.append(
            f"{_plain(name)}, {_day(sums.begin_s)} to {_day(sums.end_s)}: {total} messages reported by {', '.join(sorted(sums.reporters)[:8])}."
        )
        lines.append(f"  {sums.good} of them passed DMARC, {sums.bad} did not; {sums.refused} were refused or put into Junk.")
        for address, count in sums.half.most_common(MAX_SOURCES):
            lines.append(f"  {count} from {address} passed by one of SPF and DKIM only: mend the other before you forward or move.")
        for address, count in sums.sources.most_common(MAX_SOURCES):
            lines.append(
                f"  {count} from {address} failed: if that is a server of yours, name it in SPF and let it sign; if not, it is a forger."
            )
        lines.append("")
    return lines


def _add(sums: _Domain, row: DmarcRow) -> None:
    address = _address(row.address)
    passes = [row.spf == "pass", row.dkim == "pass"]
    if any(passes):
        sums.good += row.count
        if not all(passes):
            sums.half[address] += row.count
    else:
        sums.bad += row.count
        sums.sources[address] += row.count
    if row.disposition in {"reject", "quarantine"}:
        sums.refused += row.count


def _tls_words(reports: Sequence[TlsReport]) -> list[str]:
    """Return, for each domain of ours, how sessions with it were protected."""
    lines = []
    for report in reports:
        for policy in report.policies:
            lines.append(
                f"{_plain(policy.domain)}, {_plain(report.begin)[:10]}: {_plain(report.organisation)} had {policy.good_sessions} good"
                f" and {policy.bad_sessions} failed sessions under policy {_plain(policy.kind)}."
            )
            lines += [
                f"  {failure.sessions} failed with {_plain(failure.kind)} at {_plain(failure.host) or 'no host'}. {_plain(failure.detail)}".rstrip()
                for failure in policy.failures[:MAX_SOURCES]
            ]
    return lines


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return "no address"


def _plain(text: str) -> str:
    """Return a stranger's text fit for a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(min(seconds, 2**33), UTC).strftime("%Y-%m-%d")
