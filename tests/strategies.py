"""Texts and chunks for laws that hold for every one: of any characters, of what cutting looks at, with dreams and without."""

from hypothesis import strategies as st

from nrem.memory.stream.chunk import Chunk, QuestionAnswer

fragments = st.sampled_from(
    [*"aZé漢。 \n\t.!?\"'”)(1😀\u0301\u2028", "  ", "\n\n", "\r\n\r\n", ". ", "Dr. ", "3.5 ", "The end. ", "He said so; ", "x" * 30, "- "]
)
texts = st.one_of(st.text(max_size=80), st.lists(fragments, max_size=60).map("".join))
_said = texts.filter(str.strip)
dreams = st.lists(st.builds(QuestionAnswer, _said, _said), max_size=3).map(tuple)
"""What a chunk may hold as `dreamt`."""
chunks = st.builds(
    lambda text, start, dreamt, **more: Chunk(text=text, start=start, end=start + len(text), dreamt=dreamt, num_tokens=len(text), **more),
    text=texts,
    start=st.integers(0, 10**9),
    dreamt=dreams,
    document=st.text(max_size=12),
    title=texts,
    index=st.integers(0, 10**6),
)
