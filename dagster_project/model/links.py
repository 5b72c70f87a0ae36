"""Where a link leads: the rule in plain Python, one link at a time.

This is the oracle of `sql/views/notes/resolved_links.sql`, which serves the same rule over a whole lake. It is written
to be read, not to be fast: it looks through all targets for each link. A property test holds the two together.

The rule, for a link of a note in one source, among the notes and attachments of that source:

1. `external`: an address with a scheme, one that begins with `//`, an autolink. In a wikilink or embed only
   `scheme://` counts, since note names hold colons.
2. An empty target (`[[#Heading]]`) is the note itself: `exact`.
3. `relative`: the path from the folder of the linking note; up to eight steps `..` are followed.
4. `exact`: the path from the root of the source.
5. `alias`: a name the note says it answers to.
6. `shortest`: the last one to four parts of its path, as Obsidian writes them.
7. `alias`: its title.
8. `case`: steps 3 to 7 again, upper and lower case being the same.
9. `missing`.

`.md` and `.markdown` may be left out, `%20` and the like are read, `___` is Logseq's `/` in file names. The first step
that finds something decides. If it finds several, the one in the fewest folders is taken; if there are several of
these, the link is `ambiguous` and leads to the first in path order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote

How = Literal["exact", "alias", "shortest", "relative", "case", "ambiguous", "missing", "external"]

MAX_PARENTS: Final = 8
MAX_PARTS: Final = 4
_ADDRESS: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://|^//")
_SCHEME: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")
_SUFFIX: Final = re.compile(r"[.](md|markdown)\Z")


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is written: its kind and target, in the note at `path` of `source`."""

    source: str
    path: str
    note_id: str
    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class Target:
    """What a link can lead to. An attachment is no note: its `note_id` is None."""

    source: str
    path: str
    note_id: str | None
    title: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a link leads and by which step. A path without a note is an attachment."""

    resolution: How
    target_note_id: str | None = None
    target_path: str | None = None


def resolve(links: Sequence[Link], targets: Sequence[Target]) -> list[Resolved]:
    """Return where each of `links` leads, in their order.

    >>> ada = Target("vault", "people/Ada.md", "a", "Ada Lovelace")
    >>> links = [Link("vault", "daily.md", "d", "wikilink", name) for name in ("Ada", "ada", "Bob")]
    >>> [found.resolution for found in resolve(links, [ada])]
    ['shortest', 'case', 'missing']
    """
    return [_resolve(link, [target for target in targets if target.source == link.source]) for link in links]


def _resolve(link: Link, targets: Sequence[Target]) -> Resolved:
    if is_external(link):
        return Resolved("external")
    if not link.target:
        return Resolved("exact", link.note_id, link.path)
    for same, case in ((str, None), (str.lower, "case")):
        for how, names, wanted in _steps(link):
            found = [target for target in targets if wanted is not None and same(wanted) in map(same, names(target))]
            if found:
                return _choose(found, "case" if case else how)
    return Resolved("missing")


def is_external(link: Link) -> bool:
    """Whether the link leaves the lake."""
    if link.kind == "autolink" or _ADDRESS.search(link.target):
        return True
    return link.kind not in ("wikilink", "embed") and bool(_SCHEME.search(link.target))


Step = tuple[How, Callable[[Target], Iterable[str]], str | None]


def _steps(link: Link) -> Iterator[Step]:
    key, folder = _key(link.target), link.path.rpartition("/")[0]
    yield "relative", _paths, None if key.startswith("/") or not folder else _collapse(f"/{folder}/{key}")
    yield "exact", _paths, _collapse(f"/{key}")
    yield "alias", lambda target: target.aliases, _decoded(link.target)
    yield "shortest", _endings, key
    yield "alias", lambda target: (target.title,) if target.title else (), _decoded(link.target)


def _choose(found: Sequence[Target], how: How) -> Resolved:
    fewest = min(target.path.count("/") for target in found)
    nearest = sorted((t.path, t.note_id or "") for t in found if t.path.count("/") == fewest)
    path, note_id = nearest[0]
    return Resolved(how if len(nearest) == 1 else "ambiguous", note_id or None, path)


def _paths(target: Target) -> Iterable[str]:
    return ("/" + _key(target.path),)


def _endings(target: Target) -> Iterable[str]:
    parts = _key(target.path).split("/")
    tails = ["/".join(parts[-count:]) for count in range(1, min(MAX_PARTS, len(parts)) + 1)]
    return [tail for tail in tails if all(tail.split("/"))]


def _key(written: str) -> str:
    return _SUFFIX.sub("", _decoded(written)).replace("___", "/")


def _decoded(written: str) -> str:
    try:
        return unquote(written, errors="strict")
    except UnicodeDecodeError:
        return written


def _collapse(path: str) -> str | None:
    """Return a path from `/` without `.`, `..` and empty parts; None if it leaves the root or has too many `..`."""
    kept: list[str] = []
    parts = path.split("/")[1:]
    if parts.count("..") > MAX_PARENTS:
        return None
    for part in parts:
        if part == "..":
            if not kept:
                return None
            kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept) + ("/" if parts[-1] in ("", ".", "..") and kept else "")
