"""A search index as one safetensors file beside the chunks, with a hash of all that is in it.

It is read into memory, hashed, and its parts are held against each other and against the number of chunks before any of it is used: a
damaged one, and one that somebody made to ask for memory or to point outside of itself, is no index. Knows no chunks.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from nrem.memory.saved.files import TEXT_INDEX
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.regular import read_regular
from nrem.memory.text.index import SearchIndex

PARTS = ("chunks", "windows")
ABOUT = "nrem"
"""The one key of the metadata, so that equal indices are equal files: hash and stamp."""
MOST_EMPTY = 16
"""Texts for each term that is found in one, at most: a few bytes must not ask for gigabytes."""
KINDS = {"data": "float32", "indices": "int32", "indptr": "int32"}
"""The arrays of each part: a sparse matrix by columns, a column a term."""


def save_index_file(index: SearchIndex, folder: Path, stamp: str) -> None:
    """Write it; `stamp` says of which texts it is, and under which rules it was made."""
    import numpy as np
    from safetensors.numpy import save

    *parts, counts = index.parts()
    arrays = {"counts": np.asarray(counts, dtype=np.int32)}
    for name, part in zip(PARTS, parts, strict=True):
        arrays |= {f"{name}.{key}": np.ascontiguousarray(part.scores[key], dtype=kind) for key, kind in KINDS.items()}
        columns = len(part.scores["indptr"]) - 1
        terms = sorted(part.vocab_dict, key=part.vocab_dict.__getitem__)[:columns]  # bm25s adds an empty one behind them
        arrays[f"{name}.terms"] = np.frombuffer(json_text(terms, ensure_ascii=True).encode("ascii"), dtype=np.uint8)
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
    counts = arrays["counts"]
    _require(counts.dtype == "int32" and counts.shape == (num_chunks,) and (counts >= 0).all())
    chunks, windows = (_part(arrays, name, count) for name, count in zip(PARTS, (num_chunks, int(counts.sum())), strict=True))
    return SearchIndex(chunks, windows, counts.tolist())


def _part(arrays: dict[str, Any], name: str, num_docs: int) -> Any:
    """One `bm25s.BM25` over so many texts."""
    import bm25s
    import numpy as np

    terms = json.loads(arrays[f"{name}.terms"].tobytes())
    data, indices, indptr = (arrays[f"{name}.{key}"] for key in KINDS)
    _require(all(arrays[f"{name}.{key}"].dtype == kind for key, kind in KINDS.items()))
    _require(isinstance(terms, list) and all(isinstance(term, str) for term in terms) and len(indptr) == len(terms) + 1)
    _require(indptr[0] == 0 and indptr[-1] == len(data) == len(indices) and (np.diff(indptr) >= 0).all())
    _require(num_docs <= MOST_EMPTY * (len(indices) + 1))
    _require(((indices >= 0) & (indices < num_docs)).all() and np.isfinite(data).all())
    index = bm25s.BM25()
    index.scores = {"data": data, "indices": indices, "indptr": indptr, "num_docs": num_docs}
    index.nonoccurrence_array = None  # only variants of BM25 have one
    index.vocab_dict = {term: number for number, term in enumerate(terms)}
    _require(len(index.vocab_dict) == len(terms))
    return index


def _require(well: Any) -> None:
    if not well:
        raise ValueError("its parts do not agree")


def hash_of(arrays: dict[str, Any], stamp: str) -> str:
    digest = hashlib.sha256(stamp.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
