"""Claims of what commands open: no module is loaded that they do not need."""

from __future__ import annotations

import subprocess
import sys

_ASKED = """
import sys
from dagster_project.commands.opened import _leave_pandas_out
_leave_pandas_out()
import pyarrow as pa
rows = pa.table({"a": pa.array([1])})
print("pandas" in sys.modules, rows.to_pandas().shape)
"""


def test_arrow_values_load_no_pandas_and_frames_still_do() -> None:
    asked = subprocess.run([sys.executable, "-c", _ASKED], capture_output=True, text=True, check=True)
    assert asked.stdout.split(" ", 1) == ["False", "(1, 1)\n"]
