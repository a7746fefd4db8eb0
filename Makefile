# Two commands do everything: `make run` and `make test`. Both set up what they need first.
.DEFAULT_GOAL := help
.PHONY: schedules text beam convergence timeline parity compare help run test test-kernels fuzz build format lint protos docs clean

# More for `martlet up`, for instance: make run ARGS="--corpus ../books --set training.rounds=200"
ARGS ?=

help:
	@echo 'make run     train the demo on this machine: martlet up --config deploy/local/demo.yaml'
	@echo 'make test    build everything for debugging and run all tests'
	@echo 'make schedules    run every mode under 1000 schedules of faults, SCHEDULES=1000, in under an hour'
	@echo 'make test-kernels  compare the C kernels with their references, without Swift'
	@echo 'make fuzz    fuzz what reads files of others, SECONDS=60 each'
	@echo 'make parity  hold every supported family against transformers itself (PyPI: torch)'
	@echo 'make compare train tiny and small beside PyTorch, in turns'
	@echo 'make convergence  compare methods in virtual time, SEEDS=3, in some two hours: runs/convergence.md'
	@echo 'make beam    learn which experts are not needed, and compare, in half an hour: runs/beam.md'
	@echo 'make timeline  measure what synchronising costs, in seven minutes: docs/timeline.md'
	@echo 'make build   build .build/release/martlet'
	@echo 'make format  format all Swift sources;  make lint  only checks them'
	@echo 'make protos  generate Sources/Wire/Generated from protos/'
	@echo 'make docs    write docs/configuration.md from the table of keys'
	@echo 'make clean   remove what was built; runs/ stays'

run: build
	@.build/release/martlet up --config deploy/local/demo.yaml $(ARGS)

build:
	@deploy/setup.sh build
	@swift build -c release --product martlet

test:
	@deploy/setup.sh test
	@swift build --build-tests
	@swift test --skip-build --disable-xctest
	@$(MAKE) --no-print-directory test-kernels

# Schedules of faults for each mode; `make test` goes through 100 of them. So many want the tests
# compiled optimised, in a folder of their own, as `make run` has other flags.
SCHEDULES ?= 1000
OPTIMISED = -c release -Xswiftc -enable-testing --scratch-path .build/optimised
schedules:
	@deploy/setup.sh test
	@swift build $(OPTIMISED) --build-tests
	@MARTLET_SCHEDULES=$(SCHEDULES) swift test $(OPTIMISED) --skip-build --disable-xctest \
		--filter 'RolesTests.*/t16'

# The Swift toolchain brings clang. The same driver runs on machines that have no Swift at all; see
# its first lines.
KERNEL_CC = $(or $(shell command -v clang),cc)
test-kernels:
	@mkdir -p .build
	@$(KERNEL_CC) -O2 -Wall -Wextra -Werror -Wno-unknown-pragmas -Wno-missing-field-initializers -fno-math-errno \
		-ISources/CKernels/include Sources/CKernels/cpu/*.c Tests/CKernels/*.c \
		-o .build/parity -lm -lpthread
	@.build/parity

# Seconds for each target. Crashes, hangs and memory without bound fail, and leave their input behind.
SECONDS ?= 60
fuzz:
	@deploy/setup.sh build
	@Tests/Fuzz/run.sh $(SECONDS)

# PyTorch and transformers are large, so they have an environment of their own.
PARITY_PYTHON = .venv-parity/bin/python
$(PARITY_PYTHON): Tests/Parity/requirements.txt
	@deploy/setup.sh test
	@rm -rf .venv-parity
	@python3 -m venv .venv-parity
	@$(PARITY_PYTHON) -m pip install --quiet --disable-pip-version-check -r Tests/Parity/requirements.txt
	@touch $(PARITY_PYTHON)

parity: build $(PARITY_PYTHON)
	@$(PARITY_PYTHON) Tests/Parity/transformers_agrees.py \
		--martlet .build/release/martlet $(dir $(wildcard Tests/Fixtures/*/config.json))

compare: build $(PARITY_PYTHON)
	@$(PARITY_PYTHON) Tests/Peers/compare_training.py --martlet .build/release/martlet $(COMPARE)

# Text of some MB: what Debian's packages perl-doc and python3-doc bring, unless told otherwise.
CORPUS ?= $(firstword $(wildcard /usr/share/perl/5.*/pod)) \
	$(firstword $(wildcard /usr/share/doc/python3.*/html/_sources))
text:
	@deploy/setup.sh text

# SEEDS is the number of runs of each kind, INTO their folder, beside which the page lies; runs that
# are there are not made again. docs/convergence.md and docs/beam.md are made of the runs in
# docs/convergence/runs and docs/beam/runs, against which tests hold them.
convergence: SEEDS ?= 3
convergence: INTO ?= runs/convergence
convergence: build text
	@SEEDS=$(SEEDS) deploy/convergence.sh .build/release/martlet $(INTO) $(CORPUS)

beam: SEEDS ?= 1
beam: INTO ?= runs/beam
beam: build text
	@.build/release/martlet bench beam --corpus $(CORPUS) --seeds $(SEEDS) \
		--into $(INTO) --page $(INTO).md

# More before each run's command, for instance: make timeline RUN_WITH="chrt -r 5"
RUN_WITH ?=
timeline: build
	@RUN_WITH="$(RUN_WITH)" deploy/timeline.sh .build/release/martlet runs/timeline
	@.build/release/martlet bench timeline --runs runs/timeline --page docs/timeline.md \
		--run-with "$(RUN_WITH)"

format:
	@swift format --in-place --recursive --parallel Package.swift Sources Tests

lint:
	@swift format lint --strict --recursive --parallel Package.swift Sources Tests

protos:
	@protos/generate.sh

docs: build
	@.build/release/martlet up --explain-config --markdown > docs/configuration.md

clean:
	@rm -rf .build .venv .venv-parity
