# `make up` runs Pixlake, `make test` tests it; `make help` lists all targets.
# Both create the virtual environment first, and may run at the same time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help up test fuzz gallery soak soak-crashes soak-http bench bench-soak bench-lake check lock clean install dev wheels audit coverage
.PHONY: docs changelog
.PHONY: check-types check-rules deploy-check deploy-synth image-check cluster-rehearsal

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# exec replaces the shell, so that pixlake handles Ctrl-C.
up: install ## start everything on this machine, until Ctrl-C
	@exec $(BIN)/pixlake up

# Three on two cores, because a third of a test's time is waiting.
test: dev ## run all tests, three at a time (ARGS="-k name" for some)
	@$(BIN)/python -m tests.servers.prepare
	@exec $(BIN)/pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder $(ARGS)

# Tests of whole Pixlakes are left out: other processes run those lines and do not count them.
coverage: dev ## branch coverage of all tests in their own process (ARGS as for test); pages in .coverage.d
	@$(BIN)/python -m tests.servers.prepare
	@exec $(BIN)/pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder --timeout 600 \
		--ignore tests/end_to_end --ignore tests/framing --ignore tests/pixlake/test_examples.py \
		--cov --cov-report term --cov-report html:.coverage.d $(ARGS)

fuzz: dev ## coverage-guided fuzzing of the image readers (ARGS=600: seconds for each)
	@$(BIN)/python -m pip --disable-pip-version-check -q install --require-hashes -r requirements/fuzz.txt
	@exec $(BIN)/python -m tests.fuzz $(ARGS)

gallery: dev ## make a page of real photographs, as rendered by preset web and by Pillow
	@exec $(BIN)/python -m tests.gallery

soak: dev ## run the lake's simulation with new seeds, until stopped
	@exec $(BIN)/python -m tests.lake.simulation

bench: dev ## measure every figure of docs/performance.md (needs wrk; ARGS="--quick" is short)
	@exec $(BIN)/python -m benchmarks $(ARGS)

bench-soak: dev ## measure memory during half an hour of load (ARGS="--minutes 10" for less)
	@exec $(BIN)/python -m benchmarks.soak $(ARGS)

soak-crashes: dev ## run ten minutes of kill -9 with S3 and Kafka, then the audit
	@$(BIN)/python -m tests.servers.prepare
	@PIXLAKE_CRASH_SECONDS=$${PIXLAKE_CRASH_SECONDS:-600} \
		$(BIN)/pytest -s tests/end_to_end/test_real_parts.py -k kills

soak-http: dev ## send 10,000 rounds of request smuggling (ARGS="--rounds 500 --seed 1")
	@exec $(BIN)/python -m tests.framing $(ARGS)

bench-lake: dev ## measure sealing, journal and query against their targets, as lines of JSON
	@exec $(BIN)/python -m benchmarks.lake

deploy-check: dev ## test the AWS stacks offline: rules, rights, cdk-nag, cfn-lint, an emulator
	@$(BIN)/python deploy/ecs/contract.py --check
	@cd deploy/ecs && PYTHON="$(PYTHON)" sh install.sh .venv requirements.txt
	@cd deploy/ecs && PYTHON="$(PYTHON)" sh install.sh .venv-emulator requirements-emulator.txt
	@cd deploy/ecs && .venv/bin/mypy
	@cd deploy/ecs && exec .venv/bin/pytest -q $(ARGS)

deploy-synth: ## write the templates of an environment (ENV=small) to deploy/ecs/cdk.out
	@cd deploy/ecs && PYTHON="$(PYTHON)" sh install.sh .venv requirements.txt
	@cd deploy/ecs && exec .venv/bin/python app.py $(or $(ENV),small) $(EXAMPLE)

image-check: dev ## run the Dockerfile's steps without Docker, and start the result (needs root)
	@exec $(BIN)/python deploy/ecs/image/check.py

cluster-rehearsal: dev ## run ECS tasks on this machine (root, 15 minutes; ARGS=faults or failover: 15 more)
	@$(BIN)/python -m tests.servers.prepare
	@$(MAKE) --no-print-directory deploy-synth ENV=large EXAMPLE=--example
	@exec $(BIN)/python -m tests.rehearsal $(ARGS)

# Types and rules take equally long, so they run in parallel. test_architecture.py
# runs lint-imports.
check: dev ## check lint, formatting, types, import rules
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check-types check-rules
check-types:
	$(BIN)/mypy
check-rules:
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pytest -q tests/test_architecture.py

# dev.txt is compiled with up.txt as constraints, so it contains all of up.txt, at equal versions.
install: ## install the packages of `make up`, without a start
	@VENV="$(VENV)" PYTHON="$(PYTHON)" sh requirements/install.sh up
dev:
	@VENV="$(VENV)" PYTHON="$(PYTHON)" sh requirements/install.sh dev

UV_COMPILE = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--generate-hashes --no-annotate --custom-compile-command "make lock" \
	--no-emit-package pixlake --exclude-newer "$(NEWEST)"
# A compromised release is often found within days, so the lock takes no newer release. For an urgent
# security fix: make lock NEWEST=0days
NEWEST ?= 7days

EXTRAS = --extra embedded --extra heif --extra postgres --extra cache

lock: dev ## update the locks to the newest releases that are at least a week old
	$(UV_COMPILE) pyproject.toml requirements/build.in $(EXTRAS) -o requirements/up.txt
	$(UV_COMPILE) pyproject.toml requirements/build.in $(EXTRAS) --group dev \
		-c requirements/up.txt -o requirements/dev.txt
	$(UV_COMPILE) pyproject.toml --extra postgres --extra cache -c requirements/up.txt \
		-o requirements/node.txt
	$(UV_COMPILE) pyproject.toml --extra postgres --extra cache --extra heif -c requirements/up.txt \
		-o requirements/node-heif.txt
	$(UV_COMPILE) requirements/tools.in -c requirements/dev.txt -o requirements/tools.txt
	$(UV_COMPILE) requirements/docs.in -c requirements/dev.txt -o requirements/docs.txt
	$(UV_COMPILE) benchmarks/peers/thumbor.in -o benchmarks/peers/thumbor.txt
	$(UV_COMPILE) --group fuzz -o requirements/fuzz.txt
	$(UV_COMPILE) deploy/ecs/pyproject.toml --group deploy/ecs/pyproject.toml:dev \
		-o deploy/ecs/requirements.txt
	$(UV_COMPILE) deploy/ecs/requirements-emulator.in -o deploy/ecs/requirements-emulator.txt

# The tools of the docs have their own environment, so neither the service nor its tests need them.
DOCS := .venv-docs
$(DOCS)/.installed: requirements/docs.txt
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip --disable-pip-version-check -q install --require-hashes \
		--only-binary :all: -r $<
	@touch $@

docs: $(DOCS)/.installed ## build the pages as a site in site/, and check every link
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

changelog: $(DOCS)/.installed ## show the next section of the changelog (VERSION=0.2.0 writes it)
	@$(DOCS)/bin/towncrier build --yes $(if $(VERSION),--version $(VERSION),--draft --version next)

audit: dev ## look up known vulnerabilities of every lock (needs the network; not part of CI)
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-tools
	@$(BIN)/uv pip install --quiet --python .venv-tools/bin/python --require-hashes -r requirements/tools.txt
	@exec .venv-tools/bin/python -m requirements.audit

wheels: dev ## build both wheels into dist/, and test them in empty environments
	@exec .ci/wheels

clean: ## remove the virtual environment and caches; the data in .pixlake stays
	rm -rf $(VENV) $(DOCS) .venv-tools site .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.d .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
