"""Runs in Spark's own environment: what views give there. Reads a task as JSON, prints rows as JSON behind TOLD."""

import json
import sys
from pathlib import Path


def main() -> None:
    """Answer the task that the first argument names."""
    from pyspark.sql import SparkSession

    task = json.loads(Path(sys.argv[1]).read_text())
    builder = SparkSession.builder.master("local[2]")
    for name, value in {
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for statement in task["functions"].split(";\n"):
        if statement.strip():
            spark.sql(statement)
    for name, file in task["files"].items():
        spark.read.parquet(*([file] if isinstance(file, str) else file)).createOrReplaceTempView(name)
    told = {}
    for name, sql in task["views"].items():
        try:
            told[name] = [list(row) for row in spark.sql(sql).collect()]
        except Exception as error:
            told[name] = str(error)[:500]
    print(
        "TOLD " + json.dumps(told, default=lambda value: value.isoformat(" ") if hasattr(value, "hour") else str(value))
    )


if __name__ == "__main__":
    main()
