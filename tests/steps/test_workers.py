"""Workers: an input that kills, hangs or fills its process costs that input, and the rest of the work is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dagster_project.errors import WorkerLost
from dagster_project.steps.workers import Limits, work

LIMITS = Limits(seconds=0.5, memory=512 * 1024**2)


@pytest.fixture
def jobs(monkeypatch):
    """The module of jobs, where worker processes find it too: they take over the path of who starts them."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "jobs"))
    import hostile_jobs

    return hostile_jobs


def done(jobs, *tasks, processes=2, told=None):
    numbered, number = [], 0
    for task in tasks:
        numbered.append([(number := number + 1, what) for what in task])
    progress = told.append if told is not None else lambda _: None
    return work(jobs.do, numbered, limits=LIMITS, processes=processes, progress=progress)


def test_results_come_in_the_order_of_the_tasks_whoever_did_them(jobs):
    told = []
    tasks = [["fine"] * 3, ["fine"], ["fine"] * 2, [], ["fine"]]
    expected, number = [], 0
    for task in tasks:
        expected.append([(number := number + 1, f"did {number}") for _ in task])
    assert done(jobs, *tasks, told=told) == expected
    assert told[-1] == number
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("dies", "its reader brought its process down (SIGSEGV)"),
        ("aborts", "its reader brought its process down (SIGABRT: it may have run out of memory)"),
        ("exits", "its reader brought its process down (exit code 7)"),
        ("hangs deaf", "its reader took longer than 0.5 s, and was killed"),
        ("loops", "TimeoutError: took longer than 0.5 s"),
        pytest.param(
            "fills memory",
            "MemoryError: ",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only"),
        ),
    ],
)
def test_an_input_that_harms_its_process_is_named_and_the_others_are_done(jobs, what, why):
    assert done(jobs, ["fine", what, "fine"], ["fine"]) == [
        [(1, "did 1"), (2, why), (3, "did 3")],
        [(4, "did 4")],
    ]


def test_many_harmful_inputs_in_one_task_are_each_found_out(jobs):
    [found] = done(jobs, ["dies", "fine", "exits", "aborts", "fine"], processes=1)
    assert [number for number, why in found if "brought its process down" in why] == [1, 3, 4]
    assert [number for number, why in found if why.startswith("did")] == [2, 5]


def test_an_error_of_the_job_itself_is_raised_with_where_it_happened(jobs):
    with pytest.raises(ValueError, match="input 1 is a fault of the job itself") as raised:
        done(jobs, ["fails"], ["fine"])
    assert "hostile_jobs.py" in "".join(raised.value.__notes__)


def test_workers_that_die_at_no_input_are_given_up(jobs):
    with pytest.raises(WorkerLost, match="died 3 times between two inputs"):
        work(jobs.die_idle, [[]], limits=LIMITS, processes=1, progress=lambda _: None)


def test_workers_do_not_import_the_program_that_starts_them(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import pathlib, sys\n"
        f"with open({str(tmp_path / 'imported')!r}, 'a') as file:\n"
        "    file.write('once ')\n"
        f"sys.path.insert(0, {str(Path(__file__).parent / 'jobs')!r})\n"
        "import hostile_jobs\n"
        "from dagster_project.steps.workers import Limits, work\n"
        "limits = Limits(seconds=5, memory=512 * 1024**2)\n"
        "if __name__ == '__main__':\n"
        "    print(work(hostile_jobs.do, [[(1, 'fine')], [(2, 'fine')]], limits=limits, processes=2,"
        " progress=lambda done: None))\n"
    )
    done = subprocess.run([sys.executable, program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str([[(1, "did 1")], [(2, "did 2")]])
    assert (tmp_path / "imported").read_text() == "once "
