"""The write rules that there are: what each one learns, and how it writes. A rule is one file and one row here."""

from typing import Any, NamedTuple

from nrem.consolidation.write.delta import DeltaParameters, DeltaRule
from nrem.consolidation.write.descent import DescentParameters, DescentRule
from nrem.consolidation.write.keyed import KeyedRidge, KeyedRule
from nrem.consolidation.write.learned import LearnedWrite
from nrem.consolidation.write.ridge import Ridge, RidgeRule
from nrem.consolidation.write.rule import WriteRule
from nrem.consolidation.write.study import StudyRule

OWN_WEIGHTS = frozenset({"fast_weights.rank", "fast_weights.target", "fast_weights.layers"})
"""What fast weights are made by where no protocol has learned any."""


class RuleKind(NamedTuple):
    """A write rule."""

    rule: type[WriteRule]
    learned: type[LearnedWrite[Any]] | None
    """What a protocol is trained for; None for a rule that learns nothing beforehand."""

    @property
    def rereads(self) -> bool:
        """Whether what is written follows from the texts alone."""
        return self.rule.rereads

    @property
    def uses(self) -> frozenset[str]:
        """Full keys of the configuration that it goes by and others may not."""
        return self.rule.uses | (OWN_WEIGHTS if self.learned is None else frozenset())


RULES: dict[str, RuleKind] = {
    "ridge": RuleKind(RidgeRule, Ridge),
    "keyed": RuleKind(KeyedRule, KeyedRidge),
    "delta": RuleKind(DeltaRule, DeltaParameters),
    "gradient": RuleKind(DescentRule, DescentParameters),
    "study": RuleKind(StudyRule, None),
}


def trainable() -> dict[str, type[LearnedWrite[Any]]]:
    """What the rules learn that a protocol can be trained for, by the rule's name."""
    return {name: row.learned for name, row in RULES.items() if row.learned is not None}
