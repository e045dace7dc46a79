# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
ENV := . ./env.sh &&
export ROS_WHEELS

.PHONY: build drive test lint bench clean

build:  ## system libraries, .venv, the colcon build; all other targets need it
	@.ci/setup

drive: build  ## a simulated car drives for a minute and answers questions, see out/drive.png
	@$(ENV) ROS_AUTOMATIC_DISCOVERY_RANGE=$${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST} \
	  FASTRTPS_DEFAULT_PROFILES_FILE=$${FASTRTPS_DEFAULT_PROFILES_FILE:-config/fastdds.xml} mmllm drive --duration 60

TWO := -n 2 --dist loadfile  # two processes, a file stays in one; each has a ROS domain of its own
test: build  ## unit tests, then the nodes over DDS, then the slow tests
	@.ci/browser
	@$(ENV) python -m pytest test/unit $(TWO)
	@$(ENV) python -m pytest test/ros -m "ros and not slow" $(TWO) --durations=12
	@$(ENV) python -m pytest test -m slow $(TWO) --durations=12 || [ $$? = 5 ]  # 5: nothing is marked slow

lint: build
	@$(ENV) ruff check . && ruff format --check . && codespell && python .ci/check_package.py

BENCH := speed growth ingest processes two_machines modality_switching latency_while_training simulator visualizer
bench: build  ## speed and cost: prints the tables, writes benchmark/results/*.json; a quarter of an hour on an idle machine
	@$(ENV) failed=; for name in $(BENCH); do \
	  python benchmark/$$name.py --json benchmark/results/$$name.json || failed="$$failed $$name"; \
	done; [ -z "$$failed" ] || { echo "bench: a target missed, or not run:$$failed" >&2; exit 1; }

clean:  ## keeps .venv, which takes minutes to build
	rm -rf build install log out .pytest_cache .ruff_cache .hypothesis
