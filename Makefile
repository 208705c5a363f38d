# Every target is one call of a tool in .venv, which `make setup` fills.

PYTHON ?= python3
# More arguments for pip. Where plain `torch` brings CUDA, this takes the far smaller CPU build:
#   make setup PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
# Of `make verilog`; `lepton configs` lists them.
CONFIG ?= default
# Of `make bitstream`; docs/boards.md lists them.
BOARD ?= icebreaker
# Placements of `make synth-up5k` and `make synth-ecp5`.
SEEDS ?= 1
# Of `make waves`; .fst is far smaller than .vcd and needs liblz4-dev and zlib1g-dev.
WAVES ?= build/lenet5-mnist.fst

# Of the campaigns: which random cases, how long at least, how many packets at least.
SEED ?= 1
MINUTES ?= 10
PACKETS ?= 1000000
# Of `make opinion`: whole test sets, as mnist=FOLDER ...; of the others, the images that ship.
DATA ?=
# Of `make mutants`: how many.
MUTANTS ?= 400

BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: help setup sim test lint format types bench fuzz soak opinion formal coverage mutants netlists verilog \
	waves docs clean resources explored bench-synth \
	synth-up5k synth-ecp5 bitstream

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Install everything into .venv (again only when pyproject.toml changed)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Lepton needs Python 3.11 or newer, found as $(PYTHON); name another with PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Python cannot make virtual environments here; install them with: apt install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_ARGS) --editable '.[train,explore,dev]'
	@touch $@

sim: $(READY) ## Run LeNet-5 on the simulated core, whole, then layer by layer under cocotb
	$(BIN)/lepton run lenet5-mnist
	$(BIN)/python -m pytest tests/sim/test_bench_core.py -k lenet --verbose

test: $(READY) ## Run all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(READY) ## Check the style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## Check the types
	$(BIN)/pyright

bench: $(READY) ## Measure the figures of the README into benchmarks/results.json
	$(BIN)/lepton bench

bench-synth: $(READY) ## Build the FPGA figures of the README into benchmarks/synth.json (hours; goes on where it was)
	$(BIN)/lepton bench --synth

synth-up5k: $(READY) ## Take the core for iCE40UP5K to a bitstream; build/up5k.json, .png (SEEDS=1)
	@mkdir -p build
	$(BIN)/lepton synth --config up5k --device up5k --seeds $(SEEDS) --json build/up5k.json --picture build/up5k.png

synth-ecp5: $(READY) ## Take the core for ECP5-85F to a bitstream; build/ecp5-85k.json, .png (SEEDS=1)
	@mkdir -p build
	$(BIN)/lepton synth --config ecp5-85k --device ecp5-85k --batch 24 --seeds $(SEEDS) --json build/ecp5-85k.json --picture build/ecp5-85k.png

bitstream: $(READY) ## Make the bitstream of a board, build/BOARD.bin or .bit (BOARD=icebreaker)
	$(BIN)/lepton bitstream $(BOARD)

resources: $(READY) ## Synthesize what estimates are fitted to, into benchmarks/resources.json (hours; goes on)
	$(BIN)/python -m host.explore.collect ice40
	$(BIN)/python -m host.explore.collect ecp5

explored: $(READY) ## Explore lenet-cifar10 on each FPGA into benchmarks/explore.json; goes on (MINUTES= for each)
	$(BIN)/python -m host.explore.figures all --minutes $(MINUTES)

fuzz: $(READY) ## Send a million good and damaged packets into benchmarks/fuzz.json (SEED=, PACKETS=)
	$(BIN)/python -m tests.campaigns.fuzz --seed $(SEED) --packets $(PACKETS)

soak: $(READY) ## Run random networks on random cores into benchmarks/soak.json (MINUTES=, SEED=)
	$(BIN)/python -m tests.campaigns.soak --seed $(SEED) --minutes $(MINUTES) --packets $(PACKETS)

opinion: $(READY) ## Compare with ONNX Runtime into benchmarks/onnx.json (DATA="mnist=FOLDER ...")
	$(BIN)/python -m tests.campaigns.opinion $(addprefix --data ,$(DATA))

netlists: $(READY) ## Run LeNet on the netlists of the cores for FPGAs into benchmarks/netlists.json
	$(BIN)/python -m tests.campaigns.netlists
	$(BIN)/python -m host.docs

verilog: $(READY) ## Write build/lepton-CONFIG.v (CONFIG=default)
	@mkdir -p build
	$(BIN)/lepton verilog --config $(CONFIG) --out build/lepton-$(CONFIG).v

waves: $(READY) ## Record the signals of the tiny core while it runs one image (WAVES=FILE)
	@mkdir -p $(dir $(WAVES))
	$(BIN)/lepton run lenet5-mnist --config tiny --images 1 --waves $(WAVES)

formal: $(READY) ## Prove everything of tests/formal, and that each proof finds a bug
	$(BIN)/python -m tests.formal

coverage: $(READY) ## Line, toggle and functional coverage of the core's tests (docs/coverage.md)
	rm -rf build/coverage
	$(BIN)/python -m tests.campaigns.coverage
	$(BIN)/python -m host.docs

mutants: $(READY) ## Seed MUTANTS faults into the netlist and count those the tests find (SEED=1)
	$(BIN)/python -m tests.campaigns.mutants --count $(MUTANTS) --seed $(SEED)
	$(BIN)/python -m host.docs

docs: $(READY) ## Write the generated pages and tables again
	$(BIN)/python -m host.docs

clean: ## Remove what was made here, except .venv
	rm -rf build .pytest_cache .ruff_cache
	find hw sim host tests -name __pycache__ -prune -exec rm -rf {} +
