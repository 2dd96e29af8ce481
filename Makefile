# Everything a developer does, by name. `make` alone tells.
PYTHON ?= .venv/bin/python
BIN := $(dir $(PYTHON))
LOCALES := hychat/messages/locale
LAYOUT := --domain hychat --width 120 --init-missing --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date

help: ## Tell what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Make .venv with everything for development
	python3 -m venv .venv
	.venv/bin/pip install -e '.[dev]'

check: lint types layers test ## All that must hold before a change is handed in

lint: ## Style
	$(BIN)ruff check .
	$(BIN)ruff format --check .

types: ## Types
	$(BIN)mypy

layers: ## Which module may import which
	$(BIN)lint-imports

test: ## Behaviour
	$(PYTHON) -m pytest

build/rpc: # llama.cpp with RPC, by whose workers offload is tested on a machine without a GPU
	CMAKE_ARGS=-DGGML_RPC=on $(PYTHON) -m pip install -q --no-cache-dir --no-deps --no-binary llama-cpp-python \
	    --target build/rpc "llama-cpp-python==$$($(PYTHON) -c 'from importlib.metadata import version as v; print(v("llama-cpp-python"))')"

offload-check: build/rpc ## Test offload on workers; compiles llama.cpp once, which takes minutes
	HYCHAT_TEST_RPC=$(CURDIR)/build/rpc/llama_cpp/lib $(PYTHON) -m pytest -m rpc tests/test_offload.py

trials: ## Long runs of many random cases
	$(PYTHON) -m pytest -m trial -s --timeout 1800

snapshots: ## Keep the chat's pictures as they are now; look at them before you hand them in
	HYCHAT_SNAPSHOTS=1 $(PYTHON) -m pytest tests/test_tui_snapshots.py

screenshots: ## Draw the README's pictures anew, from real runs
	$(PYTHON) -m tests.pictures.make
	$(PYTHON) -m tests.pictures.chat

bench: ## Speed and memory, as ratios; on a quiet machine
	$(PYTHON) -m tests.bench

format: ## Put the code into shape
	$(BIN)ruff check --fix .
	$(BIN)ruff format .

messages: ## Bring the message catalogues up to date with the code
	mkdir -p build
	$(BIN)pybabel -q extract --no-default-keywords -k _ -k ngettext:1,2 --no-location --sort-output --width 120 \
	    --project hychat -o build/hychat.pot hychat
	for locale in en zh_CN; do \
	    $(BIN)pybabel -q update $(LAYOUT) -i build/hychat.pot -d $(LOCALES) -l $$locale || exit 1; \
	done
	$(BIN)pybabel -q compile --domain hychat -d $(LOCALES)

training-check: ## Test what makes the filter's weights; brings torch
	$(PYTHON) -m pip install -q -e '.[train]'
	$(PYTHON) -m pytest tests/training/tiny_run.py

.PHONY: offload-check training-check help setup check lint types layers test trials snapshots screenshots bench format messages
