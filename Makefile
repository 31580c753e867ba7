# Every target sets up what it needs: .venv with the locked versions, once. PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# What trains is tested with the compiled kernels and, where there is no compiler, without them.
EVERY_PATH := $(addprefix tests/test_,training.py optimizers.py interventions.py conformance.py laboratory.py fused.py)

# Two processes; one that has finished its tests takes some of the other's.
TWO := -n 2 --dist worksteal

.PHONY: setup demo quick lint types test encodings slow bench docs reference notebooks release-check coverage mutations clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY)
	$(BIN)/groklab train --preset power_default --picture learning_curves.png

lint: $(READY)
	$(BIN)/ruff format --check groklab tests benchmarks tools
	$(BIN)/ruff check groklab tests benchmarks tools

types: $(READY)
	$(BIN)/pyright --pythonpath $(BIN)/python groklab

quick: lint types
	$(BIN)/python -m pytest -m "not medium and not slow" $(TWO)

test: lint types
	$(BIN)/python -m pytest -m "not slow" $(TWO)
	CC=no-such-compiler $(BIN)/python -m pytest -m "not slow and not medium" $(TWO) $(EVERY_PATH)

# The fast tests in terminals that lack most characters, and on a machine whose files are not UTF-8 unless that is said.
encodings: $(READY)
	PYTHONIOENCODING=latin-1 $(BIN)/python -m pytest -m "not medium and not slow" $(TWO)
	LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 $(BIN)/python -m pytest -m "not medium and not slow" $(TWO)

# Speed is measured last, with nothing beside it.
slow: $(READY)
	$(BIN)/python -m pytest -m "slow and not alone" $(TWO)
	$(BIN)/python -m pytest -m alone

bench: $(READY)
	$(BIN)/python -m benchmarks.bench

# Built with every warning an error; nothing is downloaded.
docs: $(READY)
	$(BIN)/python -m tools.reference --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

reference: $(READY)
	$(BIN)/python -m tools.reference

notebooks: $(READY)
	$(BIN)/python -m tools.notebooks

# Lines of the package that the tests run, those in training processes included.
coverage: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n 2 --cov --cov-report=term:skip-covered

# Lines broken on purpose, each of which some test must catch.
mutations: $(READY)
	$(BIN)/python -m tools.mutations

# Build, check, install with the lowest and the newest versions that the metadata allows, and run the fast tests there: see docs/releasing.md.
release-check: $(READY)
	$(BIN)/python -m tools.release

clean:
	rm -rf .venv build dist site .pytest_cache .ruff_cache .hypothesis
