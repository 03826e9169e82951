"""Questions and answers."""

import ipaddress

import pytest

from appliance.model.dns import Asking, DnsAnswer, DnsQuestion, DnsStatus, answer_with, reverse_name


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::", "::1", "2001:db8:1:2:3:4:5:6", "1::"])
def test_reverse_names(address: str) -> None:
    """As the standard library has them, and below a zone of one's own."""
    assert ipaddress.ip_address(address).reverse_pointer == reverse_name(address)
    assert reverse_name(address, "dnsbl.example").endswith(".dnsbl.example")


def test_a_check_is_run_to_its_end() -> None:
    """Each question is answered in turn."""

    def check() -> Asking[list[str]]:
        first = yield DnsQuestion("a", "TXT")
        second = yield DnsQuestion("b", "TXT")
        return [*first.records, *second.records]

    assert ["a", "b"] == answer_with(lambda question: DnsAnswer(DnsStatus.FOUND, (question.name,)), check())
