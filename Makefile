# The workflow. Everything runs from .venv, which the first target makes.
PYTHON ?= python3
BIN := .venv/bin
CODE := broadcaster tests benchmarks setup.py

.PHONY: simulate mutants demo test test-postgres torture lint format bench dist dist-check clean

.venv/ready: pyproject.toml setup.cfg setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: .venv/ready
	$(BIN)/broadcaster demo

# Four at a time, for many mostly wait; but for those that hold a promise against the clock.
# Without bytecode on disk every process that a test starts would compile all of us anew.
test: .venv/ready
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n 4 --dist worksteal -m "not alone"
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -m alone tests/whole

# Store, engine and APIs on a PostgreSQL server that the tests start and throw away; but for two files whose servers
# are made on SQLite.
test-postgres: .venv/ready
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n 4 --dist worksteal --postgres tests/store tests/settlement \
	    tests/services tests/worker tests/web \
	    --ignore=tests/web/test_http_server.py --ignore=tests/web/test_monochat.py

# Ten thousand worlds of the engine's rules, by a clock of their own; a broken one says its number.
simulate: .venv/ready
	$(BIN)/python -m tests.simulation

# Faults planted one by one, each of which the tests must notice; some minutes.
mutants: .venv/ready
	$(BIN)/python -m tests.mutants

# The whole product where machines, disks, clocks and peers fail; needs a C compiler. A world that broke a promise
# says its number: make torture WORLD=number
SECONDS ?= 600
torture: .venv/ready
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m tests.torture --seconds $(SECONDS) \
		$(if $(SEED),--seed $(SEED)) $(if $(WORLD),--world $(WORLD))

lint: .venv/ready
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: .venv/ready
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: .venv/ready
	$(BIN)/python -m benchmarks $(ROWS)

# A wheel, a source archive, and one executable file for any machine with this Python.
dist: .venv/ready
	rm -rf build dist
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dist]'
	$(BIN)/python -m build --outdir dist .
	$(BIN)/shiv --console-script broadcaster --python '/usr/bin/env python3' --extend-pythonpath \
		--output-file dist/broadcaster.pyz --quiet --disable-pip-version-check dist/*.whl
	ls -l dist

# What was built runs the demo: the file in a directory of its own, the wheel in an empty environment.
dist-check: dist
	rm -rf build/check && mkdir -p build/check/home build/check/elsewhere
	cp dist/broadcaster.pyz build/check/elsewhere/
	cd build/check/elsewhere && env -i HOME="$(CURDIR)/build/check/home" PATH="$$PATH" ./broadcaster.pyz demo
	$(PYTHON) -m venv build/check/env
	build/check/env/bin/pip install --quiet --disable-pip-version-check dist/*.whl
	cd build/check && env/bin/broadcaster demo

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
