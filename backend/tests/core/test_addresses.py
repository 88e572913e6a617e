"""Equal callers have equal addresses."""

import pytest

from app.core.addresses import network_of, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.256", None),
        ("192.0.2.01", None),
        ("localhost", None),
        ("", None),
        ("1" * 10_000, None),
    ],
)
def test_addresses_are_brought_into_one_form(text: str, address: str | None) -> None:
    assert parse_address(text) == address


def test_a_caller_holds_one_ipv4_address_or_64_bits_of_ipv6() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:3::") != network_of("2001:db8:1:2::")
    assert network_of(None) == "unknown"
