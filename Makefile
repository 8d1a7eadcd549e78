# The workflow. Everything runs from .venv, which the first target makes.
PYTHON ?= python3
BIN := .venv/bin
RUFF := $(BIN)/ruff check --line-length 110 --target-version py311 \
	--select E,F,I,B,UP,SIM,RUF,S,C90 --ignore S101,S105,S106,S311,S603,S607,S608,RUF012,UP042,B008

.PHONY: demo test lint format bench clean

.venv/ready: setup.cfg setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: .venv/ready
	$(BIN)/broadcaster demo

test: .venv/ready
	$(BIN)/pytest

lint: .venv/ready
	$(RUFF) broadcaster tests benchmarks setup.py
	$(BIN)/ruff format --check --line-length 110 broadcaster tests benchmarks setup.py
	$(BIN)/mypy

format: .venv/ready
	$(RUFF) --fix broadcaster tests benchmarks setup.py
	$(BIN)/ruff format --line-length 110 broadcaster tests benchmarks setup.py

bench: .venv/ready
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
