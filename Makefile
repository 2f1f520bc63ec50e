# Everything sets itself up: python (3.10 or newer) and make are enough; a C++ compiler makes searches fast.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DOCS := $(VENV)/.ready-docs
NATIVE := CMakeLists.txt $(wildcard native/*.* native/*/*)

.PHONY: help setup demo test nightly test-numpy peers lint format docs clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml $(NATIVE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[cli]" --group test --group lint
	@touch $@

setup: $(READY) ## make the environment in .venv

demo: $(READY) ## train, build, search, remove and reopen an index of real vectors
	$(BIN)/python examples/demo.py

test: $(READY) ## run the tests
	$(BIN)/pytest --numprocesses 2

nightly: $(READY) ## kill writers 500 times and cut the power 400 times, on the disk; says what was acknowledged and kept
	PQSTORE_CRASH_RUNS=500 PQSTORE_POWER_CUTS=200 $(BIN)/pytest --numprocesses 2 -rP tests/crash

peers: $(READY) ## add nanopq and Faiss, beside which some tests and benchmarks run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group peers

test-numpy: $(READY) ## run the tests of search and index on the NumPy kernels, as without a compiler
	PQSTORE_KERNEL=numpy $(BIN)/pytest --numprocesses 2 tests/unit/index tests/property

lint: $(READY) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY_DOCS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@

docs: $(READY_DOCS) ## build the documentation in site/; a warning is an error
	$(BIN)/mkdocs build --quiet --strict

clean: ## remove what the targets above made
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
