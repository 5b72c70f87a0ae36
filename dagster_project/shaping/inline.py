r"""Runs of text with marks (bold, link, code …) to lines of Markdown that say just that.

What belongs here: escaping, emphasis, links and images within a paragraph. What does not: blocks, and where runs come
from (`hypertext`).

Rules: no text is lost. Only what Markdown would take for markup is escaped, so that a search for `well-known` or
`snake_case` finds it. Where emphasis can't be written (CommonMark's rule of flanking delimiters), the text stays and
the emphasis goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple
from unicodedata import category

_BLANKS: Final = " \t\n\r\f"
_SPACES: Final = re.compile(r"[ \t\n\r\f]+")
# What ends a run may be followed by another whose marks could not be written: hence `\Z`.
_TEXT: Final = re.compile(
    r"[\\`*\[_]|<(?=[A-Za-z/!?]|\Z)|&(?=#?[A-Za-z0-9]{0,31}(?:;|\Z))|[~$](?!\d)|(?<=~)~|(?<=%)%|\A%|!\Z"
)
_LINE: Final = re.compile(
    r"[ \t]*(?:(?P<mark>[-+](?=[ \t]|$)|>|\#{1,6}(?=[ \t]|$)|[=\-_][=\-_ \t]*$|~~~|[|:\-][|:\- \t]*$|\+\+\+[ \t]*$)"
    r"|\d{1,9}(?P<after>[.)])(?=[ \t]|$))"
)
_TAG_ALONE: Final = re.compile(r"</?su[bp]>")
_BACKTICKS: Final = re.compile("`+")
_PLAIN_ADDRESS: Final = re.compile(r"[A-Za-z0-9\-._~:/?#@!$&'*+,;=%|\u00a1-\uffff\U00010000-\U0010ffff]+")
_AUTOLINK: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*")
_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f]+")


class Link(NamedTuple):
    """Where a run of text leads."""

    address: str
    title: str = ""


class Run(NamedTuple):
    """A piece of a paragraph and its marks. `raw` is Markdown already; a `raw` of a line feed is a line's end."""

    text: str
    link: Link | None = None
    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    raw: bool = False


BREAK: Final = Run("\n", raw=True)
"""The end of a line; told by its identity."""
_PLAIN: Final = Run("")[1:]


def lines(runs: Iterable[Run]) -> list[str]:
    r"""Return the lines that runs make, blank ones for breaks that follow each other; none if there is no text.

    >>> lines([Run("1. *not* "), Run(" bold ", bold=True), Run("text"), BREAK, Run("# no heading")])
    ['1\\. \\*not\\* **bold** text', '\\# no heading']
    """
    made = [_line(line) for line in _split(runs)]
    while made and not made[-1]:
        made.pop()
    return made[next((at for at, line in enumerate(made) if line), len(made)) :]


def _split(runs: Iterable[Run]) -> Iterator[list[Run]]:
    line: list[Run] = []
    for run in runs:
        if run is BREAK:
            yield line
            line = []
        else:
            line.append(run)
    yield line


def _line(runs: Sequence[Run]) -> str:
    found = _collapsed(runs)
    if not found:
        return ""
    first = found[0]
    if len(found) == 1 and first == (first.text, *_PLAIN):  # most lines
        return _begun(_escaped_line(first.text))
    written = _by_link(found)
    if _TAG_ALONE.fullmatch(written):  # it would begin a block of HTML
        return ""
    return _begun(written) if not first.raw else written


def _begun(line: str) -> str:
    """Escape what would make a line of text a heading, an item, a quote or a rule."""
    match = _LINE.match(line)
    if match is None:
        return line
    at = match.start("mark") if match["mark"] else match.start("after")
    return f"{line[:at]}\\{line[at:]}"


def _collapsed(runs: Iterable[Run]) -> list[Run]:
    """Return runs with white space as a browser shows it: one blank for many, none at both ends."""
    found: list[Run] = []
    pieces: list[str] = []
    after_blank = True
    for run in runs:
        text = run.text if run.raw else _SPACES.sub(" ", run.text)
        if after_blank and not run.raw:
            text = text.removeprefix(" ")
        if not text:
            continue
        after_blank = text[-1] in _BLANKS
        if found and not run.raw and _continues(found[-1], run):
            pieces.append(text)
            continue
        _finish(found, pieces)
        found.append(run)
        pieces = [text]
    _finish(found, pieces)
    while found and not found[-1].text.strip(" "):
        found.pop()
    if found and found[-1].text[-1] == " ":
        found[-1] = found[-1]._replace(text=found[-1].text.rstrip(" "))
    return found


def _continues(last: Run, run: Run) -> bool:
    """Say whether a run is written as part of the last. Code is: two pieces that touch would be read as one."""
    return last[1:] == run[1:] or (last.code and run.code and last.link == run.link and not last.raw)


def _finish(found: list[Run], pieces: list[str]) -> None:
    if found and (len(pieces) > 1 or pieces[0] is not found[-1].text):
        found[-1] = found[-1]._replace(text="".join(pieces))


def _by_link(runs: Sequence[Run]) -> str:
    made = ""
    groups = [(link, list(group)) for link, group in groupby(runs, lambda run: run.link)]
    for index, (link, group) in enumerate(groups):
        following = groups[index + 1][1][0].text[:1] if index + 1 < len(groups) else ""
        if link is None:
            made += _marked(group, 0, made[-1:], "[" if following else "")
        else:
            lead, inner, tail = _trimmed(group)
            made += (lead + _link(link, inner, "".join(run.text for run in inner)) if inner else lead) + tail
    return made


def _trimmed(runs: list[Run]) -> tuple[str, list[Run], str]:
    """Take the blanks at both ends out of runs."""
    lead = tail = ""
    if runs and not runs[0].raw and runs[0].text[:1] == " ":
        lead, runs = " ", [runs[0]._replace(text=runs[0].text[1:]), *runs[1:]]
        runs = runs if runs[0].text else runs[1:]
    if runs and not runs[-1].raw and runs[-1].text[-1:] == " ":
        tail, runs = " ", [*runs[:-1], runs[-1]._replace(text=runs[-1].text[:-1])]
        runs = runs if runs[-1].text else runs[:-1]
    return lead, runs, tail


def _link(link: Link, runs: Sequence[Run], plain: str) -> str:
    if plain == link.address and _AUTOLINK.fullmatch(plain) and not any(run.code or run.raw for run in runs):
        return f"<{plain}>"
    text = _marked(runs, 0, "[", "]", in_link=True)
    return f"[{text}]({destination(link.address, link.title)})"


_MARKS: Final = ("bold", "italic", "strike", "code")


def _marked(runs: Sequence[Run], level: int, before: str, after: str, *, in_link: bool = False) -> str:
    """Write runs, of which those before `level` in `_MARKS` are written already, between two characters."""
    while level < len(_MARKS) and not any(getattr(run, _MARKS[level]) for run in runs):
        level += 1
    if level == len(_MARKS):
        *others, last = [run.text if run.raw else escape(run.text, in_link=in_link) for run in runs]
        return "".join([*others, last if after or runs[-1].raw else _escaped_line(runs[-1].text)])
    name = _MARKS[level]
    groups = [(has, list(group)) for has, group in groupby(runs, attrgetter(name))]
    made = ""
    for index, (is_marked, group) in enumerate(groups):
        following = groups[index + 1][1][0].text[:1] if index + 1 < len(groups) else after
        preceding = made[-1:] or before
        if not is_marked:
            made += _marked(group, level + 1, preceding, following, in_link=in_link)
        elif name == "code":
            made += "".join(run.text if run.raw else code(run.text) for run in group)
        else:
            lead, inner, tail = _trimmed(group)
            outside = lead or preceding, tail or following
            made += lead + _emphasised(inner, level, *outside, in_link=in_link) + tail
    return made


def _emphasised(runs: Sequence[Run], level: int, before: str, after: str, *, in_link: bool) -> str:
    if not runs:
        return ""
    core = _marked(runs, level + 1, "*", "*", in_link=in_link)
    for mark in _DELIMITERS[_MARKS[level]]:
        if core and _is_clear(mark, core, before, after) and _flanks(mark, core, before, after):
            return f"{mark}{core}{mark}"
    return _marked(runs, level + 1, before, after, in_link=in_link)  # what is around it is another now


_DELIMITERS: Final = {"bold": ("**", "__"), "italic": ("*", "_"), "strike": ("~~",)}


def _is_clear(mark: str, core: str, before: str, after: str) -> bool:
    """Say whether no delimiter of the same character touches this one: together they would be another."""
    return mark[0] not in (before, after, core[0], core[-1])


def _flanks(mark: str, core: str, before: str, after: str) -> bool:
    """Say whether CommonMark takes `mark` for an opening before `core` and a closing after it."""
    opens = not _is_blank(core[0]) and (not _is_mark(core[0]) or _is_edge(before))
    closes = not _is_blank(core[-1]) and (not _is_mark(core[-1]) or _is_edge(after))
    return opens and closes and (mark[0] != "_" or (_is_edge(before) and _is_edge(after)))


def _is_edge(character: str) -> bool:
    return not character or _is_blank(character) or _is_mark(character)


def _is_blank(character: str) -> bool:
    return character.isspace()


def _is_mark(character: str) -> bool:
    return category(character)[0] in "PS"


def escape(text: str, *, in_link: bool = False) -> str:
    r"""Return text as Markdown that shows just it, within a line.

    >>> escape("[[a]] *b* snake_case _c_ <d> 1 < 2 R&D &amp;")
    '\\[\\[a]] \\*b\\* snake_case \\_c\\_ \\<d> 1 < 2 R&D \\&amp;'
    """
    made = _TEXT.sub(_escaped(text), text)
    return made.replace("]", "\\]") if in_link else made


def _escaped_line(text: str) -> str:
    return escape(f"{text} ")[:-1]


def _escaped(text: str) -> Callable[[re.Match[str]], str]:
    def escaped(match: re.Match[str]) -> str:
        at = match.start()
        character = text[at]
        if character == "_" and text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum():
            return "_"
        return f"\\{character}"

    return escaped


def code(text: str) -> str:
    r"""Return text as code within a line.

    >>> code("a`b"), code("`")
    ('``a`b``', '`` ` ``')
    """
    text = _SPACES.sub(" ", text)
    if not text.strip(" "):
        return text
    fence = "`" * (1 + max(map(len, _BACKTICKS.findall(text)), default=0))
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def fenced(text: str, language: str) -> str:
    r"""Return text as a block of code.

    >>> fenced("x = 1\n", "python")
    '```python\nx = 1\n```'
    """
    fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(text)), default=0))
    return f"{fence}{language}\n{text.removesuffix(chr(10))}\n{fence}"


def image(alt: str, address: str, title: str = "") -> str:
    """Return an image.

    >>> image("a [cat]", "my cat.png")
    '![a \\\\[cat\\\\]](<my cat.png>)'
    """
    return f"![{escape(_SPACES.sub(' ', alt).strip(' '), in_link=True)}]({destination(address, title)})"


def destination(address: str, title: str = "") -> str:
    """Return the address of a link as Markdown writes it, with the link's title.

    >>> destination("a.md"), destination("a (b).md", 'so "it" is')
    ('a.md', '<a (b).md> "so \\\\"it\\\\" is"')
    """
    address = _BREAKS.sub("", address).strip()
    if address and not (_PLAIN_ADDRESS.fullmatch(address) and ";" not in address):
        address = re.sub(r"([<>\\]|&(?=#?[A-Za-z0-9]{1,31};))", r"\\\1", address)
        address = f"<{address}>"
    title = _SPACES.sub(" ", title).strip(" ")
    if not title:
        return address
    quoted = re.sub(r'(["\\]|&(?=#?[A-Za-z0-9]{1,31};))', r"\\\1", title)
    return f'{address or "<>"} "{quoted}"'
