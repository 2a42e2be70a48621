"""Whether a saved memory can be asked, looked at before a model library is imported: what can be refused is refused in a fraction of a
second. Knows nothing about answers."""

from collections.abc import Sequence
from pathlib import Path

from nrem.memory.saved.record_file import keeps_text, read_checked_record
from nrem.runtime.config import Flags
from nrem.runtime.models.source import find_source
from nrem.runtime.opened import opened_config
from nrem.runtime.wake.ways import resolve_way


def check_ready(folder: Path, settings: Sequence[str] = (), flags: Flags | None = None) -> None:
    """Raises what `Wake.open` would raise of the memory's files, its settings, the model's name, and the way of answering."""
    record = read_checked_record(folder)
    config = opened_config(record, str(folder), settings, flags)
    find_source(config.model.name, config.model.load_in, config.model.dtype)
    kept = len(record.chunks) if keeps_text(record) else 0
    resolve_way(config.answer.way, kept=kept, again=config.answer.sleep_again, memory=str(folder))
