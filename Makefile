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
PACKAGE := build/package

# For Linux on x86-64, most indexes have torch with CUDA only. Without a GPU, ask PyTorch's own
# index first; where it does not answer, pip takes torch from wherever it is set up to look.
TORCH_CPU := https://download.pytorch.org/whl/cpu
DEFAULT_IS_FINE = [ "$$(uname -sm)" != "Linux x86_64" ] || command -v nvidia-smi >/dev/null
define INSTALL_TORCH
@ls -d $(1)/lib/python3*/site-packages/torch >/dev/null 2>&1 || { \
	echo "Installing torch into $(1): 200 MB to download without CUDA, 3 GB with it, as a GPU needs."; \
	$(DEFAULT_IS_FINE) || $(1)/bin/$(PIP) -c constraints.txt --no-deps \
	--retries 0 --timeout 10 --index-url $(TORCH_CPU) torch 2>/dev/null || \
	echo "$(TORCH_CPU) does not answer: pip looks for torch elsewhere, where it may come with CUDA."; }
endef

.PHONY: demo draw test test-cuda test-next test-oldest test-package lint bench docs clean
.NOTPARALLEL:

# scikit-learn dispatches to array APIs from scipy 1.14 on, later than the oldest.
OLDEST_TESTS := tests/test_template_matching.py tests/test_inputs.py tests/model_selection/test_scoring.py \
	-k "(pandas or not test_inputs) and not stay_what_they_are"
# Tests that are about the CPU say so with the marker "host". The engine's tests make their own tensors.
CUDA_TESTS := tests/test_softmax_regression.py tests/test_mlp.py tests/test_convnet.py \
	tests/test_template_matching.py tests/test_multilabel.py tests/model_selection \
	--ignore tests/model_selection/test_backends.py --ignore tests/model_selection/test_metrics.py
SDIST_TESTS := tests/test_report.py tests/test_style.py tests/test_readme.py tests/test_arrays.py

# An environment whose Python is gone is made anew, whatever has been installed there.
ifneq ($(shell $(BIN)/python -m pip --version >/dev/null 2>&1 && echo works),works)
BROKEN := FORCE
endif
FORCE:

$(VENV)/%.done: pyproject.toml constraints.txt $(BROKEN)
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('skdigits needs Python 3.11 or later, but $(PYTHON) is ' + sys.version.split()[0] + ': make PYTHON=python3.x …')"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	$(call INSTALL_TORCH,$(VENV))
	$(INSTALL) -e ".[$*]"
	@touch $@

demo: $(VENV)/plot.done  ## classify handwritten digits
	$(BIN)/python examples/demo.py

draw: $(VENV)/plot.done  ## draw a digit in a browser
	@mkdir -p build
	$(BIN)/python -m skdigits.draw --demo --html build/draw.html --open

test: $(VENV)/test.done  ## all tests, on all cores
	$(TEST) $(BIN)/$(PYTEST)

test-cuda: $(VENV)/test.done  ## a part of the tests, with device="auto" on a fake CUDA device
	$(TEST) $(BIN)/$(PYTEST) --cuda=fake $(CUDA_TESTS)

lint: $(VENV)/dev.done  ## style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench.done  ## every speed beside its peers', every published figure
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/published.py

test-next: $(VENV)/test.done  ## all tests, with the next release of scikit-learn if there is one
	$(PYTHON) -m venv .venv-next
	$(call INSTALL_TORCH,.venv-next)
	.venv-next/bin/$(PIP) -c constraints.txt -e ".[test]"
	.venv-next/bin/$(PIP) --pre --upgrade --no-deps scikit-learn
	@.venv-next/bin/python -c "import sklearn, subprocess; now = subprocess.check_output(['$(BIN)/python', '-c', 'import sklearn; print(sklearn.__version__)'], text=True).strip(); sklearn.__version__ == now and print('There is no release of scikit-learn after ' + now + ' yet: the tests run with it.')"
	$(TEST) .venv-next/bin/$(PYTEST)

# The oldest versions lie in a folder that comes before the environment's own packages.
build/oldest/done: constraints-oldest.txt $(VENV)/test.done
	rm -rf build/oldest
	$(BIN)/$(PIP) --no-deps --target build/oldest -r constraints-oldest.txt
	@touch $@

test-oldest: build/oldest/done  ## a part of the tests, with the oldest versions that are declared
	PYTHONPATH=build/oldest $(TEST) $(BIN)/$(PYTEST) $(OLDEST_TESTS)

test-package: $(VENV)/dev.done  ## the sdist and the wheel, each by itself
	rm -rf $(PACKAGE)
	$(BIN)/python -m build --no-isolation --quiet --outdir $(PACKAGE) .
	tar -xzf $(PACKAGE)/skdigits-*.tar.gz -C $(PACKAGE)
	cd $(PACKAGE)/skdigits-*/ && $(abspath $(BIN))/python -m pytest -q $(SDIST_TESTS)
	$(BIN)/python .ci/wheel.py $(PACKAGE)/skdigits-*.whl

docs: $(VENV)/docs.done  ## the documentation, in docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

clean:
	rm -rf $(VENV) .venv-next docs/_build docs/api docs/auto_examples docs/auto_figures docs/gen_modules demo_figures build *.egg-info
