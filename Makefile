# make cluster   boot four nodes, provision them and check every kubelet; nothing is left behind
# make test      all tests, including those that boot clusters
# make test-vms  tests with two virtual machines through libvirt; emulated without KVM
# make box       build the box that virtual machines boot from, and print its path
# make lint      ruff, mypy, the import contracts, ansible-lint, shellcheck and the documentation
# make docs      the documentation as a site, in .site
# make clean     remove what the others leave: virtual environment, caches, node images, boxes
#
# PYTHON=python3.12 selects another Python; ARGS="--kube-kubelet=/path/to/hyperkube" is passed to pytest.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

CONFORMANCE := --pyargs pytest_kubecluster.conformance
INSTALLED := $(VENV)/.installed
SHELL_SCRIPTS = $$(git ls-files | xargs awk 'FNR == 1 && /^\#!.*sh$$/ { print FILENAME }')

# A user without access to Docker runs the tests as root.
PYTEST = $$(docker info >/dev/null 2>&1 || echo sudo -E) $(VENV)/bin/python -m pytest

.PHONY: help cluster test test-vms box lint docs clean host vms

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

cluster: $(INSTALLED) host
	@$(PYTEST) --kube-cluster $(CONFORMANCE) $(ARGS)

test: $(INSTALLED) host
	@provisioning/host/prepare --try kubernetes-client kubectl
	@provisioning/host/prepare --try chromium
	$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run -m pytest -n 2 tests/unit tests/plugin
	@# Processes that tests kill leave data that cannot be read.
	@$(VENV)/bin/coverage combine --quiet 2>/dev/null; rm -f .coverage.*
	$(VENV)/bin/coverage report
	@# Runs that fail are run once more, alone: with two at a time, another may have been in the way.
	@$(PYTEST) -n 2 --dist loadgroup tests/runs || $(PYTEST) --last-failed tests/runs
	@$(PYTEST) --kube-cluster -n 2 --dist loadgroup tests/cluster/test_cluster.py $(CONFORMANCE) -m "not kube_disruptive" $(ARGS)
	@$(PYTEST) --kube-cluster tests/cluster $(CONFORMANCE) $(ARGS)
	@$(PYTEST) --kube-cluster --kube-control-plane=hollow tests/cluster/test_breakage_api.py $(CONFORMANCE) -k "api or control_plane"
	@$(PYTEST) --kube-cluster --kube-control-plane=hollow --kube-layout=hardened --kube-hyperkube=1.30.0 --kube-masters=1 tests/cluster/test_breakage_joining.py $(CONFORMANCE) -k "conformance or joining"
	@$(PYTEST) --kube-cluster --kube-hyperkube=1.30.0 --kube-masters=1 --kube-workers=0 tests/cluster/test_breakage.py tests/cluster/test_cis_breakage.py tests/cluster/test_shapes.py -k "configuration or broken_node or shape"
	@for layout in kubeadm hardened; do $(PYTEST) --kube-cluster --kube-layout=$$layout --kube-hyperkube=1.30.0 --kube-masters=1 --kube-workers=0 $(CONFORMANCE) tests/cluster/test_breakage.py -k "conformance or CA or certificate or configuration" || exit; done

test-vms: $(INSTALLED) vms
	@$(PYTEST) tests/vms $(ARGS)

box: $(INSTALLED) vms
	@$(VENV)/bin/kubecluster box $(ARGS)

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	PATH="$(abspath $(VENV))/bin:$$PATH" ansible-lint provisioning examples
	$(VENV)/bin/shellcheck $(SHELL_SCRIPTS)
	$(VENV)/bin/mkdocs build --strict --quiet

docs: $(INSTALLED)
	$(VENV)/bin/mkdocs build --strict

host:
	@provisioning/host/prepare

vms:
	@provisioning/host/prepare --vms

$(INSTALLED): pyproject.toml
	@provisioning/host/prepare --python $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable ".[test,lint,docs]"
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .site
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/kubecluster/boxes"
	-docker image ls --quiet kubecluster-node | xargs --no-run-if-empty docker image rm --force
