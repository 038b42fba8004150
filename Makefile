# `make demo` and `make test` need Python 3.11+, pip and make; everything else they bring themselves.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint types docs wheel clean

demo: $(VENV)/.installed        ## reranked product search in a browser
	$(BIN)/rerank-proxy demo

test: $(VENV)/.installed-dev    ## the tests; those that need Java, Maven or Chromium skip where these are absent
	$(BIN)/python -m pytest -m "not slow and not train" $(ARGS)

lint: $(VENV)/.installed-dev    ## style
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev   ## mypy --strict
	$(BIN)/mypy

docs: $(VENV)/.installed        ## the generated pages of docs/
	$(BIN)/python -m proxy.settings.docs

wheel: $(VENV)/.installed-dev   ## dist/*.whl, the models inside
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) dist build

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rerank-proxy needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements/runtime.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements/runtime.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml requirements/runtime.txt requirements/dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements/runtime.txt -r requirements/dev.txt -e .
	touch $@ $(VENV)/.installed
