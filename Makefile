# What one types in a fresh checkout. Only git, make and a Python of at least 3.11 need to be there.

.DEFAULT_GOAL := help
.PHONY: help install demo test test-openstack quick lint bench simulate soak fuzz clean

ARGS ?=
CLOUD ?=
SEEDS ?= 1000
FUZZ ?= 20000
GUIDED ?= 300
BIN := .venv/bin

help:
	@echo "make install            prepare .venv with nodepool, nodepool-launcher, nodepool-builder, nodepool-sim"
	@echo "make demo               watch a pool fill; ARGS=--once: check it and end; CLOUD=openstack: the real services"
	@echo "make test               all tests; ARGS=… goes to pytest, and leaves out the following"
	@echo "make test-openstack     those on the real OpenStack services of devstack/: a quarter of an hour"
	@echo "make quick              lint, and the tests that take less than two minutes together"
	@echo "make lint               ruff and mypy only"
	@echo "make bench              measure; ARGS=… goes to the benchmark"
	@echo "make simulate           try many histories with failures against the promises; SEEDS=… says how many"
	@echo "make soak               ten minutes of failures against whole daemons; ARGS=… goes to the soak"
	@echo "make fuzz               feed every parser of foreign bytes; FUZZ=… inputs, then GUIDED=… guided by coverage"
	@echo "make clean              remove what the above made in this folder"

install:
	@.ci/setup venv

demo:
	@.ci/setup venv
	@.ci/setup packages demo || test $$? -eq 3
	@$(if $(filter openstack,$(CLOUD)),.ci/setup packages openstack)
	@$(BIN)/python -m nodepool_ng.demo $(if $(CLOUD),--cloud $(CLOUD)) $(ARGS)

test:
	@.ci/step "Python packages" .ci/setup venv test
	@.ci/step "Debian packages" .ci/setup packages
	@$(if $(strip $(ARGS)),:,.ci/step "Zuul and Nodepool 11" $(BIN)/python -m tests.support.peers)
	@.ci/step "ruff check" $(BIN)/ruff check .
	@.ci/step "ruff format" $(BIN)/ruff format --check .
	@.ci/step "mypy" $(BIN)/mypy
	@.ci/step "pytest" $(BIN)/pytest --durations=25 --durations-min=1 $(ARGS); status=$$?; \
	$(if $(strip $(ARGS)),:,.ci/step "OpenStack's services" .ci/openstack) || status=$$?; \
	exit $$status

test-openstack:
	@.ci/openstack $(ARGS)

quick: lint
	@.ci/setup packages || test $$? -eq 3
	$(BIN)/pytest -m quick

lint:
	@.ci/setup venv test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench:
	@.ci/setup venv test
	@.ci/setup packages demo
	@$(BIN)/python -m tests.bench $(ARGS)

simulate:
	@.ci/setup venv
	@$(BIN)/python -m nodepool_ng.sim.virtual --seeds $(SEEDS) $(ARGS)

soak:
	@.ci/setup venv test
	@.ci/setup packages demo
	@$(BIN)/python -m tests.soak $(ARGS)

fuzz:
	@.ci/setup venv fuzz
	@FUZZ=$(FUZZ) $(BIN)/pytest -q --timeout=3600 tests/fuzz
	@$(BIN)/python -m tests.fuzz.guided --seconds $(GUIDED) $(ARGS)

clean:
	rm -rf .venv .state .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist ./*.egg-info
