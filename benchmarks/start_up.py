"""What starting costs: `import dagster_project.definitions` against `import dagster`, and a run over nothing new."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from side_by_side import in_turn, measure, median, table

NOTELAKE = [sys.executable, "-m", "dagster_project.cli"]


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    imports = [[sys.executable, "-c", f"import {module}"] for module in ("dagster_project.definitions", "dagster")]
    print(table(["import dagster_project.definitions", "import dagster"], in_turn(imports, given.runs)))
    with tempfile.TemporaryDirectory() as folder:
        lake = str(Path(folder) / "lake")
        measure([*NOTELAKE, "run", "--lake", lake], fine=(0, 3))
        again = [*NOTELAKE, "run", "--lake", lake]
        start = [sys.executable, "-c", "import dagster_project.pipeline, dagster_project.terminal"]
        results = in_turn([again, start], given.runs, fine=(0, 3))
        shutil.rmtree(lake)
    print(table(["notelake run, nothing changed", "start-up (imports)"], results))
    print(f"beyond start-up: {median(results[0], 'wall') - median(results[1], 'wall'):.2f} s")


if __name__ == "__main__":
    main()
