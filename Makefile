# make demo     reconstruct the sample radiographs and print the error against the known truth
# make test     lint, then every test
# make lint     style and types
# make format   put the style right
# make clean    remove what the targets above made
#
# Each sets itself up from nothing in .venv; a second call does not install again. No display and
# no GPU are needed. Settings: PYTHON (3.10 to 3.13), TORCH (what pip installs), WORKERS.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --prefer-binary

# The build of PyTorch is settled before the rest, which must not exchange it for another (one for
# GPUs takes gigabytes). TORCH="torch==2.13.0 --index-url …" takes it from another index.
TORCH ?= torch==2.13.0
CONSTRAINTS := $(VENV)/constraints.txt
WORKERS ?= 2

SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(foreach name,python3.12 python3.11 python3.13 python3.10 python3,\
  $(shell $(name) -c "$(SUITABLE)" >/dev/null 2>&1 && echo $(name))))

.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime
	$(BIN)/xrayto3d demo

# One thread a worker: the workers share the cores already. Files stay whole, for their fixtures.
test: lint
	OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 MPLBACKEND=Agg \
	  $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --durations=15 $(PYTEST_ARGS)

lint: $(VENV)/.development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	if [ -x $(BIN)/mypy ]; then $(BIN)/mypy; fi

format: $(VENV)/.development
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build dist demo *.egg-info .pytest_cache .ruff_cache .mypy_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.10 to 3.13 with venv was found: install one, or name it, as in make PYTHON=/path/to/python3.12 demo." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV); this takes some minutes the first time."
	$(PIP) "setuptools>=77" $(TORCH)
	$(BIN)/python -m pip freeze | grep "^torch==" > $(CONSTRAINTS)
	$(PIP) --constraint $(CONSTRAINTS) --editable .
	touch $@

$(VENV)/.development: $(VENV)/.runtime
	$(PIP) --constraint $(CONSTRAINTS) --editable ".[dev,oracles]"
	touch $@
