# Each target is one or two plain commands, also listed in CONTRIBUTING.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
AUDIT := .audit

.PHONY: setup demo test check format build clean
.PHONY: zoo-docs zoo-report zoo-smoke zoo-smoke-record audit sbom

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[openvino,onnx,dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/medenh demo

test: check
	$(BIN)/python -m pytest -n auto --dist worksteal

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

build: setup
	$(BIN)/python -m build --wheel --no-isolation

# tools that need the network, in an environment of their own
$(AUDIT)/.installed:
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit cyclonedx-bom
	touch $@

# all that is installed, against the advisories; fails where one package cannot be asked for
audit: setup $(AUDIT)/.installed
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > $(AUDIT)/installed.txt
	$(AUDIT)/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r $(AUDIT)/installed.txt

sbom: setup $(AUDIT)/.installed
	mkdir -p dist
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  -o dist/medenh-$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' medenh/__init__.py).cdx.json $(BIN)/python

zoo-docs: setup
	$(BIN)/python scripts/zoo_docs.py

# 25 minutes of CPU time; DATA=FOLDER of data packs, MODELS="ID ID" for some models only
zoo-report: setup
	$(BIN)/medenh models remeasure $(MODELS) --data $(or $(DATA),../shared/data) -o zoo-report

zoo-smoke: setup
	$(BIN)/python -m pytest tests/zoo/test_zoo_smoke.py

zoo-smoke-record: setup
	$(BIN)/python tests/zoo/zoo_smoke.py $(MODELS)

clean:
	rm -rf dist build medenh-demo zoo-report $(AUDIT)
