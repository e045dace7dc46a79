# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
ENV := . ./env.sh &&
export ROS_WHEELS

.PHONY: build drive test lint bench clean

build:  ## system libraries, .venv, the colcon build; all other targets need it
	@.ci/setup

drive: build  ## a simulated car drives for a minute and answers questions, see out/drive.png
	@$(ENV) ROS_AUTOMATIC_DISCOVERY_RANGE=$${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST} mmllm drive --duration 60

TWO := -n 2 --dist loadfile  # two processes, a file stays in one; each has a ROS domain of its own
test: build  ## unit tests, then the nodes over DDS, then the slow tests
	@.ci/browser
	@$(ENV) python -m pytest test/unit $(TWO)
	@$(ENV) python -m pytest test/ros -m "ros and not slow" $(TWO) --durations=12
	@$(ENV) python -m pytest test -m slow $(TWO) --durations=12 || [ $$? = 5 ]  # 5: nothing is marked slow

lint: build
	@$(ENV) ruff check . && ruff format --check . && codespell && python .ci/check_package.py

bench: build
	@$(ENV) for script in benchmark/*.py; do python "$$script" || exit; done

clean:  ## keeps .venv, which takes minutes to build
	rm -rf build install log out .pytest_cache .ruff_cache .hypothesis
