"""Texts for laws that hold for every text: of any characters, and of what cutting looks at."""

from hypothesis import strategies as st

fragments = st.sampled_from(
    [*"aZé漢。 \n\t.!?\"'”)(1😀\u0301\u2028", "  ", "\n\n", "\r\n\r\n", ". ", "Dr. ", "3.5 ", "The end. ", "He said so; ", "x" * 30, "- "]
)
texts = st.one_of(st.text(max_size=80), st.lists(fragments, max_size=60).map("".join))
