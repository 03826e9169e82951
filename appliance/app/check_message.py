"""``carteiro check-message``: what this server would find out about a message from a stranger, and do with it.

Owns answers from a file of records, for tests and for what is not published yet. Everything else is what
``services.smtp`` does between DATA and 250.

Fails: exit 66 for a file that cannot be read, 65 for records that make no sense, 78 for bad settings.
Blocks: network, unless ``--dns`` gives the records.

Sources: RFC 7208 section 4.1 (arguments), RFC 8601.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Final, TypeVar

import trio

from appliance.config.schema import Config
from appliance.message.header import split_message
from appliance.message.submission import HeaderReport
from appliance.model.dns import Asking, DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.model.ports import DnsLookup
from appliance.net.clock import SystemClock
from appliance.policy.judgement import Decision, Verdicts
from appliance.policy.judgement_fields import findings, result_fields
from appliance.services.smtp.judging import Judge

__all__ = ["HELP", "RecordsError", "RecordsFile", "add_arguments", "run"]

HELP = "Judge a message as if a stranger had sent it: SPF, DKIM, DMARC and ARC, and what would become of it."

T = TypeVar("T")
U = TypeVar("U")

EX_DATAERR: Final = 65
EX_NOINPUT: Final = 66
EX_CONFIG: Final = 78
MAX_MESSAGE: Final = 256 * 1_048_576
_KINDS: Final = frozenset({"A", "AAAA", "MX", "PTR", "TXT", "CNAME"})


class RecordsError(ValueError):
    """The file of records makes no sense."""


class RecordsFile:
    """The port ``DnsLookup`` over ``{"example.com": {"TXT": ["v=spf1 -all"], "MX": ["10 mx.example.com"]}}``.

    A name that is not there does not exist; ``"FAIL"`` in a name's place is a server that does not answer.
    """

    def __init__(self, records: object) -> None:
        if not isinstance(records, dict):
            raise RecordsError("the records must be an object of names")
        self._records: dict[str, dict[str, list[str]] | None] = {
            name.lower().rstrip("."): None if kinds == "FAIL" else _kinds(name, kinds) for name, kinds in records.items()
        }

    def answer(self, question: DnsQuestion, depth: int = 8) -> DnsAnswer:
        """Answer one question; aliases are followed."""
        name = question.name.lower().rstrip(".")
        if name not in self._records:
            return DnsAnswer(DnsStatus.MISSING)
        kinds = self._records[name]
        if kinds is None or not depth:
            return DnsAnswer(DnsStatus.FAILED)
        if kinds.get("CNAME"):
            return self.answer(DnsQuestion(kinds["CNAME"][0], question.kind), depth - 1)
        records = kinds.get(question.kind, [])
        if question.kind == "MX":
            records = [host.rstrip(".") for _preference, host in sorted(_mail_host(record) for record in records)]
        return DnsAnswer(DnsStatus.FOUND if records else DnsStatus.EMPTY, tuple(records))

    async def ask(self, question: DnsQuestion) -> DnsAnswer:
        await trio.lowlevel.checkpoint()
        return self.answer(question)

    async def ask_all(self, asking: Asking[T], deadline_s: float = math.inf) -> T:
        await trio.lowlevel.checkpoint()
        return answer_with(self.answer, asking)

    async def ask_both(self, first: Asking[T], second: Asking[U], deadline_s: float = math.inf) -> tuple[T, U]:
        return await self.ask_all(first, deadline_s), await self.ask_all(second, deadline_s)


def _kinds(name: str, kinds: object) -> dict[str, list[str]]:
    if not isinstance(kinds, dict) or not kinds.keys() <= _KINDS:
        raise RecordsError(f"{name}: there must be lists of {', '.join(sorted(_KINDS))}, or FAIL")
    found = {}
    for kind, records in kinds.items():
        listed = [records] if isinstance(records, str) else records
        if not isinstance(listed, list) or not all(isinstance(record, str) for record in listed):
            raise RecordsError(f"{name}: {kind} must be a list of texts")
        # Answers have one character for each octet.
        found[kind] = [record.encode().decode("latin-1") for record in listed] if kind == "TXT" else listed
    return found


def _mail_host(record: str) -> tuple[int, str]:
    preference, _space, host = record.strip().partition(" ")
    if not preference.isdecimal() or not host:
        raise RecordsError(f"{record!r} is no MX record; it should look like 10 mx.example.com")
    return int(preference), host.strip()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ip", required=True, help="address of the client that hands the message over")
    parser.add_argument("--helo", required=True, help="name that the client says in EHLO")
    parser.add_argument("--from", dest="reverse_path", required=True, help="address of MAIL FROM; '' for notifications")
    parser.add_argument("--dns", metavar="FILE", help="take DNS records from this JSON file and ask nobody")
    parser.add_argument("--server", action="append", default=[], metavar="ADDRESS[:PORT]", help="name server to ask; may be repeated")
    parser.add_argument("--hostname", default="", help="our name in what is written; else the one of the settings")
    parser.add_argument("-c", "--config", default="", help="settings file, for [checks] and [dns]")
    parser.add_argument("--json", action="store_true", help="as a JSON object")
    parser.add_argument("file", metavar="FILE", help="the message; - for standard input")


def run(args: argparse.Namespace) -> int:
    from appliance.config.load import load  # after the arguments are known to be right
    from appliance.config.problem import ConfigError

    try:
        config = load(args.config) if args.config else Config()
        lookups = _lookups(args, config)
        message = _read(args.file)
    except ConfigError as error:
        print(f"carteiro: {error}", file=sys.stderr)
        return EX_CONFIG
    except OSError as error:
        print(f"carteiro: {error.filename}: {error.strerror}", file=sys.stderr)
        return EX_NOINPUT
    except (RecordsError, json.JSONDecodeError) as error:
        print(f"carteiro: {args.dns}: {error}", file=sys.stderr)
        return EX_DATAERR
    hostname = args.hostname or (config.effective_hostname if config.domain else "localhost")
    verdicts, decision = trio.run(_judge, args, config, lookups, message, hostname)
    if args.json:
        print(json.dumps(findings(verdicts) | {"fate": decision.fate.value, "reason": decision.reason}, ensure_ascii=False, indent=2))
    else:
        print(_words(verdicts, decision, hostname))
    return 0


def _lookups(args: argparse.Namespace, config: Config) -> DnsLookup:
    if args.dns:
        return RecordsFile(json.loads(Path(args.dns).read_text(encoding="utf-8")))
    from appliance.net.lookups import DnsLookups  # and with them the resolver
    from appliance.net.resolver import Resolver

    return DnsLookups(Resolver(args.server or config.dns.servers, timeout_s=config.dns.timeout_s), SystemClock())


def _read(name: str) -> bytes:
    """Return the message with the line ends of the wire."""
    if name == "-":
        data = sys.stdin.buffer.read(MAX_MESSAGE)
    else:
        with Path(name).open("rb") as file:
            data = file.read(MAX_MESSAGE)
    if data.startswith(b"From "):
        data = data.partition(b"\n")[2]  # a message as mbox has it
    return data if b"\r\n" in data else data.replace(b"\n", b"\r\n")


async def _judge(args: argparse.Namespace, config: Config, lookups: DnsLookup, message: bytes, hostname: str) -> tuple[Verdicts, Decision]:
    from appliance.app.checking import rules_of

    rules = rules_of(config.checks)
    judge = Judge(lookups, rules, SystemClock(), hostname=hostname, timeout_s=config.checks.timeout_s)
    inspection = judge.inspection(client_address=args.ip, helo=args.helo, reverse_path=args.reverse_path.strip("<>"))
    header, body = split_message(message)
    inspection.begin(HeaderReport(header))
    inspection.feed(body)
    await inspection.finish()
    assert inspection.verdicts is not None
    return inspection.verdicts, inspection.decision


def _words(verdicts: Verdicts, decision: Decision, hostname: str) -> str:
    spf, dmarc, arc = verdicts.spf, verdicts.dmarc, verdicts.arc
    lines = [_line("SPF", spf.result.value, spf.domain, spf.mechanism or spf.reason)]
    lines += [_line("DKIM", one.result.value, one.domain, one.reason or f"{one.algorithm}, {one.bits} bits") for one in verdicts.dkim] or [
        _line("DKIM", "none", "", "no signature")
    ]
    wish = f"p={dmarc.policy.word} of {dmarc.record_domain}" if dmarc.record is not None else ""
    lines.append(_line("DMARC", dmarc.result.value, dmarc.domain, dmarc.reason or verdicts.override or wish))
    lines.append(_line("ARC", arc.result.value, ", ".join(arc.sealers), arc.reason))
    becomes = {"taken": "It would be taken.", "junk": "It would be put into Junk", "refused": "It would be refused"}[decision.fate.value]
    lines += ["", f"{becomes}: {decision.reason}." if decision.reason else becomes, ""]
    return "\n".join(lines) + "\n" + result_fields(verdicts, hostname).decode("utf-8", "replace").replace("\r\n", "\n").rstrip()


def _line(method: str, result: str, domain: str, detail: str) -> str:
    text = " ".join(word for word in (f"{method:5}", f"{result:9}", domain) if word).rstrip()
    return f"{text} ({detail})" if detail else text
