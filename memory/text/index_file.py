"""A search index as one safetensors file beside the chunks, with a hash of all that is in it.

It is read into memory, hashed, and its parts are held against each other and against the number of chunks before any of it is used: a
damaged one, and one that somebody made to ask for memory or to point outside of itself, is no index. Knows no chunks.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nrem.memory.saved.files import TEXT_INDEX
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.regular import read_regular
from nrem.memory.text.index import SearchIndex

if TYPE_CHECKING:
    from nrem.memory.text.postings import Postings

ABOUT = "nrem"
"""The one key of the metadata, so that equal indices are equal files: hash and stamp."""
MOST_EMPTY = 48
"""Rows for each term that is found in one, at most: a few bytes must not ask for gigabytes."""


def save_index_file(index: SearchIndex, folder: Path, stamp: str) -> None:
    """Write it; `stamp` says of which texts it is, and under which rules it was made."""
    import numpy as np
    from safetensors.numpy import save

    postings = index.postings
    arrays = {
        "sentences": np.asarray(index.num_sentences, dtype=np.int32),
        "starts": postings.starts,
        "rows": postings.rows,
        "counts": postings.counts,
        "terms": np.frombuffer(json_text(list(postings.terms), ensure_ascii=True).encode("ascii"), dtype=np.uint8),
    }
    target = folder / TEXT_INDEX
    temporary = target.with_name(f".{TEXT_INDEX}.tmp")
    temporary.write_bytes(save(arrays, metadata={ABOUT: f"{hash_of(arrays, stamp)} {stamp}"}))
    temporary.replace(target)


def load_index_file(folder: Path, stamp: str, num_chunks: int) -> SearchIndex:
    """Raises whatever a missing, damaged or foreign file makes of it, `ValueError` where its parts do not agree."""
    from safetensors.numpy import load

    content = read_regular(folder, TEXT_INDEX)
    size = int.from_bytes(content[:8], "little")
    about = json.loads(content[8 : 8 + size])["__metadata__"][ABOUT]
    arrays = load(content)
    if about != f"{hash_of(arrays, stamp)} {stamp}":
        raise ValueError("another text's, or damaged")
    sentences = arrays["sentences"]
    _require(sentences.dtype == "int32" and sentences.shape == (num_chunks,) and (sentences > 0).all())
    return SearchIndex(_postings(arrays, int((sentences.astype("int64") + 1).sum())), sentences.tolist())


def _postings(arrays: dict[str, Any], num_rows: int) -> "Postings":
    import numpy as np

    from nrem.memory.text.postings import Postings

    terms = json.loads(arrays["terms"].tobytes())
    starts, rows, counts = (arrays[name] for name in ("starts", "rows", "counts"))
    _require(isinstance(terms, list) and all(isinstance(term, str) for term in terms))
    _require(starts.dtype == "int32" and starts.shape == (len(terms) + 1,) and (np.diff(starts) >= 0).all())
    _require(rows.dtype == "int32" and counts.dtype.kind == "u" and rows.shape == counts.shape == (starts[-1],) and starts[0] == 0)
    _require(len(rows) > 0 and num_rows <= MOST_EMPTY * len(rows))
    _require(((rows >= 0) & (rows < num_rows)).all() and (counts > 0).all())
    numbers = {term: number for number, term in enumerate(terms)}
    _require(len(numbers) == len(terms))
    return Postings(numbers, starts, rows, counts, num_rows)


def _require(well: Any) -> None:
    if not well:
        raise ValueError("its parts do not agree")


def hash_of(arrays: dict[str, Any], stamp: str) -> str:
    digest = hashlib.sha256(stamp.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
