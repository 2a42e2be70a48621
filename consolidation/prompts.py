"""Prompts: the words in which a base model reads chunks and is asked about them, as token ids.

Both the study items of a sleep and every later question go through `question_ids`, so the fast weights are asked in the words in which they
were written. What a document or a question says is text, never control: only the template speaks in the tokenizer's own marks. Knows
nothing about what was learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from nrem.consolidation.text_ids import marks_of, text_ids
from nrem.memory.errors import UsageError

INSTRUCTION = "Answer in a few words."
OWN_WORDING = "{question}"
"""The question as it is asked; what stands for it in other wordings."""
ANSWER, THOUGHT = "Answer:", "Thought:"
"""What an answer, and a thought before it, begin with."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts in the model's own chat template, or plain text where it has none."""

    tokenizer: Any
    instruction: str = INSTRUCTION
    template: Literal["chat", "plain"] = "chat"
    """`chat`: the model's own template under the instruction; `plain`: bare question and answer, for protocols that learn what to do."""
    wording: str = OWN_WORDING
    """What a question becomes in the prompt, where answers are to be asked for in other words than those that were learned."""

    def question_prefix(self, context_ids: Sequence[int] = ()) -> list[int]:
        """The prompt up to the end of a text that is put in it; `question_ids` starts with exactly these tokens."""
        return [*self._with_marks(self._around[0]), *context_ids]

    def question_ids(self, question: str, context_ids: Sequence[int] = ()) -> list[int]:
        """The whole prompt; what the model generates next is the answer, starting with a space."""
        return self.question_prefix(context_ids) + self._asked(question, self._around[1])

    def thought_ids(self, question: str, context_ids: Sequence[int] = ()) -> list[int]:
        """The prompt of a thought, which the model generates next, starting with a space."""
        return self.question_prefix(context_ids) + self._asked(question, self._around[1].removesuffix(ANSWER) + THOUGHT)

    def after_thought_ids(self) -> list[int]:
        """What stands between a thought and its answer."""
        return self._encode(f"\n{ANSWER}")

    def _asked(self, question: str, behind: str) -> list[int]:
        worded = self.wording.replace(OWN_WORDING, question.strip())
        words = marks_of(self.tokenizer).first(behind)  # what stands there before the first mark is read together with the question
        return self._encode(f"Question: {worded}{behind[:words]}") + self._with_marks(behind[words:])

    def answer_ids(self, answer: str) -> list[int]:
        """The answer as it must be generated: a space, the answer, the end of the turn."""
        return [*self._encode(" " + answer.strip()), self.stop_id]

    def plain_ids(self, text: str, *, start: bool = False) -> list[int]:
        """Running text without a template; `start` puts the beginning-of-sequence token (or the stop token, as GPT-2 does) in front."""
        return ([self._start_id] if start else []) + self._encode(text)

    @property
    def _start_id(self) -> int:
        first = self.tokenizer.bos_token_id
        return self.stop_id if first is None else int(first)

    def chunk_ids(self, title: str, text: str) -> list[int]:
        """A chunk as a pass reads it: title, blank line, text, end of turn."""
        return [*self.plain_ids(f"{title}\n\n" if title else "", start=True), *self._encode(text), self.stop_id]

    @cached_property
    def stop_id(self) -> int:
        """The token that ends an answer."""
        stop = self.tokenizer.eos_token_id
        assert stop is not None, "loaders give every tokenizer an end-of-sequence token"
        return int(stop)

    @cached_property
    def stop_ids(self) -> list[int]:
        """Tokens at which greedy decoding stops: the end of the turn and the line break."""
        newline = self._encode("\n")
        return [self.stop_id, *newline[:1]] if len(newline) == 1 else [self.stop_id]

    @cached_property
    def _around(self) -> tuple[str, str]:
        """The text before the context and after the question."""
        mark = "\x1e"
        if self.template == "plain":
            return self.tokenizer.decode([self._start_id]), f"\n{ANSWER}"
        if getattr(self.tokenizer, "chat_template", None):
            text = self._chat([{"role": "system", "content": self.instruction}, {"role": "user", "content": mark}])
            if text is None:  # Gemma's template, for one, refuses a system turn
                text = self._chat([{"role": "user", "content": f"{self.instruction}\n{mark}"}])
            if text is not None and text.count(mark) == 1:
                before, after = text.split(mark)
                return before, after + ANSWER
        return (self.tokenizer.bos_token or "") + self.instruction + "\n", f"\n{ANSWER}"

    def _chat(self, messages: list[dict[str, str]]) -> str | None:
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except Exception:  # templates raise their own jinja errors; the caller has another form to try
            return None

    def _encode(self, text: str) -> list[int]:
        return text_ids(self.tokenizer, text)

    def _with_marks(self, template: str) -> list[int]:
        return list(self.tokenizer(template, add_special_tokens=False, split_special_tokens=False).input_ids)


def check_wording(wording: str, where: str) -> str:
    """Raises `UsageError`, naming the wording, where it does not hold the question once."""
    if wording.count(OWN_WORDING) != 1:
        raise UsageError(f"{where}: got the wording {wording[:60]!r}, expected {OWN_WORDING} in it once, where the question goes")
    return wording
