"""What a saved memory takes on disk: bytes by what they are for, bytes a token. Opens no file."""

import os
from pathlib import Path
from typing import Any

from nrem.memory.saved.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CARD,
    MEMORY,
    STATISTICS,
    TEXT,
    TEXT_CHUNKS,
    TEXT_INDEX,
    WRITTEN,
    segment_folder,
)
from nrem.memory.saved.record import MemoryRecord

PARTS = {
    "first adapter": (ADAPTER_WEIGHTS, ADAPTER_CONFIG),
    "further adapters": (ADAPTER_WEIGHTS, ADAPTER_CONFIG, WRITTEN),
    "statistics": (STATISTICS,),
    "text": (f"{TEXT}/{TEXT_CHUNKS}",),
    "search index": (f"{TEXT}/{TEXT_INDEX}",),
    "record": (MEMORY, CARD),
}
"""The files of a memory by what they are for, in the order of a table."""


def bytes_by_part(record: MemoryRecord, folder: Path) -> dict[str, int]:
    """Bytes of each part that is there."""
    first, *later = (segment_folder(folder, index) for index in range(record.num_segments))
    places = {"first adapter": [first], "further adapters": later, "statistics": [first, *later]}
    found = {name: sum(_size(place / file) for place in places.get(name, [first]) for file in files) for name, files in PARTS.items()}
    return {name: count for name, count in found.items() if count}


def sizes(record: MemoryRecord, folder: Path | None) -> dict[str, Any]:
    """What the adapters take, a token, and as a share of the attention cache of the same text; null where it is not saved or not known."""
    parts = bytes_by_part(record, folder) if folder else {}
    taken = sum(parts.get(name, 0) for name in ("first adapter", "further adapters"))
    tokens, cache = record.num_tokens, record.cache_token_bytes
    return {
        "adapter_bytes": taken or None,
        "adapter_bytes_per_token": round(taken / tokens, 1) if taken and tokens else None,
        "share_of_cache": round(taken / (tokens * cache), 4) if taken and tokens and cache else None,
        "bytes": sum(parts.values()) or None,
        "bytes_by_part": {name.replace(" ", "_"): count for name, count in parts.items()},
    }


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
