# Everything happens in $(VENV); on a fresh machine `make demo` and `make test` need only Python, make and a package index.
VENV ?= .venv
# Tests run side by side in so many processes, each file in one of them.
WORKERS ?= 2
PYTHON ?= python3
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-all check bench docs pictures clean

demo: $(VENV)/.installed
	$(BIN)/sgdyn fit

test: $(VENV)/.tested
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

test-all: $(VENV)/.tested
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/sde.py
	$(BIN)/python benchmarks/cache.py
	$(BIN)/python -m benchmarks.fokker_planck
	$(BIN)/python -m benchmarks.escape

pictures: $(VENV)/.installed
	$(BIN)/python docs/make_pictures.py

docs: $(VENV)/.documented
	$(BIN)/mkdocs build --strict

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(INSTALL) -e ".[test]"
	touch $@

$(VENV)/.documented: $(VENV)/.installed
	$(INSTALL) -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
