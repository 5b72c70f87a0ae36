"""Patterns of events, as EventBridge writes them: which events are meant.

What belongs here: the rules of a match, over parsed JSON. What does not: where events come from and go to.

A pattern is an object that names fields, each with a list of which one must fit; fields within objects are named within
objects. A list's element is a value (text, number, boolean, null), which must be equal, or an object with one of
`prefix`, `suffix`, `equals-ignore-case`, `exists`, `anything-but`, `numeric`. A field of the event that is a list fits
if one of its elements does. The rules are those of
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html; what else stands there
(`wildcard`, `cidr`, `$or`) is refused by name.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dagster_project.errors import UsageError

Pattern = Mapping[str, Any]
_MISSING: Final = object()
_NUMERIC: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
_PAIR: Final = 2


def read_pattern(text: str) -> Pattern:
    """Return a pattern that JSON writes. Raises `UsageError` if it is none, or has a rule that is not known.

    >>> read_pattern('{"type": ["note.created"]}')
    {'type': ['note.created']}
    """
    try:
        pattern = json.loads(text)
    except ValueError as error:
        raise UsageError(f"The pattern is no JSON: {error}.") from error
    _refuse_wrong(pattern, "the pattern")
    return pattern  # type: ignore[no-any-return]


def matches(pattern: Pattern, event: Any) -> bool:
    """Tell whether an event fits a pattern.

    >>> event = {"type": "note.moved", "detail": {"path": "a/b.md", "size": 7, "tags": ["x", "y"]}}
    >>> matches({"detail": {"path": [{"prefix": "a/"}], "size": [{"numeric": [">", 5, "<=", 7]}]}}, event)
    True
    >>> matches({"type": [{"anything-but": ["note.moved"]}]}, event), matches({"detail": {"tags": ["y"]}}, event)
    (False, True)
    """
    for name, wanted in pattern.items():
        found = event.get(name, _MISSING) if isinstance(event, dict) else _MISSING
        if isinstance(wanted, Mapping):
            if not matches(wanted, found):
                return False
        elif not any(_fits(rule, found) for rule in wanted):
            return False
    return True


def _fits(rule: Any, found: Any) -> bool:
    if isinstance(rule, Mapping) and "exists" in rule:
        return bool(rule["exists"]) == (found is not _MISSING)
    values = found if isinstance(found, list) else [] if found is _MISSING else [found]
    return any(_fits_value(rule, value) for value in values)


def _fits_value(rule: Any, value: Any) -> bool:
    if not isinstance(rule, Mapping):
        return _is_same(rule, value)
    ((name, given),) = rule.items()
    match name:
        case "prefix":
            return isinstance(value, str) and value.startswith(given)
        case "suffix":
            return isinstance(value, str) and value.endswith(given)
        case "equals-ignore-case":
            return isinstance(value, str) and value.casefold() == given.casefold()
        case "anything-but":
            others = given if isinstance(given, list) else [given]
            return not any(_fits_value(other, value) for other in others)
    return _is_number(value) and all(
        _NUMERIC[sign](value, than) for sign, than in zip(given[::_PAIR], given[1::_PAIR], strict=True)
    )


def _is_same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refuse_wrong(pattern: Any, where: str) -> None:
    if not isinstance(pattern, dict) or not pattern:
        raise UsageError(f"{where} is no object that names fields. Write it as EventBridge does.")
    for name, wanted in pattern.items():
        if isinstance(wanted, dict):
            _refuse_wrong(wanted, f"{where}.{name}")
        elif not isinstance(wanted, list) or not wanted:
            raise UsageError(f"{where}.{name} is neither a list of what fits, nor an object of fields.")
        else:
            for rule in wanted:
                _refuse_wrong_rule(rule, f"{where}.{name}")


def _refuse_wrong_rule(rule: Any, where: str) -> None:
    if isinstance(rule, list):
        raise UsageError(f"{where}: a list within the list fits nothing. Write the values side by side.")
    if not isinstance(rule, dict):
        return
    name = next(iter(rule), None)
    given = rule.get(name)
    if len(rule) != 1 or not _is_known(name, given):
        raise UsageError(
            f"{where}: {json.dumps(rule)} is no rule that is known. There are prefix, suffix, equals-ignore-case, "
            "exists, anything-but (values, or one prefix or suffix) and numeric."
        )


def _is_known(name: str | None, given: Any) -> bool:
    match name:
        case "prefix" | "suffix" | "equals-ignore-case":
            return isinstance(given, str)
        case "exists":
            return isinstance(given, bool)
        case "anything-but":
            each = given if isinstance(given, list) else [given]
            return all(not isinstance(one, dict | list) or _is_affix(one) for one in each)
        case "numeric":
            return _is_comparison(given)
    return False


def _is_affix(rule: Any) -> bool:
    return isinstance(rule, dict) and len(rule) == 1 and isinstance(rule.get("prefix", rule.get("suffix")), str)


def _is_comparison(given: Any) -> bool:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given or len(given) % _PAIR:
        return False
    return all(sign in _NUMERIC for sign in given[::_PAIR]) and all(map(_is_number, given[1::_PAIR]))
