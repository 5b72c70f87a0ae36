"""UNLOAD of Athena and of Redshift: read as documented, written as their readers expect, refused by name."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from dagster_project.dialects.unload import Unload, read_unload
from dagster_project.errors import Unsupported, UsageError
from dagster_project.steps.unload import unload

ROWS = """(SELECT * FROM (VALUES
  (1, 'plain', true, [1, 2], DATE '2026-05-10', 'a'), (2, 'with|bar', false, [], NULL, 'a'), (3, '', NULL, NULL, NULL, 'b/c'),
  (4, NULL, true, [3], DATE '2026-05-11', NULL)) AS t(id, txt, flag, list, day, part))"""


def _read(sql: str, dialect: str) -> Unload:
    made = read_unload(sql, dialect)
    assert made is not None
    return made


def _unload(sql: str, dialect: str, execution_id: str = "q1") -> int:
    made = _read(sql, dialect)
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t AS FROM {ROWS}")
        return unload(con, made.query, made, execution_id=execution_id)


def _files(folder: Path) -> dict[str, Path]:
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}


# https://docs.aws.amazon.com/athena/latest/ug/unload.html and r_UNLOAD_command_examples.html of Redshift
DOCUMENTED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "athena",
        "UNLOAD (SELECT * FROM old_table) TO 's3://amzn-s3-demo-bucket/unload_test_1/' WITH (format = 'JSON')",
        {"query": "SELECT * FROM old_table", "form": "json", "compression": "gzip", "present": "refuse"},
    ),
    (
        "athena",
        "UNLOAD (SELECT * FROM old_table) TO 's3://amzn-s3-demo-bucket/' WITH (format = 'PARQUET',compression = 'SNAPPY')",
        {"form": "parquet", "compression": "snappy", "level": None},
    ),
    (
        "athena",
        "UNLOAD (SELECT * FROM old_table) TO 's3://b/' WITH (format = 'PARQUET', compression = 'ZSTD', compression_level = 4)",
        {"form": "parquet", "compression": "zstd", "level": 4},
    ),
    (
        "athena",
        "UNLOAD (SELECT name1, address1, comment1, key1 FROM table1) TO 's3://b/partitioned/' WITH (format = 'TEXTFILE', partitioned_by = ARRAY['key1'])",
        {"form": "text", "partitions": ("key1",), "delimiter": "\x01", "null": r"\N", "present": "add"},
    ),
    (
        "redshift",
        "unload ('select * from venue where venuestate=''NV''') to 's3://b/unload/' iam_role 'arn:aws:iam::0123456789012:role/MyRedshiftRole'",
        {"query": "select * from venue where venuestate='NV'", "form": "text", "delimiter": "|", "compression": "none"},
    ),
    (
        "redshift",
        "UNLOAD ('SELECT * FROM lineitem') TO 's3://b/lineitem/' IAM_ROLE 'arn:aws:iam::0123456789012:role/R' PARQUET PARTITION BY (l_shipdate)",
        {"form": "parquet", "partitions": ("l_shipdate",), "keeps_partitions": False, "compression": "snappy"},
    ),
    (
        "redshift",
        "unload ('select * from venue') to 's3://b/unload/venue_' iam_role 'arn:x' CSV DELIMITER AS '|' HEADER",
        {"form": "csv", "delimiter": "|", "header": True},
    ),
    (
        "redshift",
        "unload ('select * from venue') to 's3://b/venue_json_' iam_role default format as json manifest gzip parallel off allowoverwrite",
        {"form": "json", "manifest": True, "compression": "gzip", "is_parallel": False, "present": "replace"},
    ),
)


@pytest.mark.parametrize(("dialect", "sql", "told"), DOCUMENTED, ids=[sql[:70] for _, sql, _ in DOCUMENTED])
def test_an_unload_is_read_as_it_is_documented(dialect: str, sql: str, told: dict[str, Any]) -> None:
    made = _read(sql, dialect)
    assert {name: getattr(made, name) for name in told} == told


ATHENA, REDSHIFT = "UNLOAD (SELECT 1 AS a) TO 's3://b/f/' ", "UNLOAD ('SELECT 1 AS a') TO 's3://b/f' "
REFUSED = (
    ("athena", ATHENA + "WITH (compression = 'GZIP')", "needs a format"),
    ("athena", ATHENA + "WITH (format = 'ORC')", "format ORC"),
    ("athena", ATHENA + "WITH (format = 'AVRO')", "format AVRO"),
    ("athena", ATHENA + "WITH (format = 'JSON', compression = 'SNAPPY')", "compression is of PARQUET"),
    ("athena", ATHENA + "WITH (format = 'PARQUET', field_delimiter = ',')", "field_delimiter is of TEXTFILE"),
    ("athena", ATHENA + "WITH (format = 'TEXTFILE', field_delimiter = ',,')", "not one character"),
    ("athena", ATHENA + "WITH (format = 'PARQUET', bucketed_by = ARRAY['a'])", "no property bucketed_by"),
    ("athena", ATHENA + "WITH (format = 'PARQUET', compression_level = 3)", "compression_level is of ZSTD"),
    ("athena", ATHENA, "not read here"),
    ("athena", "UNLOAD SELECT 1 TO 's3://b/f/' WITH (format = 'JSON')", "not read here"),
    ("redshift", REDSHIFT + "PARQUET", "IAM_ROLE default"),
    ("redshift", REDSHIFT + "IAM_ROLE default PARQUET GZIP", "GZIP does not go with FORMAT PARQUET"),
    ("redshift", REDSHIFT + "IAM_ROLE default FIXEDWIDTH 'a:1'", "FIXEDWIDTH"),
    ("redshift", REDSHIFT + "IAM_ROLE default CLEANPATH", "Nothing is removed here"),
    ("redshift", REDSHIFT + "IAM_ROLE default MAXFILESIZE 5 MB", "MAXFILESIZE"),
    ("redshift", REDSHIFT + "ACCESS_KEY_ID 'a' SECRET_ACCESS_KEY 'b'", "No keys stand in a statement"),
    ("redshift", REDSHIFT + "IAM_ROLE default ENCRYPTED AUTO", "ENCRYPTED"),
    ("redshift", REDSHIFT + "IAM_ROLE default HEADER HEADER", "stands twice"),
)  # fmt: skip


@pytest.mark.parametrize(("dialect", "sql", "told"), REFUSED, ids=[sql[-50:] for _, sql, _ in REFUSED])
def test_what_is_not_written_here_is_refused_by_name(dialect: str, sql: str, told: str) -> None:
    with pytest.raises(Unsupported, match=told):
        read_unload(sql, dialect)


def test_parquet_lies_in_folders_of_partitions_whose_columns_are_not_in_it(tmp_path: Path) -> None:
    sql = f"UNLOAD (SELECT * FROM t) TO '{tmp_path}/out/' WITH (format = 'PARQUET', partitioned_by = ARRAY['part'])"
    assert _unload(sql, "athena") == 4
    files = _files(tmp_path / "out")
    assert list(files) == ["part=__HIVE_DEFAULT_PARTITION__/q1_0", "part=a/q1_0", "part=b%2Fc/q1_0"]
    table = pq.ParquetFile(files["part=a/q1_0"])
    assert table.schema_arrow.names == ["id", "txt", "flag", "list", "day"]
    assert table.metadata.row_group(0).column(0).compression == "GZIP"
    assert _unload(sql, "athena", "q2") == 4
    assert {"part=a/q1_0", "part=a/q2_0"} <= {*_files(tmp_path / "out")}  # to partitions it adds


def test_a_target_that_is_not_empty_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    sql = f"UNLOAD (SELECT id FROM t) TO '{tmp_path}/out/' WITH (format = 'JSON')"
    _unload(sql, "athena")
    before = {name: file.read_bytes() for name, file in _files(tmp_path).items()}
    with pytest.raises(UsageError, match="is not empty"):
        _unload(sql, "athena")
    assert {name: file.read_bytes() for name, file in _files(tmp_path).items()} == before


def test_json_is_an_object_a_line_and_text_goes_by_the_delimiter(tmp_path: Path) -> None:
    _unload(f"UNLOAD (SELECT id, list, day FROM t) TO '{tmp_path}/j' WITH (format = 'JSON')", "athena")
    lines = gzip.decompress((tmp_path / "j" / "q1_0.gz").read_bytes()).decode().splitlines()
    assert json.loads(lines[1]) == {"id": 2, "list": [], "day": None}
    _unload(f"UNLOAD (SELECT id, txt, flag FROM t) TO '{tmp_path}/t' WITH (format = 'TEXTFILE')", "athena")
    assert gzip.decompress((tmp_path / "t" / "q1_0.gz").read_bytes()).decode() == (
        "1\x01plain\x01true\n2\x01with|bar\x01false\n3\x01\x01\\N\n4\x01\\N\x01true\n"
    )


UNWRITTEN = (
    ("SELECT now() AS a", "PARQUET", "TIMESTAMP WITH TIME ZONE"),
    ("SELECT {'x': TIME '10:00:00'} AS a", "PARQUET", "a is TIME"),
    ("SELECT [1] AS a", "TEXTFILE", "TEXTFILE is not written"),
    ("SELECT 'x'::BLOB AS a", "JSON", "to_base64"),
    ("SELECT 'a' || chr(10) AS a", "TEXTFILE", "would not read back the same"),
    ("SELECT 1 AS a, 2 AS A", "JSON", "Two columns"),
)


@pytest.mark.parametrize(("query", "form", "told"), UNWRITTEN, ids=[q for q, _, _ in UNWRITTEN])
def test_what_would_not_read_back_is_refused_and_nothing_is_written(
    tmp_path: Path, query: str, form: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        _unload(f"UNLOAD ({query}) TO '{tmp_path}/out/' WITH (format = '{form}')", "athena")
    assert _files(tmp_path) == {}


def test_more_partitions_than_athena_writes_are_refused(tmp_path: Path) -> None:
    sql = f"UNLOAD (SELECT 1 AS a, range AS p FROM range(101)) TO '{tmp_path}/o' WITH (format='JSON', partitioned_by=ARRAY['p'])"
    with pytest.raises(UsageError, match="101 partitions"):
        _unload(sql, "athena")
    with pytest.raises(UsageError, match="stand last"):
        _unload(sql.replace("1 AS a, range AS p", "range AS p, 1 AS a"), "athena")
    assert _files(tmp_path) == {}


def test_redshift_writes_csv_with_quotes_where_they_are_needed_and_names_files_by_the_prefix(tmp_path: Path) -> None:
    to = f"UNLOAD ('SELECT id, txt, flag, list FROM t') TO '{tmp_path}/out/v_' IAM_ROLE default "
    _unload(to + "FORMAT AS CSV HEADER DELIMITER '|' NULL AS 'nil' MANIFEST", "redshift")
    files = _files(tmp_path / "out")
    assert list(files) == ["v_0000_part_00", "v_manifest"]
    text = files["v_0000_part_00"].read_text()
    assert text == 'id|txt|flag|list\n1|plain|t|[1,2]\n2|"with|bar"|f|[]\n3|""|nil|nil\n4|nil|t|[3]\n'
    assert [len(row) for row in csv.reader(text.splitlines(), delimiter="|")] == [4] * 5
    assert json.loads(files["v_manifest"].read_text())["entries"] == [{"url": f"file://{files['v_0000_part_00']}"}]
    with pytest.raises(UsageError, match="ALLOWOVERWRITE"):
        _unload(to, "redshift")
    assert _unload(to + "FORMAT CSV ALLOWOVERWRITE PARALLEL OFF", "redshift") == 4


def test_redshift_text_is_escaped_or_quoted_or_refused(tmp_path: Path) -> None:
    to = f"UNLOAD ('SELECT id, txt FROM t ORDER BY 1') TO '{tmp_path}/%s' IAM_ROLE default PARALLEL OFF "
    with pytest.raises(UsageError, match="ESCAPE"):
        _unload(to % "a", "redshift")
    _unload(to % "b" + "ESCAPE", "redshift")
    assert (tmp_path / "b000").read_text() == "1|plain\n2|with\\|bar\n3|\n4|\n"
    _unload(to % "c" + "ADDQUOTES GZIP", "redshift")
    assert (
        gzip.decompress((tmp_path / "c000.gz").read_bytes()).decode() == '"1"|"plain"\n"2"|"with|bar"\n"3"|""\n"4"|\n'
    )


def test_redshift_parquet_keeps_the_columns_of_partitions_if_asked_and_lists_in_json(tmp_path: Path) -> None:
    to = f"UNLOAD ('SELECT id, list, part FROM t') TO '{tmp_path}/p' IAM_ROLE default PARQUET PARTITION BY (part) INCLUDE MANIFEST"
    _unload(to, "redshift")
    files = _files(tmp_path / "p")
    table = pq.read_table(str(files["part=a/0000_part_00.parquet"]), partitioning=None)
    assert table.to_pylist() == [{"id": 1, "list": "[1,2]", "part": "a"}, {"id": 2, "list": "[]", "part": "a"}]
    sizes = [entry["meta"]["content_length"] for entry in json.loads(files["manifest"].read_text())["entries"]]
    assert sorted(sizes) == sorted(file.stat().st_size for name, file in files.items() if name != "manifest")
