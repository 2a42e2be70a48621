"""The dreamer: asks about each sentence of a chunk, and answers from its text.

    chunk -> the asker: a question about each sentence -> the reader, the text in its prompt: answers -> those that it is sure of

What is learned from a text depends on the questions under which it is read (arXiv 2506.06266 trains on a model's own questions about a
corpus); here they cost no gradient: passes write their answers where a later question will look for them. The reader answers, as it will
answer everyone: an asker still has in mind what it wanted to ask. A question that fits no text leaves it unsure, and an answer that it is
not sure of would be written as a fact. Knows nothing about passes.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from nrem.consolidation.dream.config import DreamConfig
from nrem.consolidation.dream.cue import answer_said, cue_ids, question_said, sentences_to_ask, text_ids
from nrem.consolidation.dream.voice import Chance, Voice
from nrem.consolidation.prompts import Prompts
from nrem.memory.stream.chunk import Chunk, QuestionAnswer

QUESTION_TOKENS, ANSWER_TOKENS = 32, 24
"""What has not come to an end by then is left out."""


class Dreamer:
    """Asks and answers; nothing that a memory has written is attached."""

    def __init__(self, asker: Voice, reader: Voice, prompts: Prompts, config: DreamConfig, seed: int) -> None:
        self.asker, self.reader, self.prompts, self.config, self.seed = asker, reader, prompts, config, seed

    def dream(self, chunk: Chunk) -> Chunk:
        """The chunk with what was dreamt about it. The same chunk and seed give the same dreams, whatever was dreamt before."""
        asked = self._asked(chunk.text)
        return replace(chunk, dreamt=tuple(self._answered(chunk.text, asked))) if asked else chunk

    def _asked(self, text: str) -> list[str]:
        """Each question once."""
        cues = [cue_ids(self.prompts, sentence) for sentence in sentences_to_ask(text)]
        if not cues:
            return []
        generator = torch.Generator(self.asker.model.device).manual_seed(self.seed)
        chance = Chance(self.config.per_sentence, self.config.temperature, generator)
        said = self.asker.say(text_ids(self.prompts, text), cues, self._is_line, QUESTION_TOKENS, chance)
        questions = [question_said(self.prompts, one.ids) for one in said]
        return list({question.lower(): question for question in reversed(questions) if question}.values())[::-1]

    def _answered(self, text: str, questions: Sequence[str]) -> list[QuestionAnswer]:
        """Those questions whose answer stands in the text, and that the reader is sure of."""
        context = self.prompts.plain_ids(text.strip() + "\n\n")
        prefix = self.prompts.question_prefix(context)
        prompts = [self.prompts.question_ids(question, context)[len(prefix) :] for question in questions]
        said = self.reader.say(prefix, prompts, lambda ids: ids[-1] == self.prompts.stop_id, ANSWER_TOKENS)
        sure = [(question, one) for question, one in zip(questions, said, strict=True) if one.nll <= self.config.most_doubt]
        answered = [(question, answer_said(self.prompts, one.ids, text)) for question, one in sure]
        return [QuestionAnswer(question, answer) for question, answer in answered if answer]

    def _is_line(self, ids: Sequence[int]) -> bool:
        return ids[-1] == self.prompts.stop_id or "\n" in self.prompts.tokenizer.decode(ids[-1:])
