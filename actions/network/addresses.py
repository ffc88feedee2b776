"""The network guard: actions may reach public addresses, and those that OUTBOUND_ALLOW names.

The check looks at the resolved address that would be connected to, never at the text of the host: 0x7f.1, 2130706433
and 127.1 all resolve to 127.0.0.1. And `ipaddress.is_global` is not used, because it calls some IPv6 addresses that
carry a private IPv4 address public.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252}[a-z0-9_])?")

_DENIED_V4 = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.0.2.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("198.18.0.0/15"),
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv4Network("224.0.0.0/4"),
    IPv4Network("240.0.0.0/4"),
)
# Of IPv6 only global unicast is public, without its ranges for protocols (such as Teredo) and for documentation.
_PUBLIC_V6 = IPv6Network("2000::/3")
_DENIED_V6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_MAPPED, _COMPATIBLE = IPv6Network("::ffff:0:0/96"), IPv6Network("::/96")
_NAT64, _SIX_TO_FOUR = IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16")
# Cloud metadata services hand out credentials: they are never reached, even if OUTBOUND_ALLOW names them.
_METADATA = frozenset(
    ip_address(address)
    for address in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)


class Blocked(Exception):
    """An address that actions may not reach."""


@dataclass(frozen=True)
class Allowed:
    """One entry of OUTBOUND_ALLOW: a host name or a network, for one port or for all."""

    host: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    def covers(self, host: str, address: Address, port: int) -> bool:
        if self.port not in (None, port):
            return False
        return address in self.network if self.network is not None else self.host == host.lower().rstrip(".")


def parse_allowed(entries: Iterable[str]) -> tuple[Allowed, ...]:
    """Parse the entries of OUTBOUND_ALLOW. Raises ValueError, naming an entry that is no host, host:port or CIDR."""
    return tuple(_parse_entry(entry.strip()) for entry in entries if entry.strip())


def _parse_entry(entry: str) -> Allowed:
    try:
        return Allowed(network=ip_network(entry.strip("[]")))
    except ValueError:
        host, _, port_text = entry.lower().rpartition(":")
    if not host:
        host, port_text = entry.lower(), ""
    if port_text and not (port_text.isascii() and port_text.isdecimal() and 0 < int(port_text[:6]) < 65536):
        raise ValueError(f"OUTBOUND_ALLOW: the port of {entry!r} must be a number from 1 to 65535")
    port = int(port_text) if port_text else None
    try:
        return Allowed(network=ip_network(host.strip("[]")), port=port)
    except ValueError:
        pass
    if not _HOST.fullmatch(host):
        raise ValueError(f"OUTBOUND_ALLOW: {entry!r} is no host, host:port or CIDR such as 10.1.0.0/16")
    return Allowed(host=host, port=port)


def check(host: str, address: Address, port: int, *, allowed: Sequence[Allowed] = ()) -> None:
    """Raise Blocked for an address that is neither public nor allowed."""
    for real in {address, unwrapped(address)}:
        if real in _METADATA:
            raise Blocked(f"{host} resolves to {address}, a cloud metadata address, which is never reached")
    real = unwrapped(address)
    if is_public(real) or any(
        entry.covers(host, candidate, port) for entry in allowed for candidate in (address, real)
    ):
        return
    raise Blocked(
        f"{host} resolves to {address}, which is not public; to permit it, add {host}:{port} to OUTBOUND_ALLOW"
    )


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _SIX_TO_FOUR:
        return IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    if address in _MAPPED or address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an address is reachable from the whole Internet, by the lists of networks above."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _DENIED_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _DENIED_V6)
