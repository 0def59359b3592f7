# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt
JOBS ?= 2
# One thread a test process: more would only fight over the same cores.
TEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

.PHONY: demo test test-slow test-matrix fuzz lint types samples docs distribution clean

demo: $(VENV)/.demo
	@PRUNECLI=$(BIN)/prunecli sh examples/demo.sh

test: $(VENV)/.test
	$(TEST) -m "not slow"

test-slow: $(VENV)/.test
	$(TEST) -m slow

# ONLY=py312 takes one environment of .ci/environments.json; MATRIX_TESTS are arguments for pytest.
test-matrix:
	$(PYTHON) .ci/matrix.py --jobs $(JOBS) --tests "$(MATRIX_TESTS)" $(ONLY)

# FUZZ_SECONDS over all targets together.
fuzz: $(VENV)/.test
	$(PIP) --editable '.[fuzz]'
	OMP_NUM_THREADS=1 FUZZ_SECONDS=$${FUZZ_SECONDS:-600} $(BIN)/python tests/hostile/fuzzing/fuzz.py

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

samples: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python sample_models/make_samples.py

# The site, from the pages that mkdocs.yml names, into build/site.
docs: $(VENV)/.test
	$(PIP) --editable '.[docs]'
	$(BIN)/python docs/stage_site.py
	$(BIN)/zensical build --strict --clean

# Wheel and sdist into dist/; the wheel is installed into a fresh environment and used outside of the checkout.
distribution:
	$(PYTHON) .ci/distribution.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The stamps make the second run quick: pip runs again only when what is to be installed has changed.
$(VENV)/.demo: $(VENV)/bin/python pyproject.toml .ci/constraints.txt
	$(PIP) --editable '.[onnx]'
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml .ci/constraints.txt
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache
