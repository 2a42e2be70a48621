"""Throughput: how fast a pass is beside the plain way, how near to the machine's matrix products, and what a question costs.

    python -m benchmarks.speed.throughput [--json]

Every write rule is measured in turn with PEFT and AdamW on the same tokens; where no protocol of a rule fits the model, one with random
parameters stands in, since speed does not depend on their values. A document in the prompt is read anew for every question.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.harness import common
from benchmarks.speed.pass_speed import gemm_rate, measure_rule
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.train.trainer import TrainConfig
from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import Chunk, cut_chunks
from nrem.runtime.config import Config, load_config
from nrem.runtime.measure.train import TrainJob, make_bench
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_fast_weights, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.decode import Answerer

QUESTIONS = ("How tall is Mount Garrick?", "Who founded the town of Wexley?")
FORWARD_CHUNKS, GRADIENT_CHUNKS = 8, 1
"""Chunks of a timed pass; a pass of study items reads some ten times the tokens of its chunks."""
NEW_TOKENS = 8
STAND_INS = {"ridge": TrainConfig(layers="upper-third", rank=256), "keyed": TrainConfig(rule="keyed", rank=112)}
"""What a protocol of these rules is like."""


def protocols(base: Base, wanted: Config) -> dict[str, Protocol]:
    """A protocol for each write rule, that of the default first."""
    default = make_protocol(base, wanted)
    found = {default.rule: default}
    found.setdefault("gradient", Protocol(base.tokenizer))
    for rule, config in STAND_INS.items():
        if rule not in found:
            bench, _ = make_bench(base, config, TrainJob(data=(), out=Path("random"), minutes=0))
            bench.parameters.requires_grad_(False)
            found[rule] = bench.protocol
    return found


def text_of(base: Base, tokens: int) -> str:
    """Running text of about so many tokens: the texts that come with nrem, over and over."""
    files = resources.files("nrem.configs")
    text = "\n\n".join(files.joinpath(name).read_text(encoding="utf-8") for name in ("demo_document.md", "unrelated.txt"))
    ids = base.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    return str(base.tokenizer.decode((ids * (tokens // len(ids) + 1))[:tokens]))


def chunks_of(base: Base, config: Config, count: int) -> list[Chunk]:
    """The first chunks of the demo document that are at least half full: a heading by itself states nothing."""
    size = config.stream.chunk_tokens
    pieces = [text_of(base, 4 * count * size)]
    cut = cut_chunks(pieces, count_tokens=base.count_tokens, max_tokens=size, document="demo", title="Dunmar")
    return [chunk for chunk in cut if 2 * chunk.num_tokens >= size][:count]


def measure_rules(base: Base, config: Config, repeats: int) -> dict[str, Any]:
    """Speed of every rule, beside the plain way's and the rate of matrix products of the same minutes."""
    rates, speeds = [gemm_rate(base)], {}
    for rule, protocol in protocols(base, config).items():
        chunks = chunks_of(base, config, GRADIENT_CHUNKS if rule == "gradient" else FORWARD_CHUNKS)
        with common.stage(f"passes of the {rule} rule"):
            speeds[rule] = measure_rule(base, config, protocol, chunks, repeats)
        rates.append(gemm_rate(base))
    rate = median(rates)
    rules = {rule: speed.to_dict(rate) for rule, speed in speeds.items()}
    default = next(iter(rules))
    return {
        "pass_speedup": rules[default]["pass_speedup"],
        "gemm_share": rules[default]["gemm_share"],
        "default_rule": default,
        "rules": rules,
        "gemm_flops_per_second": rate,
    }


def measure_questions(base: Base, config: Config, lengths: Sequence[int], repeats: int) -> dict[str, Any]:
    """Seconds of one question by itself: from memories of documents of several lengths, and with these documents in the prompt."""
    config = replace(config, answer=replace(config.answer, max_new_tokens=NEW_TOKENS))
    protocol = make_protocol(base, config)
    answerer = Answerer(base, protocol, config.answer)
    sessions = {}
    for length in lengths:
        with common.stage(f"sleep on {length} tokens"):
            sessions[length] = _slept(base, config, length)
    memory: dict[int, list[dict[str, float]]] = {length: [] for length in lengths}
    document: dict[int, list[dict[str, float]]] = {length: [] for length in lengths}
    for session in sessions.values():
        session.answer(QUESTIONS[0], "direct")  # warms up
    with common.stage("questions from memory"):
        for _ in range(repeats):
            for length, session in sessions.items():  # in turn, so that a busy minute hits all alike
                memory[length] += [_timed_answer(lambda s=session, q=question: s.answer(q, "direct")) for question in QUESTIONS]
    for length in lengths:
        context = text_of(base, length)
        with common.stage(f"questions with {length} tokens in the prompt"), make_fast_weights(base, config, protocol).attached(base.model):
            document[length].append(_timed_answer(lambda c=context: answerer.ask(QUESTIONS[0], c)))  # seconds each: once will do
    by_length = {str(length): _median(rows) for length, rows in memory.items()}
    seconds = [row["seconds"] for row in by_length.values()]
    return {
        "question_seconds": {
            "memory": _median([row for rows in memory.values() for row in rows]),
            "document": {str(length): _median(rows) for length, rows in document.items()},
        },
        "memory_by_document_tokens": by_length,
        "flatness": max(seconds) / min(seconds),
    }


def _slept(base: Base, config: Config, tokens: int) -> Session:
    """A memory of a document of so many tokens; one quick pass, since what was written does not change what a question costs."""
    quick = replace(
        config,
        sleep=config.sleep.even(1),
        probes=replace(config.probes, held_out_per_chunk=1),
        study=replace(config.study, objective="next-token"),
        guard=replace(config.guard, enabled=False),
    )
    session = Session(base=base, config=quick)
    session.stream(Document.from_text(text_of(base, tokens), f"{tokens} tokens", "Dunmar"))
    return session


def _timed_answer(ask: Any) -> dict[str, float]:
    started = time.perf_counter()
    answer: Answer = ask()
    seconds = time.perf_counter() - started
    counts = {key: getattr(answer, key) for key in ("prompt_tokens", "document_tokens", "answer_tokens", "fet")}
    return {"seconds": seconds} | counts


def _median(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: median(row[key] for row in rows) for key in rows[0]}


def speed_table(result: dict[str, Any]) -> Table:
    """Every rule beside the plain way."""
    speed = Table(
        "rule",
        "seconds a chunk",
        "FET a chunk",
        "tokens/s",
        "plain way",
        "speed-up",
        "GFLOP/s",
        "share of products",
        title="a pass",
        title_justify="left",
    )
    for rule, row in result["rules"].items():
        name = f"{rule} (default)" if rule == result["default_rule"] else rule
        tokens = [f"{row[key]:,.0f}" for key in ("tokens_per_second", "plain_tokens_per_second")]
        chunk = [f"{row['seconds_a_chunk']:.3f}", f"{row['fet_a_chunk']:,.0f}"]
        speed.add_row(
            name, *chunk, *tokens, f"{row['pass_speedup']:.2f}", f"{row['flops_per_second'] / 1e9:,.0f}", f"{row['gemm_share']:.2f}"
        )
    speed.caption = f"matrix products at the model's shapes: {result['gemm_flops_per_second'] / 1e9:,.0f} GFLOP/s"
    return speed


def cost_table(result: dict[str, Any]) -> Table:
    """A question's price by the length of the document."""
    cost = Table("document", "from memory, s", "in the prompt, s", "times", title="one question", title_justify="left")
    for length, row in result["question_seconds"]["document"].items():
        known = result["memory_by_document_tokens"][length]["seconds"]
        cost.add_row(f"{row['document_tokens']:,.0f} tokens", f"{known:.3f}", f"{row['seconds']:.3f}", f"{row['seconds'] / known:.1f}")
    cost.caption = f"from memory, longest over shortest: {result['flatness']:.2f}"
    return cost


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("throughput", "Tokens per second of a pass beside the plain way, and seconds of a question.")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="timed repetitions (3)")
    parser.add_argument("--lengths", default="1024,4096,8192", metavar="N[,N...]", help="document lengths of the questions, tokens")
    args = parser.parse_args(arguments)
    if args.repeats < 1 or not all(part.isdigit() and int(part) > 0 for part in args.lengths.split(",")):
        raise UsageError(
            f"--repeats and --lengths: got {args.repeats} and {args.lengths!r}, expected whole numbers from 1, such as 1024,4096"
        )
    config = load_config(args.config, args.set)
    if not args.skip_tests:
        common.require_green("tests/benchmarks/test_closed_book.py")
    base = load_base(config)
    result: dict[str, Any] = {"benchmark": "throughput"} | measure_rules(base, config, args.repeats)
    common.show(speed_table(result), to_stderr=args.json)
    result |= measure_questions(base, config, [int(part) for part in args.lengths.split(",")], args.repeats)
    common.show(cost_table(result), to_stderr=args.json)
    result |= common.environment(base)
    common.finish("throughput", result, {}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
