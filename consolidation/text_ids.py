"""Text as token ids, in which nothing is control: what looks like one of the tokenizer's marks, such as `<|im_end|>`, is spelt out.

Documents, questions and answers go through `text_ids`; a chat template alone may speak in marks. Knows nothing about prompts.
"""

import re
from typing import Any
from weakref import WeakKeyDictionary

_MARK = re.compile(r"<.+>|\[.+\]", re.DOTALL)


class Marks:
    """The control tokens of one tokenizer: those that it calls special, and added ones that look like marks, such as `<tool_call>`."""

    def __init__(self, tokenizer: Any) -> None:
        special = {str(word) for word in tokenizer.all_special_tokens}
        added = {int(number): token for number, token in tokenizer.added_tokens_decoder.items()}
        words = special | {str(token) for token in added.values() if token.special or _MARK.fullmatch(str(token))}
        self.words = sorted((word for word in words if word), key=len, reverse=True)
        known = {int(tokenizer.convert_tokens_to_ids(word)) for word in self.words}
        unknown = tokenizer.unk_token_id
        self.ids = frozenset(known - {unknown} if unknown not in (tokenizer.eos_token_id, tokenizer.bos_token_id) else known)
        self._any = re.compile("|".join(map(re.escape, self.words))) if self.words else None

    def first(self, text: str) -> int:
        """Where the first mark begins; the length of the text where there is none."""
        found = self._any.search(text) if self._any else None
        return found.start() if found else len(text)

    def broken(self, text: str) -> list[str]:
        """The text in pieces, each mark cut behind its first character, so that none is whole in any of them."""
        cuts = [match.start() + 1 for match in self._any.finditer(text)] if self._any else []
        return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


_known: WeakKeyDictionary[Any, Marks] = WeakKeyDictionary()


def marks_of(tokenizer: Any) -> Marks:
    """Remembered per tokenizer object."""
    if tokenizer not in _known:
        _known[tokenizer] = Marks(tokenizer)
    return _known[tokenizer]


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text, without any special token, whatever stands in it."""
    marks, ids = marks_of(tokenizer), _spelt(tokenizer, text)
    if marks.ids.isdisjoint(ids):
        return ids
    return [token for piece in marks.broken(text) for token in _spelt(tokenizer, piece)]  # it knows added tokens that it does not spell out


def _spelt(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False).input_ids)
