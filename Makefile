# `make demo` and `make test` set up what is missing in .venv first.
PYTHON ?= python3
# Pinned so that every machine measures the same torch. On a GPU machine: make TORCH=torch demo
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow check setup setup-dev wheelhouse clean

demo: setup
	$(BIN)/kernelwright optimize examples/rmsnorm_silu.py --max-attempts 8 --max-seconds 45

test: setup-dev check

# What takes long and says little new: every built-in problem and every timed exploit.
test-slow: setup-dev
	$(BIN)/python -m pytest -q -m slow

setup: $(VENV)/.ready
setup-dev: $(VENV)/.ready-dev

# torch first and on its own, so that nothing pulls in another build of it.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable ".[triton,serve,mcp]" "pytest>=9" "pytest-xdist>=3.8" "hypothesis>=6.150" "ruff>=0.17" "mypy>=2.4" "import-linter>=2.5"
	touch $@

# Tests in which no measurement decides: three at once, since many wait. All others have the machine for themselves.
UNTIMED := $(addprefix tests/,agents apps compare core docs evaluate/profile generate knowledge languages learning \
	library llm packaging problems report run search seeded serve store)

# Everything that must hold before a change lands.
check:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n 3 --dist loadfile $(UNTIMED)
	$(BIN)/python -m pytest -q $(addprefix --ignore=,$(UNTIMED))

# What a GPU host without a network still lacks, as wheels: make wheelhouse PYTHON=3.12
wheelhouse:
	python3 tools/wheelhouse.py $(if $(filter 3.%,$(PYTHON)),--python $(PYTHON))

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
