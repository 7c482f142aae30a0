# Every target sets up what it needs: a virtual environment with the tested versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Modules are compiled when they are first imported: few of torch's ever are.
PIP := python -m pip install --quiet --disable-pip-version-check --no-compile
INSTALL := $(BIN)/$(PIP) -c constraints.txt
# Each process has a core of its own, where threads of OpenBLAS wait for each other.
PYTEST := python -m pytest -n auto --dist worksteal
TEST := SCIPY_ARRAY_API=1 OPENBLAS_NUM_THREADS=1

.PHONY: demo test test-next lint bench docs clean
.NOTPARALLEL:

# An environment whose Python is gone is made anew, whatever has been installed there.
ifneq ($(shell $(BIN)/python -m pip --version >/dev/null 2>&1 && echo works),works)
BROKEN := FORCE
endif
FORCE:

$(VENV)/%.done: pyproject.toml constraints.txt $(BROKEN)
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('skdigits needs Python 3.11 or later, but $(PYTHON) is ' + sys.version.split()[0] + ': make PYTHON=python3.x …')"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	$(INSTALL) -e ".[$*]"
	@touch $@

demo: $(VENV)/plot.done  ## classify handwritten digits
	$(BIN)/python examples/demo.py

test: $(VENV)/test.done  ## all tests, on all cores
	$(TEST) $(BIN)/$(PYTEST)

lint: $(VENV)/dev.done  ## style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench.done  ## every speed beside its peers', every published figure
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/published.py

test-next: $(VENV)/test.done  ## all tests, with the next release of scikit-learn if there is one
	$(PYTHON) -m venv .venv-next
	.venv-next/bin/$(PIP) -c constraints.txt -e ".[test]"
	.venv-next/bin/$(PIP) --pre --upgrade --no-deps scikit-learn
	@.venv-next/bin/python -c "import sklearn, subprocess; now = subprocess.check_output(['$(BIN)/python', '-c', 'import sklearn; print(sklearn.__version__)'], text=True).strip(); sklearn.__version__ == now and print('There is no release of scikit-learn after ' + now + ' yet: the tests run with it.')"
	$(TEST) .venv-next/bin/$(PYTEST)

docs: $(VENV)/docs.done  ## the documentation, in docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

clean:
	rm -rf $(VENV) .venv-next docs/_build docs/api docs/auto_examples docs/auto_figures docs/gen_modules demo_figures build *.egg-info
