"""Network addresses of callers in one form, so that equal callers compare equal."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

_MAX_TEXT_LENGTH = 64  # the longest IPv6 address has 45 characters, its zone a few more
_IPV6_NETWORK_BITS = 64  # RFC 6177: what one site gets, and one caller can choose from at will


def parse_address(text: str) -> str | None:
    """The address in its shortest form, an IPv4-mapped one (RFC 4291 section 2.5.5.2) as IPv4; None for other text."""
    return _parse(text) if len(text) <= _MAX_TEXT_LENGTH else None


@lru_cache(maxsize=4096)
def _parse(text: str) -> str | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What one caller is likely to hold: the IPv4 address itself, or the /64 around an IPv6 address.

    Raises:
        ValueError: the text is no address.
    """
    parsed = ip_address(address)
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    host_bits = parsed.max_prefixlen - _IPV6_NETWORK_BITS
    return f"{IPv6Address(int(parsed) >> host_bits << host_bits)}/{_IPV6_NETWORK_BITS}"
