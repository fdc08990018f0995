# make setup installs everything into .venv, from the lock file, and nothing outside the checkout.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test test-long chaos fuzz bench bench-quota bench-quota-full bench-holding images lint types lock clean

setup: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml client/pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "wxcheck needs Python 3.11 or newer, and found '$(PYTHON)'. Name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e ./client -e .
	@touch $@

demo: setup
	@$(BIN)/wxcheck demo

# on the redis-server that is on the PATH, else on the embedded Valkey; TESTS_REDIS=valkey or TESTS_REDIS=redis takes that
# one, and TESTS="tests/integration" these tests alone
test: lint types
	$(BIN)/python -m pytest -n 4 --dist worksteal $(TESTS)

# tests that take too long for every change: each scenario of chaos by itself
test-long: setup
	$(BIN)/python -m pytest -n 2 -m long

# kills, hangs and cuts off processes under load, and counts what was lost or done twice: about twenty minutes;
# CHAOS="--seed 7 --only workers --topology RabbitMQ", and python -m tests.chaos --help
chaos: setup
	@$(BIN)/python -m tests.chaos $(CHAOS)

# any bytes on the push URL: ten minutes
fuzz: setup
	FUZZ_SECONDS=600 $(BIN)/python -m pytest tests/fuzz

# what wxcheck adds to bare Celery, as ratios taken in one run: half an hour, and better with nothing else to do;
# BENCH="--quick --only text,endpoint", and python -m bench.overhead --help
bench: setup
	@$(BIN)/python -m bench.overhead --json build/bench.json --plots docs/pictures/performance $(BENCH)

# how the quota is kept and used, beside the peers: a quick look, tenfold smaller and shorter, and the real scale (4 hours);
# more options by BENCH="--only wxcheck --faults none", and with python -m bench.quota --help
bench-quota: setup
	@$(BIN)/python -m bench.quota --scale short --jobs 3 $(BENCH)

bench-quota-full: setup
	@$(BIN)/python -m bench.quota --scale full --json build/bench-quota.json --markdown build/bench-quota.md $(BENCH)

# what waiting checks cost, and whom they hold up: ten minutes
bench-holding: setup
	@$(BIN)/python -m bench.quota.holding

# images of the Dockerfile and the compose files by digest, as their tags mean today; needs Docker
images:
	deploy/pin-images

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

lock: setup
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info client/*.egg-info
