"""A snippet: the part of a chunk that has most to do with a question, itself a chunk with its own offsets. Knows nothing about models."""

import re
from dataclasses import replace

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.pieces import pieces_of

_SENTENCE = re.compile(r".+?(?:[.!?](?=\s)|[。！？]|\n+|$)\s*", re.DOTALL)


def snippet(chunk: Chunk, question: str, tokens: int) -> Chunk:
    """At most about `tokens` tokens of whole sentences or lines, those with most pieces of the question's words; the first of equals, and
    the chunk itself where it is short enough. A token is taken to be as long as the chunk's are on average."""
    if chunk.num_tokens <= tokens:
        return chunk
    room = tokens * len(chunk.text) // chunk.num_tokens
    asked = set(pieces_of(question))
    spans = [match.span() for match in _SENTENCE.finditer(chunk.text)]
    best, most = (0, room), -1
    for first, (start, _) in enumerate(spans):
        end = start + room if spans[first][1] - start > room else max(e for _, e in spans[first:] if e - start <= room)
        if (shared := len(asked & set(pieces_of(chunk.text[start:end])))) > most:
            best, most = (start, min(end, len(chunk.text))), shared
    return part(chunk, chunk.start + best[0], chunk.start + best[1])


def part(chunk: Chunk, start: int, end: int) -> Chunk:
    """What of a chunk lies between two offsets of its document, at its share of the tokens."""
    text = chunk.text[start - chunk.start : end - chunk.start]
    length = max(1, round(len(text) * chunk.num_tokens / max(1, len(chunk.text))))
    return replace(chunk, start=start, end=end, text=text, num_tokens=length)
