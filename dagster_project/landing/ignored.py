"""What a document source leaves out: patterns as .gitignore writes them, on top of what nobody means as a note.

What belongs here: whether a path below the source is left out. What does not: walking (`files`).

The rules are git's: the last pattern that matches decides, `!` takes back in, and nothing below a folder that is left
out can be taken back in. A `.gitignore` lying in the source is not read: it says what is not to be versioned, which
private notes often are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pathspec import GitIgnoreSpec

_ANY_FOLDER: Final = "^(?:.+/)?"
_GROUP_NAME: Final = re.compile(r"\(\?P<[a-z_]+>")
_INSIDE: Final = re.compile(r"/\*\*[ ]*\Z")
"""To git `x/**` is what lies in x and not x itself; pathspec matches `x/` too. `x/*` says the same to both."""
_EVERYTHING: Final = ("*",)


class Patterns:
    """Patterns as .gitignore writes them, in order.

    >>> patterns = Patterns([".*", "drafts/", "!.github/"])
    >>> [patterns.match(path) for path in ("a.md", "x/.obsidian/", "drafts/", "drafts", ".github/", ".github/a.md")]
    [False, True, True, False, False, False]
    """

    def __init__(self, lines: Iterable[str]) -> None:
        lines = tuple(_INSIDE.sub("/*", line) for line in lines)
        self._spec = GitIgnoreSpec.from_lines(lines)
        self._some = _any_of(p.regex.pattern for p in self._spec.patterns if p.include and p.regex is not None)

    def match(self, path: str) -> bool:
        """Whether `path` is matched; a folder's ends with a slash. The folders above it are not asked about."""
        path = path.replace("\n", "\ufffd")  # which no pattern holds: to an expression a line's end is no character
        # One expression for all patterns says no to most paths, several times as fast as asking one after the other.
        return self._some.match(path) is not None and self._spec.match_file(path)


def _any_of(expressions: Iterable[str]) -> re.Pattern[str]:
    """Return an expression that matches what any of these does; what they have in common is tried once."""
    plain = [_GROUP_NAME.sub("(?:", expression) for expression in expressions]
    anywhere = [expression.removeprefix(_ANY_FOLDER) for expression in plain if expression.startswith(_ANY_FOLDER)]
    others = [expression for expression in plain if not expression.startswith(_ANY_FOLDER)]
    if anywhere:
        others.insert(0, f"{_ANY_FOLDER}(?:{'|'.join(anywhere)})")
    return re.compile("|".join(f"(?:{expression})" for expression in others) or "(?!)")


class Ignored:
    """Which paths below a source are left out, by its `include` and `exclude`.

    >>> ignored = Ignored(include=("*.md",), exclude=("drafts/",))
    >>> [ignored.file(path) for path in ("a.md", "a.txt", "drafts/a.md")]
    [False, True, True]
    """

    def __init__(self, *, include: Iterable[str], exclude: Iterable[str]) -> None:
        include = tuple(include)
        self._includes_all = include == _EVERYTHING
        self._include, self._exclude = Patterns(include), Patterns(exclude)
        self._folders: dict[str, bool] = {"": False}

    def file(self, path: str) -> bool:
        """Whether the file is left out, for itself or for a folder above it."""
        return self.folder(path.rpartition("/")[0]) or self.name(path)

    def name(self, path: str) -> bool:
        """Whether the file is left out, if the folders above it are not."""
        return self._exclude.match(path) or not (self._includes_all or self._include.match(path))

    def folder(self, path: str) -> bool:
        """Whether everything below the folder is left out; asked about each folder above it too."""
        if path not in self._folders:
            self._folders[path] = self.folder(path.rpartition("/")[0]) or self._exclude.match(f"{path}/")
        return self._folders[path]
