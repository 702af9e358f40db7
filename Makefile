# `make` alone lists what there is.

# The Python that .venv is made with.
PYTHON ?= python3
# More arguments: pytest's in `make test`, the script's in `make train`, runs in
# `make results`, uv's in `make lock`.
ARGS ?=

UV := uv==0.13.9
AUDIT := pip-audit==2.10.1
READY := .venv/ready

# A person's own pip settings (a mirror, a proxy, certificates) hold here too, except those that would
# keep the locked versions out of .venv.
PIP := PIP_CONSTRAINT=/dev/null PIP_USER=0 PIP_REQUIRE_HASHES=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
	.venv/bin/python -m pip install --no-input

# A set-up's last act is to write this folder's path into the stamp. So one that broke off, a folder
# that was moved or copied, and an environment whose Python is gone are all set up anew.
SET_UP_IN := $(shell test -x .venv/bin/python && cat $(READY) 2>/dev/null)
ifneq ($(SET_UP_IN),$(CURDIR))
.PHONY: $(READY)
endif

# Prints the interpreter to make .venv with: where `python3` is the one of an active environment,
# perhaps of .venv itself, the one behind it.
define FIND_PYTHON
import sys
version = "%d.%d.%d" % sys.version_info[:3]
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        "%s is Python %s; Epochlab needs Python 3.11, 3.12 or 3.13. Install one of them and name it "
        "in the same command: make ... PYTHON=python3.12" % (sys.executable, version)
    )
try:
    import ensurepip, venv
except ImportError as error:
    sys.exit(
        "%s (Python %s) cannot make a virtual environment: %s. On Debian and Ubuntu run: "
        "apt install python%d.%d-venv. Elsewhere name a complete Python 3.11, 3.12 or 3.13 in the "
        "same command: make ... PYTHON=python3.12"
        % ((sys.executable, version, error) + sys.version_info[:2])
    )
print(sys._base_executable)
endef
export FIND_PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup train test results lock audit clean

help:
	@echo 'make train   set up .venv if need be, then train lenet_mnist'
	@echo 'make test    set up, then ruff, pyright and pytest'
	@echo 'make setup   make .venv from requirements.lock'
	@echo 'make results docs/results.md and the tables of README.md, from the runs in docs/results/'
	@echo 'make lock    write requirements.lock anew from pyproject.toml'
	@echo 'make audit   look the locked versions up among the known vulnerabilities'
	@echo 'make clean   remove .venv, build files and caches; runs in outputs/ stay'
	@echo
	@echo 'ARGS="..."   more arguments:  make test ARGS="-k lenet"'
	@echo '                              make train ARGS="--set training.epochs=2"'
	@echo '                              make results ARGS="RUN..."  takes finished runs over first'
	@echo '                              make lock ARGS=--upgrade'
	@echo 'PYTHON=...   what a new .venv is made with:  make setup PYTHON=python3.12'

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { echo 'There is no "$(PYTHON)" here; Epochlab needs' \
		'Python 3.11, 3.12 or 3.13. Install one of them, or name the one you have in the same' \
		'command: make ... PYTHON=python3.12' >&2; exit 1; }
	@python=$$("$(PYTHON)" -c "$$FIND_PYTHON" </dev/null) || exit 1; \
	echo "Setting up .venv with $$python: a few minutes, once."; \
	rm -rf .venv && "$$python" -m venv .venv </dev/null
	$(PIP) --require-hashes -r requirements.lock </dev/null
	$(PIP) --no-deps --no-build-isolation --editable . </dev/null
	@printf '%s\n' "$(CURDIR)" > $@

train: $(READY)
	@touch .venv/train-started
	@.venv/bin/python scripts/lenet_mnist.py $(ARGS)
	@accuracy=$$(find outputs/lenet_mnist -name accuracy.png -newer .venv/train-started 2>/dev/null \
		| sort | tail -n 1); \
	if [ -n "$$accuracy" ]; then echo "curves: $$accuracy, loss.png beside it"; fi

test: $(READY)
	.venv/bin/python -m ruff check
	.venv/bin/python -m ruff format --check
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 .venv/bin/python -m pyright --pythonpath .venv/bin/python </dev/null
	.venv/bin/python -m pytest --numprocesses auto $(ARGS) </dev/null

results: $(READY)
	@$(if $(ARGS),.venv/bin/python benchmarks/results.py collect $(ARGS))
	@.venv/bin/python benchmarks/results.py render

# One set of versions for all Pythons and systems; the hashes are those of the public registry.
lock:
	@test -x .venv-lock/bin/python || "$(PYTHON)" -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --no-input --disable-pip-version-check '$(UV)'
	.venv-lock/bin/python -m uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--fork-strategy fewest --generate-hashes --no-config --quiet --output-file requirements.lock \
		--custom-compile-command 'make lock' $(ARGS)

# --strict: a package that could not be looked up counts as a failure, not as one without a finding.
audit:
	@test -x .venv-audit/bin/python || "$(PYTHON)" -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --no-input --disable-pip-version-check '$(AUDIT)'
	@.venv-audit/bin/python -m pip_audit --strict --requirement requirements.lock --require-hashes \
		--disable-pip $(ARGS) || { echo 'Not without a finding: what is named above has a known' \
		'vulnerability, or could not be looked up at pypi.org.' >&2; exit 1; }

clean:
	rm -rf .venv .venv-lock .venv-audit build dist src/epochlab.egg-info .pytest_cache .ruff_cache .hypothesis
	find src scripts tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
