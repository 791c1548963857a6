# `make demo` and `make test` work in a fresh clone: they make .venv when it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

.PHONY: demo test quick test-lowest lint clean

demo: $(VENV)/.demo
	$(BIN)/rec-gym demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 -m "not release" $(PYTEST_ARGS)

# Under a minute: without the slow tests and the examples of the docs.
quick: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 -m "not slow and not docs" $(PYTEST_ARGS)

# The lowest declared versions of everything, in a virtual environment of their own.
test-lowest: $(VENV)-lowest/.test
	$(VENV)-lowest/bin/python -m pytest -n 2 $(PYTEST_ARGS)

$(VENV)-lowest/.test: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)-lowest
	$(PYTHON) .ci/lowest.py > $(VENV)-lowest/lowest.txt
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c $(VENV)-lowest/lowest.txt -e ".[plot,test]"
	touch $@

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
