"""Numbers that settings may have, searched by Optuna: every trial is a sleep, where one is needed, and all questions, in one order.

    trial: numbers (TPE) -> sleep -> questions, given up where it is surely worse than the best trial (Wilcoxon, question by question)

The first trial has what is configured. What a trial came to is kept as soon as it is over; a search that was cut off goes on behind it.
Sources: Tree-structured Parzen estimator (Bergstra et al., NIPS 2011), WilcoxonPruner of Optuna. Knows nothing about how a memory is asked.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from nrem.consolidation.resample import Interval, QuestionResampler
from nrem.memory.errors import NremError, UsageError
from nrem.memory.saved.journal import Journal
from nrem.memory.saved.json_text import json_text
from nrem.runtime.show.night import plural
from nrem.runtime.tune.ranges import Range, assigned
from nrem.runtime.tune.recommend import Wish

TRIALS = 12
"""Where nothing else is said."""
START = 4
"""Trials that are drawn evenly, before the estimator has something to go by."""
LOOK = 8
"""Questions between two tests of whether to give a trial up."""
SURE = 0.1
"""p of the signed-rank test below which a trial is given up."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Some numbers, and what they came to."""

    values: Mapping[str, float]
    f1: tuple[float, ...]
    """0 to 1, of the questions that were asked, in the order of the search."""
    sleep_fet: float
    question_fet: float
    whole: bool
    """Whether all questions were asked; else it was given up, or failed."""
    failed: str = ""
    """Why these numbers could not be tried."""

    def total_fet(self, questions: float) -> float:
        return self.sleep_fet + questions * self.question_fet


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What a search came to."""

    ranges: tuple[Range, ...]
    trials: tuple[Trial, ...]
    """In the order in which they were made; what is configured first."""
    best: Trial
    """Of those that were asked everything."""
    gain: Interval
    """Points of F1 over what is configured, question by question."""
    better: bool
    """Whether it is taken: better beyond the interval, and worth its price."""
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Answers = Callable[[Mapping[str, float], Sequence[int]], Iterator[tuple[float, float]]]
"""(numbers, questions) -> F1 and FET of each answer, as they come; the sleep is made before the first."""
SleepFet = Callable[[Mapping[str, float]], float]
"""What the sleep of these numbers costs, after its answers have begun to come."""


def check_search(ranges: Sequence[Range], wish: Wish) -> None:
    """Raise `UsageError` where ranges are given and cannot be searched: what searches is not installed, or the budget is in seconds."""
    if not ranges:
        return
    if wish.budget.seconds:
        raise UsageError("--budget: got seconds, expected FET beside --range: what trials cost is counted in FET")
    try:
        import optuna  # noqa: F401
        import scipy  # noqa: F401
    except ImportError as error:
        raise UsageError(f"--range: needs {error.name}, which is not installed; pip install 'nrem[tune]'") from None


def search_ranges(
    ranges: Sequence[Range],
    count: int,
    questions: Sequence[str],
    answers: Answers,
    sleep_fet: SleepFet,
    wish: Wish,
    folder: Path,
    *,
    about: Mapping[str, Any],
    seed: int = 0,
    tell: Callable[[str], None] = lambda text: None,
) -> Searched:
    """Make so many trials, those of `folder` included. Raises `UsageError` where what lies there is of another search."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    order = sorted(range(len(questions)), key=lambda n: hashlib.sha256(f"{questions[n]} {n}".encode()).digest())
    kept, done = _kept(folder, {"ranges": [asdict(r) for r in ranges], **about})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=SURE)
    sampler = optuna.samplers.TPESampler(seed=seed + len(done), n_startup_trials=START)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    spaces = {r.key: _space(r) for r in ranges}
    for trial in done:
        study.add_trial(_known(trial, spaces, wish))
    if not done:
        study.enqueue_trial({r.key: r.configured for r in ranges})
    while len(done) < count:
        asked = study.ask(spaces)
        tell(f"trial {len(done) + 1} of {count}: {assigned(ranges, asked.params)}")
        f1, fet, slept = list[float](), list[float](), 0.0
        try:
            for score, price in answers(asked.params, order):
                slept = slept or sleep_fet(asked.params)
                asked.report(_told(score, slept, price, wish), len(f1))
                f1.append(score)
                fet.append(price)
                if len(f1) % LOOK == 0 and len(f1) < len(order) and asked.should_prune():
                    break
            trial = Trial(values=asked.params, f1=tuple(f1), sleep_fet=slept, question_fet=fmean(fet), whole=len(f1) == len(order))
        except NremError as error:
            if not done:  # what is configured
                raise
            tell(f"trial {len(done) + 1} failed: {error}")
            trial = Trial(values=asked.params, f1=(), sleep_fet=slept, question_fet=0.0, whole=False, failed=str(error))
        kept.append(asdict(trial))
        done.append(trial)
        if trial.whole:
            study.tell(asked, _worth(trial, wish))
        else:
            study.tell(asked, state=optuna.trial.TrialState.FAIL if trial.failed else optuna.trial.TrialState.PRUNED)
    return _searched(ranges, done, wish)


def _searched(ranges: Sequence[Range], trials: Sequence[Trial], wish: Wish) -> Searched:
    configured, n = trials[0], wish.expected_questions
    whole = [trial for trial in trials if trial.whole]

    def gain_of(trial: Trial) -> Interval:
        return QuestionResampler.of(len(trial.f1)).difference([100 * x for x in trial.f1], [100 * x for x in configured.f1])

    def pays(trial: Trial, points: float) -> bool:
        fits = not wish.budget.fet or trial.total_fet(n) <= wish.budget.fet
        return fits and (not wish.price or points * wish.price >= trial.total_fet(n) - configured.total_fet(n))

    gains = [gain_of(trial) for trial in whole]
    taken = [trial for trial, gain in zip(whole, gains, strict=True) if gain.low > 0 and pays(trial, gain.mean)]
    best = max(taken or whole, key=lambda trial: _worth(trial, wish) if taken else fmean(trial.f1))  # the earlier one of equals
    gain, better = gain_of(best), bool(taken)
    said = f"{assigned(ranges, best.values)} instead of {assigned(ranges, configured.values)}: {gain.mean:+.1f} points"
    said += f" ({gain.low:+.1f} to {gain.high:+.1f}), the best of {plural(len(trials), 'trial')}"
    if best is configured:
        said = f"none of {plural(len(trials), 'trial')} was better than {assigned(ranges, configured.values)}, which is configured"
    elif better:
        said += "; expect less of it on other questions"
    else:
        said += ": within the interval" if gain.low <= 0 else ": more than price or budget allow"
        said += ", so what is configured stays"
    return Searched(ranges=tuple(ranges), trials=tuple(trials), best=best, gain=gain, better=better, sentence=said)


def _worth(trial: Trial, wish: Wish) -> float:
    """Points of F1, less what the task costs at the price of a point."""
    points = 100 * fmean(trial.f1)
    return points - trial.total_fet(wish.expected_questions) / wish.price if wish.price else points


def _told(score: float, sleep_fet: float, fet: float, wish: Wish) -> float:
    """What one answer says of `_worth`."""
    return 100 * score - ((sleep_fet + wish.expected_questions * fet) / wish.price if wish.price else 0.0)


def _kept(folder: Path, about: Mapping[str, Any]) -> tuple[Journal, list[Trial]]:
    """The journal of a search, and the trials in it."""
    about = json.loads(json_text(dict(about)))  # as it comes out of the file
    journal = Journal.open(folder)
    events = journal.events()
    if not events:
        journal.append({"about": about})
    elif events[0]["about"] != about:
        where = f"{folder.parent}: the search there had other ranges or another setting"
        raise UsageError(f"{where}; give the same, or start again with --force")
    return journal, [Trial(**{**event, "f1": tuple(event["f1"])}) for event in events[1:]]


def _space(of: Range) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    if of.whole:
        return IntDistribution(int(of.low), int(of.high), log=of.log)
    return FloatDistribution(of.low, of.high, log=of.log)


def _known(trial: Trial, spaces: Mapping[str, Any], wish: Wish) -> Any:
    """As Optuna has a trial that is over."""
    from optuna.trial import TrialState, create_trial

    told = {step: _told(score, trial.sleep_fet, trial.question_fet, wish) for step, score in enumerate(trial.f1)}
    values: dict[str, Any] = {"params": dict(trial.values), "distributions": dict(spaces), "intermediate_values": told}
    if trial.whole:
        return create_trial(value=_worth(trial, wish), **values)
    return create_trial(state=TrialState.FAIL if trial.failed else TrialState.PRUNED, **values)
