"""The dreamer: asks about each sentence of some chunks, and answers from their texts.

    chunk -> the asker: a question about each sentence -> the reader, the text in its prompt: answers -> those that it is sure of

What is learned from a text depends on the questions under which it is read (arXiv 2506.06266 trains on a model's own questions about a
corpus); here they cost no gradient: passes write their answers where a later question will look for them. The reader answers, as it will
answer everyone: an asker still has in mind what it wanted to ask. A question that fits no text leaves it unsure, and an answer that it is
not sure of would be written as a fact. Knows nothing about passes.
"""

from collections.abc import Sequence
from dataclasses import replace

from nrem.consolidation.dream.config import DreamConfig
from nrem.consolidation.dream.cue import answer_said, cue_ids, question_said, sentences_to_ask, text_ids
from nrem.consolidation.dream.voice import Manner, Said, Voice
from nrem.consolidation.prompts import Prompts
from nrem.memory.stream.chunk import Chunk, QuestionAnswer

QUESTION_TOKENS, ANSWER_TOKENS = 32, 24
"""What has not come to an end by then is left out."""


class Dreamer:
    """Asks and answers; nothing that a memory has written is attached."""

    def __init__(self, asker: Voice, reader: Voice, prompts: Prompts, config: DreamConfig, seed: int) -> None:
        self.asker, self.reader, self.prompts, self.config, self.seed = asker, reader, prompts, config, seed

    def dream(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The chunks with what was dreamt about each. In float32 the same chunk and seed give the same dreams beside whatever else;
        in a shorter type the last bits of a row hang on what stands beside it."""
        texts = [chunk.text for chunk in chunks]
        answered = self._answered(texts, self._asked(texts))
        return [replace(chunk, dreamt=tuple(dreamt)) for chunk, dreamt in zip(chunks, answered, strict=True)]

    def _asked(self, texts: Sequence[str]) -> list[list[str]]:
        """Each question of a text once."""
        cues = [[cue_ids(self.prompts, sentence) for sentence in sentences_to_ask(text)] for text in texts]
        manner = Manner(self._is_line, QUESTION_TOKENS, self.config.per_sentence, self.config.temperature, self.seed)
        said = self.asker.say([text_ids(self.prompts, text) for text in texts], cues, manner)
        questions = [[question_said(self.prompts, one.ids) for one in mine] for mine in said]
        return [list({q.lower(): q for q in reversed(mine) if q}.values())[::-1] for mine in questions]

    def _answered(self, texts: Sequence[str], questions: Sequence[Sequence[str]]) -> list[list[QuestionAnswer]]:
        """Those questions whose answer stands in the text, and that the reader is sure of."""
        contexts = [self.prompts.plain_ids(text.strip() + "\n\n") for text in texts]
        prefixes = [self.prompts.question_prefix(context) for context in contexts]
        prompts = [
            [self.prompts.question_ids(question, context)[len(prefix) :] for question in mine]
            for mine, context, prefix in zip(questions, contexts, prefixes, strict=True)
        ]
        said = self.reader.say(prefixes, prompts, Manner(self._is_answer, ANSWER_TOKENS))
        return [self._kept(*about) for about in zip(texts, questions, said, strict=True)]

    def _kept(self, text: str, questions: Sequence[str], said: Sequence[Said]) -> list[QuestionAnswer]:
        sure = [(question, one) for question, one in zip(questions, said, strict=True) if one.nll <= self.config.most_doubt]
        answered = [(question, answer_said(self.prompts, one.ids, text)) for question, one in sure]
        return [QuestionAnswer(question, answer) for question, answer in answered if answer]

    def _is_answer(self, ids: Sequence[int]) -> bool:
        return ids[-1] == self.prompts.stop_id

    def _is_line(self, ids: Sequence[int]) -> bool:
        return ids[-1] == self.prompts.stop_id or "\n" in self.prompts.tokenizer.decode(ids[-1:])
