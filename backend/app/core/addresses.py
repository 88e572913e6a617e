"""Network addresses: of callers in one form, so that equal callers compare equal, and of services to be called."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from app.core.text import require_single_line

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
def network_of(address: str | None) -> str:
    """What one caller is likely to hold: the IPv4 address itself, or the /64 around an IPv6 address.

    `unknown` where there is no address, as behind a socket of the same machine.

    Raises:
        ValueError: the text is no address.
    """
    if address is None:
        return "unknown"
    parsed = ip_address(address)
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    host_bits = parsed.max_prefixlen - _IPV6_NETWORK_BITS
    return f"{IPv6Address(int(parsed) >> host_bits << host_bits)}/{_IPV6_NETWORK_BITS}"


def is_local_host(host: str | None) -> bool:
    """Whether a host name is this machine: no name (a socket), `localhost`, or a loopback address."""
    if not host or host == "localhost" or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def require_base_url(value: str) -> str:
    """Return an http:// or https:// address without a slash at its end, or raise ValueError where it is none."""
    parts = urlsplit(require_single_line(value))
    if parts.scheme not in {"http", "https"} or not parts.hostname or not value.isascii() or " " in value:
        raise ValueError("must be an http:// or https:// address")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must hold neither user, query nor fragment")
    _ = parts.port  # raises ValueError where it is none
    return value.rstrip("/")


def require_root_url(value: str) -> str:
    """Return an address of `require_base_url` that names a host's root, or raise ValueError where it has a path."""
    url = require_base_url(value)
    if urlsplit(url).path:
        raise ValueError("must have no path: pages and /.well-known/ are at the root of their host")
    return url
