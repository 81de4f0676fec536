# Two commands on a fresh machine: `make verify` (the main job) and `make test` (every test).
# Needs python3 >= 3.11 with venv, and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

# Hundreds of processes are started: where none keeps its bytecode, each compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: verify test nightly lint types setup clean
verify: setup
	$(BIN)/untorn verify --allow-partial

test: setup
	$(BIN)/pytest -n auto reference stress fixtures reports
	$(BIN)/pytest -n auto conformance/untorn_conformance/meta
	$(BIN)/pytest -n auto conformance/ $(CONFORMANCE_FLAGS)

# Tests that take too long for every change.
nightly: setup
	UNTORN_TEST_FARM=16 $(BIN)/pytest reference/tests/test_farm.py
	$(BIN)/pytest -n auto --nightly -m nightly conformance/untorn_conformance/meta
	$(BIN)/pytest -n auto conformance/ --effort nightly $(CONFORMANCE_FLAGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# One run a test folder: each has a conftest of its own, and mypy wants names to be unique.
types: setup
	$(BIN)/mypy
	for folder in reference stress fixtures reports; do $(BIN)/mypy $$folder/tests || exit 1; done

setup: .venv/installed

# A .venv that another Python or another checkout made is no use: the stamp depends on pyproject.toml
# and is written last, so an interrupted install starts again.
.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "untorn needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv reports/runs fixtures/clips
