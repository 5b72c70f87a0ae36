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
VALID = r"(?:[^\s\"<>\\^`{|}%]|%[0-9A-Fa-f]{2})*"
URL = r"^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$"


def _url_part(name: str, group: int) -> None:
    @function(name)
    def rule(call: Call) -> Typed:
        """Give a part of a URL, nothing if it has none, NULL for what is no URL."""
        made = f"regexp_extract({{x}}, {string(URL)}, {group})"
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
    """Give the first value of a parameter of a URL, NULL if it has none; one that is encoded raises here."""
    value, name = call.text(0), call.constant(1)
    encoded = fail("url_extract_parameter() of an encoded value is not given here", VARCHAR)

    def body(x: str) -> str:
        query = f"string_split(regexp_extract({x}, {string(URL)}, 4), '&')"
        found = f"list_filter({query}, lambda _q: _q = {string(name)} OR starts_with(_q, {string(name + '=')}))[1]"
        shown = f"substr({found}, {len(name) + 2})"
        return f"CASE WHEN regexp_full_match({x}, {string(VALID)}) THEN CASE WHEN contains({shown}, '%') OR contains({shown}, '+') THEN {encoded} ELSE {shown} END END"

    return Typed(let([value], body), VARCHAR)


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


def ip_cast(value: Typed) -> Typed:
    """Return `CAST(value AS ipaddress)` of a constant."""
    if value.type == IP:
        return value
    if value.type == UNKNOWN:
        return Typed("CAST(NULL AS VARCHAR)", IP)
    if not isinstance(value.const, str):
        raise Unsupported("IP addresses are given here for constants only. Keep them as varchar.")
    return ip_constant(value.const)


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
        length = int(bits)
        if ":" in place and ":" not in address(place):
            length -= 96  # an IPv4 address that stands in IPv6
        net = ipaddress.ip_network(f"{address(place)}/{length}", strict=False)
    except ValueError:
        return Typed(fail("Invalid network IP address", Type("boolean")), Type("boolean"))
    found = ipaddress.ip_address(held)
    return truth(value=found.version == net.version and found in net)
