"""The buffer gives back what it was given, in order, and knows when to sleep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrem.memory.errors import UsageError
from nrem.memory.stream.buffer import EvictionBuffer
from nrem.memory.stream.chunk import Chunk


def make_chunk(index: int, num_tokens: int) -> Chunk:
    return Chunk(document="d", title="", index=index, start=index, end=index + 1, text="x", num_tokens=num_tokens)


@given(st.lists(st.integers(0, 50)), st.integers(1, 200))
def test_it_counts_what_waits_and_drains_in_order(sizes: list[int], capacity: int) -> None:
    buffer = EvictionBuffer(capacity)
    chunks = tuple(make_chunk(i, size) for i, size in enumerate(sizes))
    for number, chunk in enumerate(chunks, 1):
        buffer.add(chunk)
        assert (len(buffer), buffer.num_tokens) == (number, sum(sizes[:number]))
        assert buffer.full == (sum(sizes[:number]) >= capacity)
    assert tuple(buffer) == buffer.peek() == chunks
    assert buffer.drain() == chunks
    assert (len(buffer), buffer.num_tokens, buffer.full, buffer.drain()) == (0, 0, False, ())


def test_draining_while_reading_is_safe() -> None:
    buffer = EvictionBuffer(10)
    buffer.add(make_chunk(0, 4))
    buffer.add(make_chunk(1, 4))
    assert [chunk.index for chunk in buffer if buffer.drain() or True] == [0, 1]
    assert repr(buffer) == "EvictionBuffer(0 chunks, 0 of 10 tokens)"


def test_a_buffer_without_capacity_is_refused() -> None:
    with pytest.raises(UsageError, match="capacity_tokens: got 0, expected 1 or more"):
        EvictionBuffer(0)
