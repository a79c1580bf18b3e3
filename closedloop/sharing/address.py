"""Where an alert may be posted: this computer, or the lab's own network. Nothing is sent here.

Every address that a name stands for is looked at, and it is to one of these very addresses that is connected: a name
that points elsewhere a moment later leads nowhere. The networks are listed here, because what Python calls private
has changed between its versions and has held more than a lab's own network.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from closedloop.errors import ConfigError

_OWN = tuple(
    ip_network(network)
    for network in (
        "127.0.0.0/8",  # this computer
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",  # a cable between two computers, RFC 3927
        "::1/128",
        "fc00::/7",  # RFC 4193
        "fe80::/10",
    )
)


class Target(NamedTuple):
    """Where a URL leads."""

    host: str
    port: int


def target_of(url: str) -> Target:
    """Host and port of a URL.

    Raises:
        ConfigError: it is none that an alert can be posted to.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"--alert-url: {error} (got {url!r}); write for example http://192.168.1.20:8080/") from error
    if parts.scheme != "http" or not parts.hostname or not url.isprintable() or " " in url:
        raise ConfigError(
            f"--alert-url: must begin with http:// (got {url!r}); write for example http://127.0.0.1:8080/"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError("--alert-url: holds a name or a password, which others would see; use --alert-command")
    return Target(parts.hostname, 80 if port is None else port)


def addresses(target: Target) -> list[str]:
    """All addresses of it, every one of them on this computer or the lab's own network.

    Raises:
        ConfigError: one of them is elsewhere.
        OSError: the name is not known.
    """
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    numbers = list(dict.fromkeys(str(one[4][0]) for one in found))
    for number in numbers:
        if not is_own(number):
            said = f"{target.host} is {number}, outside this computer and the lab's own network"
            raise ConfigError(f"--alert-url: {said}; an alert goes to neither cloud nor internet")
    return numbers


def is_own(number: str) -> bool:
    """Whether an address is this computer's or of a private network; an IPv4 address within IPv6 counts as itself."""
    address: IPv4Address | IPv6Address = ip_address(number)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in _OWN)
