"""What a person sees of a ceiling: a table of the levels, the verdict in words, and what confidence is worth."""

from rich.console import Console

from nrem.consolidation.protocol.ceiling import Ceiling
from nrem.consolidation.protocol.confidence import Confidence
from nrem.runtime.show.memory import plain_table
from nrem.runtime.show.night import plural, share

MEANING = {
    "productive": "every step up to there gained; a sleep goes no deeper unless it is told to",
    "saturated": "no step gained beyond the manner of answering; a sleep writes nothing unless it is told to",
    "harmful": "the first step already made the answers less likely; a sleep writes nothing unless it is told to",
}


def ceiling_report(out: Console, found: Ceiling, confidence: Confidence | None, protocol: str) -> None:
    """Print the levels, the verdict and the calibration."""
    table = plain_table(">passes", ">answer NLL", ">other document", ">recall", ">gain of the step", ">95 % interval")
    for i, level in enumerate(found.levels):
        gain = found.gains[i - 1] if i else None
        cells = (f"{gain.mean:+.3f}", f"{gain.low:+.3f} to {gain.high:+.3f}") if gain else ("", "")
        table.add_row(str(level), f"{found.nll[i]:.3f}", f"{found.control[i]:.3f}", share(found.recall[i]), *cells)
    out.print(table)
    out.print(
        f"[bold]{found.verdict}[/]: with protocol {protocol} passes pay up to {plural(found.n_star, 'pass', 'passes')}; "
        f"{MEANING[found.verdict]} ({plural(found.chunks, 'chunk')}, resampled by {found.resampled})"
    )
    out.print(confidence_line(confidence))


def confidence_line(found: Confidence | None) -> str:
    """How often answers were right, and what that made of the probability that decoding gives them; a line for each way."""
    if found is None:
        return "confidence: not calibrated, too few answers or all of one kind; `confidence` stays the probability that decoding gave"
    return "\n".join(_fit_line(fit) for fit in (found, *found.others))


def _fit_line(fit: Confidence) -> str:
    asked, passes = plural(fit.pairs, fit.asked.removesuffix("s")), plural(fit.passes, "pass", "passes")
    return (
        f"confidence of {fit.way}: calibrated on {asked} after {passes}, {share(fit.base_rate)} answered right; "
        f"Brier score {fit.brier_before:.3f} before, {fit.brier_after:.3f} after"
    )
