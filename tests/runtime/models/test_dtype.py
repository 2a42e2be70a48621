"""The float type follows from what was measured here, is kept, and is not a matter of chance."""

import json
from pathlib import Path

import pytest
import torch

from nrem.runtime.models import dtype
from nrem.runtime.models.cache import cache_folder
from nrem.runtime.models.dtype import Shape, Speeds, best_dtype, measure, speeds_here
from nrem.runtime.models.load import Base

TINY = Shape(32, 48)


def speeds(float32: float, bfloat16: float, float16: float) -> Speeds:
    figures = {"float32": float32, "bfloat16": bfloat16, "float16": float16}
    return Speeds(figures, figures)


@pytest.mark.parametrize(
    ("figures", "taken"),
    [
        ((130, 80, 10), "float32"),  # a Xeon with avx512_bf16 and no AMX
        ((50, 200, 10), "bfloat16"),
        ((100, 109, 10), "float32"),  # noise does not decide
        ((100, 111, 10), "bfloat16"),
        ((100, 50, 500), "float32"),  # float16 overflows
    ],
)
def test_the_fastest_safe_type_is_taken(figures: tuple[float, float, float], taken: str) -> None:
    assert speeds(*figures).taken == taken


def test_products_of_many_rows_decide() -> None:
    many, decoding = speeds(130, 80, 10).many, speeds(5, 50, 50).many
    assert Speeds(many, decoding).taken == "float32"


def test_all_types_are_measured() -> None:
    found = measure(TINY, rounds=2)
    for figures in (found.many, found.decoding):
        assert set(figures) == {"float32", "bfloat16", "float16"}
        assert all(value > 0 for value in figures.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU decides by itself")
def test_the_figures_are_kept_and_believed_until_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtype, "_quiet", lambda: True)
    speeds_here(TINY)
    book = cache_folder() / "dtype.json"
    ((key, figures),) = json.loads(book.read_text(encoding="utf-8")).items()
    assert f"{torch.get_num_threads()} threads; 256 x 32 x 48" in key
    for slow, fast in (("float32", "bfloat16"), ("bfloat16", "float32")):  # impossible figures: only what was kept can give them
        figures["many"] |= {slow: 1.0, fast: 1e6}
        book.write_text(json.dumps({key: figures, "another machine": {}}), encoding="utf-8")
        assert best_dtype(TINY) == getattr(torch, fast)
    assert speeds_here(TINY, again=True).many["float32"] < 1e6
    assert set(json.loads(book.read_text(encoding="utf-8"))) == {key, "another machine"}


def test_figures_of_a_busy_machine_are_kept_until_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = False
    monkeypatch.setattr(dtype, "_quiet", lambda: quiet)
    first = speeds_here(TINY)
    assert speeds_here(TINY) == first
    longer = speeds_here(TINY, again=True)
    assert all(longer.many[name] >= first.many[name] for name in first.many), "a busy machine lowers nothing"
    quiet = True
    last = speeds_here(TINY)
    assert (first.quiet, longer.quiet, last.quiet) == (False, False, True)
    quiet = False
    assert speeds_here(TINY) == last


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"KEY": 3}', '{"KEY": {"many": {}, "decoding": {}}}'])
def test_a_damaged_book_is_measured_anew(content: str) -> None:
    book = cache_folder() / "dtype.json"
    book.parent.mkdir(parents=True)
    book.write_text(content.replace("KEY", dtype._key(TINY)), encoding="utf-8")
    assert speeds_here(TINY).many["float32"] > 0
    assert dtype._key(TINY) in json.loads(book.read_text(encoding="utf-8"))


def test_a_cache_that_cannot_be_written_is_only_slower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("NREM_CACHE", str(tmp_path / "file"))
    assert speeds_here(TINY).many["float32"] > 0


def test_every_family_has_a_shape(base: Base) -> None:
    shape = Shape.of(base.model.config)
    assert shape.hidden == base.model.config.get_text_config().hidden_size
    assert shape.intermediate > shape.hidden


def test_wide_models_are_timed_on_part_of_their_columns() -> None:
    assert Shape(576, 1536).columns == 1536
    assert 256 * 2 * 4096 * Shape(4096, 14336).columns <= dtype.MOST_FLOP
