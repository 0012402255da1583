# On a fresh machine, `make quickstart` or `make test` is all it takes; see tools/setup.sh.
QUICKSTART = .venv/bin/vlaeval quickstart
PYTEST = .venv/bin/pytest
SOURCES = vla_eval vlaeval_launcher envs policies protocols plugins examples benchmarks tests tools
# Checked by mypy: everything but examples and tests, of which only tests/typing promises types.
TYPED = vla_eval vlaeval_launcher envs policies protocols benchmarks $(wildcard tools/*.py) tests/typing

# A run of the tests starts hundreds of Python processes. Without kept bytecode each compiles what it
# imports: torch then takes four seconds to import, not one.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help dev first-look quickstart install test fast-tests test-slow test-ray test-extras validate torture mutants docs lint format lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

# Tests beside the core's: nearly all need a simulator, torch or minutes.
BESIDE = benchmarks envs examples policies tools

dev: ## set up the core alone, and run its quick tests: seconds, and no simulator and no torch
	@tools/setup.sh dev
	$(PYTEST) -n auto --dist loadfile -m "not slow and not long" $(BESIDE:%=--ignore=tests/%)

first-look: ## set up the SO-101 simulator, and compare two scripted policies
	@tools/setup.sh first-look
	$(QUICKSTART) --scripted

quickstart: ## set up that and torch, and compare a one-step student with its teacher in real time
	@tools/setup.sh quickstart
	$(QUICKSTART)

install: ## set up everything: SO-101, LIBERO, development tools
	@tools/setup.sh install

test: install ## set up everything, lint, run the fast tests
	@# Side by side: mypy alone would leave the other cores idle for a minute.
	@$(MAKE) --no-print-directory -j 2 lint fast-tests

fast-tests: install
	$(PYTEST) -n auto -m "not slow"

# Tests of one group share what one of them started: a Ray cluster of two nodes.
test-slow: install ## run the slow tests, with those on a Ray cluster
	$(PYTEST) -n auto --dist loadgroup -m slow

test-ray: install ## run the tests on a Ray cluster alone: about a minute on two free cores
	$(PYTEST) -n 0 tests/engine/test_ray_crew.py tests/engine/test_ray_doctor.py

# Trackers, Rerun, Lightning and others: 1.2 GB beside what `make install` brings.
test-extras: ## run the tests of what is around a run, each with its real library
	@tools/setup.sh extras
	$(PYTEST) -n auto --dist loadfile tests/sinks tests/publish tests/board tests/recording/test_rrd.py \
	  tests/examples/test_training.py tests/examples/test_extend.py tests/repository/test_wheel.py

validate: install ## hold the statistics against their promises, and wrong methods against the checks
	.venv/bin/python tools/validate.py

torture: install ## kill, interrupt, starve and lie to everything, and count what must not happen
	.venv/bin/python tools/torture $(FLAGS)

mutants: install ## plant faults in the code and count those that no test notices: ROOM=stats, ROOM=changed
	tools/mutants.sh $(ROOM) $(FLAGS)

docs: ## build the documentation's site into .site/html, and stop at a broken link
	tools/docs.sh

lint: install ## ruff, mypy, import-linter, names that must not be committed, prose
	.venv/bin/ruff check $(SOURCES)
	.venv/bin/ruff format --check $(SOURCES)
	.venv/bin/mypy $(TYPED)
	.venv/bin/lint-imports
	.venv/bin/python tools/check_names.py
	.venv/bin/python tools/check_prose.py

format: install ## let ruff rewrite the sources
	.venv/bin/ruff check --fix $(SOURCES)
	.venv/bin/ruff format $(SOURCES)

lock: ## compile requirements.lock anew, with the newest versions that fit
	@tools/setup.sh lock

clean: ## remove caches and build outputs (the environments: rm -rf .venv .venv-docs .venv-mutants)
	rm -rf build dist .site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
