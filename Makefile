# What developers do, one word each. The tools are those of .venv, or of the active environment.
BIN := $(if $(wildcard .venv/bin/python),.venv/bin/,)

.PHONY: help check test test-all pages book bench
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  \1\t/' | expand -t 12

check:  ## style, types, and files that follow from others
	$(BIN)ruff check
	$(BIN)ruff format --check .
	$(BIN)mypy
	$(BIN)python tools/generate.py --check

test:  ## the everyday tests
	$(BIN)python -m pytest -n 2

test-all:  ## all tests, the long ones and README's blocks included
	$(BIN)python -m pytest -n 2 -m ""

pages:  ## write the page of the first chapter, and the list of requirements
	$(BIN)python tools/generate.py

book:  ## build the Book, warnings being errors
	$(BIN)jb build . -W -n --keep-going

bench:  ## measure the speed; `make bench TABLES=circuit` one table
	$(BIN)python benchmarks/speed.py $(TABLES)
