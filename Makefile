# Needs Python 3.11 or newer, and make.  Everything else goes into .venv.
# `make PYTHON=/path/to/python` picks another interpreter.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
EXTRAS ?= collector,dev
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Where it is set, each process of the tests compiles all modules anew: a second of CPU time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test check lint bench golden docs dashboards frameworks fmt changelog constraints prices proto semconv wheel clean
.DEFAULT_GOAL := help

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.run ## install, start the collector, run the demo agents; Ctrl-C stops
	@exec $(BIN)/agentrun demo

test: .venv/.dev ## all tests, files in turns in two processes; `make test ARGS=tests/runs` some of them
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: lint test ## what CI runs

lint: .venv/.dev ## style, types, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

bench: .venv/.dev ## measure; `make bench ARGS=list` names what there is
	$(BIN)/python -m tests.bench $(ARGS)

golden: .venv/.dev ## write tests/golden anew; review the diff
	$(BIN)/python -m tests.golden

docs: .venv/.dev dashboards ## write the generated pages of docs/, schemas and dashboards anew
	$(BIN)/python -m collector.config
	$(BIN)/python -m collector.rules.reference
	$(BIN)/python -m tools.generate_dialects

dashboards: .venv/.dev ## write dashboards/json from tools/dashboards and dashboards/queries
	$(BIN)/python -m tools.dashboards

frameworks: .venv/.dev ## play agents of real frameworks and record it in docs/enforcement.md
	$(BIN)/python -m tests.frameworks.enforcement --write $(ARGS)

fmt: .venv/.dev ## format, and repair what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

changelog: .venv/.dev ## move changelog.d/ into CHANGELOG.md: make changelog VERSION=0.2.0
	$(BIN)/python -m tools.changelog $(VERSION)

constraints: .venv/.dev ## write constraints.txt from what is installed in .venv
	$(BIN)/python -m tools.constraints

prices: .venv/.dev ## write otel_agentrun/prices_data.json from the installed genai-prices
	$(BIN)/python -m tools.generate_prices

proto: .venv/.dev ## write otel_agentrun/control_pb2.py from schemas/control.proto
	$(BIN)/python -m tools.generate_control

semconv: .venv/.dev ## write otel_agentrun/semconv.py and docs/semconv.md from schemas/semconv
	$(BIN)/python -m tools.generate_semconv

wheel: .venv/.dev ## build dist/*.whl
	$(BIN)/python -m build --wheel --outdir dist .

clean: ## remove what was built, not .venv and not .agentrun
	rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.python:
	@"$(PYTHON)" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Error: Python 3.11 or newer with its venv module is needed; found: $(PYTHON)"; \
	  echo "  Fix: install it (Debian: apt-get install python3-venv), or make PYTHON=/path/to/it"; \
	  exit 2; }
	@"$(PYTHON)" -m venv .venv
	@touch $@

.venv/.run: .venv/.python pyproject.toml constraints.txt
	@echo "Installing otel-agentrun into .venv ..."
	@$(INSTALL) -e '.[collector]'
	@touch $@

.venv/.dev: .venv/.python pyproject.toml constraints.txt
	@echo "Installing otel-agentrun and its development tools into .venv ..."
	@$(INSTALL) -e '.[$(EXTRAS)]'
	@touch $@ .venv/.run
