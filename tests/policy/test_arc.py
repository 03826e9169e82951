"""ARC chains: the 171 vectors of the ARC test suite, and what they do not ask."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.message.header import HeaderSection, split_message
from appliance.model.dns import DnsAnswer, DnsQuestion, DnsStatus, answer_with
from appliance.policy.arc import ArcResult, ArcValidator, ArcVerdict
from appliance.policy.dkim import BodyHashes

SUITE = json.loads((Path(__file__).parents[1] / "vectors" / "arc" / "validation.json").read_text())
CASES = [
    pytest.param(scenario["txt-records"], case, id=name) for scenario in SUITE for name, case in scenario["tests"].items()
]  # fmt: skip
NOW_S = time.time()


def validate(message: bytes, records: Mapping[str, str]) -> ArcVerdict:
    """Return the verdict on a message whose lines end in LF."""
    header, body = split_message(message.replace(b"\n", b"\r\n"))
    bodies = BodyHashes()
    validator = ArcValidator(HeaderSection(header).fields, now_s=NOW_S, bodies=bodies)
    bodies.feed(body)

    def look_up(question: DnsQuestion) -> DnsAnswer:
        found = records.get(question.name)
        return DnsAnswer(DnsStatus.FOUND, (found,)) if found is not None else DnsAnswer(DnsStatus.MISSING)

    return answer_with(look_up, validator.finish())


def test_the_suite_is_whole() -> None:
    """No case is lost on the way here."""
    assert 171 == len(CASES)


@pytest.mark.parametrize(("records", "case"), CASES)
def test_the_validation_suite(records: Any, case: Any) -> None:
    """One of the 171; where it wants no verdict, the chain was broken by an earlier station's own word."""
    assert (case["cv"] or "fail").lower() == validate(case["message"].encode(), records).result.value


def test_the_verdict_names_the_sealers() -> None:
    """The first station's domain first."""
    case = SUITE[0]["tests"]["cv_pass_i3_1"]
    verdict = validate(case["message"].encode(), SUITE[0]["txt-records"])
    assert (ArcResult.PASS, ("example.org",) * 3, 3) == (verdict.result, verdict.sealers, len(verdict.sets))


def test_a_key_that_cannot_be_asked_for_is_told() -> None:
    """It may be there next time."""
    case = SUITE[0]["tests"]["cv_pass_i1_1"]
    header, body = split_message(case["message"].encode().replace(b"\n", b"\r\n"))
    bodies = BodyHashes()
    validator = ArcValidator(HeaderSection(header).fields, now_s=NOW_S, bodies=bodies)
    bodies.feed(body)
    verdict = answer_with(lambda _question: DnsAnswer(DnsStatus.FAILED), validator.finish())
    assert (ArcResult.FAIL, True) == (verdict.result, verdict.is_temporary)


def test_a_chain_longer_than_any_path_is_no_chain() -> None:
    """Nothing is asked for it."""
    message = b"".join(b"ARC-Seal: i=%d\n" % number for number in range(1, 40)) + b"\n"
    verdict = validate(message, {})
    assert (ArcResult.FAIL, "the chain is longer than any path") == (verdict.result, verdict.reason)
