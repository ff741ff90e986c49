# make demo: the story in a minute. make check: everything CI runs. make soak: the faults at full length. Needs python3 >= 3.11 and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

.PHONY: demo test soak lint check format clean

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "flyball needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# pip compiles what it copies, and an editable install copies nothing
	$(BIN)/python -m compileall -q src
	@touch $@

demo: .venv/ready
	$(BIN)/flyball demo

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

soak: .venv/ready
	@# on the disk; the other tests write to memory where there is room
	SOAK=1 TMPDIR=$${TMPDIR:-/tmp} $(BIN)/python -m pytest -n 2 --dist loadfile tests/faults/test_random_kills.py tests/faults/test_every_byte.py tests/faults/test_virtual_year.py tests/journeys/test_failure_modes.py tests/journeys/test_slow_failures.py tests/journeys/test_nine_days.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist
