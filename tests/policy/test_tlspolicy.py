"""The decision how a host is spoken to."""

import pytest

from appliance.model.routing import TlsLevel
from appliance.policy.dane import TlsaRecord
from appliance.policy.mtasts import StsMode, StsPolicy
from appliance.policy.tlspolicy import HostTls, PolicySource, TlsaAnswer, TlsaStatus, decide, without_policies

ENFORCED = StsPolicy(StsMode.ENFORCE, ("mx.example",), 86_400)
TESTED = StsPolicy(StsMode.TESTING, ("mx.example",), 86_400)
GOOD = TlsaAnswer(TlsaStatus.FOUND, (TlsaRecord(3, 1, 1, bytes(32)),))
UNUSABLE = TlsaAnswer(TlsaStatus.FOUND, (TlsaRecord(1, 1, 1, bytes(32)),))
FAILED = TlsaAnswer(TlsaStatus.FAILED)


def decided(level: TlsLevel, sts: StsPolicy | None = None, tlsa: TlsaAnswer | None = None, host: str = "mx.example") -> HostTls:
    return decide(level, host, domain="far.example", sts=sts, tlsa=tlsa or TlsaAnswer())


@pytest.mark.parametrize("level", [TlsLevel.NONE, TlsLevel.VERIFY, TlsLevel.IMPLICIT])
def test_settings_that_say_it_all(level: TlsLevel) -> None:
    """No policy weakens or changes them."""
    assert HostTls(level) == decided(level, ENFORCED, GOOD)


def test_dane_rules_over_mta_sts() -> None:
    """RFC 8461 section 2: a host with TLSA records is judged by them alone."""
    found = decided(TlsLevel.MAY, ENFORCED, GOOD)
    assert (TlsLevel.DANE, PolicySource.DANE, True, False) == (found.level, found.source, found.is_authenticated, found.may_fall_back)
    assert ("mx.example", "far.example") == found.names


def test_records_that_cannot_be_used_still_promise_tls() -> None:
    """RFC 7672 section 2.2: TLS without a proof, and never without TLS."""
    found = decided(TlsLevel.MAY, ENFORCED, UNUSABLE)
    assert (TlsLevel.ENCRYPT, PolicySource.DANE, False) == (found.level, found.source, found.may_fall_back)


def test_a_lookup_that_fails_closes_the_host() -> None:
    """RFC 7672 section 2.1.2: who breaks DNS must not get the mail in the clear."""
    assert decided(TlsLevel.MAY, None, FAILED).refusal


def test_mta_sts() -> None:
    """Enforced, tested, for another host, and taken back."""
    assert HostTls(TlsLevel.VERIFY, PolicySource.STS) == decided(TlsLevel.MAY, ENFORCED)
    assert decided(TlsLevel.MAY, ENFORCED, host="evil.example").refusal
    tested = decided(TlsLevel.ENCRYPT, TESTED)
    assert (TlsLevel.VERIFY, True, True) == (tested.level, tested.is_testing, tested.may_fall_back)
    assert HostTls(TlsLevel.MAY, PolicySource.NONE) == decided(TlsLevel.MAY, StsPolicy(StsMode.NONE, (), 1))


def test_settings_that_demand_dane() -> None:
    """Without records the host is not used."""
    assert decided(TlsLevel.DANE).refusal
    assert TlsLevel.DANE is decided(TlsLevel.DANE, None, GOOD).level


def test_nobody_says_anything() -> None:
    """TLS when offered; ``encrypt`` of the settings stays."""
    assert HostTls(TlsLevel.MAY, PolicySource.NONE) == decided(TlsLevel.MAY)
    assert HostTls(TlsLevel.ENCRYPT, PolicySource.SETTINGS) == decided(TlsLevel.ENCRYPT)


def test_delivery_above_all() -> None:
    """RFC 8689 section 5: any TLS or none; where the settings forbid TLS, none."""
    assert TlsLevel.MAY is without_policies(TlsLevel.MAY).level
    assert TlsLevel.NONE is without_policies(TlsLevel.NONE).level
