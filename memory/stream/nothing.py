"""Text that says nothing: blank lines, rules, dot leaders, one character over and over. By its form alone; knows no words or models.

The rule, over the whole of a text: it says something if it holds two different letters, digits or pictures, or one that stands there no
more than three times, or more than four different marks of punctuation, as code of symbols alone does. Lines that draw boxes count as
white space.
"""

from typing import final

FEW = 3
"""A letter that stands there so many times at most was meant; more often it is one repeated character."""
FRAME_MARKS = 4
"""Different marks that frames, rules and leaders are made of, such as `+-|=`."""
_BOXES = range(0x2500, 0x25A0)


@final
class Form:
    """What the form of a text is known to be so far; the text may come in pieces, and where they end has no influence."""

    def __init__(self) -> None:
        self.blank = True
        """Whether there was nothing but white space."""
        self._told: dict[str, int] = {}
        self._marks: set[str] = set()
        self.says_nothing = True

    def add(self, piece: str) -> None:
        """Look at more of the text; costs nothing once it has said something."""
        if self.blank and piece.strip():
            self.blank = False
        if len(self._told) > 1 or len(self._marks) > FRAME_MARKS:
            return
        text = piece.casefold()
        for character in set(text):
            if character.isalnum() or _is_picture(character):
                self._told[character] = self._told.get(character, 0) + text.count(character)
            elif not (character.isspace() or ord(character) in _BOXES):
                self._marks.add(character)
        meant = len(self._told) > 1 or any(count <= FEW for count in self._told.values())
        self.says_nothing = not meant and len(self._marks) <= FRAME_MARKS


def says_nothing(text: str) -> bool:
    """Whether a text has nothing in it that could be asked about.

    >>> says_nothing("-----\\n\\n.......") , says_nothing("Harbour ....... 7")
    (True, False)
    """
    form = Form()
    form.add(text)
    return form.says_nothing


def _is_picture(character: str) -> bool:
    """Emoji and their like, which writers mean; Dingbats and Miscellaneous Symbols hold bullets and stars, which are drawn in rows."""
    return ord(character) >= 0x1F000
