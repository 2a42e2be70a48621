"""What the model reads before it answers: a text or none, a question, a thought or none, as token ids in the protocol's words."""

from collections.abc import Sequence
from typing import NamedTuple

from nrem.consolidation.prompts import Prompts
from nrem.runtime.wake.answer import Thought


class Prompt(NamedTuple):
    """One prompt, and what its tokens are."""

    question: str
    ids: list[int]
    text_ids: list[int]
    """Those that come from a text."""
    thought: Thought | None = None

    @property
    def thought_tokens(self) -> int:
        return len(self.thought.ids) if self.thought else 0

    @classmethod
    def of(cls, prompts: Prompts, question: str, text_ids: list[int], thought: Thought | None = None) -> "Prompt":
        """The whole prompt; the answer comes next."""
        if thought is None:
            return cls(question, prompts.question_ids(question, context_ids=text_ids), text_ids)
        ids = [*prompts.thought_ids(question, context_ids=text_ids), *thought.ids, *prompts.after_thought_ids()]
        return cls(question, ids, text_ids, thought)


def fitted(prompts: Prompts, text: str, room: int) -> list[int]:
    """Tokens of a text for a prompt; its middle is left out where it has more than `room`."""
    if not text or room <= 0:
        return []
    ids = prompts.plain_ids(text.strip() + "\n\n")
    return ids if len(ids) <= room else ids[: room // 2] + ids[-(room - room // 2) :]


def prompts_of(prompts: Prompts, questions: Sequence[str], texts: Sequence[list[int]], thoughts: Sequence[Thought] = ()) -> list[Prompt]:
    """One prompt a question; `thoughts` are as many as questions, or none."""
    behind: Sequence[Thought | None] = thoughts or [None] * len(questions)
    rows = zip(questions, texts, behind, strict=True)
    return [Prompt.of(prompts, question, text, thought) for question, text, thought in rows]
