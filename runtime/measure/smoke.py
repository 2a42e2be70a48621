"""What a training of the tiny model needs: a configuration of a few quick steps, and the demo document as a training file."""

from importlib import resources
from pathlib import Path

from nrem.consolidation.train.trainer import TrainConfig
from nrem.memory.saved.json_text import json_text
from nrem.runtime.measure.questions import read_questions


def tiny_training(seed: int = 0) -> TrainConfig:
    """A training of a few quick steps."""
    return TrainConfig(
        rank=12,
        reader_rank=4,
        max_passes=2,
        chunks_per_step=2,
        chunks_together=(1, 2),
        questions_per_chunk=2,
        max_chunk_tokens=2048,
        warm_up=2,
        seed=seed,
    )


def tiny_data(folder: Path) -> Path:
    """The sections of the demo document, each with the questions whose answer stands in it, as a training file."""
    configs = resources.files("nrem.configs")
    questions = read_questions(Path(str(configs.joinpath("demo_questions.jsonl"))))
    text = configs.joinpath("demo_document.md").read_text(encoding="utf-8")
    path = folder / "demo.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for section in text.split("\n## ")[1:]:
            title, body = section.split("\n", 1)
            asked = [{"question": q.question, "answers": q.answers} for q in questions if any(a in body for a in q.answers)]
            if asked:
                file.write(json_text({"title": title, "document": body.strip()[:1500], "questions": asked}) + "\n")
    return path
