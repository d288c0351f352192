# Each target is one or two plain commands, also listed in CONTRIBUTING.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-all check format build clean
.PHONY: zoo-docs zoo-report zoo-smoke zoo-smoke-record

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[openvino,dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/medenh demo

test: check
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

build: setup
	$(BIN)/python -m build --wheel --no-isolation

zoo-docs: setup
	$(BIN)/python scripts/zoo_docs.py

# hours; DATA=FOLDER of data packs, MODELS="ID ID" for some models only
zoo-report: setup
	$(BIN)/medenh models remeasure $(MODELS) --data $(or $(DATA),../shared/data) -o zoo-report

zoo-smoke: setup
	$(BIN)/python -m pytest tests/zoo/test_zoo_smoke.py

zoo-smoke-record: setup
	$(BIN)/python tests/zoo/zoo_smoke.py $(MODELS)

clean:
	rm -rf dist build medenh-demo zoo-report
