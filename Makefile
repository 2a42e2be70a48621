# Everything runs in .venv, which the first command makes. `make demo` and `make test` are all that a fresh machine needs.

PYTHON ?= python3.11
BIN := .venv/bin
GROUND := pyproject.toml constraints.txt

.PHONY: demo test lint clean

demo: .venv/installed
	$(BIN)/python -m nrem.runtime.models.load
	HF_HUB_OFFLINE=1 $(BIN)/nrem demo

test: lint
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests benchmarks

clean:
	rm -rf .venv build dist nrem.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/python $(GROUND)
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/python $(GROUND)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $@ .venv/installed
