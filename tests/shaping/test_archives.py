"""What comes out of a zip archive is bounded before it is inflated."""

from __future__ import annotations

import struct
from io import BytesIO
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.shaping import Unreadable
from dagster_project.shaping.archives import Limits, open_archive

SMALL = Limits(entries=3, total_bytes=2_000, entry_bytes=1_500, ratio=5, ratio_from=1_000)


def zipped(entries: dict[str, bytes], method: int = ZIP_DEFLATED) -> bytes:
    """Return an archive of these entries."""
    file = BytesIO()
    with ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_entries_come_out_as_they_went_in_whatever_their_names() -> None:
    entries = {"a.txt": b"one", "../../etc/passwd": b"two", "/abs": b"", "d/": b"", "naïve\n\"'": b"x" * 100}
    archive = open_archive(zipped(entries))

    assert {name: archive.read(name) for name in archive.names} == entries
    assert ("a.txt" in archive, "b.txt" in archive, archive.size("a.txt")) == (True, False, 3)


def test_an_entry_that_is_not_there_is_told() -> None:
    with pytest.raises(Unreadable, match=r"the archive has no 'b'"):
        open_archive(zipped({"a": b""})).read("b")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"a": b"", "b": b"", "c": b"", "d": b""}, "about 4 entries, and 3 are allowed"),
        ({"a": bytes(1_501)}, "'a' inflates to 1501 bytes: 1500 are allowed"),
        ({"a": bytes(1_001), "b": bytes(1_000)}, "inflates to 2001 bytes: 2000 are allowed"),
        ({"a": bytes(1_400)}, r"inflates to 1400 bytes, \d+ times its size: 5 times are allowed"),
    ],
)
def test_an_archive_beyond_its_limits_is_refused(entries: dict[str, bytes], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as refused:
        open_archive(zipped(entries), SMALL)

    assert refused.value.rule == "archive_limit"


def test_the_directory_is_not_read_if_it_is_too_long() -> None:
    with pytest.raises(Unreadable, match="about 4000000 entries"):
        open_archive(b"PK\x01\x02" * 4_000_000)


def test_an_entry_that_lies_about_its_size_is_refused_and_inflated_no_further() -> None:
    content = zipped({"a": bytes(1_000_000)})
    lie = content.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 10))

    assert lie != content
    with pytest.raises(Unreadable, match=r"'a' in the archive cannot be read: Bad CRC"):
        open_archive(lie).read("a")


def test_entries_that_share_their_bytes_are_refused() -> None:
    content = zipped({"a": b"x" * 500, "b": b"y" * 500})
    at = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4) + 42
    overlapping = content[:at] + bytes(4) + content[at + 4 :]

    with pytest.raises(Unreadable, match="cannot be read"):
        open_archive(overlapping).read("b")


def test_other_methods_and_encrypted_entries_are_refused() -> None:
    with pytest.raises(Unreadable, match=r"'a' in the archive is compressed by method 12"):
        open_archive(zipped({"a": b"x"}, ZIP_BZIP2))
    content = bytearray(zipped({"a": b"x"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Unreadable, match=r"'a' in the archive is encrypted") as refused:
        open_archive(bytes(content))
    assert refused.value.rule == "encrypted"


GOOD = zipped({"a.xml": b"<a>hello</a>" * 20, "media/b.png": bytes(range(256)), "c": b""})


@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=8), st.integers(0, 8))
def test_a_broken_archive_is_read_or_refused(at: int, written: bytes, cut: int) -> None:
    broken = GOOD[:at] + written + GOOD[at + cut :]
    try:
        archive = open_archive(broken)
        for name in archive.names:
            archive.read(name)
    except Unreadable:
        pass
