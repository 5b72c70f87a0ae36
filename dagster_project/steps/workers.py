"""Worker processes for work on things nobody vouches for: what one input does to its process costs that input only.

What belongs here: starting, feeding, watching and ending processes. What does not: the work (`documents`).

A worker says in shared memory which input it is at and since when. An input that takes longer than it may is stopped
from within by an alarm, and if the code it is in does not heed one, from outside: the process is killed. An input
whose process dies is named to whoever does its task again, so that it is left out. Memory is limited by the system
(Linux; elsewhere only time is). Processes are forked from one that has nothing but the imports, so that neither
threads nor memory of the run that starts them go along.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any, Final, Generic, TypeVar

from dagster_project.errors import WorkerLost

Task = TypeVar("Task")
Done = TypeVar("Done")

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_PRELOADED: Final = ["dagster_project.steps.documents"]
_LOOKS_EVERY: Final = 0.2
_GRACE: Final = 3.0
"""Seconds after an input's time is up until its process is killed: the alarm within it comes first, and is cheaper."""
_DEATHS: Final = 2
"""So often a process may die while it is at no input; then the fault is not an input's."""
_INPUT, _SINCE, _DONE = range(3)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one input may cost its worker."""

    seconds: float
    memory: int
    """Bytes of memory a worker may have beyond what it starts with."""


class Watch:
    """What a worker says of itself while it works."""

    def __init__(self, slot: Any, limits: Limits) -> None:
        self._slot = slot
        self._seconds = limits.seconds
        self._limits = limits

    @contextmanager
    def at(self, input_: int) -> Iterator[None]:
        """Say that the work is at an input, a number above 0, while the block runs; TimeoutError if it takes long."""
        slot = self._slot
        slot[_SINCE] = time.monotonic_ns()
        slot[_INPUT] = input_
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            slot[_INPUT] = 0

    def ahead(self, count: int) -> None:
        """Say that so many more inputs are done."""
        self._slot[_DONE] += count


Job = Callable[[Task, Mapping[int, str], Watch], Done]
"""Does a task; the mapping says which of its inputs are to be left out, and why."""


def warm_up() -> None:
    """Start the process that workers are forked from, so that its imports go on beside other work."""
    from multiprocessing.forkserver import ensure_running

    _CONTEXT.set_forkserver_preload(_PRELOADED)
    ensure_running()


def work(
    job: Job[Task, Done],
    tasks: Sequence[Task],
    *,
    limits: Limits,
    processes: int,
    progress: Callable[[int], None],
) -> list[Done]:
    """Do all `tasks` in up to `processes` workers; return what they gave, in the order of the tasks.

    `progress` is told how many inputs are done. An error of the job itself is raised here. Raises `WorkerLost` if
    workers die again and again without being at an input.
    """
    warm_up()
    crew = _Crew(job, limits, [_Assignment(task) for task in tasks], progress)
    try:
        crew.hire(min(processes, len(tasks)))
        return crew.finish()
    finally:
        crew.dismiss()


@dataclass(slots=True)
class _Assignment(Generic[Task, Done]):
    """A task, and what is known of it so far."""

    task: Task
    left_out: dict[int, str] = field(default_factory=dict)
    deaths: int = 0
    result: Done | None = None


@dataclass(slots=True)
class _Worker:
    process: Any
    link: Connection
    slot: Any
    assignment: _Assignment[Any, Any] | None = None


@dataclass(slots=True)
class _Crew(Generic[Task, Done]):
    job: Job[Task, Done]
    limits: Limits
    assignments: list[_Assignment[Task, Done]]
    progress: Callable[[int], None]
    workers: list[_Worker] = field(default_factory=list)
    waiting: deque[_Assignment[Task, Done]] = field(default_factory=deque)
    done: int = 0

    def hire(self, count: int) -> None:
        self.waiting.extend(self.assignments)
        for _ in range(count):
            self._assign(self._start())

    def finish(self) -> list[Done]:
        while any(worker.assignment for worker in self.workers):
            links: dict[Any, _Worker] = {worker.link: worker for worker in self.workers if worker.assignment}
            for link in wait(list(links), _LOOKS_EVERY):
                self._receive(links[link])
            for worker in list(self.workers):
                if worker.assignment and _is_overdue(worker, self.limits):
                    worker.process.kill()
                    self._lost(worker, f"its reader took longer than {self.limits.seconds:g} s, and was killed")
            self.progress(self.done + sum(worker.slot[_DONE] for worker in self.workers))
        return [assignment.result for assignment in self.assignments]  # type: ignore[misc]  # all are done

    def dismiss(self) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.link.close()
        self.workers.clear()

    def _start(self) -> _Worker:
        ours, theirs = _CONTEXT.Pipe()
        slot = _CONTEXT.RawArray("q", 3)
        process = _CONTEXT.Process(
            target=_serve, args=(self.job, theirs, slot, self.limits, dict(os.environ)), daemon=True
        )
        with _without_main():
            process.start()
        theirs.close()
        worker = _Worker(process, ours, slot)
        self.workers.append(worker)
        return worker

    def _assign(self, worker: _Worker) -> None:
        if not self.waiting:
            return
        assignment = worker.assignment = self.waiting.popleft()
        with suppress(OSError):  # a process that is dead already is found to be so when it is looked at
            worker.link.send((assignment.task, assignment.left_out))

    def _receive(self, worker: _Worker) -> None:
        try:
            result, error = worker.link.recv()
        except (EOFError, OSError):
            worker.process.join()
            self._lost(worker, f"its reader brought its process down ({_ended(worker.process.exitcode)})")
            return
        if error is not None:
            raise error
        if worker.assignment is not None:
            worker.assignment.result = result
        worker.assignment = None
        self.done += worker.slot[_DONE]
        worker.slot[_DONE] = 0
        self._assign(worker)

    def _lost(self, worker: _Worker, why: str) -> None:
        """Take leave of a worker; its task is done again by another, without the input it was at."""
        assignment, at = worker.assignment, worker.slot[_INPUT]
        worker.process.join()
        worker.link.close()
        self.workers.remove(worker)
        if assignment is None:
            return
        if at:
            assignment.left_out[at] = why
        else:
            assignment.deaths += 1
            if assignment.deaths > _DEATHS:
                raise WorkerLost(
                    f"A worker process died {assignment.deaths} times between two inputs "
                    f"({_ended(worker.process.exitcode)}); nothing was committed. Is memory short? See "
                    "NOTELAKE_WORKERS and NOTELAKE_FILE_MEMORY in docs/reference/settings.md."
                )
        self.waiting.appendleft(assignment)
        self._assign(self._start())


_MAIN: Final = threading.Lock()


@contextmanager
def _without_main() -> Iterator[None]:
    """Start a process that does not import the program that starts it again, which may be `dagster` or a notebook.

    `multiprocessing.spawn.get_preparation_data` has the child import what `sys.modules` calls `__main__`, by its
    `__spec__` or its `__file__`, for functions defined there; a job is none of them. There is no option for it.
    """
    with _MAIN:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _is_overdue(worker: _Worker, limits: Limits) -> bool:
    at, since = worker.slot[_INPUT], worker.slot[_SINCE]
    if not at or time.monotonic_ns() - since < (limits.seconds + _GRACE) * 1e9:
        return False
    return bool(worker.slot[_INPUT] == at)


def _ended(code: int | None) -> str:
    if code in (-signal.SIGABRT, -signal.SIGKILL):  # how libraries, or the system, end what is out of memory
        return f"{signal.Signals(-code).name}: it may have run out of memory"
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def _serve(job: Job[Any, Any], link: Connection, slot: Any, limits: Limits, environment: Mapping[str, str]) -> None:
    """Be a worker: do tasks until the run is gone."""
    os.environ.clear()
    os.environ.update(environment)  # a fork has that of the process it is forked from, which may be older
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run itself decides what an interrupt ends
    signal.signal(signal.SIGALRM, _alarm(limits))
    _limit_memory(limits.memory)
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # parsing makes millions of small values and no cycles
    watch = Watch(slot, limits)
    with suppress(EOFError, OSError):  # the run is gone: nobody waits for an answer
        while True:
            task, left_out = link.recv()
            link.send(_answer(job, task, left_out, watch))


def _answer(job: Job[Any, Any], task: Any, left_out: Mapping[int, str], watch: Watch) -> tuple[Any, Exception | None]:
    try:
        return job(task, left_out, watch), None
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        return None, error


def _alarm(limits: Limits) -> Callable[[int, object], None]:
    def ring(_: int, __: object) -> None:
        raise TimeoutError(f"took longer than {limits.seconds:g} s")

    return ring


def _limit_memory(extra: int) -> None:
    """Limit this process to so many bytes beyond what it has: a bomb costs it, and not the machine."""
    if sys.platform != "linux":
        return
    with open("/proc/self/statm", encoding="ascii") as file:
        data = int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    with suppress(ValueError, OSError):  # a lower limit that is set already holds
        resource.setrlimit(resource.RLIMIT_DATA, (data + extra, resource.RLIM_INFINITY))
