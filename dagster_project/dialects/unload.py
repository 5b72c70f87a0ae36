"""UNLOAD as Athena and as Redshift write it: the query, where its rows go, and how they are written.

What belongs here: reading the statement, and refusing what is not written here. What does not: the query's meaning
(`translation`), and writing the files (`steps.unload`).
Sources: https://docs.aws.amazon.com/athena/latest/ug/unload.html and
https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NoReturn

from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from dagster_project.dialects.parsing import tokens_of
from dagster_project.errors import Unsupported

Form = Literal["parquet", "json", "text", "csv"]
Present = Literal["refuse", "add", "replace"]


@dataclass(frozen=True, slots=True)
class Unload:
    """An UNLOAD: its query, in its own dialect, and what the files are like."""

    dialect: str
    query: str
    target: str
    """A folder, or for Redshift a folder and what the files' names begin with; `s3://…`, `file://…` or a path."""
    form: Form
    compression: str = "none"
    """none, gzip, snappy or zstd."""
    level: int | None = None
    delimiter: str = "|"
    null: str = ""
    header: bool = False
    quotes: bool = False
    """Whether every value stands in quotes."""
    escapes: bool = False
    """Whether a backslash stands before what would end a value."""
    partitions: tuple[str, ...] = ()
    keeps_partitions: bool = False
    """Whether the columns of partitions are in the files too."""
    present: Present = "refuse"
    """What is done if there is something at the target."""
    is_parallel: bool = True
    manifest: bool = False
    extension: str | None = None
    notes: tuple[str, ...] = field(default=())


def read_unload(sql: str, dialect: str) -> Unload | None:
    """Return what an UNLOAD says; None for another statement. Raises `Unsupported`, naming the option that is not given.

    >>> made = read_unload("UNLOAD (SELECT 1 AS a) TO 's3://bucket/folder/' WITH (format = 'JSON')", "athena")
    >>> made.query, made.target, made.form, made.compression
    ('SELECT 1 AS a', 's3://bucket/folder/', 'json', 'gzip')
    """
    text = sql.strip().rstrip("; \t\r\n")
    if not re.match(r"UNLOAD\b", text, re.IGNORECASE):
        return None
    rest = text[len("UNLOAD") :]
    return _of_athena(rest) if dialect == "athena" else _of_redshift(rest, dialect)


def _wrong(dialect: str, at: str) -> NoReturn:
    form = (
        "UNLOAD (SELECT …) TO 's3://bucket/folder/' WITH (format = 'PARQUET')"
        if dialect == "athena"
        else "UNLOAD ('SELECT …') TO 's3://bucket/prefix' IAM_ROLE default FORMAT AS PARQUET"
    )
    raise Unsupported(f"UNLOAD is not read here from {at[:40] or 'its end'!r} on. Write {form}.")


def _of_athena(rest: str) -> Unload:
    tokens = tokens_of(rest, "athena")
    close = _closing(tokens)
    if close is None:
        _wrong("athena", rest.strip())
    query = rest[tokens[0].end + 1 : tokens[close].start].strip()
    tail = tokens[close + 1 :]
    if len(tail) < 5 or tail[0].text.upper() != "TO" or tail[1].token_type != TokenType.STRING:
        _wrong("athena", rest[tokens[close].end + 1 :].strip())
    if tail[2].text.upper() != "WITH" or tail[3].token_type != TokenType.L_PAREN or _closing(tail[3:]) != len(tail) - 4:
        _wrong("athena", rest[tail[2].start :])
    given = dict(_properties(rest, tail[4:-1]))
    return _with_properties(query, tail[1].text, given)


def _closing(tokens: list[Any]) -> int | None:
    """Return the place of the bracket that closes the first token, if that opens one."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0)
        if depth <= 0:
            return place if place and token.token_type == TokenType.R_PAREN else None
    return None


def _properties(text: str, tokens: list[Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each `name = 'value'` or `name = ARRAY['value', …]`."""
    at = 0
    while at < len(tokens):
        name, end = tokens[at].text.lower(), at + 3
        if len(tokens) < end or tokens[at + 1].token_type != TokenType.EQ:
            _wrong("athena", text[tokens[at].start :])
        if tokens[at + 2].token_type == TokenType.ARRAY:
            while end < len(tokens) and tokens[end].token_type != TokenType.R_BRACKET:
                end += 1
            end += 1
        values = [t.text for t in tokens[at + 2 : end] if t.token_type in {TokenType.STRING, TokenType.NUMBER}]
        if not values or (end < len(tokens) and tokens[end].token_type != TokenType.COMMA):
            _wrong("athena", text[tokens[at].start :])
        yield name, tuple(values)
        at = end + 1


_FORMS: Final[Mapping[str, Form]] = {"PARQUET": "parquet", "JSON": "json", "TEXTFILE": "text"}
_CODECS: Final = {"NONE": "none", "UNCOMPRESSED": "none", "GZIP": "gzip", "SNAPPY": "snappy", "ZSTD": "zstd"}
_PROPERTIES: Final = ("format", "compression", "compression_level", "field_delimiter", "partitioned_by")


def _with_properties(query: str, target: str, given: Mapping[str, tuple[str, ...]]) -> Unload:
    if unknown := next((name for name in given if name not in _PROPERTIES), None):
        raise Unsupported(f"UNLOAD has no property {unknown}. There are: {', '.join(_PROPERTIES)}.")
    named = given.get("format", ("",))[0].upper()
    if not named:
        raise Unsupported("UNLOAD needs a format. Write WITH (format = 'PARQUET'), 'JSON' or 'TEXTFILE'.")
    if named not in _FORMS:
        raise Unsupported(f"UNLOAD in the format {named} is not given here. Write PARQUET, JSON or TEXTFILE.")
    form = _FORMS[named]
    _refuse_unfitting(form, given)
    codec = given.get("compression", ("GZIP",))[0].upper()
    if codec not in _CODECS:
        raise Unsupported(f"The compression {codec} is not given here. Write GZIP, SNAPPY, ZSTD or NONE.")
    level = int(given["compression_level"][0]) if "compression_level" in given else 3 if codec == "ZSTD" else None
    if "compression_level" in given and codec != "ZSTD":
        raise Unsupported("compression_level is of ZSTD. Leave it out, or write compression = 'ZSTD'.")
    if level is not None and not 1 <= level <= 22:
        raise Unsupported(f"compression_level is {level}. Write one from 1 to 22.")
    delimiter = given.get("field_delimiter", ("\x01",))[0].replace("\\t", "\t").replace("\\001", "\x01")
    if len(delimiter) != 1:
        raise Unsupported(f"field_delimiter {delimiter!r} is not one character. Write one, such as ','.")
    partitions = tuple(name.lower() for name in given.get("partitioned_by", ()))
    return Unload(
        "athena", query, target, form, _CODECS[codec], level, delimiter, r"\N",
        partitions=partitions, present="add" if partitions else "refuse",
    )  # fmt: skip


def _refuse_unfitting(form: Form, given: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a property of another format: Athena says of each which formats it is of."""
    if form != "parquet" and (name := next((n for n in given if n.startswith("compression")), None)):
        raise Unsupported(f"{name} is of PARQUET; JSON and TEXTFILE are written with GZIP. Leave it out.")
    if form != "text" and "field_delimiter" in given:
        raise Unsupported("field_delimiter is of TEXTFILE. Leave it out.")


Taken = Callable[["_Options", Unload], Unload]


class _Options:
    """Redshift's options, from left to right."""

    def __init__(self, text: str, tokens: list[Any]) -> None:
        self.text, self.tokens, self.at = text, tokens, 0

    def peek(self) -> str:
        return self.tokens[self.at].text.upper() if self.at < len(self.tokens) else ""

    def word(self) -> str:
        found = self.peek()
        self.at += 1
        return found

    def skip(self, *words: str) -> bool:
        if self.peek() in words and self.tokens[self.at].token_type != TokenType.STRING:
            self.at += 1
            return True
        return False

    def string(self, of: str) -> str:
        self.skip("AS")
        if self.at >= len(self.tokens) or self.tokens[self.at].token_type != TokenType.STRING:
            raise Unsupported(f"{of} takes a text in single quotes. Write it behind {of}.")
        self.at += 1
        return str(self.tokens[self.at - 1].text)

    def names(self) -> tuple[str, ...]:
        end = _closing(self.tokens[self.at :])
        if end is None:
            raise Unsupported("PARTITION BY takes columns in brackets. Write PARTITION BY (column, …).")
        inner = self.tokens[self.at + 1 : self.at + end]
        self.at += end + 1
        return tuple(token.text.lower() for token in inner if token.token_type != TokenType.COMMA)


def _of_redshift(rest: str, dialect: str) -> Unload:
    tokens = tokens_of(rest, dialect)
    kinds = [token.token_type for token in tokens[:5]]
    if kinds[:3] != [TokenType.L_PAREN, TokenType.STRING, TokenType.R_PAREN]:
        _wrong(dialect, rest.strip())
    if len(tokens) < 5 or tokens[3].text.upper() != "TO" or kinds[4] != TokenType.STRING:
        _wrong(dialect, rest[tokens[2].end + 1 :].strip())
    made = Unload(dialect, tokens[1].text, tokens[4].text, "text")
    options = _Options(rest, tokens[5:])
    given: set[str] = set()
    while word := options.word():
        if word in given:
            raise Unsupported(f"{word} stands twice. Leave one out.")
        given.add(word)
        if word in _NOT_GIVEN:
            raise Unsupported(f"UNLOAD with {word} is not given here. {_NOT_GIVEN[word]}")
        if word not in _OPTIONS:
            _wrong(dialect, rest[options.tokens[options.at - 1].start :])
        made = _OPTIONS[word](options, made)
    return _fitting(made, given)


_NOT_GIVEN: Final = {
    "FIXEDWIDTH": "Write FORMAT CSV.",
    "ENCRYPTED": "Have the bucket encrypt, and leave it out.",
    "KMS_KEY_ID": "Have the bucket encrypt, and leave it out.",
    "MASTER_SYMMETRIC_KEY": "Have the bucket encrypt, and leave it out.",
    "BZIP2": "Write GZIP or ZSTD.",
    "CLEANPATH": "Nothing is removed here. Empty the target yourself, and leave it out.",
    "MAXFILESIZE": "Each partition is one file here. Leave it out.",
    "ROWGROUPSIZE": "Leave it out.",
    "REGION": "The usual AWS variables lead to the bucket. Leave it out.",
    "CREDENTIALS": "No keys stand in a statement here: the usual AWS variables have them. Write IAM_ROLE default.",
    "ACCESS_KEY_ID": "No keys stand in a statement here: the usual AWS variables have them. Write IAM_ROLE default.",
}


def _format(options: _Options, made: Unload) -> Unload:
    options.skip("AS")
    word = options.word()
    if word not in _KINDS:
        raise Unsupported(f"FORMAT {word} is not Redshift's. Write FORMAT AS PARQUET, CSV or JSON.")
    return _KINDS[word](options, made)


def _partition(options: _Options, made: Unload) -> Unload:
    options.skip("BY")
    return replace(made, partitions=options.names(), keeps_partitions=options.skip("INCLUDE"))


def _parallel(options: _Options, made: Unload) -> Unload:
    return replace(made, is_parallel=not options.skip("OFF", "FALSE") and (options.skip("ON", "TRUE") or True))


def _manifest(options: _Options, made: Unload) -> Unload:
    if options.skip("VERBOSE"):
        raise Unsupported("MANIFEST VERBOSE is not given here. Write MANIFEST.")
    return replace(made, manifest=True)


def _delimiter(options: _Options, made: Unload) -> Unload:
    sign = options.string("DELIMITER").replace("\\t", "\t")
    if len(sign) != 1:
        raise Unsupported(f"DELIMITER {sign!r} is not one character. Write one, such as ','.")
    return replace(made, delimiter=sign)


def _role(options: _Options, made: Unload) -> Unload:
    if not options.skip("DEFAULT"):
        options.string("IAM_ROLE")
    return replace(made, notes=("IAM_ROLE is passed over: the usual AWS variables say who writes.",))


_KINDS: Final[Mapping[str, Taken]] = {
    "PARQUET": lambda _, made: replace(made, form="parquet", compression="snappy"),
    "CSV": lambda _, made: replace(made, form="csv"),
    "JSON": lambda _, made: replace(made, form="json"),
}
_OPTIONS: Final[Mapping[str, Taken]] = {
    **_KINDS,
    "FORMAT": _format,
    "IAM_ROLE": _role,
    "PARTITION": _partition,
    "PARTITION BY": _partition,
    "MANIFEST": _manifest,
    "HEADER": lambda _, made: replace(made, header=True),
    "DELIMITER": _delimiter,
    "GZIP": lambda _, made: replace(made, compression="gzip"),
    "ZSTD": lambda _, made: replace(made, compression="zstd"),
    "ADDQUOTES": lambda _, made: replace(made, quotes=True),
    "ESCAPE": lambda _, made: replace(made, escapes=True),
    "NULL": lambda options, made: replace(made, null=options.string("NULL")),
    "ALLOWOVERWRITE": lambda _, made: replace(made, present="replace"),
    "PARALLEL": _parallel,
    "EXTENSION": lambda options, made: replace(made, extension=options.string("EXTENSION")),
}


def _fitting(made: Unload, given: set[str]) -> Unload:
    """Refuse options that Redshift does not take together."""
    if not given & {"IAM_ROLE"}:
        raise Unsupported("UNLOAD needs who writes. Write IAM_ROLE default: the usual AWS variables say who that is.")
    of_text = {"DELIMITER", "ADDQUOTES", "ESCAPE", "NULL", "HEADER"}
    not_with = {
        "parquet": of_text | {"GZIP", "ZSTD"},
        "json": of_text,
        "csv": {"ADDQUOTES", "ESCAPE"},
        "text": set[str](),
    }[made.form]
    if both := sorted(given & not_with):
        raise Unsupported(f"{both[0]} does not go with FORMAT {made.form.upper()} in Redshift. Leave it out.")
    return replace(made, delimiter=",") if made.form == "csv" and "DELIMITER" not in given else made
