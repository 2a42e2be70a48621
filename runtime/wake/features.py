"""What is known of a question before more is spent on it: the direct answer, what the index says, and the record of the chunk it found.

All of it costs no forward pass beyond the direct answer. Knows nothing about what is decided by it.
"""

import math
import re

from nrem.consolidation.logistic import logit
from nrem.memory.memory import Memory
from nrem.memory.text.pieces import words_of
from nrem.runtime.wake.decode import Answer

FORMS = {
    "who": r"who|whose|whom",
    "when": r"when|(in|on|what|which) (what |which )?(year|date|day|month)",
    "number": r"how (many|much|long|far|old|large|tall|high|often)|what (number|percentage|share)",
    "where": r"where|(in )?(what|which) (city|country|place|town|state)",
    "why": r"why|how",
}
"""Forms of English questions; a question of another form, or in another language, has none of them."""
FEATURES = (
    "confidence",
    "answer_tokens",
    "found",
    "score",
    "margin",
    "question_in_chunk",
    "answer_in_chunk",
    "question_words",
    "chunks",
    "surprisal",
    "passes",
    "solved",
    *FORMS,
)
"""Names, in the order of `features_of`."""


def features_of(answer: Answer, memory: Memory) -> list[float]:
    """One number for each of `FEATURES`, from a direct answer and the memory that gave it."""
    asked = set(words_of(answer.question))
    about = {
        "confidence": float(logit(answer.token_confidence)),
        "answer_tokens": float(answer.answer_tokens),
        "question_words": float(len(asked)),
    }
    about |= {name: float(re.search(rf"\b({form})\b", answer.question.lower()) is not None) for name, form in FORMS.items()}
    about |= _of_text(asked, answer, memory)
    return [about.get(name, 0.0) for name in FEATURES]


def _of_text(asked: set[str], answer: Answer, memory: Memory) -> dict[str, float]:
    """What the index says; nothing where the text was forgotten, or no word of the question occurs in it."""
    if memory.text is None or not (hits := memory.text.search(answer.question, 2)):
        return {}
    best = hits[0]
    there, said = set(words_of(best.chunk.text)), set(words_of(answer.answer))
    record = memory.record.chunks[best.chunk.index]
    return {
        "found": 1.0,
        "score": best.score,
        "margin": best.score - (hits[1].score if len(hits) > 1 else 0.0),
        "question_in_chunk": len(asked & there) / max(1, len(asked)),
        "answer_in_chunk": len(said & there) / max(1, len(said)),
        "chunks": math.log(max(1, len(memory.text))),
        "surprisal": record.surprisal,
        "passes": float(record.passes),
        "solved": float(record.exit == "solved"),
    }
