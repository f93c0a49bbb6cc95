# make demo: set up, train on the built-in digits, predict pictures.  make test: set up, check everything.
# make test-processors: what computes once more, as on other processors.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FIND_PYTHON := for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && break; done

# Real pictures for the tests that need them; without them those tests say why they skip.
ifndef STRIATE_DATA
ifneq ($(wildcard ../shared/data),)
test test-processors evidence: export STRIATE_DATA := $(abspath ../shared/data)
endif
endif
# One process of one thread for each processor: most tests are too small for more threads.
test test-processors evidence: export OMP_NUM_THREADS ?= 1
test test-processors evidence: export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-processors evidence lint format readme clean
.DELETE_ON_ERROR:

demo: $(READY)
	@if [ -e demo/.trained-runs-digits ]; then rm -rf runs/digits demo/*.png; fi
	@mkdir -p demo && if [ ! -e runs/digits ]; then touch demo/.trained-runs-digits; fi
	$(BIN)/striate train --config recipes/digits.toml --out runs/digits
	@echo 'Writing pictures of the test split to demo/'
	@$(BIN)/python -c "$$WRITE_PICTURES"
	$(BIN)/striate predict runs/digits demo/*.png
	@echo
	@echo 'The report: $(CURDIR)/runs/digits/report.html'

# Ten handwritten digits, evenly spread over the pictures that training has not seen.
define WRITE_PICTURES
from pathlib import Path
from striate.data.images import save_image
from striate.run import load_run

split = load_run("runs/digits").choose_split(None, "test")[1]
for number in range(10):
    image, label = split[number * len(split) // 10]
    save_image(image, Path("demo", f"{number}-this-is-a-{label}.png"))
endef
export WRITE_PICTURES

PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadgroup

test: lint
	$(PYTEST)

# What computes, as it does on other processors: with torch's own kernels for none and for AVX2, oneDNN's for
# AVX2 and for AVX-512 without bf16, and MKL's for any. Sums come in other orders, and bf16 is emulated. Not
# several processes, of which each computes as one does.
NUMERICAL := tests/ops tests/layers tests/metrics tests/tasks tests/models tests/train \
	--ignore=tests/train/test_distributed.py
test-processors: $(READY)
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX2 $(PYTEST) $(NUMERICAL)
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX512_CORE MKL_CBWR=COMPATIBLE $(PYTEST) $(NUMERICAL)

# Further evidence that would keep `make test` above ten minutes.
evidence: $(READY)
	$(PYTEST) -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch is asked for by name first, so that pip takes the build for processors where one is configured.
$(READY): pyproject.toml constraints.txt
	@$(FIND_PYTHON); "$$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null \
	|| { echo 'Striate needs Python 3.11 or later, and none is on the PATH'; exit 1; }; \
	echo "Setting up $(VENV) with $$("$$python" --version); this takes some minutes"; \
	"$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

# The table of networks in the README, from the catalogue.
readme: $(READY)
	@$(BIN)/striate models --markdown > .networks.md
	@sed -i -e '/<!-- networks:/,/<!-- end of networks -->/{/<!-- networks:/r .networks.md' -e '/<!--/!d}' README.md
	@rm .networks.md

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find striate tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
