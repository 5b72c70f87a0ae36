"""Work that goes wrong in every way a reader can; done by real worker processes."""

from __future__ import annotations

import os
import signal
import time


def do(task, left_out, watch):
    """Do each input of a task; an input is a number and a word that says what it does to its process."""
    done = []
    for number, what in task:
        if number in left_out:
            done.append((number, left_out[number]))
            continue
        try:
            with watch.at(number):
                done.append((number, WAYS[what](number)))
        except (TimeoutError, MemoryError) as error:
            done.append((number, f"{type(error).__name__}: {error}"))
        watch.ahead(1)
    return done


def _sleep_deaf(number):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as code does that never comes back to Python
    time.sleep(3600)


def _loop(number):
    while True:
        pass


def _fill(number):
    return len(bytearray(8 * 1024**3))


def _fail(number):
    raise ValueError(f"input {number} is a fault of the job itself")


WAYS = {
    "fine": lambda number: f"did {number}",
    "dies": lambda number: os.kill(os.getpid(), signal.SIGSEGV),
    "aborts": lambda number: os.abort(),
    "exits": lambda number: os._exit(7),
    "hangs deaf": _sleep_deaf,
    "loops": _loop,
    "fills memory": _fill,
    "fails": _fail,
}


def die_idle(task, left_out, watch):
    """Die at no input at all."""
    os._exit(9)
