"""Notes whose text is made into Markdown first: what a DOCX, a PDF or an ENEX says, with the parts of Markdown.

What belongs here: from that Markdown to the parts of a note. What does not: making it, which each format does itself.

The Markdown is not the file, so its parts have no line and no byte range. Text that looks like Markdown must be escaped
by who makes it. Tags, fields, block ids and references to blocks are conventions of people who write Markdown: here
they are text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dagster_project.shaping.formats import markdown
from dagster_project.shaping.parsed import Parsed


def from_markdown(body: str, path: str, *, title: str | None = None) -> Parsed:
    r"""Return the note that `body`, in Markdown, makes: with sections, links, tasks and code blocks, without places.

    Its title is `title`, else the first heading of level 1, else the file's name.

    >>> note = from_markdown("# Lake\n\nsee [there](https://example.org)", "report.docx")
    >>> note.title, note.links
    ('Lake', [('markdown', 'https://example.org', None, 'there', None, None, None)])
    """
    # The line before it keeps a rule or `key:: value` at the top from being read as front matter or page properties.
    found = markdown.read(f"\n{body}".encode(), path)
    return replace(
        found,
        title=title or found.title,
        body=body,
        tags=[],
        tag_uses=[],
        aliases=[],
        fields=[],
        blocks=[],
        sections=[(*part[:4], part[4].removeprefix("\n"), None, None, None) for part in found.sections],
        links=_nowhere([link for link in found.links if link[0] != "block"]),
        tasks=_nowhere(found.tasks),
        code_blocks=_nowhere(found.code_blocks),
        encoding=None,
        characters=None,
    )


def _nowhere(parts: list[Any]) -> list[Any]:
    return [(*part[:-3], None, None, None) for part in parts]
