"""What Obsidian and its plugins Dataview and Tasks write: small notes in, small tables out."""

from __future__ import annotations

import pytest

from dagster_project.shaping.formats.markdown import read


def fields(text: str) -> list[tuple[str, str, str, str]]:
    content = text.encode()
    return [(*part[:3], content[part[-2] : part[-1]].decode()) for part in read(content, "a.md").fields]


def blocks(text: str) -> list[tuple[str, str | None, str | None, str, str]]:
    content = text.encode()
    return [(*part[:4], content[part[-2] : part[-1]].decode()) for part in read(content, "a.md").blocks]


def links(text: str) -> list[tuple[str, str, str | None, str, int | None]]:
    return [link[:5] for link in read(text.encode(), "a.md").links]


# --- fields -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x\n\nBasic Field:: Some random Value\n", [("Basic Field", "Some random Value", "inline")]),
        ("x\n\n**Bold Field**:: Nice!", [("Bold Field", "Nice!", "inline")]),
        ("I would rate this a [rating:: 9]! It was [mood:: acceptable].", [("rating", "9"), ("mood", "acceptable")]),
        ("This will not show the (longKeyIDontNeed:: key).", [("longKeyIDontNeed", "key")]),
        (
            "\nNoël:: Un jeu de console\n\nクリスマス:: 家庭用ゲーム機",
            [("Noël", "Un jeu de console"), ("クリスマス", "家庭用ゲーム機")],
        ),
        ("[🎅:: a console game]\n[xmas🎄:: a console game]", [("🎅", "a console game"), ("xmas🎄", "a console game")]),
        ("- [ ] Send a mail [due:: 2022-04-05].", [("due", "2022-04-05")]),
        ("[with:: [[A]], (b) \\] and [c](d)]", [("with", "[[A]], (b) \\] and [c](d)")]),
        ("x\n\nempty::\n", [("empty", "")]),
        ("> quoted:: yes", [("quoted", "yes")]),
        ("[due::2022-04-05]", [("due", "2022-04-05")]),
    ],
)
def test_fields_are_written_as_dataview_has_them(text: str, expected: list[tuple[str, ...]]) -> None:
    assert [found[: len(given)] for found, given in zip(fields(text), expected, strict=True)] == expected
    assert {found[2] for found in fields(text)} <= {"inline"}


@pytest.mark.parametrize(
    "text",
    [
        "std::vector is code",
        "see (std::vector)",
        "[System.Math]::Pow(2)",
        "`[a:: b]`",
        "```\na:: b\n```",
        "%% [a:: b] %%",
        "<!-- [a:: b] -->",
        "<div>\na:: b\n</div>",
        "[a:: b](c.md)",
        "[[a:: b]]",
        "$[a:: b]$",
        "- [ ] task:: with colons",
        "[a:: b\nc]",
        "[:: b]",
    ],
)
def test_what_only_looks_like_a_field_is_none(text: str) -> None:
    assert fields(f"x\n\n{text}") == []


def test_a_field_is_found_where_it_stands() -> None:
    assert fields("né\n\n  **Key**:: värde \r\nund (a:: b) [c:: d]") == [
        ("Key", "värde", "inline", "**Key**:: värde"),
        ("a", "b", "inline", "(a:: b)"),
        ("c", "d", "inline", "[c:: d]"),
    ]
    assert [part[3] for part in read(b"x\n\na:: b\n\n[c:: d]\n", "a.md").fields] == [3, 5]


# --- blocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("before\n\nA paragraph\nover lines. ^37066d\n\nafter", ("37066d", "A paragraph\nover lines.")),
        ("- Gemmy\n- item né ^my-id\n- other", ("my-id", "item né")),
        ("- a\n\t- deep ^x\n\t\t- deeper", ("x", "deep")),
        ("- Gemmy\n    more\n    ^37006f\n- other", ("37006f", "Gemmy\n  more")),
        ("- loose ^a\n\n- other", ("a", "loose")),
        ("- loose\n\n  ^a\n\n- other", ("a", "loose")),
        ("- [ ] a task ^t", ("t", "[ ] a task")),
        ("1. one\n2. two\n\n^list", ("list", "1. one\n2. two")),
        ("| a | b |\n|---|---|\n| c | d |\n\n^table", ("table", "| a | b |\n|---|---|\n| c | d |")),
        ("> a quote\n> goes on\n\n^quote", ("quote", "> a quote\n> goes on")),
        ("```sh\nls\n```\n\n^code", ("code", "```sh\nls\n```")),
        ("A paragraph.\n\n^alone", ("alone", "A paragraph.")),
        ("> quoted ^q", ("q", "quoted")),
        ("crlf ^c\r\n\r\nafter", ("c", "crlf")),
    ],
)
def test_a_block_id_names_the_block_it_ends(text: str, expected: tuple[str, str]) -> None:
    ((kind, name, title, body, written),) = blocks(text)

    assert (kind, name, title, body.replace("\r\n", "\n")) == ("block", expected[0], None, expected[1])
    assert written.endswith(f"^{expected[0]}")


@pytest.mark.parametrize(
    "text",
    [
        "x^2",
        "2 ^10 and more",
        "a ^mid\nparagraph goes on",
        "`a ^id`",
        "```\na ^id\n```",
        "[[a#^id]]",
        "%% a ^id %%",
        "^no_underscore_",
        "$a ^b$ c",
        "^id",
    ],
)
def test_what_only_looks_like_a_block_id_is_none(text: str) -> None:
    assert blocks(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("> [!note] Title\n> body *b*\n>\n> more\n", ("callout", "note", "Title", "body *b*\n\nmore")),
        ("> [!faq]- Are they foldable?\n> Yes!", ("callout", "faq", "Are they foldable?", "Yes!")),
        ("> [!tip]+", ("callout", "tip", None, "")),
        ("> [!tip] Title-only", ("callout", "tip", "Title-only", "")),
        ("> [!info|wide] T\n> b", ("callout", "info", "T", "b")),
        ("- item\n  > [!Note] né\n  > b", ("callout", "note", "né", "b")),
        ("> [!NOTE]\n> An alert", ("alert", "note", None, "An alert")),
        ("> [!WARNING]\r\n> a\r\n> b\r\n", ("alert", "warning", None, "a\r\nb")),
        ("> [!my-type]\n> b\nlazy", ("callout", "my-type", None, "b\nlazy")),
    ],
)
def test_callouts_and_alerts_are_quotes_with_a_type(text: str, expected: tuple[str, str, str | None, str]) -> None:
    ((*found, _),) = blocks(text)

    assert tuple(found) == expected


def test_the_type_of_a_callout_may_be_in_any_script() -> None:
    (block,) = read("> [!\u00c9tape] Un\n> deux\n".encode(), "a.md").blocks  # the fuzzer found it as bytes
    assert block[:4] == ("callout", "\u00e9tape", "Un", "deux")


def test_callouts_nest() -> None:
    text = "> [!question] Can they?\n> > [!todo] Yes!\n> > they can"

    assert blocks(text) == [
        ("callout", "question", "Can they?", "> [!todo] Yes!\n> they can", text),
        ("callout", "todo", "Yes!", "they can", "> [!todo] Yes!\n> > they can"),
    ]


@pytest.mark.parametrize("text", ["[!note] no quote", "```\n> [!note]\n```", "> text [!note]", "%%\n> [!note]\n%%"])
def test_what_only_looks_like_a_callout_is_none(text: str) -> None:
    assert blocks(text) == []


# --- links --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see <a href='b.md#c'>the <b>B</b></a>", ("html", "b.md", "c", "the B", 1)),
        ('<p>\n<A class="x" HREF="y%20z.md">t</A>\n</p>', ("html", "y z.md", None, "t", 2)),
        ('<img src="a.png" alt="né &amp; x">', ("html", "a.png", None, "né & x", 1)),
        ("a <img\n  src=a.png />", ("html", "a.png", None, "", 1)),
        ('<a href="https://a.b/?x=1&amp;y=2">t</a>', ("html", "https://a.b/?x=1&y=2", None, "t", 1)),
    ],
)
def test_links_in_html_are_links(text: str, expected: tuple[str, str, str | None, str, int]) -> None:
    assert links(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "`<a href='b'>x</a>`",
        "<!-- <a href='b'>x</a> -->",
        "- <!--\n  <a href='b'>x</a>\n  -->",
        "```\n<a href='b'>x</a>\n```",
        "<script>\n'<a href=\"b\">'\n</script>",
        "<a name='b'>x</a>",
        "<area href='b'>",
        "%% <a href='b'>x</a> %%",
        "<a href='b>x",
    ],
)
def test_what_only_looks_like_a_link_in_html_is_none(text: str) -> None:
    assert links(text) == []


def test_links_of_all_kinds_stand_in_the_order_of_the_text() -> None:
    assert [link[1] for link in links("<a href=1>x</a> [[2]] <img src=3> [x](4)\n\n<p><a href=5></p>\n\n[[6]]")] == [
        *"123456"
    ]


def test_wikilinks_in_front_matter_are_links() -> None:
    text = (
        '---\nup: "[[Home]]"\nrelated:\n  - "[[né#h|alias]]"\ncover: "![[a.png]]"\n# "[[no]]"\nm: [[a, b]]\n---\n[[x]]'
    )

    assert links(text) == [
        ("wikilink", "Home", None, "Home", 2),
        ("wikilink", "né", "h", "alias", 4),
        ("embed", "a.png", None, "a.png", 5),
        ("wikilink", "x", None, "x", 9),
    ]
    assert [text.encode()[start:end].decode() for *_, start, end in read(text.encode(), "a.md").links] == [
        "[[Home]]",
        "[[né#h|alias]]",
        "![[a.png]]",
        "[[x]]",
    ]


# --- math ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "math",
    ["${}$", "a (${}$) b", "$${}$$", "$$\n{}\n$$", "text\n\n$$\na\n\n{}\n\n$$\n\ntext", "> $$\n> {}\n> $$"],
)
@pytest.mark.parametrize("construct", ["[[a]]", "x #tag y", "[x](y)", "[a:: b]"])
def test_nothing_in_math_is_a_construct(math: str, construct: str) -> None:
    note = read(math.format(construct).encode(), "a.md")

    assert (note.links, note.tags, note.fields) == ([], [], [])


@pytest.mark.parametrize(
    "text",
    [
        "$5 for [[a]] and $6",
        "from $HOME to [[a]] in $PATH",
        "5$ [[a]] 6$",
        "\\$x [[a]] y\\$",
        "`$` [[a]] `$`",
        "$$ [[a]]",
        "pid $$ is [[a]]\n\nand $$ too",
        "$x\n[[a]]$",
    ],
)
def test_dollars_that_are_no_math_hide_nothing(text: str) -> None:
    assert [link[1] for link in links(text)] == ["a"]
