# The same commands by hand and in CI; `make` alone lists them.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help sweep test test-slow test-crash lint types check wheel install clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo '  ARGS="..." adds flags to sweep and test; PYTHON=... names the Python that .venv is made of.'

sweep: $(VENV)/.installed ## Run a sweep of 50 trials, or resume it
	$(BIN)/python -m sweeps.run --trials 50 $(ARGS)

test: $(VENV)/.installed-test ## Run the quick tests, some 5 minutes
	$(BIN)/python -m pytest $(ARGS)

test-slow: $(VENV)/.installed-test ## Run the others: whole sweeps, killed and resumed, on clusters and servers
	$(BIN)/python -m pytest -m "slow and not crash" $(ARGS)

test-crash: $(VENV)/.installed-test ## Kill sweeps at random moments; CRASHES=300 and CRASH_SEED=0 choose which
	$(BIN)/python -m pytest -m crash tests/test_crashes.py tests/test_user_code.py $(ARGS)

lint: $(VENV)/.installed-test ## Check style, format, and which folder imports which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(VENV)/.installed-test ## Check types
	$(BIN)/mypy

check: lint types test test-slow ## All: lint, types, test, test-slow

wheel: $(VENV)/.installed-test ## Build dist/*.whl, and try it outside of this folder
	rm -rf build dist
	$(BIN)/python -m pip wheel --disable-pip-version-check --quiet --no-deps --wheel-dir dist .
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --target dist/installed dist/*.whl
	mkdir dist/tried
	cd dist/tried && export PYTHONPATH=../installed && \
	../../$(BIN)/python -c 'import sweeps; assert "installed" in sweeps.__file__' && \
	../installed/bin/sweeps space --show >space.toml && \
	../../$(BIN)/python ../installed/bin/sweeps run --dataset digits --space space.toml --trials 2 --epochs 1 >sweep.txt && \
	../../$(BIN)/python ../installed/bin/sweeps report --format html -o report.html

install: $(VENV)/.installed-test ## Make .venv with everything in it, test tools too

clean: ## Remove .venv, builds and caches; runs, studies and data stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find sweeps trainer tests -name __pycache__ -prune -exec rm -rf {} +

# Each stamp is as new as the last install; what it was installed from being newer installs again.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Installing into $(VENV): about 5 minutes and 7 GB the first time, most of it torch.'
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Installing into $(VENV): about 5 minutes and 7 GB the first time, most of it torch.'
	$(INSTALL) -e '.[test]'
	@touch $(VENV)/.installed $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
	{ echo "error: Python must be 3.11 to 3.13, but '$(PYTHON) -V' says: $$($(PYTHON) -V 2>&1)." \
	"Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	{ echo "error: $(PYTHON) must have its modules venv and ensurepip, but has not." \
	"On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
