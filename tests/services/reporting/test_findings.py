"""Sessions, gathered for reports."""

from appliance.services.reporting.findings import tls_sessions
from appliance.storage.tls_state import TlsResult


def test_sessions_by_domain_and_policy() -> None:
    """Good ones are summed, failures told by host; what the settings demanded is nobody's policy."""
    results = [
        TlsResult(1, "a.example", "sts", "p", "mx1", "192.0.2.1", "", 3),
        TlsResult(1, "a.example", "sts", "p", "mx2", "192.0.2.2", "", 4),
        TlsResult(1, "a.example", "sts", "p", "mx2", "192.0.2.2", "certificate-expired", 2),
        TlsResult(1, "a.example", "tlsa", "", "mx1", "192.0.2.1", "", 1),
        TlsResult(1, "b.example", "settings", "", "mx", "192.0.2.3", "", 1),
    ]
    found = tls_sessions(results)
    assert ["a.example"] == list(found)
    assert [("sts", 7, {("certificate-expired", "mx2", "192.0.2.2"): 2}), ("tlsa", 1, {})] == [
        (each.kind, each.good, each.failures) for each in found["a.example"]
    ]
