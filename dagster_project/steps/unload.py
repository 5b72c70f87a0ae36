"""Write what an UNLOAD asks for: the rows of a query as files that Athena, Redshift Spectrum and Spark read.

What belongs here: how a value is written, how files are called, and where they may go. What does not: reading the
statement (`dialects.unload`), running a query for a person (`ask`).

The files are made whole in a folder of their own, and only then brought to the target; what cannot be written so that
it reads back the same is refused.
Sources: https://docs.aws.amazon.com/athena/latest/ug/unload.html and
https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import fsspec

from dagster_project.dialects.unload import Unload
from dagster_project.errors import UsageError
from dagster_project.sql_words import identifier, literal

MOST_PARTITIONS: Final = 100
"""What Athena writes with one UNLOAD at the most."""
_ENDINGS: Final = {"gzip": ".gz", "zstd": ".zst"}
_NO_HIVE: Final = ("TIMESTAMP WITH TIME ZONE", "TIME", "TIME WITH TIME ZONE", "INTERVAL", "UUID", "JSON", "BIT")


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str

    @property
    def is_nested(self) -> bool:
        return self.type.endswith("]") or self.type.startswith(("STRUCT(", "MAP("))


@dataclass(frozen=True, slots=True)
class _Target:
    """A folder, or a prefix in a store, and what the names of files in it begin with."""

    files: Any
    folder: str
    prefix: str
    shown: str

    def present(self, *, is_prefix: bool) -> list[str]:
        """Return what begins with the prefix, or lies in the folder."""
        try:
            found = self.files.ls(self.folder, detail=False)
        except FileNotFoundError:
            return []
        names = [name.rstrip("/").rpartition("/")[2] for name in found]
        return [name for name in names if name and (not is_prefix or name.startswith(self.prefix))]


def unload(con: duckdb.DuckDBPyConnection, sql: str, made: Unload, *, execution_id: str) -> int:
    """Write the rows of a SELECT; return how many there are. Raises `UsageError` for what cannot be written so.

    Nothing is at the target if it raises, unless the target's own store fails on the way.
    """
    result = con.sql(sql)
    columns = [_Column(name, str(type_)) for name, type_ in zip(result.columns, result.types, strict=True)]
    _refuse_columns(columns, made)
    target = _target(made)
    _refuse_present(target, made)
    with _staging(target) as folder:
        rows = _write(con, sql, columns, made, folder)
        moves = list(_named(folder, made, execution_id)) if rows or made.dialect != "athena" else []
        _refuse_many({name.rpartition("/")[0] for _, name in moves}, made)
        _bring(moves, target, made)
    return rows


def _target(made: Unload) -> _Target:
    files, path = fsspec.url_to_fs(made.target)
    is_prefix = made.dialect != "athena" and not made.partitions
    folder, prefix = path.rstrip("/"), ""
    if is_prefix and not made.target.endswith("/"):
        folder, _, prefix = path.rpartition("/")
    if not folder:
        raise UsageError(f"{made.target} is no place to write to. Name a folder, such as s3://bucket/folder/.")
    return _Target(files, folder, prefix, made.target)


def _refuse_present(target: _Target, made: Unload) -> None:
    if made.present != "refuse":
        return
    found = target.present(is_prefix=made.dialect != "athena")
    if found:
        way = "Name another, or remove what is there"
        way += "." if made.dialect == "athena" else ", or write ALLOWOVERWRITE."
        raise UsageError(
            f"{target.shown} is not empty: there is {found[0]}{' and more' if found[1:] else ''}. "
            f"Nothing was written. {way}"
        )


def _refuse_columns(columns: Sequence[_Column], made: Unload) -> None:
    names = [column.name.lower() for column in columns]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"Two columns are called {twice}. Give one another name with AS.")
    if missing := next((name for name in made.partitions if name not in names), None):
        raise UsageError(f"It is partitioned by {missing}, which is no column of the query: {', '.join(names)}.")
    if len(made.partitions) == len(names):
        raise UsageError("Every column is one of partitions, and none is left for the files. Select one more.")
    if made.dialect != "athena":
        return
    if made.partitions and tuple(names[-len(made.partitions) :]) != made.partitions:
        raise UsageError(
            f"Columns of partitions stand last, in their order: … {', '.join(made.partitions)}. "
            "Write them there in SELECT."
        )
    for column in columns:
        _refuse_type(column, made)


def _refuse_type(column: _Column, made: Unload) -> None:
    """Refuse a type that Athena's UNLOAD has no place for, as Athena does, or that has no one text."""
    words = [column.type, *column.type.replace("(", ",").replace(")", ",").replace("[]", "").split(",")]
    found = next((w for w in _NO_HIVE for word in words if word.strip() == w or word.strip().endswith(f" {w}")), None)
    if found:
        raise UsageError(
            f"{column.name} is {found}, which Athena's UNLOAD does not write. CAST it to timestamp or varchar."
        )
    if made.form != "parquet" and "BLOB" in column.type:
        raise UsageError(f"{column.name} is varbinary, which {made.form.upper()} has no text for. Write to_base64(…).")
    if made.form == "text" and column.is_nested:
        raise UsageError(
            f"{column.name} is {column.type}, which TEXTFILE is not written with here. Write JSON or PARQUET."
        )


def _refuse_many(folders: set[str], made: Unload) -> None:
    if made.dialect == "athena" and len(folders) > MOST_PARTITIONS:
        raise UsageError(
            f"It makes {len(folders)} partitions, and Athena writes {MOST_PARTITIONS} at the most. "
            "Filter, and unload in parts."
        )


@contextmanager
def _staging(target: _Target) -> Iterator[Path]:
    """Give a folder for files in the making: of a local target beside it, so that to bring them is to rename them."""
    beside = None
    if "file" in target.files.protocol:
        place = Path(target.folder)
        beside = next(folder for folder in (place, *place.parents) if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=".notelake-unload-", dir=beside) as folder:
        yield Path(folder)


def _write(con: duckdb.DuckDBPyConnection, sql: str, columns: Sequence[_Column], made: Unload, folder: Path) -> int:
    by = [column for column in columns if column.name.lower() in made.partitions]
    held = [column for column in columns if column not in by or made.keeps_partitions]
    options = [f"COMPRESSION {literal(made.compression)}"] if made.compression != "none" else []
    if made.form == "parquet":
        parts = [*(_parquet(column, made) for column in held), *(identifier(c.name) for c in by if c not in held)]
        select = ", ".join(parts)
        options += ["FORMAT parquet", *([] if made.compression != "none" else ["COMPRESSION 'uncompressed'"])]
        options += [f"COMPRESSION_LEVEL {made.level}"] if made.level else []
        options += ["WRITE_PARTITION_COLUMNS true"] if by and made.keeps_partitions else []
    else:
        head = made.delimiter.join(_head(column.name, made) for column in held) if made.header else "line"
        select = ", ".join([f"{_line(held, made)} AS {identifier(head)}", *(identifier(c.name) for c in by)])
        options += ["FORMAT csv", f"HEADER {str(made.header).lower()}", "QUOTE ''", "ESCAPE ''", "DELIMITER '\x02'"]
    options += [f"PARTITION_BY ({', '.join(identifier(column.name) for column in by)})"] if by else []
    to = literal(str(folder / "rows" if by else folder / "rows.part"))
    try:
        done = con.execute(f"COPY (SELECT {select} FROM ({sql}) AS unloaded) TO {to} ({', '.join(options)})").fetchone()
    except duckdb.InvalidInputException as error:
        if _MIXED in str(error):
            raise UsageError(f"{str(error).partition(_MIXED)[2].strip()} Nothing was written.") from error
        raise
    return int(done[0]) if done else 0


_MIXED: Final = "UNLOAD:"


def _parquet(column: _Column, made: Unload) -> str:
    name = identifier(column.name)
    if column.type == "HUGEINT":
        return f"CAST({name} AS DECIMAL(38, 0)) AS {name}"
    if made.dialect != "athena" and (column.is_nested or column.type == "JSON"):
        return f"CAST(to_json({name}) AS VARCHAR) AS {name}"
    return name


def _head(name: str, made: Unload) -> str:
    return f'"{name}"' if made.quotes else name


def _line(columns: Sequence[_Column], made: Unload) -> str:
    """Return SQL for the line of a row."""
    if made.form == "json":
        fields = ", ".join(f"{identifier(column.name)} := {identifier(column.name)}" for column in columns)
        return f"CAST(to_json(struct_pack({fields})) AS VARCHAR)"
    cells = [f"coalesce({_cell(column, made)}, {literal(made.null)})" for column in columns]
    return f" || {literal(made.delimiter)} || ".join(cells)


def _cell(column: _Column, made: Unload) -> str:
    """Return SQL for the text of a value, null where it is."""
    name = identifier(column.name)
    text = f"CAST({name} AS VARCHAR)"
    if made.dialect != "athena" and column.type == "BOOLEAN":
        text = f"CASE {name} WHEN true THEN 't' WHEN false THEN 'f' END"
    if column.is_nested:
        text = f"CAST(to_json({name}) AS VARCHAR)"
    if column.type != "VARCHAR" and not column.is_nested:
        return f"""'"' || {text} || '"'""" if made.quotes else text
    return _GUARDS[made.form](text, column, made)


def _csv_text(text: str, _: _Column, made: Unload) -> str:
    signs = literal(f'["\r\n{_bracketed(made.delimiter)}]')
    quoted = f"""'"' || replace({text}, '"', '""') || '"'"""
    return f"CASE WHEN {text} = '' OR regexp_matches({text}, {signs}) THEN {quoted} ELSE {text} END"


def _plain_text(text: str, column: _Column, made: Unload) -> str:
    """Escape or quote a text as the options say; one that would not read back the same is refused."""
    if made.escapes:
        quote = '"' if made.quotes else ""
        signs = literal(rf"([\\\r\n{_bracketed(made.delimiter)}{quote}])")
        text = rf"regexp_replace({text}, {signs}, '\\\1', 'g')"
    else:
        signs = literal('["]' if made.quotes else f"[\r\n{_bracketed(made.delimiter)}]")
        way = "Write FORMAT CSV, or ESCAPE." if made.dialect != "athena" else "Write format = 'JSON' or 'PARQUET'."
        what = "a quote" if made.quotes else "the delimiter or the end of a line"
        said = literal(f"{_MIXED} A value of {column.name} holds {what}, and would not read back the same. {way}")
        text = f"CASE WHEN regexp_matches({text}, {signs}) THEN error({said}) ELSE {text} END"
    return f"""'"' || {text} || '"'""" if made.quotes else text


def _bracketed(sign: str) -> str:
    return f"\\{sign}" if sign in "\\]^-" else sign


_GUARDS: Final[dict[str, Callable[[str, _Column, Unload], str]]] = {"csv": _csv_text, "text": _plain_text}


def _named(folder: Path, made: Unload, execution_id: str) -> Iterator[tuple[Path, str]]:
    """Yield each file that was made, and what it is called at the target."""
    counts: dict[str, int] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        within = file.parent.relative_to(folder / "rows").as_posix() if file.parent != folder else ""
        number = counts[within] = counts.get(within, -1) + 1
        yield file, f"{within}/{_name(made, number, execution_id)}".lstrip("/")


def _name(made: Unload, number: int, execution_id: str) -> str:
    ending = "" if made.form == "parquet" else _ENDINGS.get(made.compression, "")
    if made.dialect == "athena":
        return f"{execution_id}_{number}{ending}"
    if made.form == "parquet":
        ending = ".parquet"
    if made.extension is not None:
        ending = f".{made.extension.lstrip('.')}"
    return (f"{number:04}_part_00" if made.is_parallel else f"{number:03}") + ending


def _bring(moves: Sequence[tuple[Path, str]], target: _Target, made: Unload) -> None:
    """Bring files to the target; their list comes last, as a manifest."""
    entries = []
    for file, name in moves:
        place = f"{target.folder}/{target.prefix}{name}"
        entry: dict[str, Any] = {"url": target.files.unstrip_protocol(place)}
        if made.form == "parquet":
            entry["meta"] = {"content_length": file.stat().st_size}
        entries.append(entry)
        target.files.makedirs(place.rpartition("/")[0], exist_ok=True)
        target.files.put_file(str(file), place)
    if made.manifest:
        text = json.dumps({"entries": entries}, indent=2) + "\n"
        target.files.pipe_file(f"{target.folder}/{target.prefix}manifest", text.encode())
