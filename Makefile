# `make run` and `make test` set up all they need; see README.md.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest

.PHONY: run stop fleet test test-all test-host test-host-long runbooks chaos lint docs bench bench-docs bench-fleet bench-gateway bench-host bench-hour bench-tuning dashboard pictures dist lock

# Inside the checkout, so that two checkouts never share or adopt each other's engines.
run stop: export STATE_DIR ?= $(CURDIR)/.state

run: .venv/ready
	@$(BIN)/acekeeper serve

stop: .venv/ready
	@$(BIN)/acekeeper stop

# Three hosts of a fleet on this machine, until Ctrl-C.
fleet: .venv/ready
	@$(BIN)/python -m tests.fleet

# Needs no root. What needs Prometheus or Chromium is in test-all.
SEEN := tests/monitoring tests/browser

test: .venv/ready
	$(PYTEST) -n 2 $(SEEN:%=--ignore=%)

test-all: test
	$(PYTEST) -n 2 $(SEEN)

lint: .venv/ready .venv-ansible/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PATH=$(CURDIR)/.venv-ansible/bin:$$PATH ansible-lint -q --offline --profile=production --project-dir ansible ansible

# On bare hosts it makes itself; root on Debian 12 or 13. Each file of tests has hosts of its own.
test-host: .venv/ready
	@$(BIN)/python -m tests.host.lab check
	$(MAKE) dist .venv-ansible/ready
	$(PYTEST) -n 2 --dist loadfile -m "not long" tests/host

# What repeats or takes long on such hosts; run before a release.
test-host-long: .venv/ready
	@$(BIN)/python -m tests.host.lab check
	$(MAKE) dist .venv-ansible/ready
	$(PYTEST) -n 2 --dist loadfile -m long tests/host

# Every alert on a host, by a real fault, and its page's commands: a quarter of an hour.
runbooks: .venv/ready
	@$(BIN)/python -m tests.host.lab check
	$(MAKE) dist .venv-ansible/ready
	$(BIN)/python -m tests.host.walk_runbooks

# Minutes of kills and faults; `make test` has some seconds of each.
chaos: .venv/ready
	$(BIN)/python -m tests.chaos

docs: .venv/ready
	$(BIN)/python -m docs.generate

# The monitoring role's, from the table in its script.
dashboard: .venv/ready
	$(BIN)/python ansible/dashboard.py

# Those of docs/, some seven minutes; needs what the tests need.
pictures: .venv/ready
	$(BIN)/python -m tests.monitoring.picture

# Some three minutes; it measures and gates nothing.
bench: .venv/ready
	$(BIN)/python -m tests.load.bench

# The same, and docs/performance.md shows what it printed.
bench-docs: .venv/ready
	$(BIN)/python -m tests.load.bench docs/performance.md

bench-hour: .venv/ready
	$(BIN)/python -m tests.load.hour

# Some five minutes: what the gateway adds to a play, and what players wait for at the worst.
bench-gateway: .venv/ready
	$(BIN)/python -m tests.load.bench_gateway

# Two minutes: what docs/tuning.md says.
bench-tuning: .venv/ready
	$(BIN)/python -m tests.load.tuning

# Some three minutes: what 20 and 300 hosts of a fleet cost one of them, and their server.
bench-fleet: .venv/ready
	$(BIN)/python -m tests.load.bench_fleet

bench-host: .venv/ready
	@$(BIN)/python -m tests.host.lab check
	$(MAKE) dist .venv-ansible/ready
	$(BIN)/python -m tests.host.bench_service

# What ansible/deploy.yml brings to a host.
dist: .venv/ready
	$(BIN)/python ansible/release.py

.venv/ready: .venv/locked pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.venv/locked: requirements-dev.lock
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

# Ansible has dependencies of its own; nothing acekeeper needs is among them.
.venv-ansible/ready: requirements-ansible.lock
	$(PYTHON) -m venv --clear .venv-ansible
	.venv-ansible/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-ansible.lock
	touch $@

# Needs uv; the locks are what every install here and on hosts is checked against.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml --group dev -o requirements-dev.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --group ansible -o requirements-ansible.lock
