# Default target prints help.  Two commands matter: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMPS := $(VENV)/.stamps
# Bytecode is written even where the environment forbids it: without it each start of a command compiles everything.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
# Their files are in memory: they sync thousands of times.
UNIT   := -n logical --maxprocesses 8 --in-memory -o tmp_path_retention_policy=failed

.DEFAULT_GOAL := help
.PHONY: help demo test fast lint types layers torture system soak month scale mutate fuzz bench release deb accuracy drives bless system-packages train-detector train-ocr clean

help: ## Print this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "patrol-lpr needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "the venv module is missing; on Debian run: sudo apt-get install python3-venv" >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/demo: $(STAMPS)/venv pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[litert,station,report]'
	@touch $@

$(STAMPS)/dev: $(STAMPS)/venv pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[litert,station,postgres,report,oidc,evidence,dev]'
	@touch $@ $(STAMPS)/demo

demo: $(STAMPS)/demo ## Watch the whole product work: drives, reads, receipts, a report
	$(BIN)/patrol-lpr demo --out demo-out

system-packages: ## Install what the tests need from the operating system (or say what to install)
	@.ci/system-packages

test: $(STAMPS)/dev system-packages lint types layers ## Everything: linters, types, layering, all tests
	@# A module that cannot be imported is told now, not after the unit tests.
	@$(PYTEST) tests tests/system --collect-only -qq >$(STAMPS)/collected || { tail -n 40 $(STAMPS)/collected; exit 1; }
	$(PYTEST) tests -m 'not integration' $(UNIT)
	$(PYTEST) tests -m integration -n 2 --dist loadfile

fast: $(STAMPS)/dev ## The quick ones of the tests, fewer drawn examples: under a minute on two cores, no broker, no root
	$(PYTEST) tests -m 'not integration and not slow' $(UNIT) --hypothesis-profile fast

lint: $(STAMPS)/dev system-packages ## ruff and shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	shellcheck .ci/run .ci/system-packages provision/install.sh \
	  provision/station/debian/postinst provision/station/debian/prerm provision/station/debian/postrm \
	  provision/tryboot/slots provision/tryboot/healthy provision/cloud-init/fill provision/rpi-image-gen/build

types: $(STAMPS)/dev ## mypy --strict
	$(BIN)/mypy

layers: $(STAMPS)/dev ## import-linter: hw never imports agent
	$(BIN)/lint-imports

torture: $(STAMPS)/dev system-packages ## Thousands of power cuts and kills at named points (FAULTS=4000 SEED=1, POSTGRES=1: station on PostgreSQL)
	$(BIN)/python -m tests.torture --faults $(or $(FAULTS),4000) --seed $(or $(SEED),1) $(if $(POSTGRES),--postgres)

system: $(STAMPS)/dev system-packages ## Emulated boards from blank card to power-off, aarch64 reads; 1,000 camera cycles
	$(BIN)/python -m pytest tests/system --timeout 5400 -o faulthandler_timeout=6000 -s
	PATROL_CAMERA_CYCLES=1000 $(BIN)/python -m pytest tests/integration/test_trixie.py tests/integration/test_systemd.py \
	  --timeout 3000 -o faulthandler_timeout=3600 --durations 0

soak: $(STAMPS)/dev ## A simulated week of drives with random faults, and the month (DAYS=7 SEED=1)
	$(BIN)/python -m tests.soak --days $(or $(DAYS),7) --seed $(or $(SEED),1)
	$(MAKE) month

month: $(STAMPS)/dev ## A simulated month of 20 units at full size: records, holds, purges, plan, hours, incidents; an administrator who alters them
	PATROL_MONTH=full $(BIN)/python -m pytest tests/integration/test_simulated_month.py \
	  tests/integration/test_month_deployment.py --timeout 1800

mutate: $(STAMPS)/dev system-packages ## Changes that break a promise, each with the tests that must notice (WORDS=seal JOBS=2)
	$(BIN)/python -m tests.mutate --jobs $(or $(JOBS),2) $(WORDS)

scale: $(STAMPS)/dev system-packages ## 5,000 units, 2 shards, 3 workers, PostgreSQL with a replica; kills and a fail-over (UNITS=5000 SEED=1)
	$(BIN)/python -m tests.scale --units $(or $(UNITS),5000) --seed $(or $(SEED),1)

fuzz: $(STAMPS)/dev ## Every parser that faces strangers, MINUTES each (MINUTES=10 SEED=1)
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

bench: $(STAMPS)/dev ## Ratios against the bare libraries in the same run
	$(BIN)/python -m bench

accuracy: $(STAMPS)/dev ## Score the shipped bundles on ../shared/data/dev (CARD=1 renews card and reference)
	$(BIN)/python -m bench.accuracy $(if $(CARD),--card --out bench/reference/accuracy.json)

bless: $(STAMPS)/dev ## Accept new goldens on purpose (commit them alone and say why)
	$(BIN)/python -m pytest tests --bless -m 'not integration'

RELEASE := dist/patrol_lpr-*.whl dist/patrol-lpr.cdx.json dist/SHA256SUMS dist/unit dist/tools
release: $(STAMPS)/venv ## A release in dist/: wheel, SBOM (CycloneDX) of what a unit runs, hashes
	mkdir -p dist && rm -rf $(RELEASE)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(PYTHON) -m venv dist/unit
	dist/unit/bin/python -m pip install --quiet "$$(ls dist/patrol_lpr-*.whl)[litert]"
	dist/unit/bin/python -m pip uninstall --quiet --yes pip setuptools
	$(PYTHON) -m venv dist/tools
	dist/tools/bin/python -m pip install --quiet 'cyclonedx-bom>=6,<8'
	dist/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
	  --validate --output-file dist/patrol-lpr.cdx.json dist/unit
	rm -rf dist/unit dist/tools
	cd dist && sha256sum -- patrol_lpr-*.whl patrol-lpr.cdx.json > SHA256SUMS && cat SHA256SUMS

DEB_WHEELS := dist/deb-wheels
deb: $(STAMPS)/demo ## The Debian package of the station in dist/, for this machine's Python and architecture
	rm -rf $(DEB_WHEELS) && mkdir -p $(DEB_WHEELS)
	$(BIN)/python -m pip wheel --quiet --wheel-dir $(DEB_WHEELS) '.[station,postgres,oidc]'
	$(BIN)/python -m provision.make_deb --wheels $(DEB_WHEELS) --out dist

clean: ## Remove what make made
	if [ -e $(STAMPS)/venv ]; then rm -rf $(VENV); fi
	if [ -e demo-out/.patrol-lpr-demo ]; then rm -rf demo-out; fi
	rm -rf $(RELEASE) $(DEB_WHEELS) dist/patrol-lpr-station_*.deb

TRAIN := .venv-train
RUNS  ?= ../runs
$(TRAIN)/.installed: models/training/requirements.txt pyproject.toml
	$(PYTHON) -m venv $(TRAIN)
	$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check -r models/training/requirements.txt -e .
	@touch $@

train-detector: $(TRAIN)/.installed ## Train the detector from ../shared/data (hours on two cores; resumes)
	$(TRAIN)/bin/python -m models.training.detector --data ../shared/data --out $(RUNS)/detector

train-ocr: $(TRAIN)/.installed ## Train the OCR from ../shared/data (hours on two cores; resumes)
	$(TRAIN)/bin/python -m models.training.ocr --data ../shared/data --out $(RUNS)/ocr

drives: $(TRAIN)/.installed ## Draw the drives of tests/drives again
	$(TRAIN)/bin/python -m models.training.render all --out tests/drives
