# Tasks of notelake. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
export GX_ANALYTICS_ENABLED := false
export DAGSTER_DISABLE_TELEMETRY := 1
# Tests and what they start keep their byte-code, or each process compiles all of it anew.
unexport PYTHONDONTWRITEBYTECODE
export DAGSTER_HOME := $(CURDIR)/data/dagster

.DEFAULT_GOAL := help
DAGSTER_YAML := $(DAGSTER_HOME)/dagster.yaml
.PHONY: help run ui sql test test-servers faults check bench fuzz docs clean format

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else "notelake needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 run" % v[:2])'
	@echo "Making the environment in $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'

# Byte-code is compiled here, whatever PYTHONDONTWRITEBYTECODE says: without it Great Expectations takes 8 s to import.
$(STAMP): $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --compile -c constraints.txt -e .
	@$(BIN)/python -m compileall -q dagster_project || true
	@touch $@

$(DEV_STAMP): $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --compile -c constraints.txt --group dev -e '.[all,postgres]'
	@touch $@

$(DAGSTER_YAML): dagster_project/defs/dagster.yaml
	@mkdir -p $(DAGSTER_HOME) && cp $< $@

run: $(STAMP) ## set up, and bring the sample sources into the lake
	@$(BIN)/notelake run --answers; code=$$?; [ $$code -eq 0 ] || [ $$code -eq 3 ]

ui: $(STAMP) $(DAGSTER_YAML) ## open the Dagster UI on http://localhost:3000
	@$(BIN)/dagster dev -w workspace.yaml

sql: $(STAMP) ## open the DuckDB shell on the lake
	@$(BIN)/notelake sql

test: $(DEV_STAMP) ## set up, and run the tests that need no server
	@$(BIN)/python -m pytest

test-slow: $(DEV_STAMP) ## run the tests that kill, race and compare whole runs, about as long as all others together
	@$(BIN)/python -m pytest -m slow $$(grep -rl --include='test_*.py' mark.slow tests)

test-servers: $(DEV_STAMP) ## install and start real servers on loopback, and run the tests that need them
	@bash tests/servers/install.sh
	@$(BIN)/python -m pytest -n 0 -m servers tests/servers

KILLS ?= 500

faults: $(DEV_STAMP) ## kill consumers of a stream KILLS=500 times, and compare with what was written
	@KILLS=$(KILLS) $(BIN)/python -m pytest -n 0 -q -s -m long tests/pipeline/test_faults.py

check: $(DEV_STAMP) $(DAGSTER_YAML) ## format, lint, types, import contracts, definitions, docs up to date, the tutorial
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/dg check yaml && VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/dg check defs
	@$(BIN)/python docs/build.py --check
	@$(BIN)/python -m pytest -n 0 -m tour tests/docs

format: $(DEV_STAMP) ## format the code
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix --quiet .

bench: $(DEV_STAMP) ## run the benchmarks and print their tables
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group bench
	@$(BIN)/python benchmarks/run.py

FORMATS ?= markdown plain_text html enex epub pdf docx pptx notebook
SECONDS ?= 600

fuzz: $(DEV_STAMP) ## feed every format's reader what no person would write, SECONDS=600 each (FORMATS="pdf docx")
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group fuzz
	@for format in $(FORMATS); do $(BIN)/python tests/fuzz/fuzz_formats.py $$format --seconds $(SECONDS) || exit 1; done

docs: $(DEV_STAMP) ## write docs/reference from contracts, views, suites, settings and commands
	@$(BIN)/python docs/build.py

clean: ## remove the environment, the lake and what the tools left
	rm -rf $(VENV) .servers build dist data/lake data/dagster .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache benchmarks/.data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
