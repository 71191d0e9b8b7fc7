"""Where a webhook may go: pure. No one may make the exchange call what stands behind it."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address

_OPEN_PORTS = frozenset({443})
_FIRST_FREE_PORT = 1024
_LONGEST = 2000

_V4_REFUSED = (
    # Public by their number, and yet not: the relays of 6to4, and a cloud's metadata server.
    IPv4Network("192.88.99.0/24"),
    IPv4Network("168.63.129.16/32"),
    IPv4Network("192.0.0.0/24"),
)
_V6_PUBLIC = IPv6Network("2000::/3")
_V6_REFUSED = (
    IPv6Network("2001::/23"),  # Teredo, ORCHID and other protocol assignments
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NAT64 = IPv6Network("64:ff9b::/96")
_V4_MAPPED = IPv6Network("::ffff:0:0/96")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet, in whatever form it is written.

    Refused: private, loopback, link-local, shared (CGNAT), multicast, reserved, documentation and
    metadata addresses, and every IPv6 form that carries one of them inside (mapped, 6to4, NAT64,
    ISATAP). What cannot be read as an address is refused, too.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return all(_is_public(form) for form in _forms(parsed))


def _forms(address: Address) -> Iterator[Address]:
    """The address itself, or what it carries inside: that is where the packets go in the end."""
    if isinstance(address, IPv4Address):
        yield address
        return
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _V4_MAPPED or address in _NAT64:
        yield low
        return
    yield address
    if address in _SIX_TO_FOUR:
        yield IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        yield low


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return (
            address.is_global
            and not address.is_multicast
            and not address.is_reserved
            and not any(address in network for network in _V4_REFUSED)
        )
    if address.scope_id is not None or address not in _V6_PUBLIC:
        return False
    if address in _SIX_TO_FOUR:
        return True
    return address.is_global and not any(address in network for network in _V6_REFUSED)


def fault_of(url: str, *, allow_private: bool) -> str | None:
    """Why a URL cannot be an endpoint; None where it can. The name is resolved at every connection
    and not here: what it stands for can change at any moment."""
    if len(url) > _LONGEST or not url.isascii() or any(c <= " " or c in '\\"<>^`{|}' for c in url):
        return "A URL is ASCII of at most 2,000 characters; write the host in its `xn--` form."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "This is not a URL."
    if parts.scheme not in ({"https", "http"} if allow_private else {"https"}):
        return "The URL must begin with `https://`."
    if not parts.hostname:
        return "The URL has no host."
    if "@" in parts.netloc:
        return "A URL with a user name or a password is not accepted."
    if parts.fragment or url.endswith("#"):
        return "A URL with a fragment is not accepted."
    if allow_private:
        return None
    if port is not None and port not in _OPEN_PORTS and port < _FIRST_FREE_PORT:
        return "The port must be 443, or 1024 or above."
    if _looks_like_an_address(parts.hostname) and not is_public(parts.hostname):
        return "The address is not one of the open internet."
    return None


def _looks_like_an_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
