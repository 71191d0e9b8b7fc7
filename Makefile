# Everything a newcomer needs: `make serve`, `make test`. Each builds .venv from the lock by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

# Each worker has a PostgreSQL and a service of its own, and takes whole files, the longest first.
# `make test WORKERS=0` runs everything in one process.
WORKERS := 2
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: serve test lint check demo bench lock clean

$(INSTALLED): requirements/dev.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(INSTALLED)

serve: $(INSTALLED)
	exec $(BIN)/komek serve

test: $(INSTALLED)
	$(PYTEST)

lint: $(INSTALLED)
	$(BIN)/ruff format --check app migrations tests bench
	$(BIN)/ruff check app migrations tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test
	$(BIN)/python -m tests.fuzz

demo: $(INSTALLED)
	exec $(BIN)/komek demo

bench: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.lock
	$(BIN)/python -m bench

# Names, versions and hashes; where packages come from is each machine's own affair.
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --no-annotate --allow-unsafe --strip-extras

lock: $(INSTALLED)
	$(COMPILE) --extra dev --output-file requirements/dev.lock pyproject.toml
	$(COMPILE) --constraint requirements/dev.lock --output-file requirements/run.lock pyproject.toml
	$(COMPILE) --extra bench --constraint requirements/dev.lock --output-file requirements/bench.lock pyproject.toml
	$(COMPILE) --constraint requirements/dev.lock --only-build-deps --build-deps-for wheel --output-file requirements/build.lock pyproject.toml

clean:
	rm -rf $(VENV) .komek build *.egg-info .mypy_cache .pytest_cache .ruff_cache
