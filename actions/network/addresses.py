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
    ip_network,
)
from typing import NamedTuple

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
_MAPPED = IPv6Network("::ffff:0:0/96")
# Networks of IPv6 whose addresses stand for the IPv4 address in their last 32 bits: mapped, compatible, translated and
# NAT64 ones.
_LAST_32_BITS = (_MAPPED, *(IPv6Network(network) for network in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
_SIX_TO_FOUR, _TEREDO = IPv6Network("2002::/16"), IPv6Network("2001::/32")
# NAT64 of a network's own: which bits hold the IPv4 address depends on the length of the prefix that it chose.
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
# The second half of an ISATAP address, before its IPv4 address; the bit says whether that one is unique in the world.
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
# Cloud metadata services hand out credentials: they are never reached, even if OUTBOUND_ALLOW names them. They are told
# from other hosts by these addresses alone; Azure's first one is public, so nothing else would refuse it.
_METADATA = tuple(
    ip_network(network)
    for network in (
        "168.63.129.16",  # Azure: WireServer
        "169.254.169.0/24",  # most clouds: .254; GKE: .252, Rancher: .250, resolvers and clocks of AWS: .253 and .123
        "169.254.170.0/24",  # AWS: ECS (.2), EKS (.23)
        "169.254.0.23",  # Tencent
        "169.254.42.42",  # Scaleway
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "192.80.8.124",  # Equinix Metal, a public address
        "fd00:ec2::/32",  # AWS: ::254, ::23 (EKS), ::253
        "fd20:ce::254",  # Google
        "fd00:c1::a9fe:a9fe",  # Oracle
        "fd00:42::42",  # Scaleway
        "fd00:a9fe:a9fe::1",  # Linode
        "fe80::a9fe:a9fe",  # OpenStack
    )
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
        return Allowed(network=_network(entry))
    except ValueError:
        host, _, port_text = entry.lower().rpartition(":")
    if not host:
        host, port_text = entry.lower(), ""
    if port_text and not (port_text.isascii() and port_text.isdecimal() and 0 < int(port_text[:6]) < 65536):
        raise ValueError(f"OUTBOUND_ALLOW: the port of {entry!r} must be a number from 1 to 65535")
    port = int(port_text) if port_text else None
    try:
        return Allowed(network=_network(host), port=port)
    except ValueError:
        pass
    if not _HOST.fullmatch(host):
        raise ValueError(f"OUTBOUND_ALLOW: {entry!r} is no host, host:port or CIDR such as 10.1.0.0/16")
    return Allowed(host=host, port=port)


def _network(text: str) -> IPv4Network | IPv6Network:
    """Return a network; of IPv4 also if it is written as ::ffff:10.0.0.0/104, as such addresses are judged."""
    network = ip_network(text.strip("[]"))
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def check(host: str, address: Address, port: int, *, allowed: Sequence[Allowed] = ()) -> None:
    """Raise Blocked for an address that is neither public nor allowed.

    An IPv6 address that stands for an IPv4 address is judged as that one: ::ffff:10.0.0.1 is permitted where 10.0.0.1
    is, and nowhere else.
    """
    address = _without_zone(address)
    inside, possible = embedded(address)
    if any(one in network for one in (address, *inside, *possible) for network in _METADATA):
        raise Blocked(f"{host} resolves to {address}, a cloud metadata address, which is never reached")
    refused = next((one for one in inside or (address,) if not _is_permitted(host, one, port, allowed)), None)
    if refused is None:
        return
    stands_for = "" if refused == address else f" and stands for {refused}"
    raise Blocked(
        f"{host} resolves to {address}{stands_for}, which is not public; to permit it, add {host}:{port}"
        " to OUTBOUND_ALLOW"
    )


def _is_permitted(host: str, address: Address, port: int, allowed: Sequence[Allowed]) -> bool:
    return is_public(address) or any(entry.covers(host, address, port) for entry in allowed)


def _without_zone(address: Address) -> Address:
    """Return fe80::1 for fe80::1%eth0, which would equal no address of a list."""
    return IPv6Address(int(address)) if isinstance(address, IPv6Address) and address.scope_id else address


class Embedded(NamedTuple):
    """What an IPv6 address holds of IPv4: `inside` decides on it, and one of `possible` may be reached through it.

    The address of a tunnel (ISATAP) is itself in `inside`, beside the IPv4 address of the tunnel's end.
    """

    inside: tuple[Address, ...] = ()
    possible: tuple[Address, ...] = ()


def embedded(address: Address) -> Embedded:
    """Return the IPv4 addresses inside an IPv6 one; none for most."""
    if isinstance(address, IPv4Address):
        return Embedded()
    number = int(address)
    last = IPv4Address(number & 0xFFFFFFFF)
    if number > 1 and any(address in network for network in _LAST_32_BITS):
        return Embedded((last,))
    if address in _SIX_TO_FOUR:
        return Embedded((IPv4Address((number >> 80) & 0xFFFFFFFF),))
    if address in _TEREDO:
        # The server, and the client's address with all bits turned.
        server, client = IPv4Address((number >> 64) & 0xFFFFFFFF), IPv4Address(int(last) ^ 0xFFFFFFFF)
        return Embedded((address, server, client))
    if address in _LOCAL_NAT64:
        # RFC 6052: the bits 64 to 71 are left out. Prefixes of 48, 56, 64 and 96 bits.
        short = (number >> 48 & 0xFFFF0000) | (number >> 40 & 0xFFFF)
        middle = (number >> 40 & 0xFF000000) | (number >> 32 & 0xFFFFFF)
        long = number >> 24 & 0xFFFFFFFF
        return Embedded((), (*map(IPv4Address, (short, middle, long)), last))
    if (number >> 32 & 0xFFFFFFFF) in _ISATAP:
        return Embedded((address, last))
    return Embedded()


def is_public(address: Address) -> bool:
    """Whether an address is reachable from the whole Internet, by the lists of networks above."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _DENIED_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _DENIED_V6)
