# Everything starts here. `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.runtime
DEV_STAMP := .venv/.development
# Of the tests; `auto` goes by the number of processors (tests/parts.py).
PROCESSES ?= auto
# What `make test-fast` leaves out besides the tests marked e2e and chaos: random stories, a suite, servers of their own.
SLOW := tests/property tests/benchmarks tests/project/test_stack.py tests/project/test_leftover_postgres.py
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

# No address of a package index is written: a lock file holds wherever its reader downloads from.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --no-annotate -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help up test test-fast check e2e chaos hostile mutants bench bench-all bench-quick migrate docs lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(STAMP) ## Start everything: PostgreSQL, Valkey, web, worker, beat, Flower; Ctrl-C stops it
	@exec $(BIN)/python -m project.up

test: $(DEV_STAMP) ## Run the whole suite on servers of its own, in several processes; fails after 12 minutes
	@$(BIN)/python -m pytest -n $(PROCESSES) --limit-minutes 12

test-fast: $(DEV_STAMP) ## Run it without e2e, chaos, property and server tests, in about 90 seconds
	@$(BIN)/python -m pytest -n $(PROCESSES) -m "not e2e and not chaos" $(SLOW:%=--ignore %)

check: $(DEV_STAMP) ## Lint, types, migrations complete, system checks with deploy settings
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@DJANGO_SETTINGS_MODULE=project.settings_static $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@DJANGO_SETTINGS_MODULE=project.settings_static STEPWISE_HTTPS=1 TRUSTED_PROXIES=1 $(BIN)/python manage.py check --deploy --fail-level WARNING

e2e: $(DEV_STAMP) ## Only the tests that start real processes (`make test` runs them too)
	@$(BIN)/python -m pytest -m e2e

chaos: $(DEV_STAMP) ## The full fault table, half an hour; writes docs/reliability.md (`make test` runs its short form)
	@STEPWISE_CHAOS=full $(BIN)/python -m pytest tests/chaos

hostile: $(DEV_STAMP) ## Hostile inputs, each within its bound; writes the table of docs/security.md; a few minutes
	@$(BIN)/python -m tests.hostile
	@STEPWISE_API_CASES=5000 $(BIN)/python -m pytest -q tests/runs/api/test_openapi_cases.py

mutants: $(DEV_STAMP) ## Break one promise after the other, and see a test catch each; about 5 minutes
	@$(BIN)/python -m tests.mutants

bench: $(DEV_STAMP) ## Measure beside a bare Celery chain, A B A B, and write docs/performance.md; about an hour
	@$(BIN)/python -W ignore -m benchmarks

bench-all: $(DEV_STAMP) ## Every figure of docs/performance.md again, ten million runs too; about two and a half hours
	@for suite in "" .ingest .effects .http_shapes .shapes .idle .backlog ".volume --runs 10000000 --prune 1000000"; do \
		$(BIN)/python -W ignore -m benchmarks$$suite || exit 1; done
	@$(MAKE) docs

bench-quick: $(DEV_STAMP) ## Its main figures in about five minutes, less exactly
	@$(BIN)/python -W ignore -m benchmarks --quick

migrate: $(STAMP) ## Bring the running installation's database up to date
	@DATABASE_STATEMENT_TIMEOUT_SECONDS=0 $(BIN)/python manage.py migrate

docs: $(DEV_STAMP) ## Write the pages of docs/ that are generated from the code
	@DJANGO_SETTINGS_MODULE=project.settings_static $(BIN)/python manage.py write_docs
	@$(BIN)/python -m tests.chaos
	@$(BIN)/python -m tests.hostile --page
	@$(BIN)/python -m benchmarks.page

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "stepwise: $(PYTHON) is missing or older than 3.11; install Python 3.11 or newer, or run make PYTHON=/path/to/it" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "stepwise: $(PYTHON) has no venv module; install it (Debian, Ubuntu: apt install python3-venv) and run make again" >&2; exit 1; }
	@echo "making .venv: about 10 seconds"
	@$(PYTHON) -m venv .venv

lock: $(DEV_STAMP) ## Write the lock files anew: every package with the hashes of its files, for all platforms
	@$(LOCK) requirements.txt -o requirements.lock
	@$(LOCK) requirements-dev.txt -o requirements-dev.lock

# What is downloaded has to have one of the hashes of the lock file, wherever it comes from.
$(STAMP): requirements.lock | $(BIN)/python
	@echo "installing requirements.lock: 20 seconds to some minutes, by the speed of the downloads"
	@$(PIP) --require-hashes -r requirements.lock
	@touch $@

$(DEV_STAMP): requirements.lock requirements-dev.lock | $(BIN)/python
	@echo "installing requirements-dev.lock: 20 seconds to some minutes, by the speed of the downloads"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@ $(STAMP)
