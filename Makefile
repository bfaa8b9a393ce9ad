# SPDX-License-Identifier: Apache-2.0
# Two commands: `make demo` and `make test`. Both set everything up in .venv first; a second time that costs nothing.
# If a ROS 2 is sourced, it is used; if not, the ROS wheels are installed there as well.

PYTHON ?= python3
MINUTES ?= 5
VENV := .venv
BIN := $(VENV)/bin

# The interpreter below an activated environment, which may be the very one that is to be made.
BASE_PYTHON := $(shell $(PYTHON) -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')
ROS := $(shell $(PYTHON) scripts/host.py ros)
DONE := $(VENV)/done-$(ROS)

ifeq ($(ROS),sourced)
VENV_OPTIONS := --system-site-packages
ENTER := . $(VENV)/ros/install/setup.sh &&
endif

REQUIREMENTS := $(wildcard requirements/*.txt)
INTERFACES := $(wildcard fs_msgs/*.* fs_msgs/msg/* interfaces/vision_msgs/*.* interfaces/vision_msgs/msg/*)
PACKAGE := pyproject.toml setup.py $(wildcard frankensplit/codec/*.c) requirements/runtime.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup messages demo test test-fast fuzz bench docs lint mypy format clean

help:             ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

setup: messages $(DONE)/package ## make .venv with everything (3 to 10 min the first time)

messages: $(DONE)/messages ## build the interface packages

demo: setup       ## run camera, edge and server node on the synthetic street
	$(ENTER) $(BIN)/frankensplit demo

test: setup lint  ## run linters, type checks and all tests
	$(ENTER) $(BIN)/python -m pytest

test-fast: $(DONE)/package ## run the quick tests, which need no ROS
	$(BIN)/python -m pytest -m unit

fuzz: setup       ## feed hostile input to all readers for MINUTES=5; the C coder with sanitizers, where the compiler has them
	PYTHONPATH=tests $(BIN)/python tests/hostile/fuzz.py --minutes $(MINUTES) $(TARGET:%=--target %) $(REPLAY:%=--replay %)

bench: setup      ## compare speed and bytes with the committed figures (2 to 5 min)
	$(BIN)/frankensplit bench check

docs: $(DONE)/docs ## build the site of docs/ with its API reference in build/docs; every link is checked
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

lint: setup mypy  ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

mypy: setup
	$(BIN)/mypy

format: setup     ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:            ## remove .venv and everything built
	rm -rf $(VENV) build install log *.egg-info demo-output frankensplit/codec/*.so

$(DONE)/docs: $(DONE)/package requirements/docs.txt
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c requirements/constraints.txt -r requirements/docs.txt
	@touch $@

# Each file in $(DONE) says that a step came to its end. A step that was interrupted has none and runs again.
$(DONE)/venv:
	@$(BASE_PYTHON) scripts/host.py check $(ROS)
	@echo "--- a virtual environment in $(VENV) (5 s)"
	@$(BASE_PYTHON) -m venv --clear $(VENV_OPTIONS) $(VENV)
	@touch $(VENV)/COLCON_IGNORE
	@mkdir -p $(DONE) && touch $@

$(DONE)/packages: $(DONE)/venv $(REQUIREMENTS) scripts/install_packages.sh scripts/patch_wheels.py
	@scripts/install_packages.sh $(VENV) $(ROS)
	@touch $@

$(DONE)/messages: $(DONE)/packages $(INTERFACES) scripts/build_messages.sh
	@echo "--- the interface packages, with colcon (about 1 min)"
	@scripts/build_messages.sh $(VENV) $(ROS)
	@touch $@

$(DONE)/package: $(DONE)/packages $(PACKAGE)
	@echo "--- frankensplit itself, with its C coder (10 s)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-build-isolation --no-deps \
		--config-settings editable_mode=compat --editable .  # the folder itself on the path, as mypy wants it
	@touch $@
