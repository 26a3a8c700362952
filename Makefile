# Every target does all it needs, and nothing twice that is already done.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: bench bench-gpu bench-scale demo test

demo: $(VENV)/.installed
	$(BIN)/tui-mia demo

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	# Two files at a time: most tests wait for a process of their own.
	$(BIN)/pytest -n 2 --dist loadfile

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.installed

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/bench.py

bench-gpu: $(VENV)/.installed
	$(BIN)/python benchmarks/gpu.py

# Needs Ray (tui-mia[ray]) and tmux, and 4 GB on the disk.
bench-scale: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/scale.py ray-overhead
	$(BIN)/python benchmarks/devices.py
	database=$$(mktemp -d) && $(BIN)/python benchmarks/many_scores.py $$database/many.duckdb; rm -r $$database
	$(BIN)/python benchmarks/plan.py
	$(BIN)/python benchmarks/plan.py --architecture ViT-L-14 --gpu-tflops 370
