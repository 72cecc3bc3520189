# make demo | test | check | bench | prove PART=NAME | results | docs | reference | release | up | down | clean
PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
  BIN := $(VENV)/Scripts
else
  BIN := $(VENV)/bin
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PART ?=
# Modules are compiled once, not at every start of every process.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check bench prove results up down clean
.PHONY: docs reference evidence architecture screenshots notebook sbom release audit-packages

demo: $(VENV)/.core
	@$(BIN)/aegis demo

test: $(VENV)/.all $(VENV)/.browser $(VENV)/.axe $(VENV)/.java $(VENV)/.prosody $(VENV)/.postgres
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/.all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/black --check -q src/
	$(BIN)/mypy src/
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 -q -m "not prove and not engine"

bench: $(VENV)/.all
	$(BIN)/aegis bench engine --out benchmarks/results/engine
	$(BIN)/aegis bench privacy --out benchmarks/results/privacy

prove: $(VENV)/.all $(VENV)/.axe
	@test -n "$(PART)" || { echo "Say which: make prove PART=$$(ls tests/prove | sed -n 's/^test_\(.*\)\.py$$/\1/p' | paste -sd'|' -)"; exit 2; }
	$(BIN)/python -m pytest -m prove tests/prove/test_$(PART).py -s

results: $(VENV)/.core
	$(BIN)/python benchmarks/readme_results.py

# the site in site/; it opens from the folder, without a network
docs: $(VENV)/.all
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

# pages that are made from the code and from what was measured; tests compare them
reference: $(VENV)/.all
	$(BIN)/python -m tools.reference

evidence: $(VENV)/.all
	$(BIN)/python -m tools.evidence
	$(BIN)/python -m tools.faults
	$(BIN)/python -m tools.scale

architecture: $(VENV)/.all $(VENV)/.browser
	$(BIN)/python -m tools.architecture

# pictures of both consoles, from real runs; needs AEGIS_DATA_DIR and Chromium
screenshots: $(VENV)/.all $(VENV)/.browser
	$(BIN)/python -m tools.screenshots

notebook: $(VENV)/.all
	$(BIN)/python -m tools.notebook

# wheel, source archive and bill of materials in dist/
release: $(VENV)/.all
	$(BIN)/python -m tools.release

sbom: $(VENV)/.all
	$(BIN)/python -m tools.sbom --out dist/sbom.cdx.json

audit-packages: $(VENV)/.all
	$(BIN)/python -m tools.release --audit

# a coordinator and five hospitals in containers; docs/deploying.md
up:
	docker compose up -d --build

down:
	docker compose down

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Aegis needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make demo PYTHON=python3.11"; exit 2; }
	@echo "making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.python pyproject.toml
	@echo "installing the core (once) ..."
	@$(PIP) install --no-compile -e ".[serve]"
	@touch $@

# Pages are tested in a real browser; without one, and without the right to install it, they skip.
$(VENV)/.browser: $(VENV)/.python
	@command -v chromium >/dev/null 2>&1 || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null 2>&1 && \
	  echo "installing Chromium for the browser tests (once) ..." && \
	  apt-get update -qq && apt-get install -y -qq chromium >/dev/null 2>&1; } || \
	  echo "no Chromium here: browser tests will skip"
	@touch $@

# axe-core judges the pages; it comes through npm, and without that the tests of pages skip it.
$(VENV)/.axe: $(VENV)/.all tools/axe.py
	@command -v npm >/dev/null 2>&1 && $(BIN)/python -m tools.axe || \
	  echo "no axe-core here: pages are not judged by it"
	@touch $@

# Spark hospitals are tested with a real Spark, which needs Java; without it their tests skip.
$(VENV)/.java: $(VENV)/.python
	@command -v java >/dev/null 2>&1 || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null 2>&1 && \
	  echo "installing a Java runtime for the Spark tests (once) ..." && \
	  apt-get update -qq && apt-get install -y -qq openjdk-17-jre-headless >/dev/null 2>&1; } || \
	  echo "no Java here: Spark tests will skip"
	@touch $@

# The journal and queries are tested at a real PostgreSQL; without one those tests skip.
$(VENV)/.postgres: $(VENV)/.python
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null 2>&1 && \
	  echo "installing PostgreSQL for the tests of the journal (once) ..." && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql </dev/null >/dev/null 2>&1; } || \
	  echo "no PostgreSQL here: its tests will skip"
	@touch $@

# The XMPP road is tested through a real Prosody; without one its tests skip.
$(VENV)/.prosody: $(VENV)/.python
	@command -v prosody >/dev/null 2>&1 || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null 2>&1 && \
	  echo "installing Prosody for the XMPP tests (once) ..." && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq prosody </dev/null >/dev/null 2>&1; } || \
	  echo "no Prosody here: XMPP tests will skip"
	@touch $@

$(VENV)/.all: $(VENV)/.python pyproject.toml
	@echo "installing everything the tests need (once) ..."
	@$(PIP) install --no-compile -e ".[dev,serve,spark,postgres,torch,simulation,xmpp,mlflow-server,s3]"
	@$(PIP) install --no-deps byzfl==0.0.11 || echo "no ByzFL here: its comparison will skip"
	@touch $@ $(VENV)/.core
