# Every target sets up the environment that it needs, once; see `make help`.
.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

PYTHON ?= python3
# A requirement for the PyTorch run, say TORCH_SPEC='torch==2.9.0+cpu'.
TORCH_SPEC ?= torch
# Handed on to the demo, to pytest or to the benchmark.
ARGS ?=

PROJECT := setup.cfg pyproject.toml
PORTABLE_TESTS := tests/ops tests/layers tests/training tests/zoo/presets \
	tests/backends tests/forests tests/test_asking.py tests/test_losses.py tests/test_rules.py \
	tests/test_sparse.py

# What setup.cfg requires, and its extras `test` and $(1), without TensorFlow.
requirements = $(PYTHON) -c "import configparser; \
	c = configparser.ConfigParser(); c.read('setup.cfg'); e = c['options.extras_require']; \
	lines = (c['options']['install_requires'] + e['test'] + e['$(1)']).split(chr(10)); \
	print(*[line for line in lines if not line.startswith('tensorflow')], sep=chr(10))"

.PHONY: help demo test quick test-all test-backends test-jax test-torch check docs cards bench clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

demo: .venv/.stamp-run ## train the demo's mixture and its dense twins
	.venv/bin/moe-keras demo $(ARGS)

# What pytest returns where ARGS select no test; of some of the runs, that is fine.
NONE_SELECTED := 5

test: .venv/.stamp-test ## run the tests without the slow ones, and some on JAX
	KERAS_BACKEND=jax .venv/bin/python -m pytest -n auto -q \
		-m "jax and not slow and not slow_on_jax" $(ARGS) \
		|| [ $$? -eq $(NONE_SELECTED) ]
	.venv/bin/python -m pytest -n auto -m "not slow" $(ARGS)

quick: .venv/.stamp-test ## run those that ARGS name, on TensorFlow, in one process
	.venv/bin/python -m pytest -q -n 0 -m "not slow" $(ARGS)

test-all: .venv/.stamp-test ## run all tests, and those for JAX and PyTorch
	.venv/bin/python -m pytest -n auto $(ARGS)
	.venv/bin/python -m tests.mutations
	$(MAKE) test-backends OF_BACKENDS=

# Without the slow ones; `make test-all` runs these too.
OF_BACKENDS := -m "not slow"

test-backends: test-jax test-torch ## run the layers' tests on JAX and on PyTorch

test-jax: .venv-jax/.stamp
	KERAS_BACKEND=jax .venv-jax/bin/python -m pytest -n auto $(OF_BACKENDS) \
		$(PORTABLE_TESTS) $(ARGS) \
		|| [ $$? -eq $(NONE_SELECTED) ]

test-torch: .venv-torch/.stamp
	KERAS_BACKEND=torch .venv-torch/bin/python -m pytest -n auto $(OF_BACKENDS) \
		$(PORTABLE_TESTS) $(ARGS) \
		|| [ $$? -eq $(NONE_SELECTED) ]

check: .venv/.stamp-lint ## check style, format and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: .venv/.stamp-docs ## build the pages in docs/_build/html
	.venv/bin/python -m sphinx -W -n -b html docs docs/_build/html

cards: .venv/.stamp-run ## make the cards of the zoo and the README's table anew
	.venv/bin/moe-keras cards zoo --readme README.md

bench: .venv/.stamp-run ## time routing against its limit and its peers
	.venv/bin/python -m benchmarks.routing $(ARGS)

clean: ## remove built files and caches, not the environments
	rm -rf build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments ---

%/.stamp-venv:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; set PYTHON to a Python >= 3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: moe_keras needs Python >= 3.11; set PYTHON (now: $(PYTHON))" >&2; exit 1; }
	@echo "making the environment $(@D)"
	@$(PYTHON) -m venv $(@D)
	@touch $@

.venv/.stamp-run: .venv/.stamp-venv $(PROJECT)
	@echo "installing moe_keras into .venv (the first time takes minutes)"
	@.venv/bin/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

.venv/.stamp-test .venv/.stamp-lint .venv/.stamp-docs: .venv/.stamp-%: .venv/.stamp-venv $(PROJECT)
	@echo "installing moe_keras[$*] into .venv (the first time takes minutes)"
	@.venv/bin/python -m pip install -q --disable-pip-version-check -e ".[$*]"
	@touch .venv/.stamp-run $@

.venv-%/.stamp: .venv-%/.stamp-venv $(PROJECT)
	@echo "installing moe_keras for $* into .venv-$*, without TensorFlow"
	@$(call requirements,$*) > .venv-$*/requirements.txt
	@.venv-$*/bin/python -m pip install -q --disable-pip-version-check \
		-r .venv-$*/requirements.txt $(if $(filter torch,$*),"$(TORCH_SPEC)")
	@.venv-$*/bin/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

# Or make would remove them as intermediate files, and install again.
.PRECIOUS: %/.stamp-venv .venv-%/.stamp
