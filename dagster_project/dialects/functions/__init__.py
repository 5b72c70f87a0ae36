"""The functions of Athena that are given exactly: a rule each, in a file per family.

What belongs here: one function, what it takes and what it is in DuckDB, by its documentation (https://trino.io/docs/current/
functions.html). What does not: operators. A function without a rule is refused.
"""

from dagster_project.dialects.functions import (  # noqa: F401 - each enters its rules
    addresses,
    aggregates,
    arrays,
    conditions,
    dates,
    digests,
    json_functions,
    maps,
    maths,
    presto,
    readable,
    sql_json,
    strings,
)
from dagster_project.dialects.functions.calls import AGGREGATES, FUNCTIONS

__all__ = ["AGGREGATES", "FUNCTIONS"]
