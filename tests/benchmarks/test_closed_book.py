"""The benchmarks end to end on a tiny model: keys, arms, intervals, refusals. Speeds are looked at, never asserted."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import closed_book, exchange
from benchmarks.closed_book import parse_levels
from benchmarks.harness import common
from benchmarks.harness.arms import wrong_documents
from benchmarks.harness.report import binned
from benchmarks.speed import throughput
from benchmarks.speed.plain import PlainWay, TokenRow
from nrem.consolidation.protocol.folder import save_protocol
from nrem.consolidation.resample import Resampler, interval
from nrem.memory.errors import NremError, UsageError
from nrem.memory.weights.config import FastWeightsConfig
from nrem.memory.weights.fast_weights import FastWeights
from nrem.runtime.measure.questions import Question, QuestionedDocument, read_documents
from nrem.runtime.models.load import Base, load
from tests import tiny
from tests.benches import babi_row, flags, run


def test_closed_book_reports_all_arms(rooms: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "raw.json"
    levels = ("--passes", "0,2", "--raw-passes", "1", "--protocol", "untrained")
    result = run(closed_book, capsys, "--data", str(rooms), "--limit", "4", "--out", str(out), *levels, *flags(model_folder))
    assert list(result["arms"]) == ["floor", "wrong", "raw", "memory", "context"]
    for name, arm in result["arms"].items():
        assert arm["n"] == 4
        assert {"nll", "f1", "em", "accuracy"} <= arm.keys()
        low, high = result["intervals"][name]["nll"]
        assert low <= arm["nll"] <= high
        assert result["seconds"][name].keys() == result["fet"][name].keys() == {"document", "question"}
    assert result["level"] == "2"
    zero = result["levels"]["0"]["arms"]
    assert zero["memory"]["nll"] == pytest.approx(zero["floor"]["nll"])  # no pass writes nothing
    assert result["arms"]["memory"]["nll"] != pytest.approx(zero["floor"]["nll"], rel=1e-4)
    assert set(result["by_label"]) == {"n_facts"}
    assert {part["arms"]["memory"]["n"] for part in result["by_label"]["n_facts"].values()} == {2}
    assert {"recovery", "hardware", "versions", "date", "command", "commit"} <= result.keys()
    rows = json.loads(out.read_text(encoding="utf-8"))["outcomes"]
    assert len(rows) == 2 * 5 * 4
    assert {row["arm"] for row in rows} == set(result["arms"])


def test_with_a_trained_protocol_raw_has_a_floor_of_its_own(
    rooms: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = load(str(model_folder), dtype="fp32")
    folder = save_protocol(tmp_path / "protocol", tiny.make_keyed_protocol(base), base.identity, {})
    arguments = ("--data", str(rooms), "--limit", "2", "--out", str(tmp_path / "raw.json"), "--protocol", str(folder), "--raw-passes", "1")
    result = run(closed_book, capsys, *arguments, *flags(model_folder))
    assert list(result["arms"]) == ["floor", "wrong", "raw_floor", "raw", "memory", "context"]
    assert result["protocol"] == "tiny"
    assert str(tmp_path) not in result["command"]


def test_one_document_alone_gets_the_wrong_memory_that_comes_with_nrem(
    rooms: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--data", str(rooms), "--limit", "1", "--out", str(tmp_path / "raw.json"), "--arms", "wrong,memory", "--passes", "1")
    result = run(closed_book, capsys, *arguments, *flags(model_folder, "protocol.name=untrained", "study.objective=next-token"))
    assert list(result["arms"]) == ["wrong", "memory"]
    assert result["arms"]["wrong"]["nll"] != result["arms"]["memory"]["nll"]
    assert result["recovery"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arms", "floor,best"), "--arms: got 'best', expected some of floor, wrong, raw, memory, context"),
        (("--passes", "2,many"), "--passes: got '2,many'"),
        (("--limit", "-1"), "--limit"),
        (("--set", "sleep.pases=2"), "did you mean sleep.passes"),
    ],
)
def test_wrong_flags_are_refused(rooms: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        closed_book.main(["--data", str(rooms), *arguments])


def test_bad_data_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(babi_row(0)) + "\n" + json.dumps({"document": "Text."}), encoding="utf-8")
    with pytest.raises(NremError, match=r"bad.jsonl line 2: questions must be a list"):
        closed_book.main(["--data", str(path)])


def test_levels() -> None:
    assert parse_levels(None) == [None]
    assert parse_levels("0,1,4") == [0, 1, 4]


def test_there_is_room_for_the_longest_answer(llama: Base) -> None:
    config = tiny.make_config()  # 6 tokens, and a byte is a token
    for answer, tokens in (("a", 6), ("d1ff29be-4e2a-4208", 23), ("d" * 500, closed_book.MOST_TOKENS)):
        question = Question(id="1", question="Value?", answers=(answer,))
        document = QuestionedDocument(id="1", title="", text="Text.", group="1", questions=(question,))
        assert closed_book.with_room(config, llama, [document]).answer.max_new_tokens == tokens


def test_the_wrong_document_shares_neither_story_nor_title(rooms: Path) -> None:
    assert wrong_documents(read_documents(rooms)) == [2, 2, 4, 4, 0, 0]
    titles = [QuestionedDocument(id=str(i), title=t, text=str(i), group=str(i), questions=()) for i, t in enumerate("aab")]
    assert wrong_documents(titles) == [2, 2, 0]
    assert wrong_documents(titles[:1]) == [None]


def test_intervals_resample_groups_and_not_questions() -> None:
    """Ten equal questions in each of four groups are four observations: the interval must not shrink with their number."""
    values, groups = [0.0, 0.0, 1.0, 1.0], ["a", "b", "c", "d"]
    once = interval(Resampler(groups).means(values, groups))
    tenfold = interval(Resampler(groups).means(values * 10, groups * 10))
    assert once == tenfold
    assert once is not None
    assert once[0] < 0.5 < once[1]
    assert interval(np.array([np.nan])) is None


def test_many_values_of_a_label_become_quarters() -> None:
    assert binned([2, 4, 4, None]) == {2: "2", 4: "4"}
    assert binned(["hard", "easy"]) == {"easy": "easy", "hard": "hard"}
    quarters = binned(list(range(75)))
    assert len(set(quarters.values())) == 4
    assert quarters[0] == "0-18"


def test_the_plain_way_learns_the_same_tokens(llama: Base) -> None:
    fast = FastWeights.create(llama.model, FastWeightsConfig(rank=4))
    plain = PlainWay(llama, fast, step_size=1e-2)
    rows = [TokenRow([256, *range(40, 50), 257], 0), TokenRow([256, *range(60, 66), 257], 4)]
    first = float(plain._loss(rows).detach())
    assert sum(plain.learn(rows, 2) for _ in range(5)) == 5 * 20
    assert float(plain._loss(rows).detach()) < first
    assert not any("lora" in name for name, _ in llama.model.named_modules())  # the base itself is as it was


def test_throughput_reports_every_rule(model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--lengths", "64,256", "--repeats", "1", "--out", str(tmp_path / "raw.json"))
    result = run(throughput, capsys, *arguments, *flags(model_folder))
    assert set(result["rules"]) == {"gradient", "keyed", "ridge"}
    assert result["pass_speedup"] == result["rules"][result["default_rule"]]["pass_speedup"] > 0
    assert result["gemm_share"] > 0
    questions = result["question_seconds"]
    assert questions["memory"]["document_tokens"] == 0
    assert [round(row["document_tokens"], -1) for row in questions["document"].values()] == [70, 260]
    prompts = {row["prompt_tokens"] for row in result["memory_by_document_tokens"].values()}
    assert len(prompts) == 1  # a question is as long whatever was read


def test_exchange_has_a_row_for_every_choice(rooms: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = (
        "--data",
        str(rooms),
        "--limit",
        "2",
        "--rows",
        "layers,dtype,model",
        "--model",
        str(model_folder),
        "--out",
        str(tmp_path / "raw.json"),
    )
    rows = run(exchange, capsys, *asked, *flags(model_folder))["rows"]
    assert [row["kind"] for row in rows] == ["layers"] * 3 + ["dtype"] * 4 + ["model"] * 4
    by_name = {row["name"]: row for row in rows}
    half = by_name["upper-half, 12 passes"]["gflop"]
    assert 0.5 * half < by_name["all, 8 passes"]["gflop"] < 2 * half
    assert by_name["bf16, 2 passes"]["fet"] == by_name["fp32, 2 passes"]["fet"]
    with pytest.raises(UsageError, match="--rows model: needs another base"):
        exchange.main(["--data", str(rooms), "--rows", "model"])
    with pytest.raises(UsageError, match="no rows 'size'; there are layers, dtype, model"):
        exchange.main(["--data", str(rooms), "--rows", "size"])


def test_red_tests_refuse_a_report(tmp_path: Path) -> None:
    red = tmp_path / "test_red.py"
    red.write_text("def test_red():\n    assert False\n", encoding="utf-8")
    with pytest.raises(NremError, match="not green"):
        common.require_green(str(red))


def test_questions_keep_their_labels(rooms: Path) -> None:
    (question,) = read_documents(rooms)[3].questions
    expected = Question(
        id="q3", question="Where is John?", answers=("office",), dataset="babi_1.2", labels={"n_facts": 3, "facts_needed": 1}
    )
    assert question == expected
