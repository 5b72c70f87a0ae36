"""An image says its width and height in its first bytes, and nothing else is read of it."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dagster_project.shaping.images import attachment, image_size


def drawn(kind: str, size: tuple[int, int], **how: object) -> bytes:
    """Return an image of this size, as Pillow writes it."""
    file = BytesIO()
    Image.new("RGB", size, "red").save(file, kind, **how)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "comment": b"x" * 300}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\x00\x00MM\x00*"}),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (300, 7), (7, 300)])
def test_the_size_is_what_pillow_drew(kind: str, how: dict[str, object], size: tuple[int, int]) -> None:
    assert image_size(drawn(kind, size, **how)) == size


def test_what_is_no_image_has_no_size() -> None:
    path, media_type, size, sha256, *rest = attachment("a/b.emf", b"abc", "image/x-emf")

    assert (path, media_type, size, rest) == ("a/b.emf", "image/x-emf", 3, [None] * 5)
    assert sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("content", [b"\xff\xd8" + b"\xff" * 100_000, b"\xff\xd8" + b"\xff\x01" * 50_000])
def test_a_jpeg_of_markers_alone_is_given_up(content: bytes) -> None:
    assert image_size(content) is None


@given(st.sampled_from(["PNG", "GIF", "BMP", "JPEG", "WEBP"]), st.integers(0, 60), st.binary(max_size=4))
def test_a_broken_image_never_fails(kind: str, at: int, written: bytes) -> None:
    good = drawn(kind, (3, 2))
    for content in (good[:at], good[:at] + written + good[at + len(written) :]):
        size = image_size(content)
        assert size is None or min(size) >= 0
