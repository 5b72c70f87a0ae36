"""What the Markdown reader finds: small notes in, rows out."""

from __future__ import annotations

import pytest

from dagster_project.shaping import READERS, media_type
from dagster_project.shaping.formats.markdown import anchor, read


def links(text: str) -> list[tuple[str, str, str | None, str]]:
    return [link[:4] for link in read(text.encode(), "a.md").links]


def tags(text: str) -> list[str]:
    return [use[0] for use in read(text.encode(), "a.md").tag_uses]


def tasks(text: str) -> list[tuple[str, str]]:
    return [task[:2] for task in read(text.encode(), "a.md").tasks]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[a]]", ("wikilink", "a", None, "a")),
        ("[[a#h|alias]]", ("wikilink", "a", "h", "alias")),
        ("[[#h]]", ("wikilink", "", "h", "#h")),
        ("![[a.png|200]]", ("embed", "a.png", None, "200")),
        ("[x](y%20z.md#f%C3%A9 't')", ("markdown", "y z.md", "fé", "x")),
        ("[x](https://a.b/c%20d#e)", ("markdown", "https://a.b/c%20d", "e", "x")),
        ("[x](%FF.md)", ("markdown", "%FF.md", None, "x")),
        ("[x][r]\n\n[r]: t.md#f", ("reference", "t.md", "f", "x")),
        ("<https://a.b>", ("autolink", "https://a.b", None, "https://a.b")),
        ("<a@b.cd>", ("autolink", "mailto:a@b.cd", None, "a@b.cd")),
        ("![alt *b*](a.png)", ("image", "a.png", None, "alt b")),
        ("| h |\n|---|\n| [[a\\|b]] |", ("wikilink", "a", None, "b")),
    ],
)
def test_every_kind_of_link_is_told_apart(text: str, expected: tuple[str, str, str | None, str]) -> None:
    assert links(text) == [expected]


def test_an_image_in_a_link_stands_after_the_link_around_it() -> None:
    assert links("[![alt](i.png) more](t.md)") == [
        ("markdown", "t.md", None, "alt more"),
        ("image", "i.png", None, "alt"),
    ]


@pytest.mark.parametrize(
    "hidden",
    [
        "`{}`",
        "```\n{}\n```",
        "    {}",
        "<!-- {} -->",
        "<div>\n{}\n</div>",
        "%% {} %%",
        "text\n\n%%\n\n{}\n\n%%\n\ntext",
    ],
    ids=["code", "fence", "indented", "comment", "html", "percent", "percents"],
)
@pytest.mark.parametrize("construct", ["[[a]]", "#tag", "[x](y)", "# Heading", "- [ ] task", "![[e]]"])
def test_nothing_in_code_html_and_comments_is_a_construct(hidden: str, construct: str) -> None:
    note = read(hidden.format(construct).encode(), "a.md")

    assert (note.links, note.tags, note.tasks) == ([], [], [])
    assert [section[1] for section in note.sections] in ([None], [])


def test_an_unclosed_comment_hides_nothing() -> None:
    assert links("50 %% of [[a]]") == [("wikilink", "a", None, "a")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#a #b/c, (#d) **#e** >#f", ["a", "b/c", "d", "e", "f"]),
        ("#naïve #日本語 #tag🎉 #a。", ["naïve", "日本語", "tag🎉", "a"]),
        ("日本　#全角", ["全角"]),
        ("#12 #1984 C# x#y https://a.b/#c \\#d &#35; #", []),
        ("#2024-01 #y2k #a/", ["2024-01", "y2k", "a"]),
        ("# Heading #in-heading", ["in-heading"]),
        ("[x](y#z) [#t](u) [r]\n\n[r]: #s", []),
        ("#[[several words]] [[#no]]", ["several words"]),
        ("https://a.b/(#x", []),
    ],
)
def test_tags_follow_obsidians_rule(text: str, expected: list[str]) -> None:
    assert tags(text) == expected


def test_a_bracketed_tag_is_no_link_as_well() -> None:
    assert links("#[[several words]] [[page]]") == [("wikilink", "page", None, "page")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "- [ ] a\n- [x] b\n- [X] c\n- [-] d\n- [/] e",
            [("open", "a"), ("done", "b"), ("done", "c"), ("cancelled", "d"), ("doing", "e")],
        ),
        ("* [ ] a\n+ [ ] b\n\n1. [ ] c\n2) [x] d", [("open", "a"), ("open", "b"), ("open", "c"), ("done", "d")]),
        ("- TODO a\n- DOING b\n- NOW c\n- LATER d", [("open", "a"), ("doing", "b"), ("doing", "c"), ("open", "d")]),
        (
            "- DONE a\n- WAITING b\n- CANCELED c\n- ## TODO d",
            [("done", "a"), ("open", "b"), ("cancelled", "c"), ("open", "d")],
        ),
        ("> - [ ] quoted\n>   on", [("open", "quoted on")]),
        (
            "- [ ] wrapped\n  over lines\n\n  not this\n  - [x] inner",
            [("open", "wrapped over lines"), ("done", "inner")],
        ),
        (
            "- [>] forwarded\n- [!] important\n- [b] bookmark\n- [✓] né\n- [?]no space\n- [1] reference",
            [("open", "forwarded"), ("open", "important"), ("open", "bookmark"), ("open", "né")],
        ),
        (
            "- STARTED a\n- IN-PROGRESS b\n- CANCELLED c\n- WAIT d",
            [("doing", "a"), ("doing", "b"), ("cancelled", "c"), ("open", "d")],
        ),
        ("[ ] no item\n\n- [x](link)\n- TODOs\n- todo a\n-     [ ] code\n- [  ] b\n- []", []),
    ],
)
def test_tasks_are_items_with_a_box_or_a_word(text: str, expected: list[tuple[str, str]]) -> None:
    assert tasks(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- [ ] a 📅 2024-05-01 ⏳ 2024-04-01 ⏫", ("2024-05-01", "2024-04-01", None, "⏫")),
        ("- [x] a ✅ 2024-05-01", (None, None, "2024-05-01", None)),
        (
            "- [ ] a [due:: 2024-05-01] (scheduled:: 2024-04-01) [priority:: high]",
            ("2024-05-01", "2024-04-01", None, "high"),
        ),
        (
            "- TODO [#A] a\n  DEADLINE: <2024-05-01 Wed>\n  SCHEDULED: <2024-04-01 Mon 7:00 .+1d>",
            ("2024-05-01", "2024-04-01", None, "A"),
        ),
        ("- [ ] a 📅 2024-02-30", (None, None, None, None)),
        ("- [ ] #task Lowest ⏬", (None, None, None, "⏬")),
        ("- [ ] a 🔁 every day 🛫 2024-01-01 ➕ 2024-01-02 🗓️ 2024-05-01 ^id", ("2024-05-01", None, None, None)),
        ("- [ ] a ⌛2024-04-01 🔺", (None, "2024-04-01", None, "🔺")),
        (
            "- [x] #task Has a done date  [completion:: 2023-04-17]  [priority:: lowest]",
            (None, None, "2023-04-17", "lowest"),
        ),
        ("- [ ] a (due::2023-04-17), [start:: 2023-01-01]", ("2023-04-17", None, None, None)),
        ("- LATER a DEADLINE: <2024-05-01 Wed>", ("2024-05-01", None, None, None)),
        (
            "- DOING [#C] a\n  id:: x\n  SCHEDULED: <2024-04-01 Mon>\n  :LOGBOOK:\n  :END:",
            (None, "2024-04-01", None, "C"),
        ),
    ],
)
def test_a_task_tells_its_days_and_priority(text: str, expected: tuple[str | None, ...]) -> None:
    (task,) = read(text.encode(), "a.md").tasks

    assert task[3:7] == expected


def test_a_task_knows_the_heading_it_stands_under() -> None:
    note = read(b"- [ ] a\n# H\n- [ ] b\n", "a.md")

    assert [task[2] for task in note.tasks] == [None, "H"]


def test_sections_cut_the_body_at_every_heading() -> None:
    note = read(b"before\n# A\ntext\n### C\nSetext\n---\n# A\n", "a.md")

    assert [section[:6] for section in note.sections] == [
        (0, None, [], None, "before\n", 1),
        (1, "A", ["A"], "a", "# A\ntext\n", 2),
        (3, "C", ["A", "C"], "c", "### C\n", 4),
        (2, "Setext", ["A", "Setext"], "setext", "Setext\n---\n", 5),
        (1, "A", ["A"], "a-1", "# A\n", 7),
    ]


def test_blank_text_before_the_first_heading_is_no_section() -> None:
    assert [section[1] for section in read(b"\n \n# A\n", "a.md").sections] == ["A"]


def test_a_heading_in_an_item_begins_its_section_with_its_line() -> None:
    assert [section[4] for section in read(b"- ## A\n\t- b\n- ## C\n", "a.md").sections] == [
        "- ## A\n\t- b\n",
        "- ## C\n",
    ]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Plain Text", "plain-text"),
        ("What's *new*: C# & co?", "whats-new-c--co"),
        ("naïve 日本 हिन्दी", "naïve-日本-हिन्दी"),
        ("a_b-c", "a_b-c"),
    ],
)
def test_anchors_are_made_as_github_makes_them(heading: str, expected: str) -> None:
    assert anchor(heading) == expected


def test_anchors_are_unique_even_beside_headings_that_look_numbered() -> None:
    note = read(b"# a\n# a\n# a-1\n# a\n", "a.md")

    assert [section[3] for section in note.sections] == ["a", "a-1", "a-1-1", "a-2"]


def test_an_anchor_that_is_given_is_taken_as_it_is() -> None:
    note = read(b"# A title {#My-id}\n## {x} B {#}\n## C {#a b}\n## {#only}\n", "a.md")

    assert [(section[1], section[3]) for section in note.sections] == [
        ("A title", "My-id"),
        ("{x} B {#}", "x-b-"),
        ("C {#a b}", "c-a-b"),
        ("", "only"),
    ]
    assert (note.title, note.tags) == ("A title", [])


def test_code_blocks_are_told_without_what_they_stand_in() -> None:
    note = read(b"```py x=1\na\n\nb\n```\n\n> - ~~~\n>   c\n>   ~~~\n\n    d\n\n```\n```\n", "a.md")

    assert [block[:3] for block in note.code_blocks] == [
        ("py", "a\n\nb\n", 2),
        (None, "c\n", 8),
        (None, "d\n", 11),
        (None, "", 14),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\ntitle: Given\n---\n# Heading", "Given"),
        ("title:: Page\n\n# Heading", "Page"),
        ("## Two\n# One *b*\n", "One b"),
        ("## Two\n", "a note.v2"),
        ("", "a note.v2"),
    ],
)
def test_the_title_is_given_or_the_first_h1_or_the_file_name(text: str, expected: str) -> None:
    assert read(text.encode(), "folder/a note.v2.md").title == expected


def test_logseqs_page_properties_are_read_and_stay_in_the_body() -> None:
    text = "alias:: x, [[y z]]\ntags:: [[big one]], #b, c\ntype:: [[Feature]]\n\n- text"
    note = read(text.encode(), "a.md")

    assert (note.aliases, note.tags, note.properties, note.body) == (
        ["x", "y z"],
        ["b", "big one", "c"],
        {"type": "[[Feature]]"},
        text,
    )
    assert [text[start:end] for *_, start, end in note.tag_uses] == ["[[big one]]", "#b", "c"]


def test_a_logseq_file_name_answers_to_its_page() -> None:
    assert read(b"", "pages/a___b%3Ac.md").aliases == ["a/b:c"]


def test_nul_bytes_are_kept() -> None:
    note = read(b"# a\0b\n[[c]] \0 #d\n", "a.md")

    assert (note.body, note.links[0][1], note.tags) == ("# a\0b\n[[c]] \0 #d\n", "c", ["d"])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[[" * 50_000,
        "![" * 25_000 + "](x)" * 25_000,
        ">" * 100_000,
        "- " * 50_000,
        "#a" * 50_000,
        "%%" * 50_000,
    ]
    + [
        "---\na: " + "[" * 100_000 + "\n---\n",
        "<!--" * 25_000,
        "*a " * 30_000,
        "`" * 50_000,
        "[a|" * 30_000,
        "- [ ] " * 20_000,
    ]
    + [
        "a::b" * 50_000,
        "[a:: " * 40_000,
        "(a:: " * 40_000,
        "x\n\n" + "a:: b\n" * 20_000,
        "a:: b\n" * 20_000,
        "- a\n  id:: x\n" * 10_000,
        "a\nid:: x\n" * 10_000,
        "((" * 100_000,
        "a ^b\n" * 20_000,
        "^b\n\n" * 20_000,
        "- a\n\n^b\n\n" * 10_000,
        "$a" * 50_000,
        "$$" * 50_000,
        "$$a\n" * 20_000,
        "<a " * 40_000,
        '<a href="' * 20_000,
        "<div>\n" + '<a href="' * 20_000,
        "<div>\n" + "<a b " * 20_000,
        "<div>\n" + "<a href=b>" * 10_000,
        "<div>\n" + "<!--" * 20_000,
        "> [!a]\n" * 20_000,
        "> [!a]\n\n" * 10_000,
        "".join(">" * depth + " [!a]\n" for depth in range(1, 300)),
        '{"a":' * 20_000,
        '{"' + '\\"' * 50_000,
        "---\n" + "a: [\n" * 5_000 + "---\n",
        "---\n" + 'a: "[[b]]"\n' * 10_000 + "---\n",
    ],
    ids=lambda text: text[:8],
)
@pytest.mark.timeout(10)
def test_hostile_text_is_read_in_time(text: str) -> None:
    assert read(text.encode(), "a.md").body in (text, "")


def test_the_list_of_readers_names_parser_and_version() -> None:
    parser, extra, reader = READERS["text/markdown"]

    assert parser.startswith("markdown/pyromark-")
    assert (extra, reader) == (None, read)
    assert {"text/markdown", "text/plain"} <= set(READERS)
    assert READERS.get("image/png") is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a.md", "text/markdown"), ("a.MARKDOWN", "text/markdown"), ("a.mdx", "text/markdown"), ("a.txt", "text/plain")]
    + [
        ("a.png", "image/png"),
        ("a.webp", "image/webp"),
        ("a", "application/octet-stream"),
        ("x.y/a", "application/octet-stream"),
    ],
)
def test_the_media_type_goes_by_the_name(path: str, expected: str) -> None:
    assert media_type(path) == expected


def test_an_item_indented_by_a_tab_is_a_task_at_its_own_place() -> None:
    content = b"- ## Functionality\n\t- TODO Fill it out\n\t- [x] done\n"
    tasks = read(content, "a.md").tasks
    assert [(state, text, line) for state, text, *_, line, _, _ in tasks] == [
        ("open", "Fill it out", 2),
        ("done", "done", 3),
    ]
    assert [content[start:end] for *_, start, end in tasks] == [b"- TODO Fill it out", b"- [x] done"]


def test_two_brackets_over_two_lines_are_no_wikilink() -> None:
    assert read(b"[[(not-task ?b)\n  (not x)]]\n", "a.md").links == []
