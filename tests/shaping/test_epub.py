"""Books as EPUB 3 with a nav (as pandoc writes them) and as EPUB 2 with an NCX (as calibre and Sigil do)."""

from __future__ import annotations

import time
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from struct import pack
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.shaping import Parsed, Unreadable
from dagster_project.shaping.formats.epub import read


def png(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(width + 1) * height)) + chunk(b"IEND", b"")


def zipped(files: dict[str, str | bytes]) -> bytes:
    made = BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", ZIP_STORED)
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def container(path: str) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
  <rootfiles><rootfile full-path="{path}" media-type="application/oebps-package+xml"/></rootfiles></container>"""


def xhtml(body: str, title: str = "") -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><head><title>{title}</title></head>
<body>{body}</body></html>"""


def epub_3() -> dict[str, str | bytes]:
    return {
        "META-INF/container.xml": container("EPUB/content.opf"),
        "EPUB/content.opf": """<?xml version="1.0" encoding="UTF-8"?>
<package version="3.0" xmlns="http://www.idpf.org/2007/opf" unique-identifier="id">
  <metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
    <dc:identifier id="id">urn:uuid:1</dc:identifier>
    <dc:title id="t">Lakes &amp; rivers</dc:title><dc:title>A subtitle</dc:title>
    <dc:creator id="c1">Ada Löf</dc:creator><dc:creator>Bo Ek</dc:creator>
    <meta refines="#c1" property="role">aut</meta>
    <dc:date>2024-03-01</dc:date><dc:language>en-GB</dc:language>
    <dc:subject>water</dc:subject><dc:subject>lakes, fresh</dc:subject>
    <meta property="dcterms:modified">2024-03-05T06:07:08Z</meta>
    <meta name="cover" content="pic"/>
  </metadata>
  <manifest>
    <item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
    <item id="b" href="text/ch%202.xhtml" media-type="application/xhtml+xml"/>
    <item id="a" href="text/ch1.xhtml" media-type="application/xhtml+xml"/>
    <item id="pic" href="media/lake.png" media-type="image/png" properties="cover-image"/>
    <item id="gone" href="media/gone.png" media-type="image/png"/>
    <item id="css" href="s.css" media-type="text/css"/>
  </manifest>
  <spine><itemref idref="a"/><itemref idref="b" linear="no"/><itemref idref="a"/></spine>
</package>""",
        "EPUB/nav.xhtml": xhtml(
            '<nav epub:type="toc"><ol><li><a href="text/ch1.xhtml">One</a></li>'
            '<li><a href="text/ch%202.xhtml#x">The <i>second</i></a></li></ol></nav>'
            '<nav epub:type="landmarks"><ol><li><a href="text/ch%202.xhtml">Body</a></li></ol></nav>'
        ),
        "EPUB/text/ch1.xhtml": xhtml(
            '<section id="s1"><h1 id="one">Water</h1><p>See <a href="ch%202.xhtml">the next</a>, '
            '<a href="#deep">below</a>,'
            ' <a href="ch%202.xhtml#p9">a place</a> and <a href="https://a.org/#x">outside</a>.</p>'
            '<img src="../media/lake.png" alt="Lake"/><a id="here"/><p>after</p><h2 id="deep">Water</h2>'
            "<ul><li>a</li><li>b</li></ul></section>"
        ),
        "EPUB/text/ch 2.xhtml": xhtml(
            '<p id="p9">No heading. <a href="ch1.xhtml#deep">Back</a></p><table><tr><td>a</td><td>b</td></tr></table>'
        ),
        "EPUB/media/lake.png": png(4, 2),
        "EPUB/s.css": "p {}",
    }


def epub_2() -> dict[str, str | bytes]:
    return {
        "META-INF/container.xml": container("content.opf"),
        "content.opf": """<?xml version='1.0' encoding='iso-8859-1'?>
<package xmlns="http://www.idpf.org/2007/opf" version="2.0" unique-identifier="uid">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:opf="http://www.idpf.org/2007/opf">
<dc:title>G\xf6ta</dc:title><dc:creator opf:role="aut" opf:file-as="L\xf6f, Ada">Ada L\xf6f</dc:creator>
<dc:date opf:event="publication">1998</dc:date><dc:date opf:event="modification">2001-02-03</dc:date>
<dc:identifier id="uid" opf:scheme="ISBN">978</dc:identifier><meta name="calibre:series" content="Rivers"/>
</metadata>
<manifest>
<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>
<item id="t1" href="t1.html" media-type="application/xhtml+xml"/>
<item id="t2" href="t2.html" media-type="application/xhtml+xml"/>
<item id="img" href="c.svg" media-type="image/svg+xml"/>
</manifest><spine toc="ncx"><itemref idref="t1"/><itemref idref="t2"/></spine></package>""".encode("latin-1"),
        "toc.ncx": """<?xml version='1.0' encoding='utf-8'?>
<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">
<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/" version="2005-1"><docTitle><text>G</text></docTitle><navMap>
<navPoint id="n1" playOrder="1"><navLabel><text>Start</text></navLabel><content src="t1.html"/>
<navPoint id="n2" playOrder="2"><navLabel><text>Inner</text></navLabel><content src="t1.html#i"/></navPoint></navPoint>
<navPoint id="n3" playOrder="3"><navLabel><text>1. End *</text></navLabel><content src="t2.html"/></navPoint>
</navMap></ncx>""",
        "t1.html": xhtml("<p>It&nbsp;flows.</p>"),
        "t2.html": b"<html><body><p>unclosed <b>tag</p><img src=c.svg><p>end",
        "c.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="6"/>',
    }


FIXTURES = Path(__file__).parent / "fixtures" / "epub"
"""The same books as files, from which the fuzzer begins."""


def book(files: dict[str, str | bytes]) -> Parsed:
    return read(zipped(files), "books/b.epub")


def test_the_chapters_of_an_epub_3_stand_in_the_order_of_the_spine() -> None:
    found = book(epub_3())

    assert found.body == (
        "# Water\n\nSee [the next](#the-second), [below](#water-1), [a place](#the-second) and [outside](https://a.org/#x)."
        "\n\n![Lake](EPUB/media/lake.png)\n\nafter\n\n## Water\n\n- a\n- b\n\n"
        "# The second\n\nNo heading. [Back](#water-1)\n\n| a | b |\n| --- | --- |\n"
    )
    assert [section[3] for section in found.sections] == ["water", "water-1", "the-second"]


def test_what_the_package_of_an_epub_3_says_is_told() -> None:
    found = book(epub_3())

    assert (found.title, found.author, found.tags) == ("Lakes & rivers", "Ada Löf, Bo Ek", ["lakes, fresh", "water"])
    assert found.created_at == datetime(2024, 3, 1, tzinfo=UTC)
    assert found.modified_at == datetime(2024, 3, 5, 6, 7, 8, tzinfo=UTC)
    assert found.properties == {"identifier": "urn:uuid:1", "role": "aut", "language": "en-GB", "cover": "pic"}


def test_pictures_are_attachments_and_missing_files_are_told() -> None:
    found = book(epub_3())
    ((path, media_type, _, digest, width, height, *place),) = found.attachments

    assert (path, media_type, width, height, place) == ("EPUB/media/lake.png", "image/png", 4, 2, [None] * 3)
    assert len(digest) == 64
    assert found.dropped == [("file that is not in the archive", 1, None)]
    assert found.error == "EPUB/media/gone.png is not in the archive"


def test_an_epub_2_has_its_headings_from_the_ncx() -> None:
    found = book(epub_2())

    assert (
        found.body == "# Start\n\nIt\u00a0flows.\n\n# 1\\. End \\*\n\nunclosed **tag**\n\n**![](c.svg)**\n\n**end**\n"
    )
    assert (found.title, found.author) == ("Göta", "Ada Löf")
    assert (found.created_at, found.modified_at) == (datetime(1998, 1, 1, tzinfo=UTC), datetime(2001, 2, 3, tzinfo=UTC))
    assert found.properties == {"identifier": "978", "calibre:series": "Rivers"}
    assert found.attachments[0][4:6] == (8, 6)
    assert found.dropped == [("XHTML that is no XML", 1, None)]


@pytest.mark.parametrize(("name", "files"), [("epub_3", epub_3()), ("epub_2", epub_2())])
def test_the_books_that_are_files_are_these(name: str, files: dict[str, str | bytes]) -> None:
    assert read((FIXTURES / f"{name}.epub").read_bytes(), "books/b.epub") == book(files)


def encryption(algorithm: str) -> str:
    return f"""<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:e="http://www.w3.org/2001/04/xmlenc#">
<e:EncryptedData><e:EncryptionMethod Algorithm="{algorithm}"/><e:CipherData>
<e:CipherReference URI="EPUB/text/ch1.xhtml"/></e:CipherData></e:EncryptedData></encryption>"""


def test_an_encrypted_book_is_refused_and_says_so() -> None:
    files = epub_3() | {
        "META-INF/encryption.xml": encryption("http://www.w3.org/2001/04/xmlenc#aes128-cbc"),
        "META-INF/rights.xml": "<rights/>",
    }

    with pytest.raises(Unreadable, match=r"encrypted \(DRM: Adobe ADEPT\)") as refused:
        book(files)
    assert refused.value.rule == "encrypted"


def test_a_book_with_obfuscated_fonts_is_read() -> None:
    files = epub_3() | {"META-INF/encryption.xml": encryption("http://www.idpf.org/2008/embedding")}

    assert book(files).title == "Lakes & rivers"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "archive"),
        (b"PK\x03\x04", "archive"),
        ({}, "epub"),
        ({"META-INF/container.xml": "<a"}, "epub"),
        ({"a.opf": "<package/>"}, "epub"),
        ({"META-INF/container.xml": container("../../etc/passwd")}, "epub"),
        (epub_3() | {"EPUB/content.opf": "<package>"}, "epub"),
        ({"big": bytes(200_000_000)}, "archive_limit"),
    ],
    ids=["empty", "cut", "no package", "container", "no spine", "climbs", "broken", "bomb"],
)
def test_what_is_no_book_is_refused(content: bytes | dict[str, str | bytes], rule: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(content if isinstance(content, bytes) else zipped(content), "a.epub")
    assert refused.value.rule == rule


def test_a_chapter_that_is_missing_costs_that_chapter() -> None:
    files = epub_3()
    del files["EPUB/text/ch1.xhtml"]
    found = book(files)

    assert found.body.startswith("# The second")
    assert found.dropped == [("file that is not in the archive", 2, None)]


def test_links_that_climb_out_of_the_archive_stay_as_written() -> None:
    files = epub_3() | {"EPUB/text/ch1.xhtml": xhtml('<p><a href="../../../etc/passwd">a</a> <img src="no.png"/></p>')}

    assert "[a](../../../etc/passwd) ![](no.png)" in book(files).body


def test_entities_are_not_expanded() -> None:
    levels = "".join(f"<!ENTITY l{level} '{f'&l{level - 1};' * 10}'>" for level in range(1, 10))
    bomb = f"<!DOCTYPE html [<!ENTITY l0 'boom'>{levels}]><html><body><p>&l9;x</p></body></html>"
    begun = time.process_time()
    found = book(epub_3() | {"EPUB/text/ch1.xhtml": bomb})

    assert "x" in found.body and len(found.body) < 5000 and time.process_time() - begun < 5


@given(
    st.sampled_from(["EPUB/content.opf", "EPUB/nav.xhtml", "EPUB/text/ch1.xhtml", "META-INF/container.xml"]),
    st.integers(0, 2000),
    st.one_of(st.binary(max_size=4), st.sampled_from([b'"', b"<", b"/>", b'href="//["', b"%FF", b"&a;", b"#", b""])),
)
def test_any_broken_book_is_read_or_refused(name: str, at: int, written: bytes) -> None:
    files = epub_3()
    content = str(files[name]).encode()
    at %= len(content)
    with suppress(Unreadable):
        book(files | {name: content[:at] + written + content[at + len(written) + 1 :]})


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=3))
def test_any_broken_archive_is_read_or_refused(at: int, written: bytes) -> None:
    content = zipped(epub_3())
    at %= len(content)
    with suppress(Unreadable):
        read(content[:at] + written + content[at + len(written) :], "a.epub")
