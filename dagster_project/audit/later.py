"""Modules that are imported when they are first used, and not when they are named.

What belongs here: standing in for a module. What does not: which (`expect.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module until somebody wants something of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system asks of any module
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def imported_later(*names: str) -> Iterator[None]:
    """Within, an import of one of these top modules or submodules costs nothing; it is made at the first use.

    A module that is imported already, or is not installed, is left as it is.

    >>> with imported_later("colorsys"):
    ...     import colorsys
    >>> colorsys.rgb_to_hls(0, 0, 0)
    (0.0, 0.0, 0.0)
    """
    placed = {name: _Later(name) for name in names if name not in sys.modules and find_spec(name) is not None}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
