"""The findings on a message in words: Authentication-Results, Received-SPF, and a dictionary for the log and for scripts.

Sources: RFC 8601 sections 2.2 and 2.7, RFC 7208 section 9.1, RFC 8617 section 4.1.1
(``header.oldest-pass`` is not written), RFC 6008 (``header.b``).
"""

import re
from typing import Any

from appliance.message.authres import MethodResult, build_authentication_results
from appliance.policy.dkim import DkimVerdict
from appliance.policy.judgement import Verdicts
from appliance.policy.spf import SpfResult

__all__ = ["findings", "received_spf", "result_fields", "results_of", "summary"]

_WORDS = {
    SpfResult.PASS: "domain of {sender} designates {ip} as permitted sender",
    SpfResult.FAIL: "domain of {sender} does not designate {ip} as permitted sender",
    SpfResult.SOFTFAIL: "domain of {sender} probably does not designate {ip} as permitted sender",
    SpfResult.NEUTRAL: "{ip} is neither permitted nor denied by domain of {sender}",
    SpfResult.NONE: "domain of {sender} has no SPF record",
    SpfResult.TEMPERROR: "domain of {sender} cannot be looked up now",
    SpfResult.PERMERROR: "the SPF record of {sender} has an error",
}
_COMMENT_UNSAFE = re.compile(r"[()\\\x00-\x1f\x7f]+")
_is_atom = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+").fullmatch


def results_of(verdicts: Verdicts) -> tuple[MethodResult, ...]:
    """Return the findings as methods of Authentication-Results."""
    request, spf, dmarc = verdicts.request, verdicts.spf, verdicts.dmarc
    identity = ("smtp.mailfrom", request.reverse_path) if request.reverse_path else ("smtp.helo", request.helo)
    results = [MethodResult("spf", spf.result.value, (identity,), spf.reason)]
    results += [_dkim(verdict) for verdict in verdicts.dkim] or [MethodResult("dkim", "none")]
    details: tuple[tuple[str, str], ...] = (("header.from", dmarc.domain),) if dmarc.domain else ()
    if dmarc.record is not None:
        details += (("policy.dmarc", dmarc.policy.word),)
    reason = f"{verdicts.override} {verdicts.forwarder}".strip() or dmarc.reason
    results.append(MethodResult("dmarc", dmarc.result.value, details, reason))
    arc = verdicts.arc
    sealer = (("header.d", arc.sealers[-1]),) if arc.sealers else ()
    results.append(MethodResult("arc", arc.result.value, sealer, arc.reason))
    return tuple(results)


def _dkim(verdict: DkimVerdict) -> MethodResult:
    properties = (
        ("header.d", verdict.domain),
        ("header.s", verdict.selector),
        ("header.a", verdict.algorithm),
        ("header.b", verdict.signature_start),
    )
    return MethodResult("dkim", verdict.result.value, tuple(each for each in properties if each[1]), verdict.reason)


def received_spf(verdicts: Verdicts) -> bytes:
    """Return the Received-SPF field with its line end."""
    request, spf = verdicts.request, verdicts.spf
    words = _WORDS[spf.result].format(sender=request.sender[:250], ip=request.client_address)
    pairs = [
        ("client-ip", request.client_address),
        ("envelope-from", request.sender[:320]),
        ("helo", request.helo[:255]),
        ("receiver", request.receiver),
        ("identity", request.identity),
    ]
    if spf.mechanism:
        pairs.append(("mechanism", spf.mechanism[:250]))
    if spf.reason:
        pairs.append(("problem", spf.reason[:250]))
    listed = "; ".join(f"{name}={_value(value)}" for name, value in pairs)
    lines = [f"Received-SPF: {spf.result.value} ({_COMMENT_UNSAFE.sub(' ', words)})", *listed.split("; ")]
    return (lines[0] + "\r\n\t" + ";\r\n\t".join(lines[1:]) + "\r\n").encode("utf-8", "replace")


def _value(text: str) -> str:
    if _is_atom(text):
        return text
    cleaned = re.sub(r"[\x00-\x1f\x7f;]+", " ", text)
    return '"' + cleaned.replace("\\", "\\\\").replace('"', '\\"') + '"'


def result_fields(verdicts: Verdicts, authserv: str) -> bytes:
    """Return the fields to put in front of the message."""
    return build_authentication_results(authserv, results_of(verdicts)) + received_spf(verdicts)


def summary(verdicts: Verdicts) -> dict[str, str]:
    """Return one word for each check, for the line in the log."""
    good = [verdict.domain for verdict in verdicts.dkim if verdict.result.value == "pass"]
    dkim = f"pass:{good[0]}" if good else next((verdict.result.value for verdict in verdicts.dkim), "none")
    return {
        "spf": verdicts.spf.result.value,
        "dkim": dkim,
        "dmarc": verdicts.dmarc.result.value,
        "arc": verdicts.arc.result.value,
    }


def findings(verdicts: Verdicts) -> dict[str, Any]:
    """Return everything that was found, as a script would read it."""
    spf, dmarc, arc = verdicts.spf, verdicts.dmarc, verdicts.arc
    return {
        "spf": {
            "result": spf.result.value,
            "identity": verdicts.request.identity,
            "domain": spf.domain,
            "mechanism": spf.mechanism,
            "reason": spf.reason,
            "explanation": spf.explanation,
        },
        "dkim": [
            {
                "result": verdict.result.value,
                "domain": verdict.domain,
                "selector": verdict.selector,
                "identity": verdict.identity,
                "algorithm": verdict.algorithm,
                "bits": verdict.bits,
                "reason": verdict.reason,
            }
            for verdict in verdicts.dkim
        ],
        "dmarc": {
            "result": dmarc.result.value,
            "domain": dmarc.domain,
            "policy": dmarc.policy.word,
            "record_domain": dmarc.record_domain,
            "record": dmarc.record.text if dmarc.record else "",
            "spf_domain": dmarc.spf_domain,
            "dkim_domain": dmarc.dkim_domain,
            "override": verdicts.override,
            "reason": dmarc.reason,
        },
        "arc": {"result": arc.result.value, "sealers": list(arc.sealers), "reason": arc.reason},
    }
