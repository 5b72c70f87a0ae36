"""Parts of URLs, and IP addresses as constants.

Source: https://trino.io/docs/current/functions/url.html, …/ipaddress.html
"""

from __future__ import annotations

import ipaddress

from dagster_project.dialects.functions import arrays
from dagster_project.dialects.functions.calls import Call, function
from dagster_project.dialects.typed import Typed, fail, let, string, truth
from dagster_project.dialects.types import BIGINT, UNKNOWN, VARCHAR, Type
from dagster_project.errors import Unsupported

IP = Type("ipaddress")
PREFIX = Type("ipprefix")
VALID = r"(?:[^\s\"<>\\^`{|}%]|%[0-9A-Fa-f]{2})*"
URL = r"^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$"


def _url_part(name: str, group: int) -> None:
    @function(name)
    def rule(call: Call) -> Typed:
        """Give a part of a URL, decoded, nothing if it has none, NULL for what is no URL."""
        made = f"url_decode(regexp_extract({{x}}, {string(URL)}, {group}))"
        return Typed(
            let(
                [call.text(0)],
                lambda x: f"CASE WHEN regexp_full_match({x}, {string(VALID)}) THEN {made.replace('{x}', x)} END",
            ),
            VARCHAR,
        )


for _name, _group in {
    "url_extract_protocol": 1,
    "url_extract_path": 3,
    "url_extract_query": 4,
    "url_extract_fragment": 5,
}.items():
    _url_part(_name, _group)


@function("url_extract_host", "url_extract_port")
def url_extract_host(call: Call) -> Typed:
    """Give the host of a URL, nothing if it has none, or its port, NULL if it has none."""
    place = f"regexp_extract({{x}}, {string(URL)}, 2)"
    host = f"regexp_extract({place}, '^(?:[^@]*@)?([^:]*|\\[[^\\]]*\\])(?::([0-9]*))?$', {1 if call.name.endswith('host') else 2})"
    made = host if call.name.endswith("host") else f"CAST(nullif({host}, '') AS BIGINT)"
    return Typed(
        let(
            [call.text(0)],
            lambda x: f"CASE WHEN regexp_full_match({x}, {string(VALID)}) THEN {made.replace('{x}', x)} END",
        ),
        VARCHAR if call.name.endswith("host") else BIGINT,
    )


@function("url_extract_parameter", args=2)
def url_extract_parameter(call: Call) -> Typed:
    """Give the first value of a parameter of a URL, decoded as a form's, NULL if it has none."""
    decoded = lambda part: f"url_decode(replace({part}, '+', ' '))"
    key = decoded("split_part(_q, '=', 1)")

    def body(x: str, name: str) -> str:
        query = f"list_filter(string_split(regexp_extract({x}, {string(URL)}, 4), '&'), lambda _q: _q <> '')"
        found = f"list_filter({query}, lambda _q: {key} = {name})[1]"
        shown = decoded(f"substr({found}, instr({found} || '=', '=') + 1)")
        return f"CASE WHEN regexp_full_match({x}, {string(VALID)}) THEN {shown} END"

    return Typed(let([call.text(0), call.text(1)], body), VARCHAR)


# --- IP addresses -------------------------------------------------------------------------------------------------


def address(written: str) -> str:
    """Return an address as Trino prints it: an IPv4 one that stands in IPv6 as IPv4.

    >>> address("::ffff:1.2.3.4"), address("2001:DB8:0:0:1::1")
    ('1.2.3.4', '2001:db8::1:0:0:1')
    """
    found = ipaddress.ip_address(written)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    if mapped is not None:
        return str(mapped)
    if isinstance(found, ipaddress.IPv6Address) and 0 < int(found) < 2**32 and int(found) > 0xFFFF:
        return "::" + str(ipaddress.IPv4Address(int(found)))
    return str(found)


def ip_constant(written: str) -> Typed:
    """Return `IPADDRESS 'written'`."""
    try:
        shown = address(written)
    except ValueError:
        return Typed(fail(f"Invalid IP address: {written}", VARCHAR), IP)
    return Typed(string(shown), IP, shown)


def network(written: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network that `address/bits` is, or an address alone. Raises ValueError for what is none.

    >>> network("1.2.3.4/24"), network("::ffff:1.2.3.4")
    (IPv4Network('1.2.3.0/24'), IPv4Network('1.2.3.4/32'))
    """
    place, slash, bits = written.partition("/")
    shown = address(place)
    length = int(bits) if slash else 32 if ":" not in shown else 128
    if length < 0:
        raise ValueError(written)
    return ipaddress.ip_network(f"{shown}/{length}", strict=False)


def prefix_constant(written: str) -> Typed:
    """Return `IPPREFIX 'written'`."""
    try:
        shown = str(network(written))
    except ValueError:
        return Typed(fail(f"Cannot cast value to IPPREFIX: {written}", VARCHAR), PREFIX)
    return Typed(string(shown), PREFIX, shown)


def ip_cast(value: Typed, name: str) -> Typed:
    """Return a constant as ipaddress or ipprefix."""
    if value.type.name == name:
        return value
    if value.type == UNKNOWN:
        return Typed("CAST(NULL AS VARCHAR)", Type(name))
    if isinstance(value.const, bytes) and name == "ipaddress":
        if len(value.const) not in {4, 16}:
            return Typed(fail("An IP address has 4 or 16 bytes", VARCHAR), IP)
        return ip_constant(str(ipaddress.ip_address(value.const)))
    if not isinstance(value.const, str):
        raise Unsupported("IP addresses are given here for constants only. Keep them as varchar.")
    if name == "ipaddress":
        return ip_constant(value.const.partition("/")[0] if value.type == PREFIX else value.const)
    return prefix_constant(value.const)


def _network(call: Call, index: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    value = call.values[index]
    if value.type not in (IP, PREFIX) or not isinstance(value.const, str):
        raise call.refuse("takes a constant address or network here", "Keep them as varchar.")
    return network(value.const)


@function("is_subnet_of", args=2)
def is_subnet_of(call: Call) -> Typed:
    """Give whether an address or a network lies within a network."""
    outer, inner = _network(call, 0), _network(call, 1)
    held = outer.version == inner.version and inner.network_address in outer and inner.prefixlen >= outer.prefixlen
    return truth(value=held)


@function("is_private_ip")
def is_private_ip(call: Call) -> Typed:
    """Give whether an address is not reachable in the whole Internet, by IANA's registries of special purposes."""
    return truth(value=not _network(call, 0).network_address.is_global)


@function("ip_version")
def ip_version(call: Call) -> Typed:
    """Give 4 or 6."""
    return Typed(str(_network(call, 0).version), BIGINT, _network(call, 0).version)


@function("ip_prefix_masklen")
def ip_prefix_masklen(call: Call) -> Typed:
    """Give how many bits of a network are told."""
    return Typed(str(_network(call, 0).prefixlen), BIGINT, _network(call, 0).prefixlen)


_contains_array = arrays.contains


@function("contains", args=2)
def contains(call: Call) -> Typed:
    """Give whether an array holds a value, or a network an address."""
    if call.values[1].type != IP:
        return _contains_array(call)
    if call.values[0].type == UNKNOWN:
        return Typed("CAST(NULL AS BOOLEAN)", Type("boolean"))
    held, written = call.values[1].const, call.values[0].const
    if not isinstance(held, str) or not isinstance(written, str):
        raise call.refuse("of addresses is given here for constants only", "Keep them as varchar.")
    try:
        place, _, bits = written.partition("/")
        length = int(bits) + (0 if ":" in place else 96)
        if not 0 <= length <= 128:
            raise ValueError(written)
        outer, inner = _wide(address(place)), _wide(held)
    except ValueError:
        return Typed(fail("Invalid network IP address", Type("boolean")), Type("boolean"))
    return truth(value=outer >> (128 - length) == inner >> (128 - length))


def _wide(written: str) -> int:
    """Return an address as a number of 128 bits, an IPv4 one as it stands in IPv6."""
    found = ipaddress.ip_address(written)
    return int(found) + (0xFFFF << 32 if found.version == 4 else 0)
