"""Where a link leads: the rule in plain Python, one link at a time.

This is the oracle of `sql/views/notes/resolved_links.sql`, which serves the same rule over a whole lake. It is written
to be read, not to be fast: it looks through all targets for each link. A property test holds the two together.

The rule, for a link of a note in one source, among the notes and attachments of that source:

1. `external`: an address with a scheme, one that begins with `//`, an autolink. In a wikilink or embed only
   `scheme://` counts, since note names hold colons.
2. An empty target (`[[#Heading]]`) is the note itself: `exact`.
3. `relative`: a file within the note's own file, as in a DOCX or an ENEX.
4. `exact`: the path from the root of the source.
5. `relative`: the path from the folder of the linking note; up to eight steps `..` are followed.
6. `shortest`: the last one to four parts of its path, as Obsidian writes them.
7. `alias`: a name the note says it answers to; its title; the name Logseq gives its file.
8. `case`: steps 4 to 7 again, upper and lower case being the same.
9. In another source: `exact`, `shortest` or `alias`, case being the same; only if one note alone has it.
10. `missing`.

Wikilinks and embeds take these steps as they are: what Obsidian 1.13 does, as observed
(https://github.com/pvliesdonk/markdown-vault-mcp/pull/1380), with alias and title for those who use them. All other
links put step 5 before 4, as GitHub and site generators do, may lead to a folder, which is its index, readme or _index,
and have no steps 7 and 9. `[text]([[Page]])` is a wikilink. A link to a note in Evernote goes by its text, in steps 7
to 9: exports don't hold the ids such links are made of. A block reference leads to the note that has that block.

`.md` and the like may be left out, `%20` and the like are read, `___` is Logseq's `/` in file names. The first step
that finds something decides. If it finds several, the one with the shortest path is taken, then the first in path
order. The link is `ambiguous` unless that one alone lies in the fewest folders.

A path from the root, `/a/b`, that is not found is an address on the site where the notes are published, thus
`external`, if no file of the source lies below its first part and it does not end as Markdown does.

A fragment is a block (`^id`), else the anchor of a heading, else an id in HTML, else the text of a heading without
punctuation, as Obsidian compares them (https://docs.obsidian.md/Reference/TypeScript+API/stripHeading). `A#B` is a
heading B somewhere below a heading A.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal
from unicodedata import normalize
from urllib.parse import unquote

How = Literal["exact", "alias", "shortest", "relative", "case", "ambiguous", "missing", "external"]
Fragment = Literal["heading", "block", "missing"]
BlockKind = Literal["block", "anchor"]
Manner = Literal["address", "page", "path", "title", "block"]
"""What a link goes by: nothing here, the name of a page, a path, a title, the id of a block."""

MAX_PARENTS: Final = 8
MAX_PARTS: Final = 4
FRONTS: Final = ("index", "readme", "_index")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|[A-Za-z]://")
_EVERNOTE: Final = re.compile(r"evernote:///|https://([a-z]+[.])?evernote[.]com/shard/[^/]+/nl/")
_SUFFIX: Final = re.compile(r"[.](md|markdown|mdown|mkd|mdx)\Z", re.IGNORECASE)
_JOURNAL: Final = re.compile(r"(?:\A|/)journals/([12][0-9]{3})[_-]([0-9]{2})[_-]([0-9]{2})\Z", re.IGNORECASE)
_PAGE: Final = re.compile(r"(?:\A|/)pages/([^/]*[.][^/]*)\Z", re.IGNORECASE)
_PUNCTUATION: Final = re.compile(r'[!"#$%&()*+,.:;<=>?@^`{|}~/\[\]\\ \t\r\n]+')
_ELSEWHERE: Final = re.compile(r"top\Z|:~:|(page|height|width|t|zoom|search)=")


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is written: its kind, target, fragment and text, in the note at `path` of `source`."""

    source: str
    path: str
    note_id: str
    kind: str
    target: str
    fragment: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A section that has a heading. `ordinal` counts the sections of its note, from 0."""

    ordinal: int
    heading_path: tuple[str, ...]
    anchor: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A block that links can point to: one with an id, or an anchor in HTML."""

    name: str
    line: int | None = None
    kind: BlockKind = "block"


@dataclass(frozen=True, slots=True)
class Target:
    """What a link can lead to. An attachment is no note: its `note_id` is None; `within` is the note that holds it."""

    source: str
    path: str
    note_id: str | None
    title: str | None = None
    aliases: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    blocks: tuple[Block, ...] = ()
    within: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a link leads and by which step. A path without a note is an attachment."""

    resolution: How
    target_source: str | None = None
    target_note_id: str | None = None
    target_path: str | None = None
    fragment_resolution: Fragment | None = None
    target_section: int | None = None
    target_line: int | None = None


Place = tuple[Fragment | None, int | None, int | None]
"""What a fragment is, its section, its line."""


def resolve(links: Sequence[Link], targets: Sequence[Target]) -> list[Resolved]:
    """Return where each of `links` leads, in their order.

    >>> ada = Target("vault", "people/Ada.md", "a", "Ada Lovelace")
    >>> links = [Link("vault", "daily.md", "d", "wikilink", name) for name in ("Ada", "ada", "Bob")]
    >>> [found.resolution for found in resolve(links, [ada])]
    ['shortest', 'case', 'missing']
    """
    return [_resolve(link, targets) for link in links]


def _resolve(link: Link, targets: Sequence[Target]) -> Resolved:
    goes_by = manner(link)
    if goes_by == "address":
        return Resolved("external")
    if not link.target:
        itself = Target(link.source, link.path, link.note_id)
        return _point(link, "exact", next((one for one in targets if one.note_id == link.note_id), itself))
    how, found = _find(link, goes_by, targets)
    if found is None:
        is_web = goes_by == "title" and link.target.startswith("https:")
        return Resolved("external" if is_web or _is_of_a_site(link, goes_by, targets) else "missing")
    return _point(link, how, found)


def manner(link: Link) -> Manner:
    """Return what the link goes by.

    >>> manner(Link("vault", "a.md", "a", "wikilink", "Talk: the lake"))
    'page'
    """
    target = link.target
    if link.kind == "block" or _is_in("((", target, "))"):
        return "block"
    if link.kind == "autolink" or target.startswith("//"):
        return "address"
    if link.kind in ("wikilink", "embed") or _is_in("[[", target, "]]"):
        return "address" if _ADDRESS.match(target) else "page"
    if _EVERNOTE.match(target):
        return "title"
    return "address" if _SCHEME.match(target) else "path"


def _is_in(opening: str, target: str, closing: str) -> bool:
    return len(target) >= 4 and target.startswith(opening) and target.endswith(closing)


def _find(link: Link, goes_by: Manner, targets: Sequence[Target]) -> tuple[How, Target | None]:
    if goes_by == "block":
        return _find_block(link, targets)
    near = [target for target in targets if target.source == link.source]
    if inside := [one for one in near if _is_inside(link, goes_by, one, near)]:
        return "relative", _first(inside)
    for same, case in ((str, None), (str.lower, "case")):
        for how, names, wanted in _steps(link, goes_by):
            found = [target for target in near if wanted and same(wanted) in map(same, names(target))]
            if found:
                return ("ambiguous" if _is_tied(found) else "case" if case else how), _first(found)
    return _find_elsewhere(link, goes_by, [target for target in targets if target.note_id])


Step = tuple[How, Callable[[Target], Iterable[str]], str | None]


def _steps(link: Link, goes_by: Manner) -> Iterator[Step]:
    """Yield the steps in their order; names that a step looks up only where no other has them come after those."""
    said = _said(link, goes_by)
    if goes_by != "title":
        key, folder = _key(said), link.path.rpartition("/")[0]
        own: Step = ("relative", _paths, None if key.startswith("/") or not folder else _collapse(f"/{folder}/{key}"))
        root: Step = ("exact", _paths, _collapse(f"/{key}"))
        if goes_by == "page":
            yield from (root, own)
        else:
            for how, names, wanted in (own, root):
                yield how, names, wanted
                for front in FRONTS:
                    yield how, _fronts(front), wanted
        yield "shortest", _endings, key
    if goes_by != "path":
        yield from (("alias", names, said) for names in (_aliases, _titles, _logseq_names))


def _said(link: Link, goes_by: Manner) -> str:
    target = link.target[2:-2] if _is_in("[[", link.target, "]]") else link.target
    return normalize("NFC", link.text if goes_by == "title" else _decoded(target))


def _is_inside(link: Link, goes_by: Manner, target: Target, near: Sequence[Target]) -> bool:
    if goes_by == "title" or not any(one.within == link.note_id for one in near):
        return False
    return "/" + _decoded(f"{link.path}/").replace("___", "/") + _key(_said(link, goes_by)) in _paths(target)


def _find_elsewhere(link: Link, goes_by: Manner, notes: Sequence[Target]) -> tuple[How, Target | None]:
    """Find the only note that has the name in another source; where several sources have one, none is taken."""
    if goes_by == "path":
        return "missing", None
    said = _said(link, goes_by).lower()
    steps: list[Step] = [("alias", _names, said)]
    if goes_by == "page":
        key = _key(_said(link, goes_by)).lower()
        steps = [("exact", _paths, _collapse(f"/{key}")), ("shortest", _endings, key), *steps]
    for how, names, wanted in steps:
        found = [note for note in notes if wanted and wanted in map(str.lower, names(note))]
        if found:
            preferred = _preferred(found, said) if how == "alias" else found
            is_one = len({note.source for note in found}) == 1 and not _is_tied(preferred)
            return how, _first(preferred) if is_one else None
    return "missing", None


def _preferred(found: Sequence[Target], said: str) -> Sequence[Target]:
    for names in (_aliases, _titles, _logseq_names):
        if some := [note for note in found if said in map(str.lower, names(note))]:
            return some
    return found


def _is_of_a_site(link: Link, goes_by: Manner, targets: Sequence[Target]) -> bool:
    """Whether it is a path from the root of a site, not of the source: no file lies below its first part."""
    said = _said(link, goes_by)
    if goes_by != "path" or not link.target.startswith("/") or _SUFFIX.search(said):
        return False
    first = said.lstrip("/").partition("/")[0].lower()
    return first not in [one.path.partition("/")[0].lower() for one in targets if one.source == link.source]


def _find_block(link: Link, targets: Sequence[Target]) -> tuple[How, Target | None]:
    wanted = _block_id(link)
    having = [note for note in targets if wanted in map(_id, note.blocks)]
    if near := [note for note in having if note.source == link.source]:
        return "ambiguous" if len(near) > 1 else "exact", _first(near)
    return "exact", having[0] if len(having) == 1 else None


def _block_id(link: Link) -> str:
    return "^" + re.sub(r"\A[(]+|[)]+\Z", "", link.target).lower()


def _id(block: Block) -> str:
    """Return how a fragment names the block."""
    return f"^{block.name}".lower() if block.kind == "block" else block.name.lower()


def _first(found: Sequence[Target]) -> Target:
    return min(found, key=lambda target: (len(target.path), target.path, target.note_id or ""))


def _is_tied(found: Sequence[Target]) -> bool:
    fewest = min(target.path.count("/") for target in found)
    return [target for target in found if target.path.count("/") == fewest] != [_first(found)]


def _paths(target: Target) -> Sequence[str]:
    return ("/" + _key(target.path),)


def _fronts(front: str) -> Callable[[Target], Sequence[str]]:
    """Return what finds the folders whose page a note of that name is, with and without a `/` at the end."""

    def folders(target: Target) -> Sequence[str]:
        name = target.path.rpartition("/")[2]
        if target.note_id is None or not _SUFFIX.search(name) or _SUFFIX.sub("", name).lower() != front:
            return ()
        folder = "/" + _key(target.path).rpartition("/")[0]
        return (folder, f"{folder}/") if folder != "/" else (folder,)

    return folders


def _endings(target: Target) -> Sequence[str]:
    parts = target.path.split("/")
    tails = ["/".join(parts[-count:]) for count in range(1, min(MAX_PARTS, len(parts)) + 1)]
    return [_key(tail) for tail in tails if all(tail.split("/"))]


def _aliases(target: Target) -> Sequence[str]:
    return [normalize("NFC", alias) for alias in target.aliases]


def _titles(target: Target) -> Sequence[str]:
    return (normalize("NFC", target.title),) if target.title else ()


def _names(target: Target) -> Sequence[str]:
    return [*_aliases(target), *_titles(target), *_logseq_names(target)]


def _logseq_names(target: Target) -> Sequence[str]:
    """Return the names of a page by its file: of a journal its day, of a page its path as early versions wrote it.

    As https://github.com/logseq/logseq reads journal titles whatever the format that was chosen.

    >>> _logseq_names(Target("vault", "journals/2024_01_05.md", "a"))
    ['2024-01-05', '2024_01_05', 'Jan 5th, 2024']
    """
    stem = _SUFFIX.sub("", target.path)
    if target.note_id is None or stem == target.path:
        return ()
    if page := _PAGE.search(stem):
        return (page[1].replace(".", "/"),)
    return _days(*map(int, match.groups())) if (match := _JOURNAL.search(stem)) else ()


def _days(year: int, month: int, day: int) -> Sequence[str]:
    try:
        at = date(year, month, day)
    except ValueError:
        return ()
    th = "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return [at.isoformat(), at.isoformat().replace("-", "_"), f"{MONTHS[month - 1]} {day}{th}, {year}"]


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


def _point(link: Link, how: How, target: Target) -> Resolved:
    """Return that the link leads to `target`, and where in it."""
    place = _place(link, target) if target.note_id else (None, None, None)
    return Resolved(how, target.source, target.note_id, target.path, *place)


def _place(link: Link, target: Target) -> Place:
    if manner(link) == "block":
        return _block_place(_block_id(link), target) or (None, None, None)
    fragment = link.fragment
    if not fragment or _ELSEWHERE.match(fragment):
        return None, None, None
    block = _block_place(fragment.lower(), target)
    place = block if fragment.startswith("^") else _anchor_place(fragment, target) or block
    unknown: Place = ("missing" if _SUFFIX.search(target.path) else None, None, None)
    return place or _heading_place(fragment, target) or unknown


def _block_place(id_: str, target: Target) -> Place | None:
    found = [block for block in target.blocks if _id(block) == id_]
    return ("block", None, found[0].line) if found else None


def _anchor_place(fragment: str, target: Target) -> Place | None:
    return _first_section([part for part in target.sections if part.anchor.lower() == fragment.lower()])


def _heading_place(fragment: str, target: Target) -> Place | None:
    if fragment.startswith("^"):
        return None
    wanted = [bare(part) for part in fragment.split("#") if bare(part)]
    headed = [part for part in target.sections if wanted and _leads_to(wanted, [*map(bare, part.heading_path)])]
    return _first_section(headed)


def _first_section(parts: Sequence[Section]) -> Place | None:
    found = sorted(parts, key=lambda part: part.ordinal)
    return ("heading", found[0].ordinal, found[0].line) if found else None


def _leads_to(wanted: Sequence[str], headings: Sequence[str]) -> bool:
    """Whether the last of `headings` is the last wanted, and those before it stand above it in that order."""
    above = iter(headings[:-1])
    return wanted[-1] == headings[-1] and all(part in above for part in wanted[:-1])


def bare(heading: str) -> str:
    """Return a heading as fragments are compared with it.

    >>> bare("What's new: C# & Co. ")
    "what's new c co"
    """
    return _PUNCTUATION.sub(" ", heading).lower().strip(" ")
