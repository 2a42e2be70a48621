"""When two answers say the same. Knows nothing about models."""

import re
import string

ARTICLE = re.compile(r"\b(a|an|the)\b")


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and surplus white space (SQuAD 1.1).

    >>> normalise("The  Age of Enlightenment.")
    'age of enlightenment'
    """
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(ARTICLE.sub(" ", bare).split())
