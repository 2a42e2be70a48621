"""Confidence: is an answer right as often as it says, for each way of answering, and is that better than to say the same always?

    python -m benchmarks.confidence RECORD.json ... [--fit RECORD.json ...] [--json]

Records are those of `benchmarks.wake`; nothing is asked anew. Beside what answers said (`as answered`) stand decoding's own probability,
a constant, which is how often the way was right, and Platt's scaling for each way. The last two are of the answers in `--fit`; without it,
of the other files among the records. Differences of the Brier score from the constant have intervals by document.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.harness import common
from benchmarks.harness.calibrated import reliability
from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.resample import Resampler, interval
from nrem.memory.errors import MissingFileError, UsageError

WAYS = ("direct", "read", "search", "ensemble")
AS_ANSWERED, DECODING, CONSTANT, SCALED = "as answered", "decoding", "constant", "scaled"


@dataclass(frozen=True)
class Told:
    """One answer of a record."""

    kind: str
    document: str
    way: str
    confidence: float
    token_confidence: float
    right: bool

    @property
    def group(self) -> str:
        return f"{self.kind} {self.document}"


def read_records(paths: Sequence[Path]) -> list[Told]:
    """The answers of the ways; raises `MissingFileError`, and `UsageError` for what is no record of `benchmarks.wake`."""
    found = []
    for path in paths:
        if not path.is_file():
            raise MissingFileError(f"{path}: no such file; measure one with python -m benchmarks.wake --out {path}")
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))["outcomes"]
            found += [_told(row) for row in rows if row["arm"] in WAYS]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}: got {error!r}, expected a record of python -m benchmarks.wake") from None
    return found


def _told(row: Mapping[str, Any]) -> Told:
    right = row.get("accuracy", row["em"]) == 1
    return Told(row["kind"], row["document"], row["arm"], row.get("confidence", 0.0), row.get("token_confidence", 0.0), right)


def fit(told: Sequence[Told], way: str) -> Confidence | None:
    """Of the answers in one way; None where they are too few, or all of one kind."""
    return Confidence.of([(t.token_confidence, t.right) for t in told if t.way == way], asked="questions", way=way)


def report(told: Sequence[Told], others: Sequence[Told]) -> dict[str, Any]:
    """For each way the reliability of each kind of confidence, and its Brier score less the constant's."""
    found: dict[str, Any] = {}
    for way in WAYS:
        if not (own := [t for t in told if t.way == way]):
            continue
        right, groups = [t.right for t in own], [t.group for t in own]
        sources = {AS_ANSWERED: [t.confidence for t in own], DECODING: [t.token_confidence for t in own]} | elsewhere(own, others)
        found[way] = {name: reliability(values, right) for name, values in sources.items()}
        if CONSTANT in sources:
            resampler = Resampler(groups)
            for name, values in sources.items():
                gaps = [(v - ok) ** 2 - (c - ok) ** 2 for v, c, ok in zip(values, sources[CONSTANT], right, strict=True)]
                drawn = interval(resampler.means(gaps, groups)) if len(set(groups)) > 1 else None
                found[way][name]["minus_constant"] = {"mean": fmean(gaps), "interval": drawn}
    return found


def elsewhere(own: Sequence[Told], others: Sequence[Told]) -> dict[str, list[float]]:
    """The constant and the scaled probability of each answer, of `others`, or where there are none of its way's answers in the other
    files; nothing where these are too few."""
    fits: dict[str, Confidence | None] = {}
    for kind in {t.kind for t in own}:
        fits[kind] = fit(others or [t for t in own if t.kind != kind], own[0].way)
    pairs = [(found, t.token_confidence) for t in own if (found := fits[t.kind]) is not None]
    if len(pairs) < len(own):
        return {}
    return {CONSTANT: [found.base_rate for found, _ in pairs], SCALED: [found.right(p) for found, p in pairs]}


def confidence_table(result: Mapping[str, Any], title: str) -> Table:
    """A row for each way and kind of confidence."""
    out = Table("way", "confidence", title=title, title_justify="left")
    for column in ("Brier", "less the constant", "mean", "right"):
        out.add_column(column, justify="right")
    out.add_column("right / said (answers), per cent, by fifths of what is said")
    for way, sources in result.items():
        for name, row in sources.items():
            bins = [f"{100 * b['right']:.0f} / {100 * b['confidence']:.0f} ({b['n']})" for b in row["bins"] if b["n"]]
            less = "" if name == CONSTANT else _gap(row.get("minus_constant"))
            out.add_row(way, name, f"{row['brier']:.3f}", less, f"{row['mean']:.2f}", f"{row['right']:.2f}", "   ".join(bins))
        out.add_section()
    return out


def _gap(gap: Mapping[str, Any] | None) -> str:
    if gap is None:
        return ""
    around = f" [{gap['interval'][0]:+.3f}, {gap['interval'][1]:+.3f}]" if gap["interval"] else ""
    return f"{gap['mean']:+.3f}{around}"


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("confidence", "Whether answers are right as often as they say.")
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD", help="raw results of benchmarks.wake")
    parser.add_argument("--fit", nargs="+", type=Path, default=[], metavar="RECORD", help="others, for the constant and the scaling")
    args = parser.parse_args(arguments)
    if not args.skip_tests:
        common.require_green("tests/consolidation/protocol/test_confidence.py")
    answers, others = read_records(args.records), read_records(args.fit)
    if both := {t.kind for t in answers} & {t.kind for t in others}:
        raise UsageError(f"--fit: {sorted(both)[0]} is also judged; confidence is judged on texts that it was not fitted to")
    kinds, ways = sorted({t.kind for t in answers}), report(answers, others)
    title = f"{', '.join(kinds)}: {len({t.group for t in answers})} documents"
    common.show(confidence_table(ways, title), to_stderr=args.json)
    parts = {kind: report([t for t in answers if t.kind == kind], others) for kind in kinds if others}
    fits = {way: found.to_dict() for way in WAYS if (found := fit(others, way)) is not None}
    result = {"benchmark": "confidence", "records": kinds, "ways": ways, "kinds": parts, "fits": fits, **common.environment()}
    common.finish("confidence", result, {}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
