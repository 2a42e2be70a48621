"""Verdicts: what passes, search, votes, thinking and wordings were each worth here, in a sentence each, from paired differences.

Each is compared with the same setting without it, over the questions that both were asked. Plain arithmetic over rows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from nrem.consolidation.prompts import OWN_WORDING
from nrem.consolidation.resample import Interval
from nrem.runtime.show.night import plural
from nrem.runtime.tune.rows import Row
from nrem.runtime.tune.setting import ALONE, Setting

AXES = {"search": ("search", "ensemble"), "votes": ("vote",), "thinking": ("think",), "sleeping again": ("again",)}
"""What ways are called in a sentence, and their names before the colon."""
PLAIN = ("search", "ensemble", ALONE)
"""What a way is compared with, the first that was tried: votes and thoughts have the found chunk in the prompt too."""
PLURAL = ("votes", "passes")


def verdicts(rows: Sequence[Row]) -> list[str]:
    """One sentence for everything that was tried beside the plainest setting."""
    found = {row.setting: row for row in rows if row.passes is not None}
    said = [_about_passes(way, found) for way in dict.fromkeys(s.way for s in found)]
    said += [_about_ways(called, found) for called in AXES]
    said.append(_against("another wording", found, lambda s: s.wording != OWN_WORDING, lambda s: replace(s, wording=OWN_WORDING)))
    return [sentence for sentence in said if sentence]


def _about_ways(called: str, found: dict[Setting, Row]) -> str:
    beside_text = called in ("votes", "thinking")
    plain = next((way for way in PLAIN if any(s.way == way for s in found)), ALONE) if beside_text else ALONE
    return _against(called, found, lambda s: s.way.partition(":")[0] in AXES[called], lambda s: replace(s, way=plain))


def _about_passes(way: str, found: dict[Setting, Row]) -> str:
    asked = "" if way == ALONE else f" with {way}"
    return _against("passes", found, lambda s: s.way == way and bool(s.passes), lambda s: replace(s, passes=0), asked)


def _against(
    called: str, found: dict[Setting, Row], has_it: Callable[[Setting], bool], without: Callable[[Setting], Setting], where: str = ""
) -> str:
    """The best row that has it against the same one without; nothing where none was tried."""
    pairs = [(row, found[without(s)]) for s, row in found.items() if has_it(s) and without(s) in found]
    measured = [(row, plain, gain) for row, plain in pairs if (gain := row.difference(plain, factor=100)) is not None]
    if not measured:
        return ""
    row, plain, gain = _best(measured)
    times = row.question_fet / plain.question_fet
    asked = min(len(row.asked), len(plain.asked))
    best = "at best " if len(measured) > 1 else ""
    points = f"{best}{gain.mean:+.1f} points ({gain.low:+.1f} to {gain.high:+.1f})"
    price = "" if 0.95 < times < 1.05 else f", at {times:.1f} times the price of an answer"
    return f"{called} {_verb(called, gain)} here{where}: {row.name} against {plain.name} {points}{price}; {plural(asked, 'question')}"


def _best(measured: Iterable[tuple[Row, Row, Interval]]) -> tuple[Row, Row, Interval]:
    """Of those that were asked most, the one that gains most."""
    some = list(measured)
    most = max(len(row.asked) for row, _, _ in some)
    return max((m for m in some if len(m[0].asked) == most), key=lambda m: m[2].mean)


def _verb(called: str, gain: Interval) -> str:
    many = called in PLURAL
    if gain.low > 0:
        return "pay" if many else "pays"
    if gain.high < 0:
        return "hurt" if many else "hurts"
    return "do not pay" if many else "does not pay"
