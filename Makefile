# Everything is installed into .venv, from the lock file, and nothing outside the checkout.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
# tests start hundreds of processes, and each would compile every module anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup hooks demo test test-long chaos fuzz bench bench-quota bench-quota-full bench-holding images lint types lock clean

# each target's line here is the comment behind it
help:  ## lists these lines
	@awk 'BEGIN { FS = ":.*##  *" } /^[a-z][a-z-]*:.*##/ { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## installs everything into .venv

# pre-commit runs what make lint and make types run, on each commit
hooks: setup  ## installs the checks that run before each commit
	@$(BIN)/pre-commit install

$(STAMP): requirements-dev.lock pyproject.toml client/pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "wxcheck needs Python 3.11 or newer, and found '$(PYTHON)'. Name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e ./client -e .
	@touch $@

demo: setup  ## runs 15 checks on this machine, with a stand-in for WeChat, and prints their verdicts
	@$(BIN)/wxcheck demo

# on the redis-server that is on the PATH, else on the embedded Valkey; TESTS_REDIS=valkey or TESTS_REDIS=redis takes that
# one, and TESTS="tests/integration" these tests alone
test: lint types  ## runs lint, types and all tests but the long ones; TESTS="tests/unit" runs some
	$(BIN)/python -m pytest -n 8 --dist worksteal $(TESTS)

# tests that take too long for every change: each scenario of chaos by itself
test-long: setup  ## runs the tests that take minutes
	$(BIN)/python -m pytest -n 3 --dist worksteal -m long
	MODEL_EXAMPLES=60 $(BIN)/python -m pytest -n 2 tests/integration/test_quota_model.py
	FUZZ_SECONDS=60 $(BIN)/python -m pytest tests/fuzz

# kills, hangs and cuts off processes under load, and counts what was lost or done twice: about twenty minutes;
# CHAOS="--seed 7 --only workers --topology RabbitMQ", and python -m tests.chaos --help
chaos: setup  ## kills, hangs and cuts off processes under load, and counts what was lost: 20 minutes
	@$(BIN)/python -m tests.chaos $(CHAOS)

# any bytes on the push URL: ten minutes
fuzz: setup  ## throws any bytes at the push URL: 10 minutes
	FUZZ_SECONDS=600 $(BIN)/python -m pytest tests/fuzz

# what wxcheck adds to bare Celery, as ratios taken in one run: half an hour, and better with nothing else to do;
# BENCH="--quick --only text,endpoint", and python -m bench.overhead --help
bench: setup  ## measures what wxcheck adds to bare Celery: half an hour; BENCH="--quick" takes minutes
	@$(BIN)/python -m bench.overhead --json build/bench.json --plots docs/pictures/performance $(BENCH)

# how the quota is kept and used, beside the peers: a quick look, tenfold smaller and shorter, and the real scale (4 hours);
# more options by BENCH="--only wxcheck --faults none", and with python -m bench.quota --help
bench-quota: setup  ## measures how quotas are kept and used, beside other limiters: a quick look
	@$(BIN)/python -m bench.quota --scale short --jobs 3 $(BENCH)

bench-quota-full: setup  ## measures the same at its real scale: 4 hours
	@$(BIN)/python -m bench.quota --scale full --json build/bench-quota.json --markdown build/bench-quota.md $(BENCH)

# what checks cost that wait, whom they delay, and what workers hold meanwhile: half an hour; BENCH="--quick" takes minutes
bench-holding: setup  ## measures what checks cost that wait, and whom they delay: half an hour
	@$(BIN)/python -m bench.holding --json build/bench-holding.json --markdown build/bench-holding.md --plots docs/pictures/performance $(BENCH)

# images of the Dockerfile and the compose files by digest, as their tags mean today; needs Docker
images:  ## pins the images of Dockerfile and compose files by digest; needs Docker
	deploy/pin-images

lint: setup  ## runs ruff, and import-linter for who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup  ## runs mypy
	$(BIN)/mypy

lock: setup  ## renews both lock files from pyproject.toml
	$(call compile,requirements.lock,--strip-extras pyproject.toml)
	$(call compile,requirements-dev.lock,--allow-unsafe --constraint=requirements.lock --extra=dev --strip-extras pyproject.toml)

# The head of a lock file says how it was made, and Renovate repeats that. It knows none of the options that keep out
# what belongs to this machine's pip.
compile = @CUSTOM_COMPILE_COMMAND="pip-compile --generate-hashes --no-emit-index-url --output-file=$(1) $(2)" $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file=$(1) $(2)

clean:  ## removes everything that make has made
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info client/*.egg-info
