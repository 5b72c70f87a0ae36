"""HTML to Markdown: no text is lost, none becomes markup."""

from __future__ import annotations

import re
import time
from collections import Counter

import pyromark
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.shaping.hypertext import DEPTH, parse, to_markdown

GITHUB = pyromark.Markdown(
    options=pyromark.Options.ENABLE_TABLES | pyromark.Options.ENABLE_STRIKETHROUGH | pyromark.Options.ENABLE_WIKILINKS
)


def text_of(html: str) -> str:
    """Return the text of a page as a browser has it, without white space."""
    root = parse(html).tree.root
    return re.sub(r"\s+", "", root.text() if root is not None else "")


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h1>A <b>b</b></h1>text", "# A **b**\n\ntext"),
        ("<b><h2>head</h2></b>", "## **head**"),
        ("<h2>C #</h2>", "## C \\#"),
        ("a<b> b </b>c<i>d</i>e", "a **b** c*d*e"),
        ("<b>a <i>b</i></b> <i>c</i>", "**a _b_** *c*"),
        ("<b>a.</b>b", "a.b"),
        ("<s>old</s> x<sup>2</sup> H<sub>2</sub>O", "~~old~~ x<sup>2</sup> H<sub>2</sub>O"),
        ("<span style='font-weight: 700'>x</span> <b style='font-weight:normal'>y</b>", "**x** y"),
        ("a<br>b<br><br>c", "a  \nb\n\nc"),
        ("<a href='a b.html#x' title='t'>l</a>", '[l](<a b.html#x> "t")'),
        ("<a href='https://a.b/c_d'>https://a.b/c_d</a>", "<https://a.b/c_d>"),
        ("<a href=x><img src=i.png alt='a [b]'></a>", "[![a \\[b\\]](i.png)](x)"),
        ("<a href='javascript:x()'>l</a><a href='#top'></a><a href='z' title='Z'></a>", 'l[Z](z "Z")'),
        ("<sup><br>[1]</sup>", "\\[1]</sup>"),
        ("<b><s>a)</s></b>b", "a)b"),
        ("<s>~~1</s> ~5", "~~\\~\\~1~~ ~5"),
        ("a<a href=u> </a>b<b> </b>c", "a [](u)b c"),
        ("<a href=y><h2>head</h2><p>text</a>", "## [head](y)\n\n[text](y)"),
        ("x!<a href=y>z</a>", "x\\![z](y)"),
        ("<iframe src='https://v.org/1' title='Film'>old browser</iframe>", "[Film](https://v.org/1)"),
        ("<ul><li>a<ul><li>b</ul><li><p>c<p>d</ul>", "- a\n  - b\n- c\n\n  d"),
        ("<ul><li>a</li><ul><li>b</ul></ul>", "- a\n\n  - b"),
        ("<ol start=9><li>a<li>b</ol><ol><li>c</ol>", "9. a\n10. b\n\n1) c"),
        ("<ul><li><input type=checkbox checked> a<li><input type=checkbox>b</ul>", "- [x] a\n- [ ] b"),
        ("<ul><li><input type=checkbox> <p>a</p><p>b</ul>", "- [ ] a\n\n  b"),
        ("<blockquote><p>a<blockquote>b</blockquote></blockquote>", "> a\n>\n> > b"),
        ("<pre><code class='language-py'>x\n```\n</code></pre>", "````py\nx\n```\n````"),
        ("<pre>a<div>b</div><br>c</pre>", "```\na\nb\n\nc\n```"),
        ("<code>a`b</code><code> c</code>", "``a`b c``"),
        ("<dl><dt>T<dd>D</dl>", "**T**\n\nD"),
        (
            "<table><tr><th>a|b<th>c<tr><td colspan=2>d<tr><td>e<br>f",
            "| a\\|b | c |\n| --- | --- |\n| d |  |\n| e<br>f |",
        ),
        ("<table><tr><td rowspan=2>a<td>b<tr><td>c", "| a | b |\n| --- | --- |\n|  | c |"),
        ("<table><tr><td>a<table><tr><td>b<td>c</table>d<td>e", "a\n\n| b | c |\n| --- | --- |\n\nd\n\ne"),
        ("a<script>x</script><style>y</style><noscript>z</noscript><template>t</template><!--c-->b", "ab"),
        ("<p hidden>a</p><details><summary>b</summary>c</details>", "a\n\n**b**\n\nc"),
        ("<hr>&lt;b&gt; &amp;amp; &#x1F600; a&nbsp;b", "___\n\n\\<b> \\&amp; 😀 a\u00a0b"),
    ],
)
def test_html_becomes_markdown(html: str, expected: str) -> None:
    assert to_markdown(html) == expected + "\n"


@pytest.mark.parametrize(
    "text",
    [
        *("# a", "1. a", "- a", "+ a", "* a", "> a", "---", "===", "***", "___", "~~~", "```", "|---|", "    a"),
        *("*a*", "__a__", "`a`", "[a](b)", "![a](b)", "[[a]]", "[a]: b", "[^1]", "<b>", "<!-- a -->", "&amp;", "&#65;"),
        *(
            "~~a~~",
            "%%a%%",
            "\\*",
            "a\\",
            "https://a_b_.c",
            "well-known",
            "snake_case",
            "a * b",
            "#tag",
            "5 < 6 > 4",
            "!",
        ),
    ],
)
def test_text_that_looks_like_markdown_stays_text(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    made = to_markdown(f"<p>{escaped}</p><p>a<br>{escaped}<br>{escaped}<b>b</b></p>")

    assert text_of(GITHUB.html(made)) == re.sub(r"\s+", "", f"{text}a{text}{text}b")
    assert "<code" not in GITHUB.html(made) and "<li" not in GITHUB.html(made)
    assert "%%" not in made


@pytest.mark.parametrize("text", ["well-known", "snake_case", "R&D", "1.5", "$5 or $6", "a (b)", "50% of 3 = x!"])
def test_text_without_markup_can_be_searched_for(text: str) -> None:
    assert to_markdown(text) == text + "\n"


BLOCKS = (
    "p div ul ol li table tr td th caption pre blockquote h1 h2 hr dl dt dd details figure section form center en-note"
)
INLINE = "b i s a code span br img sub sup label button select option video font en-todo en-media input"
TAGS = [*BLOCKS.split(), *INLINE.split()]
PIECES = st.one_of(
    st.integers(0, 99).map(lambda number: f" w{number}x "),
    st.integers(0, 99).map(lambda number: f"w{number}x"),
    st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]),
    st.sampled_from(["<a href=u>", "<a href='v' title=t>", "<b> </b>"]),
    st.sampled_from(["*", "_", "`", "[", "](", "&lt;", "#", "|", "~", "1. ", "- ", "\n", "\\", "&amp;lt;", "!"]),
)
WORD = re.compile(r"w\d+x")


@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_word_is_lost_or_said_twice_whatever_the_tags(html: str) -> None:
    expected = Counter(WORD.findall(text_of(html)))
    made = to_markdown(html)

    assert Counter(WORD.findall(re.sub(r"\s", "", made))) == expected
    assert Counter(WORD.findall(text_of(GITHUB.html(made)))) == expected


@given(st.text(max_size=60))
def test_any_input_is_turned(html: str) -> None:
    to_markdown(html)


def hostile() -> dict[str, str]:
    return {
        "deep": "<div>w1x" * 50_000 + "end",
        "closed": "<div>" * 50_000 + "end" + "</div>" * 50_000,
        "quotes": "<blockquote>w1x" * 3000 + "end",
        "lists": "<ul><li>w1x" * 3000 + "end",
        "tables": "<table><tr><td>w1x" * 1000 + "end",
        "formatting": "".join(f"<b id={each}>" for each in range(1000)) + "<p>w1x" * 5000 + "end",
        "spans": "<table><tr>" + "<td colspan=99999999 rowspan=99999999>w1x" * 200 + "<tr><td>end",
        "misnested": "<b>w1x<p></b>" * 2000 + "end",
        "backticks": "`" * 50_000 + "<code>" + "`" * 50_000 + "</code>end",
        "breaks": "<br>" * 20_000 + "end",
        "stars": "*_" * 20_000 + "end",
    }


@pytest.mark.parametrize("name", hostile())
def test_what_a_hostile_page_costs_is_bounded_and_its_text_kept(name: str) -> None:
    html = hostile()[name]
    begun = time.process_time()
    made = to_markdown(html)

    assert time.process_time() - begun < 10
    assert "end" in made and made.count("w1x") == html.count("w1x")
    assert len(made) < 60 * len(html)


def test_flattened_elements_are_counted() -> None:
    assert parse("<div>" * (DEPTH + 3)).flattened == 3
    assert parse("<p>a" * 2 * DEPTH).flattened == 0


def test_addresses_may_be_rewritten() -> None:
    html = "<a href=' a.html '>a</a><img src=i.png>"

    assert to_markdown(html, address=lambda written: f"x/{written}") == "[a](x/a.html)![](x/i.png)\n"
