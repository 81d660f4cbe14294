# Every target prepares what it needs on a fresh machine: Python 3.11 or later, 2 cores.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := host,ort,openvino,tensorrt-rtx,evaluate,dev
READY := $(VENV)/.ready

.PHONY: demo test check bench support wheel-test slow-test

demo: $(READY)  ## the whole job on the shipped model, ending in demo-report/report.html
	$(BIN)/edgerestore demo --out demo-report

test: $(READY)  ## the test suite
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadfile

slow-test: $(READY)  ## what takes minutes
	$(BIN)/python -m pytest -m slow

check: $(READY)  ## format, lint, types, rings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## start-up, our forms and our INT8 beside their peers; on an otherwise idle machine
	$(BIN)/python -m pip install --quiet -e '.[peers]'
	status=0; for name in startup attention_memory deployable int8; do \
	  $(BIN)/python benchmarks/$$name.py || status=$$?; done; exit $$status

support: $(READY)  ## every network in every backend and precision; measures what is new
	$(BIN)/python benchmarks/support.py
	$(BIN)/python benchmarks/support.py --table

wheel-test: $(READY)  ## the built wheel alone, without extras, in an empty environment
	$(BIN)/python tests/wheel_alone.py

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'
	touch $@
