"""What Dagster makes of a source: the YAML vocabulary and the assets, checks, schedules and sensors behind it.

What belongs here: Dagster, and only the outside of it: context in, one call of `pipeline`, metadata out. What does not:
anything that would be needed without Dagster.

    sources.py      DocumentSource, TableSource, StreamSource: the types a defs.yaml names
    attributes.py   their attributes, which are the fields of `dagster_project.sources`
    scaffold.py     what `dg scaffold defs` writes (templates/)
    assets.py       raw/<source> and notes/<source>_notes
    checks.py       each expectation of the suites as an asset check
    timing.py       schedules, sensors, retries
    keeping_up.py   whether a stream keeps up, as a check
    streamed.py     what `notelake stream` commits, told by a sensor
    served.py       the tables and views of lake.duckdb as assets
    metadata.py     figures and columns as Dagster shows them
    failures.py     errors without a word of anybody's notes
    resources.py    the lake as a resource
    upkeep.py       the daily clean-up of the lake and of Dagster's own history

Nothing here imports pyiceberg, sqlglot or Great Expectations before an asset runs: loading the project stays quick.
"""

from dagster_project.components.resources import LakeResource as LakeResource
from dagster_project.components.sources import DocumentSource as DocumentSource
from dagster_project.components.sources import StreamSource as StreamSource
from dagster_project.components.sources import TableSource as TableSource

__all__ = ["DocumentSource", "LakeResource", "StreamSource", "TableSource"]
