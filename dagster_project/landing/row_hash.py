"""The 64-bit hash of a row: the same on every machine and in every version, told by its values alone.

What belongs here: the definition and its vectorised making. What does not: the text that stands for a value.

    hash(row) = mix(xxh3_64(the texts of all values, joined) + the sum of mix((bytes of value i + 1) * A + i * B))

over the columns i = 0, 1, 2 … of the table that are not null, with `mix` the finaliser of SplitMix64 and all sums
modulo 2^64; stored as the signed integer of the same bits. The lengths keep (a, bc) from (ab, c) and null from ''.
A column that is null adds nothing, so a column the table gains later leaves the hashes of older rows as they are.
xxHash's XXH3 is frozen since 0.8 (https://xxhash.com); SplitMix64 is Steele, Lea and Flood, OOPSLA 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

UINT = npt.NDArray[np.uint64]
_BY_LENGTH: Final = np.uint64(0x9E3779B97F4A7C15)
_BY_COLUMN: Final = np.uint64(0xD1B54A32D192ED03)


def row_hashes(texts: Mapping[int, pa.Array[Any]], rows: int) -> pa.Array[Any]:
    """Return the hash of each of `rows` rows as int64; `texts` are its values as text, by the column's ordinal.

    >>> a, b = pa.array(["a", "ab", None]), pa.array(["bc", "c", ""])
    >>> row_hashes({0: a, 1: b}, 3).to_pylist()
    [7721327433248290917, -6888727852103860421, 7645561616001738123]
    """
    if not texts:
        return pa.array(np.zeros(rows, np.int64))
    ordered = sorted(texts.items())
    lengths = np.zeros(rows, np.uint64)
    for ordinal, column in ordered:
        lengths += _length_part(column, ordinal)
    return pa.array(mix(_content_part([column for _, column in ordered], rows) + lengths).view(np.int64))


def _length_part(column: pa.Array[Any], ordinal: int) -> UINT:
    sizer: Any = pc.binary_length
    sizes = pc.fill_null(sizer(column), -1).to_numpy(zero_copy_only=False)
    part = mix((sizes + 1).astype(np.uint64) * _BY_LENGTH + np.uint64(ordinal * int(_BY_COLUMN) & 0xFFFFFFFFFFFFFFFF))
    return np.where(sizes < 0, np.uint64(0), part)


def _content_part(columns: list[pa.Array[Any]], rows: int) -> UINT:
    joiner: Any = pc.binary_join_element_wise
    joined = joiner(*columns, "", null_handling="replace", null_replacement="")
    texts = joined.view(pa.binary()).to_numpy(zero_copy_only=False)
    return np.fromiter(map(xxhash.xxh3_64_intdigest, texts), np.uint64, rows)


def mix(words: UINT) -> UINT:
    """Return words whose bits depend on all bits of those given."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
