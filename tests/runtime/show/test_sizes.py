"""What a memory takes on disk, by part, adds up to its files."""

from pathlib import Path

import pytest

from nrem.memory.memory import Memory
from nrem.memory.saved.record_file import read_record
from nrem.runtime.show.memory import memory_report
from nrem.runtime.show.sizes import bytes_by_part, sizes

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.mark.parametrize("then", ["keyed", "hashed"])
def test_the_parts_add_up_to_the_folder(then: str, tmp_path: Path) -> None:
    folder = Memory.load(SCHEMAS / then / "learned").save(tmp_path / "again")
    parts = bytes_by_part(read_record(folder), folder)
    assert sum(parts.values()) == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert ("statistics" in parts) == (then == "keyed")
    assert 0 < parts["further adapters"] < parts["first adapter"]


def test_bytes_a_token_and_the_share_of_the_cache(tmp_path: Path) -> None:
    folder = SCHEMAS / "hashed" / "learned"
    record = read_record(folder)
    found = sizes(record, folder)
    written = found["bytes_by_part"]["first_adapter"] + found["bytes_by_part"]["further_adapters"]
    assert found["adapter_bytes"] == written
    assert found["adapter_bytes_per_token"] == pytest.approx(written / record.num_tokens, abs=0.1)
    assert found["share_of_cache"] == pytest.approx(written / record.num_tokens / record.cache_token_bytes, abs=1e-4)
    assert sizes(record, None) == dict.fromkeys(found, None) | {"bytes_by_part": {}}


def test_show_tells_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    folder = SCHEMAS / "hashed" / "learned"
    memory_report(read_record(folder), folder)
    out = capsys.readouterr().out
    assert "2 adapters: 23.5 kB, 42 bytes a token, 17 % of the attention cache of the same text" in out
    assert "on disk: 49.5 kB: first adapter 11.9 kB, further adapters 11.6 kB, text 1.2 kB, search index 14.2 kB, record 10.6 kB" in out
