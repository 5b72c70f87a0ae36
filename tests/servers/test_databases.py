"""Databases as sources of rows: a PostgreSQL and a MariaDB of these tests' own, which they stop, start and cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest

from dagster_project.errors import SourceUnavailable
from dagster_project.lake.lake import Lake, open_lake
from dagster_project.lake.read import relation
from dagster_project.pipeline import run_source
from dagster_project.reports import Observer, quiet
from dagster_project.settings import settings
from dagster_project.sources import NoteMapping, SchemaContract, TableSource
from dagster_project.steps.cursors import source_cursor
from dagster_project.steps.land import land
from dagster_project.steps.serve import serve

from .daemons import Server, mariadb, postgresql, serving

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

USER, PASSWORD = "reader_of_notes", "s3cr:t/p@ss"
_HOURS = count()
BIG = 100_000
"""Rows of some 500 bytes: more than what a connection holds of them unread."""


@dataclass(frozen=True)
class Shop:
    """The database `shop` of a server. `query` asks it as its owner, each statement committed."""

    kind: str
    server: Server
    query: Callable[[str], list[tuple[Any, ...]]]

    @property
    def address(self) -> str:
        return f"{self.kind}://{USER}:s3cr%3At%2Fp%40ss@127.0.0.1:{self.server.port}/shop"

    def cut_off_readers(self) -> None:
        if self.kind == "postgresql":
            self.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'")
            return
        for (number,) in self.query(f"SELECT id FROM information_schema.processlist WHERE user = '{USER}'"):
            self.query(f"KILL {number}")

    def series(self, last: int) -> str:
        """SQL of the numbers from 1 on, as a table with the column `n`."""
        series = f"(SELECT generate_series(1, {last}) AS n)" if self.kind == "postgresql" else None
        return f"{series or f'(SELECT seq AS n FROM seq_1_to_{last})'} AS s"

    def do(self, *statements: str) -> None:
        for statement in statements:
            self.query(statement)


@contextmanager
def _postgresql() -> Iterator[Shop]:
    hosts = f"host all {USER} 127.0.0.1/32 scram-sha-256\n"
    with serving(lambda folder: postgresql(folder, hosts=hosts)) as server:

        def query(statement: str, database: str = "shop") -> list[tuple[Any, ...]]:
            import psycopg2

            with closing(psycopg2.connect(host="127.0.0.1", port=server.port, user="notelake", dbname=database)) as con:
                con.autocommit = True
                with con.cursor() as cursor:
                    cursor.execute(statement)
                    return cursor.fetchall() if cursor.description else []

        query("CREATE DATABASE shop", "postgres")
        query(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        query(f"GRANT pg_read_all_data TO {USER}")
        yield Shop("postgresql", server, query)


@contextmanager
def _mariadb() -> Iterator[Shop]:
    with serving(mariadb) as server:

        def query(statement: str) -> list[tuple[Any, ...]]:
            import pymysql

            con = pymysql.connect(host="127.0.0.1", port=server.port, user="root", autocommit=True)
            with con, con.cursor() as cursor:
                cursor.execute("CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4")
                cursor.execute("USE shop")
                cursor.execute(statement)
                return list(cursor.fetchall())

        query(f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        query(f"GRANT SELECT ON shop.* TO '{USER}'@'127.0.0.1'")
        yield Shop("mysql", server, query)


@pytest.fixture(scope="module", params=[_postgresql, _mariadb], ids=["postgresql", "mariadb"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    with request.param() as shop:
        yield shop


@pytest.fixture
def talks(shop: Shop) -> Shop:
    """The server with a table of three talks."""
    stamp = "timestamptz" if shop.kind == "postgresql" else "datetime(6)"
    shop.do(
        "DROP TABLE IF EXISTS talks",
        f"CREATE TABLE talks (id int PRIMARY KEY, title varchar(200), price decimal(9, 2), changed_at {stamp})",
        "INSERT INTO talks VALUES (1, 'One', 1.5, '2026-05-01 10:00:00.25'), (2, 'Two', NULL, '2026-05-02 10:00:00'), "
        "(3, 'Drei äöü 題', 3, '2026-05-03 10:00:00')",
    )
    return shop


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    noon = datetime(2026, 5, 16, 12, tzinfo=UTC)
    return open_lake(
        settings(str(tmp_path / "lake")), clock=lambda: noon + timedelta(hours=next(_HOURS)), ids=lambda: uuid4().hex
    )


@pytest.fixture
def source(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TableSource]:
    """Make a source of a table of the server; its address stands in the environment."""
    monkeypatch.setenv("SHOP", shop.address)

    def make(**attributes: Any) -> TableSource:
        given = {"table": "talks", "note": NoteMapping(key=("id",), title="title"), **attributes}
        return TableSource(name="talks", path=f"{shop.kind}://", address_variable="SHOP", **given)

    return make


COMPARED = {"mode": "merge", "incremental": "compare"}


def landed(lake: Lake, source: TableSource, observe: Observer = quiet) -> list[tuple[Any, ...]]:
    """Land, and return what arrived: op, id and title."""
    done = land(lake, source, observe=observe)
    first = done.last_sequence - done.arrivals
    return arrivals(lake, f"SELECT _op, id, title FROM raw WHERE sequence > {first} ORDER BY sequence")


def arrivals(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    with lake.connect() as con:
        pin = lake.pins(["raw.talks"])["raw.talks"]
        return con.execute(query.replace("FROM raw", f"FROM {relation(pin)} AS raw")).fetchall()


def state(lake: Lake) -> str:
    return lake.pins(["raw.talks"])["raw.talks"].metadata_location


def test_a_run_shows_what_the_table_has_and_tells_no_credentials(
    talks: Shop, lake: Lake, source: Callable[..., TableSource], tmp_path: Path
) -> None:
    def run(source: TableSource) -> tuple[int, ...]:
        report = run_source(lake, source)
        assert report.error is None and report.counts.is_balanced
        return report.counts.seen, report.counts.unchanged, report.counts.committed, report.counts.removed

    compared = source(**COMPARED)
    assert run(compared) == (3, 0, 3, 0)
    before = state(lake)
    assert (run(compared), state(lake)) == ((3, 3, 0, 0), before)
    talks.do("UPDATE talks SET title = 'two' WHERE id = 2", "DELETE FROM talks WHERE id = 1")
    assert run(compared) == (3, 1, 1, 1)
    serve(lake)
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{lake.settings.view_file}' AS served (READ_ONLY); USE served")
        rows = con.execute("SELECT id, title, price FROM tables.talks ORDER BY id").fetchall()
        assert rows == [(2, "two", None), (3, "Drei äöü 題", Decimal("3.00"))]
        assert con.execute("SELECT path FROM notes.notes ORDER BY 1").fetchall() == [("2",), ("3",)]
        everything = [str(con.execute(f"FROM {schema}.{name}").fetchall()) for schema, name in _tables(con)]
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    for secret in (PASSWORD, "s3cr%3At", USER):
        assert not any(secret in text for text in everything)
        assert not any(secret.encode() in data for data in written)


def _tables(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    found = con.execute(
        "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal AND database_name = 'served'"
    )
    return [(f'"{schema}"', f'"{name}"') for schema, name in found.fetchall()]


def test_by_a_cursor_with_a_lag_late_rows_come_too_and_none_twice(
    talks: Shop, lake: Lake, source: Callable[..., TableSource]
) -> None:
    changes = source(mode="append", incremental="cursor", cursor="changed_at", lag=3600)
    assert len(landed(lake, changes)) == 4
    assert landed(lake, changes) == []
    talks.do(
        "INSERT INTO talks VALUES (4, 'late', 4, '2026-05-03 09:30:00'), (5, 'new', 5, '2026-05-04 10:00:00.125'), "
        "(6, 'too late', 6, '2026-05-03 08:00:00'), (7, 'never', 7, NULL)"
    )
    assert sorted(landed(lake, changes)) == [
        ("file", None, None),
        ("put", 4, "late"),
        ("put", 5, "new"),
        ("put", 7, "never"),
    ]
    position = source_cursor(lake, lake.pins(["raw.talks"])["raw.talks"]).positions
    assert [value[:23] for _, value in position.values()] == ["2026-05-04 10:00:00.125"]
    assert landed(lake, changes) == []
    numbers = source(mode="append", incremental="cursor", cursor="id")
    assert landed(lake, numbers) == [("put", 6, "too late"), ("file", None, None)]


def test_a_connection_that_is_cut_while_rows_are_read_lands_nothing(
    shop: Shop, lake: Lake, source: Callable[..., TableSource]
) -> None:
    _fill(shop)

    def cut_off(name: str, stage: str, done: int = 0, total: int | None = None) -> None:
        if cuts:
            cuts.pop()()

    whole = source(table="big", **COMPARED)
    cuts: list[Callable[[], None]] = [shop.cut_off_readers]
    with pytest.raises(SourceUnavailable, match=r"talks cannot be read at \w+://127[.]0[.]0[.]1:\d+/shop: ") as error:
        land(lake, whole, observe=cut_off)
    assert not cuts and PASSWORD not in str(error.value) and USER not in str(error.value)
    assert error.value.__cause__ is None
    assert arrivals(lake, "SELECT count(*) FROM raw") == [(0,)]
    cuts = [shop.server.end]
    with pytest.raises(SourceUnavailable, match="Nothing of it was changed"):
        land(lake, whole, observe=cut_off)
    with pytest.raises(SourceUnavailable, match="Nothing of it was changed"):
        land(lake, whole, observe=quiet)
    shop.server.begin()
    assert land(lake, whole, observe=quiet).arrivals == BIG + 1
    assert arrivals(lake, "SELECT count(DISTINCT id), sum(id) FROM raw WHERE _op = 'put'") == [
        (BIG, BIG * (BIG + 1) / 2)
    ]
    shop.do("DELETE FROM big WHERE id % 1000 = 0", "UPDATE big SET title = 'x' WHERE id % 1000 = 1")
    cuts = [shop.cut_off_readers]
    land(lake, whole, observe=quiet)
    ops = arrivals(lake, "SELECT _op, count(*) FROM raw GROUP BY 1 ORDER BY 1")
    assert ops == [("file", 2), ("gone", BIG // 1000), ("put", BIG + BIG // 1000)]


def _fill(shop: Shop) -> None:
    shop.do(
        "DROP TABLE IF EXISTS big",
        "CREATE TABLE big (id int PRIMARY KEY, title text, body text)",
        f"INSERT INTO big SELECT n, concat('Talk ', n), repeat(md5(concat('', n)), 15) FROM {shop.series(BIG)}",
    )


def test_a_table_whose_schema_changes_goes_by_the_contract(
    talks: Shop, lake: Lake, source: Callable[..., TableSource]
) -> None:
    compared = source(**COMPARED)
    landed(lake, compared)
    talks.do("ALTER TABLE talks ADD COLUMN room int", "UPDATE talks SET room = 7 WHERE id = 1")
    assert landed(lake, compared) == [("put", 1, "One"), ("file", None, None)]
    change = "ALTER COLUMN room TYPE text" if talks.kind == "postgresql" else "MODIFY room text"
    talks.do(f"ALTER TABLE talks {change}")
    assert landed(lake, compared) == []  # the values are what they were
    talks.do("UPDATE talks SET room = 'hall' WHERE id = 2", "ALTER TABLE talks DROP COLUMN price")
    landed(lake, compared)
    rows = "SELECT id, room, room__text, price FROM raw WHERE _op = 'put' AND sequence > 6 ORDER BY id"
    assert arrivals(lake, rows) == [(1, 7, None, None), (2, None, "hall", None), (3, None, None, None)]
    frozen = source(**COMPARED, schema_contract=SchemaContract(columns="freeze"))
    talks.do("ALTER TABLE talks ADD COLUMN extra int")
    assert landed(lake, frozen) == [("file", None, None)]
    assert landed(lake, frozen) == []


def test_a_wrong_password_or_an_absent_table_is_told_without_credentials(
    talks: Shop, lake: Lake, source: Callable[..., TableSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", talks.address.replace("s3cr%3At", "wr0ng"))
    with pytest.raises(SourceUnavailable, match=r"cannot be read at .*/shop: ") as error:
        land(lake, source(), observe=quiet)
    assert not any(secret in str(error.value) for secret in ("wr0ng", USER, "p@ss", "p%40ss"))


def test_names_are_quoted_so_that_none_is_taken_for_sql(
    talks: Shop, lake: Lake, source: Callable[..., TableSource]
) -> None:
    mark = '"' if talks.kind == "postgresql" else "`"
    table, column = f"x{mark}; DROP TABLE talks; -- '", f"at{mark}; DROP TABLE talks; -- '"
    quoted = [mark + name.replace(mark, mark * 2) + mark for name in (table, column)]
    talks.do(
        f"DROP TABLE IF EXISTS {quoted[0]}",
        f"CREATE TABLE {quoted[0]} (id int, title text, {quoted[1]} varchar(50))",
        f"INSERT INTO {quoted[0]} VALUES (1, 'it''s', 'a''b')",
    )
    by_column = source(table=table, mode="append", incremental="cursor", cursor=column)
    assert landed(lake, by_column)[0] == ("put", 1, "it's")
    talks.do(f"INSERT INTO {quoted[0]} VALUES (2, 'more', 'b''c')")
    assert landed(lake, by_column)[0] == ("put", 2, "more")
    assert talks.query("SELECT count(*) FROM talks") == [(3,)]
    talks.do(f"DROP TABLE {quoted[0]}")


def test_a_query_can_change_nothing(talks: Shop, lake: Lake, source: Callable[..., TableSource]) -> None:
    query = "SELECT 1) AS q; DELETE FROM talks; SELECT 1 FROM (SELECT 1"
    with pytest.raises(SourceUnavailable):
        land(lake, source(table=(), query=query), observe=quiet)
    assert talks.query("SELECT count(*) FROM talks") == [(3,)]
    joined = "SELECT t.id, concat(t.title, '!') AS title FROM talks AS t WHERE t.id < 3;"
    assert landed(lake, source(table=(), query=joined))[0] == ("put", 1, "One!")


def test_types_keep_their_values(talks: Shop, lake: Lake, source: Callable[..., TableSource]) -> None:
    talks.do("DROP TABLE IF EXISTS kinds")
    if talks.kind == "postgresql":
        talks.do(
            "CREATE TABLE kinds (id uuid, title text, d date, ts timestamp, tz timestamptz, n numeric, f real, "
            "b bytea, j jsonb, a text[], u uuid[], i interval, ok bool, t time, far date, ever timestamptz, "
            "m numeric(9, 2), w numeric(50, 2))",
            "INSERT INTO kinds VALUES ('12345678-1234-5678-1234-567812345678', 'x', '2026-05-16', "
            "'2026-05-16 12:00:00.5', '2026-05-16 12:00:00+02', 1234567890.12345678901234567890, 0.125, "
            "'\\x00ff', '{\"a\": [1]}', '{x,NULL}', "
            "'{12345678-1234-5678-1234-567812345678}', '1 day 2 hours', true, '10:30', 'infinity', "
            "'-infinity', -1.5, 7)",
        )
        wanted: dict[str, Any] = {
            "id": "12345678-1234-5678-1234-567812345678",
            "d": "2026-05-16",
            "ts": "2026-05-16 12:00:00.5",
            "tz": "2026-05-16 10:00:00+00",
            "n": "1234567890.12345678901234567890",
            "f": 0.125,
            "b": b"\x00\xff",
            "j": '{"a": [1]}',
            "a": ["x", None],
            "u": ["12345678-1234-5678-1234-567812345678"],
            "i": "P1DT2H",
            "ok": True,
            "t": "10:30:00",
            "far": "infinity",
            "ever": "-infinity",
            "m": Decimal("-1.50"),
            "w": "7.00",
        }
    else:
        talks.do(
            "SET sql_mode = ''",
            "CREATE TABLE kinds (id bigint unsigned, title text, d date, ts datetime(6), n decimal(30, 20), f float, "
            "g double, b varbinary(4), j json, ok bool, t time, y year, e enum('p', 'q'), k mediumint, "
            "m decimal(9, 2), v decimal(5) unsigned, w decimal(50, 2))",
            "INSERT INTO kinds VALUES (18446744073709551615, 'x', '2026-05-16', '2026-05-16 12:00:00.5', "
            "1234567890.12345678901234567890, 0.125, 1e300, x'00ff', '{\"a\": [1]}', true, '10:30', 2026, 'q', -7, "
            "-1.5, 12345, 7)",
        )
        wanted = {
            "id": "18446744073709551615",
            "d": "2026-05-16",
            "ts": "2026-05-16 12:00:00.5",
            "n": Decimal("1234567890.12345678901234567890"),
            "f": 0.125,
            "g": 1e300,
            "b": b"\x00\xff",
            "j": '{"a": [1]}',
            "ok": 1,
            "t": "10:30:00",
            "y": 2026,
            "e": "q",
            "k": -7,
            "m": Decimal("-1.50"),
            "v": Decimal(12345),
            "w": "7.00",
        }
    kinds = source(table="kinds")
    assert len(landed(lake, kinds)) == 2
    shown = ", ".join(f"{name}::VARCHAR" if name in ("d", "ts", "tz") else name for name in wanted)
    assert arrivals(lake, f"SELECT {shown} FROM raw WHERE _op = 'put'") == [tuple(wanted.values())]
    assert landed(lake, kinds) == []
