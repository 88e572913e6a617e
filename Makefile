# The one entry point of people and of CI. `make help` lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?= python3
VENV := backend/.venv
BIN := $(CURDIR)/$(VENV)/bin
PIP_INSTALL := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes

# Settings come from the environment first and from .env second; make sets none of them itself.

.PHONY: help run test check format admin migrate openapi bench drill fuzz lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime .env ## install what is missing, migrate the embedded database, serve
	@cd backend && exec "$(BIN)/python" -m app.cli serve

test: $(VENV)/.dev ## all tests on SQLite, and what uses a database on TEST_POSTGRES_URL and TEST_MYSQL_URL where set
	@cd backend && exec "$(BIN)/python" -m tools.suite test

check: $(VENV)/.dev ## the tests, and: format, lint, types, imports, own rules, migrations, coverage, secrets
	@cd backend && exec "$(BIN)/python" -m tools.suite check

format: $(VENV)/.dev ## format the code and repair what can be repaired
	@cd backend && "$(BIN)/ruff" check --quiet --fix-only . ../scripts && "$(BIN)/ruff" format . ../scripts

admin: $(VENV)/.runtime .env ## create the first admin, from FIRST_SUPERUSER_EMAIL and _PASSWORD or a prompt
	@cd backend && exec "$(BIN)/python" ../scripts/create_admin.py

migrate: $(VENV)/.runtime .env ## bring the database of DATABASE_URL to the newest revision
	@cd backend && exec "$(BIN)/python" -m app.cli db upgrade

openapi: $(VENV)/.runtime .env ## write the API's description to backend/var/openapi.json
	@mkdir -p backend/var
	@cd backend && "$(BIN)/python" -m app.cli export-openapi > var/openapi.json && echo "backend/var/openapi.json"

bench: $(VENV)/.dev ## measure the speed against its goals (OPTIONS="--help" tells of the parts)
	@cd backend && exec "$(BIN)/python" -m tools.bench $(OPTIONS)

drill: $(VENV)/.dev ## kill, cut off and stall a running service, and count what was lost (OPTIONS="--help")
	@cd backend && exec "$(BIN)/python" -m tools.drill $(OPTIONS)

fuzz: $(VENV)/.dev ## send ten thousand generated requests and the nasty corpus, and look for a fault
	@cd backend && exec "$(BIN)/python" -m tools.fuzz $(OPTIONS)

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-config --no-header \
	--no-emit-index-url --no-emit-find-links --quiet $(if $(UPGRADE),--upgrade)

lock: $(VENV)/.dev ## pin the requirements of pyproject.toml with hashes (UPGRADE=1: the newest ones)
	@cd backend && "$(BIN)"/$(LOCK) pyproject.toml -o requirements/runtime.txt
	@cd backend && "$(BIN)"/$(LOCK) --group dev -c requirements/runtime.txt pyproject.toml -o requirements/dev.txt

clean: ## remove the virtual environment and every cache; databases and .env stay
	@rm -rf $(VENV) backend/.mypy_cache backend/.pytest_cache backend/.ruff_cache backend/.import_linter_cache \
		backend/.hypothesis backend/var/coverage
	@find backend scripts -type d -name __pycache__ -prune -exec rm -rf {} +

# --- what the targets stand on -------------------------------------------------------------------------------------

$(VENV)/pyvenv.cfg:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed; Python 3.11 or newer is needed." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 …" >&2; \
		exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

# A stamp is younger than the pins it was installed from, so that a second run costs nothing.
$(VENV)/.runtime: backend/requirements/runtime.txt $(VENV)/pyvenv.cfg
	@echo "Installing the requirements into $(VENV) …"
	@$(PIP_INSTALL) -r backend/requirements/runtime.txt
	@touch $@

$(VENV)/.dev: backend/requirements/dev.txt $(VENV)/.runtime
	@echo "Installing the development tools into $(VENV) …"
	@$(PIP_INSTALL) -r backend/requirements/dev.txt
	@touch $@

.env:
	@$(PYTHON) scripts/create_env.py
