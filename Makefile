# Everything runs in a virtual environment of its own, .venv, which is made on first use.
# Needed: Python 3.11 or newer with its venv module. PYTHON=... names one; else the first that fits is taken.

VENV := .venv
BIN := $(VENV)/bin
CONSUMERS := .venv-consumers
AIRFLOW := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mixtape/airflow
CANDIDATES := $(or $(PYTHON),python3.12 python3.11 python3 python3.13 python)
PACKAGING := setup.py pyproject.toml transforms/version.py
CODE := pipelines transforms tests deploy $(wildcard benchmarks) setup.py
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-stores test-runners test-schedules test-consumers test-benchmarks benchmark lint format format-check types ci clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: $(VENV)/installed ## make a small corpus from generated speech and noise, with a report
	$(BIN)/mixtape demo

test: $(VENV)/installed-test ## run all tests that need no servers
	$(BIN)/python -m pytest -n 2 -m "not stores and not runners and not schedules and not benchmarks"

test-stores: $(VENV)/installed-test ## run the tests of object stores, on servers that Go installs if they are absent
	$(BIN)/python -m pytest -n 0 -m stores tests/stores

test-runners: $(VENV)/installed-test ## run jobs on Prism, Flink and Spark, fetched and brought up here (20 minutes)
	$(BIN)/python -m pytest -n 0 -m runners tests/runners

test-schedules: $(VENV)/installed-test $(AIRFLOW)/installed ## load the schedules with Airflow and Flink's schema, by hand: CI does not (downloads 1 GB)
	$(BIN)/python -m pytest -n 0 -m schedules tests/deploy

test-consumers: $(CONSUMERS)/installed ## load corpora with the readers that need PyTorch (downloads 3 GB; needs FFmpeg)
	$(CONSUMERS)/bin/python -m pytest tests/consumers/with_torch

test-benchmarks: $(VENV)/installed-test ## run every comparison of the benchmarks on tiny corpora, by hand: CI does not (10 minutes; needs strace)
	$(BIN)/python -m pytest -n 2 -m benchmarks tests/benchmarks

benchmark: $(VENV)/installed-test ## compare with other ways to do the same (25 minutes; needs 18 GB in /dev/shm, strace)
	$(BIN)/python -m benchmarks

lint: $(VENV)/installed-test ## look for mistakes and departures from the style
	$(BIN)/ruff check $(CODE)

format: $(VENV)/installed-test ## bring the code into the common format
	$(BIN)/ruff format $(CODE)

format-check: $(VENV)/installed-test ## tell whether the code is in the common format
	$(BIN)/ruff format --check $(CODE)

types: $(VENV)/installed-test ## check the types
	$(BIN)/mypy

ci: ## what has to pass before a change is merged
	.ci/run

clean: ## remove the virtual environment, caches and the demo's corpus
	rm -rf $(VENV) $(CONSUMERS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-corpus
	find pipelines transforms tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for candidate in $(CANDIDATES); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$("$$candidate" --version)"; \
	    "$$candidate" -m venv $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	    echo "'$$candidate -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    exit 1; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer found (tried: $(CANDIDATES)); install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1

$(VENV)/installed: $(PACKAGING) | $(BIN)/python
	@echo "Installing Mixtape into $(VENV); the first time this takes a minute or two"
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: $(PACKAGING) | $(BIN)/python
	@echo "Installing Mixtape and its tests' needs into $(VENV); the first time this takes a minute or two"
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/installed

$(CONSUMERS)/installed: $(PACKAGING) $(wildcard tests/consumers/*.txt) | $(BIN)/python
	@echo "Installing Mixtape and readers of its corpora into $(CONSUMERS); the first time this takes some minutes"
	$(BIN)/python -m venv $(CONSUMERS)
	$(CONSUMERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --editable '.[video]' --requirement tests/consumers/requirements.txt
	$(CONSUMERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --requirement tests/consumers/readers.txt
	@touch $@

$(AIRFLOW)/installed: | $(BIN)/python
	@echo "Installing Airflow into $(AIRFLOW); this takes several minutes"
	$(BIN)/python -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/python -m pip install --quiet --disable-pip-version-check \
	  'apache-airflow>=3.3,<3.4' apache-airflow-providers-apache-beam apache-airflow-providers-google
	@touch $@
