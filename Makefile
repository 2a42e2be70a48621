# Everything runs in .venv, which the first command makes. `make demo` and `make test` are all that a fresh machine needs.

PYTHON ?= python3.11
BIN := .venv/bin
GROUND := pyproject.toml constraints.txt
OLDEST_TORCH ?= 2.9.0
QUICK := not slow and not real_model

.PHONY: demo test test-oldest test-newest lint clean

demo: .venv/installed
	$(BIN)/python -m nrem.runtime.models.load
	HF_HUB_OFFLINE=1 $(BIN)/nrem demo

test: lint
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

# Two more sets of versions, each in an environment of its own; a set is installed anew when its file or pyproject.toml changes.
test-oldest: .venv-oldest/installed
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -m "$(QUICK)" tests/memory tests/consolidation

test-newest: .venv-newest/installed
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -m "$(QUICK)" tests/memory tests/consolidation

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests benchmarks

clean:
	rm -rf .venv .venv-oldest .venv-newest build dist nrem.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/python:
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/python $(GROUND)
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/python $(GROUND)
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $@ .venv/installed

.venv-oldest/installed: constraints/oldest.txt pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install "torch==$(OLDEST_TORCH)" -r constraints/oldest.txt -e . pytest hypothesis beartype
	touch $@

.venv-newest/installed: constraints/newest.txt pyproject.toml
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --upgrade --upgrade-strategy eager -c constraints/newest.txt -e . pytest hypothesis beartype
	touch $@
