"""Tuning: does halving find the best setting, for which share of the price of measuring everything, and is choosing together worth it?

    python -m benchmarks.tuning --planted [--runs 200] [--json]
    python -m benchmarks.tuning --bank RUN/bank.jsonl [--bank ...] [--json]

Planted: outcomes drawn from known chances (`harness/planted.py`), with a deceptive wording, and wording, passes and votes that interact.
Every way of searching gets the same budget. Joint: all settings at once. Wording first: the best wording as the usual strategy asks it,
then the best strategy in that wording, half of the budget each; strategy first: the reverse, from the protocol's own wording. Even:
everything is asked the same number of questions. Bank: outcomes that `nrem tune --share 1` has kept; the truth is the mean over all its
questions, and each run asks them in another order.
"""

import random
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from rich.table import Table
from tqdm import tqdm

from benchmarks.harness import common
from benchmarks.harness.planted import PASSES, QUESTIONS, SHAPES, Planted, PlantedBank, true_scores
from nrem.memory.errors import UsageError
from nrem.runtime.tune.bank import Bank
from nrem.runtime.tune.halving import Outcomes, Sample, halve
from nrem.runtime.tune.setting import Setting

S = TypeVar("S", bound=Hashable)
Families = Sequence[Sequence[S]]
SHARES = (0.25, 0.1)
"""Of the price of everything."""
OWN_WORDING, USUAL = 2, (2, 1)
"""Of the planted bank: the wording that a user has, and the usual strategy, 2 passes and a single answer."""
POINT = 0.01
EVERYTHING = "measuring everything"


def score(setting: object, mean: float, fet: float) -> float:
    """What is looked for: right answers, whatever they cost."""
    return mean


@dataclass(frozen=True)
class Search:
    """One way of searching: (families, outcomes, order, budget) -> setting."""

    name: str
    find: Callable[[Any, Any, Sequence[int], float, Any], Any]


def joint(families: Families[S], outcomes: Outcomes[S], order: Sequence[int], budget: float, usual: S) -> S:
    return halve(families, outcomes, order, budget, [score]).best[0]


def wording_first(families: Families[S], outcomes: Outcomes[S], order: Sequence[int], budget: float, usual: S) -> S:
    strategy = strategy_of(usual)
    first = kept(families, lambda s: strategy_of(s) == strategy)
    found = halve(first, outcomes, order, budget / 2, [score])
    rest = kept(families, lambda s: wording_of(s) == wording_of(found.best[0]))
    return halve(rest, outcomes, order, budget - found.fet, [score]).best[0]


def strategy_first(families: Families[S], outcomes: Outcomes[S], order: Sequence[int], budget: float, usual: S) -> S:
    first = kept(families, lambda s: wording_of(s) == wording_of(usual))
    found = halve(first, outcomes, order, budget / 2, [score])
    strategy = strategy_of(found.best[0])
    rest = kept(families, lambda s: strategy_of(s) == strategy)
    return halve(rest, outcomes, order, budget - found.fet, [score]).best[0]


def even(families: Families[S], outcomes: Outcomes[S], order: Sequence[int], budget: float, usual: S) -> S:
    spent, asked = 0.0, 0
    for question in order:
        price = spent / asked if asked else 0.0
        if asked and spent + price > budget:
            break
        spent += sum(outcomes.ask(family[-1], [question]) for family in families)
        asked += 1
    means = {s: _mean(outcomes.samples(s, q) for q in order[:asked]) for family in families for s in family}
    return max(means, key=lambda s: means[s])


SEARCHES = (
    Search("joint halving", joint),
    Search("wording first", wording_first),
    Search("strategy first", strategy_first),
    Search("even", even),
)


def kept(families: Families[S], wanted: Callable[[S], bool]) -> list[list[S]]:
    """The families with only these settings."""
    found = [[s for s in family if wanted(s)] for family in families]
    return [family for family in found if family]


def wording_of(setting: Any) -> Hashable:
    return setting.wording


def strategy_of(setting: Any) -> Hashable:
    return (setting.passes, setting.votes if isinstance(setting, Planted) else setting.way)


def _mean(samples: Iterable[Sequence[Sample]]) -> float:
    return fmean([sum(x.score for x in some) / len(some) for some in samples])


# -- planted ------------------------------------------------------------------------------------------------------------------


def planted(runs: int, shares: Sequence[float] = SHARES) -> list[dict[str, Any]]:
    """For each share of the price of everything: how often each way of searching finds what was planted, and how good what it finds is."""
    true = true_scores()
    usual = Planted(OWN_WORDING, *USUAL)
    found: dict[tuple[float, str], list[Planted]] = {(share, search.name): [] for share in shares for search in SEARCHES}
    spent, measured = dict.fromkeys(found, 0.0), []
    for seed in tqdm(range(runs), unit="run", file=sys.stderr, mininterval=5):
        order, bank = random.Random(seed).sample(range(QUESTIONS), QUESTIONS), PlantedBank(seed)
        measured.append(bank.measured_best())
        for share, search in ((share, search) for share in shares for search in SEARCHES):
            bank.forget()
            key = share, search.name
            found[key].append(search.find(bank.families(), bank, order, share * bank.exhaustive_fet, usual))
            spent[key] = max(spent[key], bank.fet / bank.exhaustive_fet)
    return [_planted(share, true, measured, found, spent) for share in shares]


def _planted(
    share: float,
    true: Mapping[Planted, float],
    measured: Sequence[Planted],
    found: Mapping[tuple[float, str], Sequence[Planted]],
    spent: Mapping[tuple[float, str], float],
) -> dict[str, Any]:
    best = max(true, key=lambda s: true[s])
    rows = {
        name: {
            "found": fmean(s == best for s in some),
            "as_measuring_everything": fmean(s == m for s, m in zip(some, measured, strict=True)),
            "within_a_point": fmean(true[s] > true[best] - POINT for s in some),
            "score": fmean(true[s] for s in some),
            "share_spent": spent_most,
        }
        for name, some, spent_most in [
            *((search.name, found[share, search.name], spent[share, search.name]) for search in SEARCHES),
            (EVERYTHING, measured, 1.0),
        ]
    }
    pairs = [(true[a], true[b]) for a, b in zip(found[share, "joint halving"], found[share, "even"], strict=True)]
    loss = {name: 1 - row["score"] / true[best] for name, row in rows.items()}
    p, runs = wilcoxon(pairs), len(pairs)
    return {"share": share, "runs": runs, "best": true[best], "searches": rows, "relative_loss": loss, "wilcoxon_p": p}


def wilcoxon(pairs: Sequence[tuple[float, float]]) -> float | None:
    """One-sided signed-rank test that the first of each pair is better; None where SciPy is missing, or no pair differs."""
    try:
        from scipy.stats import wilcoxon as test
    except ImportError:
        return None
    gaps = [a - b for a, b in pairs if a != b]
    return float(test(gaps, alternative="greater").pvalue) if gaps else None


def planted_table(results: Sequence[Mapping[str, Any]]) -> Table:
    first = results[0]
    settings = len(SHAPES) * len(PASSES) * 4
    title = (
        f"planted bank: {settings} settings, {QUESTIONS} questions, {first['runs']} runs; the best is right for {100 * first['best']:.1f} %"
    )
    out = Table(title=title, title_justify="left", caption_justify="left")
    for column in ("budget", "search"):
        out.add_column(column)
    for column in ("found the best", "what measuring everything finds", "within a point", "right", "relative loss", "spent at most"):
        out.add_column(column, justify="right")
    for result in results:
        for name, row in result["searches"].items():
            cells = (f"{100 * row[key]:.1f} %" for key in ("found", "as_measuring_everything", "within_a_point", "score"))
            loss = f"{100 * result['relative_loss'][name]:.1f} %"
            out.add_row(f"{100 * result['share']:.0f} %", name, *cells, loss, f"{100 * row['share_spent']:.1f} %")
        out.add_section()
    tests = ", ".join(f"{100 * r['share']:.0f} %: p = {r['wilcoxon_p']:.2g}" for r in results if r["wilcoxon_p"] is not None)
    out.caption = f"budgets are shares of asking everything, draws reused; joint halving better than even (Wilcoxon), at {tests or '-'}"
    return out


# -- a bank that was measured -----------------------------------------------------------------------------------------------


def natural(path: Path, runs: int, share: float) -> dict[str, Any]:
    """The same over the outcomes of a tuning run; raises `UsageError` where not everything was asked."""
    bank = Bank(path)
    rows = [row for row in bank.rows() if row.passes is not None]
    if not rows or len({row.numbers for row in rows}) != 1 or len({row.wording for row in rows}) < 2:
        raise UsageError(
            f"--bank {path}: expected two wordings or more, every setting asked every question; tune with --prompts and --share 1"
        )
    questions, usual_row = rows[0].numbers, max(rows, key=lambda r: (r.wording == "{question}", r.passes or 0, r.way == "search"))
    table = {r.setting: {n: bank.samples(r.setting, n)[0] for n in questions} for r in rows}
    true = {s: fmean(x.score for x in row.values()) for s, row in table.items()}
    best, everything = max(true.values()), sum(x.fet for row in table.values() for x in row.values())
    usual = usual_row.setting
    found: dict[str, list[float]] = {search.name: [] for search in SEARCHES}
    spent: dict[str, float] = dict.fromkeys(found, 0.0)
    for seed in range(runs):
        order = random.Random(seed).sample(questions, len(questions))
        for search in SEARCHES:
            view = bank.view()
            found[search.name].append(true[search.find([[s] for s in table], view, order, share * everything, usual)])
            spent[search.name] = max(spent[search.name], view.fet / everything)
    decoupled = [max(a, b) for a, b in zip(found["wording first"], found["strategy first"], strict=True)]
    return {
        "bank": path.parent.name,
        "documents": bank.about["documents"],
        "settings": len(table),
        "questions": len(questions),
        "share": share,
        "runs": runs,
        "best": best,
        "usual": true[usual],
        "exact": {
            "wording first": _exact(true, usual_row.setting, wording=True),
            "strategy first": _exact(true, usual_row.setting, wording=False),
        },
        "searches": {
            name: {
                "found": fmean(x == best for x in some),
                "within_a_point": fmean(x >= best - 1 for x in some),
                "score": fmean(some),
                "share_spent": spent[name],
            }
            for name, some in found.items()
        },
        "joint_minus_better_decoupled": fmean(a - b for a, b in zip(found["joint halving"], decoupled, strict=True)),
    }


def _exact(true: Mapping[Setting, float], usual: Setting, *, wording: bool) -> float:
    """What choosing one after the other finds where every mean is known."""
    of, then = (strategy_of, wording_of) if wording else (wording_of, strategy_of)
    first = max((s for s in true if of(s) == of(usual)), key=lambda s: true[s])
    return max(value for s, value in true.items() if then(s) == then(first))


def natural_table(result: Mapping[str, Any]) -> Table:
    title = (
        f"{result['bank']}: {result['settings']} settings, {result['questions']} questions, {result['runs']} orders, "
        f"{100 * result['share']:.0f} % of the price; F1 of the best {result['best']:.1f}, of the usual {result['usual']:.1f}"
    )
    out = Table(title=title, title_justify="left", caption_justify="left")
    out.add_column("search")
    for column in ("found the best", "within a point", "F1", "spent at most", "F1 if all were known"):
        out.add_column(column, justify="right")
    for name, row in result["searches"].items():
        exact = result["exact"].get(name, result["best"])
        share = (f"{100 * row[key]:.1f} %" for key in ("found", "within_a_point"))
        out.add_row(name, *share, f"{row['score']:.1f}", f"{100 * row['share_spent']:.1f} %", f"{exact:.1f}")
    return out


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("tuning", "Whether halving finds the best setting, and choosing together is worth it.")
    parser.add_argument("--planted", action="store_true", help="on a planted bank")
    parser.add_argument("--bank", type=Path, action="append", default=[], metavar="RUN/bank.jsonl", help="on what nrem tune has kept")
    parser.add_argument("--share", type=float, action="append", metavar="X", help="of the price of everything (0.25 and 0.1)")
    parser.add_argument("--runs", type=int, default=200, metavar="N", help="seeds, or orders of the questions (200)")
    args = parser.parse_args(arguments)
    if not args.planted and not args.bank:
        raise UsageError("tuning: got neither --planted nor --bank; give one of them")
    shares = tuple(args.share or SHARES)
    if not all(0 < share <= 1 for share in shares):
        raise UsageError(f"--share: got {', '.join(map(str, shares))}, expected numbers above 0 and at most 1")
    if args.runs < 1:
        raise UsageError(f"--runs: got {args.runs}, expected 1 or more")
    if not args.skip_tests:
        common.require_green("tests/runtime/tune/test_halving.py")
    result: dict[str, Any] = {"benchmark": "tuning", "runs": args.runs}
    if args.planted:
        result["planted"] = planted(args.runs, shares)
        common.show(planted_table(result["planted"]), to_stderr=args.json)
    if args.bank:
        result["natural"] = [natural(path, args.runs, shares[0]) for path in args.bank]
        for found in result["natural"]:
            common.show(natural_table(found), to_stderr=args.json)
    name = "-".join(["tuning", *(["planted"] if args.planted else []), *(path.parent.name for path in args.bank)])
    common.finish(name, result | common.environment(None), {}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
