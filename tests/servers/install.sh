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
KINESALITE=3.3.3
JARS="org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.10.0 org.xerial:sqlite-jdbc:3.50.3.0"
TRINO_VERSION=476
DUCKDB2='2.0.*'
HTTPFS=1.5.5

PYTHON="${PYTHON:-.venv/bin/python}"
[ -x "$PYTHON" ] || PYTHON="$(command -v python3)"
mkdir -p "$SERVERS/bin" "$SERVERS/jars" "$SERVERS/log"
rm -f "$SERVERS"/log/*.missing "$SERVERS"/log/*.done

missing() { echo "  $1: not installed. $2" > "$SERVERS/log/$1.missing"; }
has() { command -v "$1" > /dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; elif has sudo && sudo -n true 2> /dev/null; then sudo -n "$@"; else return 1; fi
}

apt() {
  has apt-get && as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

postgresql() {
  if has initdb || ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1; then return; fi
  apt postgresql > "$SERVERS/log/postgresql.log" 2>&1 ||
    missing postgresql "It takes root on Debian (see $SERVERS/log/postgresql.log), or install it yourself so that initdb is on the PATH."
}

redis() {
  has redis-server && return
  apt redis-server > "$SERVERS/log/redis.log" 2>&1 ||
    missing redis "It takes root on Debian (see $SERVERS/log/redis.log), or install Redis 7 yourself so that redis-server is on the PATH."
}

mariadb() {
  if has mariadbd || [ -x /usr/sbin/mariadbd ]; then return; fi
  apt mariadb-server > "$SERVERS/log/mariadb.log" 2>&1 ||
    missing mariadb "It takes root on Debian (see $SERVERS/log/mariadb.log), or install it yourself so that mariadbd is on the PATH."
}

kinesalite() { # speaks Kinesis' API
  has npm || { missing kinesalite "It takes Node.js with npm."; return; }
  [ -f "$SERVERS/kinesalite/node_modules/kinesalite/cli.js" ] && return
  npm install --silent --no-audit --no-fund --prefix "$SERVERS/kinesalite" "kinesalite@$KINESALITE" \
    > "$SERVERS/log/kinesalite.log" 2>&1 || missing kinesalite "See $SERVERS/log/kinesalite.log."
}

s3() {
  [ -x "$SERVERS/bin/versitygw" ] && return
  if has go && GOBIN="$SERVERS/bin" go install "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW" > "$SERVERS/log/s3.log" 2>&1 &&
    "$SERVERS/bin/versitygw" --version > /dev/null 2>&1; then return; fi
  if has radosgw && has ceph-mon && has ceph-osd && has ceph; then return; fi
  # After PostgreSQL, MariaDB and Redis: apt-get takes one at a time.
  while [ ! -f "$SERVERS/log/debian.done" ]; do sleep 0.2; done
  apt radosgw ceph-mon ceph-osd ceph-common > "$SERVERS/log/radosgw.log" 2>&1 ||
    missing s3 "It takes Go 1.25 for versitygw (see $SERVERS/log/s3.log), or root on Debian for radosgw (see $SERVERS/log/radosgw.log)."
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

trino() { # 820 MB, so only if asked for: TRINO=1. It runs on Java 24 or newer, and takes half a minute to start
  [ -n "${TRINO:-}" ] || return
  [ -d "$SERVERS/trino-server-$TRINO_VERSION/lib" ] && return
  has mvn || { missing trino "It comes by Maven, which is not here."; return; }
  mvn --quiet --batch-mode dependency:copy -Dartifact="io.trino:trino-server:$TRINO_VERSION:tar.gz" \
    -DoutputDirectory="$SERVERS" > "$SERVERS/log/trino.log" 2>&1 &&
    tar xzf "$SERVERS/trino-server-$TRINO_VERSION.tar.gz" -C "$SERVERS" && rm "$SERVERS/trino-server-$TRINO_VERSION.tar.gz" ||
    missing trino "See $SERVERS/log/trino.log."
}

{ postgresql; mariadb; redis; touch "$SERVERS/log/debian.done"; } & s3 & kinesalite & spark & trino & environment duckdb2 "duckdb==$DUCKDB2" pytz & httpfs &
wait

if ls "$SERVERS"/log/*.missing > /dev/null 2>&1; then
  echo "Some servers could not be installed; the tests that need them are skipped:"
  cat "$SERVERS"/log/*.missing
else
  echo "PostgreSQL, MariaDB, Redis, kinesalite, S3, Spark and DuckDB 2.0 are at hand."
fi
exit 0
