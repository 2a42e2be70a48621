"""The router: heads learn what features say, the price moves what is bought, and what it asks is what the ways themselves answer."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.memory import Memory
from nrem.runtime.models.load import Base
from nrem.runtime.parts import calibration_folder
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.features import FEATURES, features_of
from nrem.runtime.wake.router import FILE, Example, Head, Router, read_router
from nrem.runtime.wake.wake import Wake
from tests import tiny

QUESTIONS = ["Who kept the lighthouse?", "How many litres of oil?", "When did the harbour freeze?", "xyzzy"]
SURE = FEATURES.index("confidence")


def examples(count: int = 120, seed: int = 0) -> list[Example]:
    """Where the direct answer is confident it is right; search is right for four of five, at ten times the price."""
    rng, found = np.random.default_rng(seed), []
    for n in range(count):
        features = rng.normal(size=len(FEATURES))
        right = {"direct": float(features[SURE] > 0), "search": float(rng.random() < 0.8)}
        found.append(Example(group=f"d{n % 6}", features=tuple(features), right=right, fet={"direct": 30.0, "search": 300.0}))
    return found


def features(sure: float) -> list[float]:
    return [sure if name == "confidence" else 0.0 for name in FEATURES]


def test_the_sure_are_answered_at_once_and_the_price_decides_about_the_others() -> None:
    router = Router.fit(examples())
    assert router.right(features(2))["direct"] > 0.85 > 0.2 > router.right(features(-2))["direct"]
    assert router.right(features(0))["search"] == pytest.approx(0.8, abs=0.1)
    assert [router.choose(features(sure), 1.0) for sure in (-2, 2)] == ["search", "direct"]
    assert router.choose(features(-2), 1000.0) == "direct"
    bought = [sum(router.choose(e.features, price) == "search" for e in examples(seed=1)) for price in (0, 30, 100, 200, 400)]
    assert bought == sorted(bought, reverse=True)
    assert bought[0] > 40
    assert bought[-1] == 0
    assert router.choose(features(-2), 0.0, ["direct"]) == "direct"


def test_the_cheaper_of_equals_is_bought() -> None:
    flat = (0.0,) * len(FEATURES)
    ones = (1.0,) * len(FEATURES)
    heads = {"search": Head(0.3, flat, 300.0), "direct": Head(0.3, flat, 30.0), "read": Head(0.3, flat, 200.0)}
    assert Router(heads=heads, mean=flat, scale=ones, questions=30, groups=1).choose(features(1), 0.0) == "direct"


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    router = Router.fit(examples())
    (tmp_path / FILE).write_text(router.to_json(), encoding="utf-8")
    assert read_router(tmp_path) == router
    with pytest.raises(UsageError, match=r"way router: nothing was calibrated .*; run nrem calibrate MEMORY --questions FILE"):
        read_router(tmp_path / "none")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features", ["confidence"]),
        ("mean", [0.0]),
        ("scale", [0.0] * len(FEATURES)),
        ("heads", {}),
        ("heads", 3),
        ("mean", ["x"]),
        ("scale", None),
    ],
)
def test_what_is_no_router_is_refused(key: str, value: object) -> None:
    values = json.loads(Router.fit(examples()).to_json()) | {key: value}
    with pytest.raises(MemoryFolderError, match=r"router\.json: not a router of this nrem .*; make it again with nrem calibrate"):
        Router.from_json(json.dumps(values), "router.json")
    with pytest.raises(MemoryFolderError, match="not a router"):
        Router.from_json("[]", "router.json")


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(UsageError, match="calibrate: got 12 questions, expected 20 or more"):
        Router.fit(examples(12))


# -- through the door -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def memory(llama: Base) -> Memory:
    config = tiny.make_config("sleep.passes=2", "study.step_size=3e-2", "guard.enabled=false", "answer.price=100")
    return Session(base=llama, config=config).stream(Document.from_text("# Orrin\n\n" + tiny.STORY, "story", "Orrin"))


def put_router(wake: Wake, direct: float, search: float) -> None:
    """A router that buys search where the form of the question is `who`, at `price` 0 and above."""
    flat = [0.0] * len(FEATURES)
    who = [8.0 if name == "who" else 0.0 for name in FEATURES]
    heads = {"direct": Head(direct, tuple(flat), 30.0), "search": Head(search, tuple(who), 300.0)}
    router = Router(heads=heads, mean=tuple(flat), scale=(1.0,) * len(FEATURES), questions=30, groups=1)
    folder = calibration_folder(wake.base, wake.protocol)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(router.to_json(), encoding="utf-8")


def test_each_question_is_answered_in_its_way_and_pays_for_both(llama: Base, memory: Memory) -> None:
    wake = Wake.open(memory, llama)
    put_router(wake, 0.0, -2.0)
    routed = wake.answers(QUESTIONS, "router")
    direct, search = wake.answers(QUESTIONS, "direct"), wake.answers(QUESTIONS, "search")
    assert [a.way for a in routed] == ["search", "direct", "direct", "direct"]
    assert [a.answer for a in routed] == [search[0].answer, *(a.answer for a in direct[1:])]
    assert routed[0].fet == pytest.approx(direct[0].fet + search[0].fet)
    assert routed[0].leans_on == search[0].leans_on
    assert routed[1].fet == direct[1].fet
    assert wake.answer(QUESTIONS[0], "router").answer == search[0].answer
    pairs = [(question, "Maren Tull") for question in QUESTIONS]
    assert wake.nlls(pairs, "router") == pytest.approx([wake.nlls(pairs, "search")[0], *wake.nlls(pairs, "direct")[1:]], rel=1e-4)


def test_without_the_text_nothing_is_searched(llama: Base, memory: Memory, tmp_path: Path) -> None:
    memory.save(tmp_path / "m", forget_text=True)
    wake = Wake.open(Memory.load(tmp_path / "m"), llama)
    put_router(wake, -5.0, 5.0)
    assert {a.way for a in wake.answers(QUESTIONS, "router")} == {"direct"}


def test_nothing_calibrated_is_said_so(llama: Base, memory: Memory) -> None:
    with pytest.raises(UsageError, match="run nrem calibrate"):
        Wake.open(memory, llama).answer(QUESTIONS[0], "router")


def test_features_say_what_the_index_found(llama: Base, memory: Memory) -> None:
    wake = Wake.open(memory, llama)
    found = [dict(zip(FEATURES, features_of(a, memory), strict=True)) for a in wake.answers(QUESTIONS, "direct")]
    assert [f["found"] for f in found] == [1, 1, 1, 0]
    assert [(f["who"], f["number"], f["when"]) for f in found] == [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
    assert found[0]["question_in_chunk"] == pytest.approx(2 / 3)  # "kept" and "lighthouse" stand there, "who" does not
    assert all(math.isfinite(value) for f in found for value in f.values())
    assert found[3]["score"] == found[3]["surprisal"] == 0.0 < found[0]["surprisal"]
