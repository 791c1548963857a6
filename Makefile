# `make demo` and `make test` work in a fresh clone: they make .venv when it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

.PHONY: demo test lint clean

demo: $(VENV)/.demo
	$(BIN)/rec-gym demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One stamp for each set of extras, renewed when the requirements change.
$(VENV)/.demo: EXTRAS = plot
$(VENV)/.test: EXTRAS = plot,test
$(VENV)/.lint: EXTRAS = lint
$(VENV)/.demo $(VENV)/.test $(VENV)/.lint: setup.cfg pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) ".[$(EXTRAS)]"
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build *.egg-info
