# Works on a fresh clone with Python 3.11 and Node 20; each target does only what is out of date.
PYTHON ?= python3
VSIX := dist/gradsense.vsix
RUN := .venv/bin/python
# Tests that start servers, editors and probes have the machine to themselves; all others share it.
PROCESSES := tests/cli tests/e2e tests/lsp tests/packaging tests/probe tests/workspace

.DELETE_ON_ERROR:
.PHONY: setup demo test screenshots editor bench bench-typing bench-probe corpus mutants storm probe-truth compare bench-repository test-old test-oldest-vscode test-engines docs rule package lock sbom audit release-check clean
.DEFAULT_GOAL := setup

setup: .venv/.installed out/extension.js

demo: setup
	$(RUN) tools/demo.py

test: setup $(VSIX) .cache/vscode/.installed
	tools/install_system_packages.sh chromium ripgrep neovim emacs
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	npm run typecheck
	npm run lint
	npm test
	$(RUN) -m pytest -n auto --dist worksteal $(PROCESSES:%=--ignore=%)
	$(RUN) -m pytest $(PROCESSES)

# The pictures that docs/images has, as they would be now; all others stay in .cache/screenshots.
screenshots: setup $(VSIX) .cache/vscode/.installed
	tools/install_system_packages.sh chromium ripgrep pngquant
	mkdir -p .cache/screenshots
	GRADSENSE_SCREENSHOTS=$(CURDIR)/.cache/screenshots $(RUN) -m pytest tests/e2e/test_vscode.py
	for each in docs/images/*.png; do pngquant --force --strip --output $$each .cache/screenshots/$${each##*/}; done

editor: setup $(VSIX) .cache/vscode/.installed
	$(RUN) tests/e2e/real_vscode.py serve examples --extension $(VSIX)

# `make bench FROM=folder` takes public training files from there, too, as owner+name; PARTS names some of its tables.
bench: setup
	$(RUN) -m benchmarks.speed $(PARTS) $(if $(FROM),--from $(FROM))

bench-typing: setup
	$(RUN) -m benchmarks.speed.keystrokes $(SHORT)

bench-probe: setup
	$(RUN) -m benchmarks.probe_speed

# `make corpus FROM=folder` takes the repositories from there, as owner+name; without it, git fetches them.
corpus: setup
	$(RUN) -m benchmarks.corpus $(if $(FROM),--from $(FROM)) $(ONLY)

# FROM is a folder with public repositories as <owner>+<name>/: benchmarks/mutants/hosts.toml says which.
mutants: setup
	$(RUN) -m benchmarks.mutants --from $(or $(FROM),$(error make mutants FROM=folder)) --report benchmarks/mutants/REPORT.md

# Hours; SHORT="--inputs 1000" for a look, ONLY="fuzz edits" for some parts. FROM as above, or else the repository's own programs.
storm: setup
	$(RUN) -m benchmarks.storm $(ONLY) $(if $(FROM),--from $(FROM)) $(SHORT) --report benchmarks/storm/REPORT.md

# FROM is a folder with public repositories as <owner>+<name>/: benchmarks/probe_truth/corpora.toml says which.
probe-truth: setup
	$(RUN) -m benchmarks.probe_truth --from $(or $(FROM),$(error make probe-truth FROM=folder)) --time-limit $(or $(TIME_LIMIT),10) --report benchmarks/probe_truth/REPORT.md

# What other linters see of the recall set; TorchFix has an environment of its own.
compare: setup
	test -x .cache/compare/bin/torchfix || ($(PYTHON) -m venv .cache/compare && .cache/compare/bin/pip install torchfix==0.7.0)
	$(RUN) -m benchmarks.compare --torchfix .cache/compare/bin/torchfix

# FROM is a folder with public repositories as <owner>+<name>/. WHOLE=1 checks all of them twice, too.
bench-repository: setup
	test -x .cache/compare/bin/torchfix || ($(PYTHON) -m venv .cache/compare && .cache/compare/bin/pip install torchfix==0.7.0)
	$(RUN) -m benchmarks.repository --from $(or $(FROM),$(error make bench-repository FROM=folder)) --torchfix .cache/compare/bin/torchfix $(if $(WHOLE),--whole)

# The oldest versions that all is made for: the probe under Python 3.9, the server and gradsense.testing under 3.10.
OLD_PYTHON ?= python3.9
OLD_SERVER_PYTHON ?= python3.10
OLD_PACKAGES := torch==2.2.2 'numpy<2' lightning==2.2.5 pytorch_lightning==2.2.5
test-old: setup .cache/old/.installed .cache/old-server/.installed
	GRADSENSE_PROBE_PYTHON=$(CURDIR)/.cache/old/bin/python $(RUN) -m pytest tests/probe --ignore tests/probe/test_testing.py
	.cache/old-server/bin/python -m pytest tests/probe/test_testing.py tests/cli tests/lsp tests/program tests/source tests/workspace

# Dask and Ray, each on a cluster of several processes here: an environment of its own, for Ray is large.
test-engines: setup .cache/engines/.installed
	.cache/engines/bin/python -m pytest tests/engines

.cache/engines/.installed: pyproject.toml
	$(PYTHON) -m venv .cache/engines
	.cache/engines/bin/python -m pip install -e '.[dask,ray]' pytest
	touch $@

# The same in an old VS Code; the newest one's Node runs the scenarios. Its install compiles for several minutes.
test-oldest-vscode: setup $(VSIX) .cache/vscode/.installed .cache/vscode-oldest/.installed
	tools/install_system_packages.sh chromium
	GRADSENSE_VSCODE=oldest $(RUN) -m pytest tests/e2e/test_vscode.py

.cache/vscode-oldest/.installed: tests/e2e/real_vscode.py | .venv/.installed
	tools/install_system_packages.sh compiler ripgrep
	GRADSENSE_VSCODE=oldest $(RUN) tests/e2e/real_vscode.py install
	touch $@

.cache/old/.installed:
	$(OLD_PYTHON) -m venv .cache/old
	.cache/old/bin/python -m pip install $(OLD_PACKAGES)
	touch $@

.cache/old-server/.installed: pyproject.toml
	$(OLD_SERVER_PYTHON) -m venv .cache/old-server
	.cache/old-server/bin/python -m pip install $(OLD_PACKAGES)
	.cache/old-server/bin/python -m pip install -e . pytest pytest-asyncio pytest-lsp hypothesis jsonschema
	touch $@

# The pages that the code tells, and the site of all of them in .cache/site.
docs: setup
	$(RUN) -m tools.make_docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet

rule: setup
	$(RUN) -m tools.new_rule $(or $(NAME),$(error make rule NAME=its-name FAMILY=its-folder)) $(FAMILY)

package: $(VSIX)
	rm -f dist/*.whl dist/*.tar.gz
	$(RUN) -m build --outdir dist

# The extension for another platform, as dist/gradsense-<target>.vsix: the names are in tools/bundle_server.py.
dist/gradsense-%.vsix: out/extension.js .venv/.installed
	mkdir -p $(@D)
	$(RUN) tools/bundle_server.py $*
	npm run package -- --allow-package-all-secrets --allow-package-env-file --target $* --out $@

# The hashes of everything that the extension is bundled of, after a version in tools/bundled.txt has changed.
lock: setup
	$(RUN) -m tools.lock

# What a release is made of, as dist/gradsense.cdx.json.
sbom: setup
	$(RUN) -m tools.sbom

# Known vulnerabilities in what is bundled. It asks the package indexes' advisory services, so it needs the network.
audit: setup
	test -x .cache/audit/bin/pip-audit || ($(PYTHON) -m venv .cache/audit && .cache/audit/bin/pip install pip-audit)
	.cache/audit/bin/pip-audit --disable-pip --require-hashes --requirement tools/bundled.txt
	npm audit --omit=dev

release-check: setup
	$(RUN) -m tools.release

clean:
	rm -rf .venv node_modules bundled out dist build .cache .mypy_cache .ruff_cache .pytest_cache

# torch goes first and alone: asked for as a dependency, an open range takes the CUDA builds.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "This needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(RUN) -m pip install torch==2.13.0
	$(RUN) -m pip install -c constraints.txt -e '.[test]'
	touch $@

node_modules/.installed: package-lock.json .npmrc
	node -e 'if (parseInt(process.versions.node) < 20) throw "This needs Node 20 or newer."'
	npm ci
	touch $@

out/extension.js: node_modules/.installed package.json tsconfig.json $(wildcard client/src/*.ts) client/tsconfig.json
	npm run build

# The bundled server's compiled libraries make the extension one for this platform.
SERVER_SOURCES := $(shell find server/gradsense -name '*.py' -o -name '*.typed')
$(VSIX): out/extension.js .venv/.installed .vscodeignore client/icon.png README.md LICENSE \
    $(wildcard CHANGELOG.md docs/images/*.png docs/images/*.svg package.nls*.json l10n/*.json) examples/dual_network.py \
    tools/bundle_server.py tools/bundled.txt tools/launch.py $(SERVER_SOURCES)
	mkdir -p $(@D)
	$(RUN) tools/bundle_server.py
	# Nearly all the files are published libraries: looking through them for secrets takes minutes.
	npm run package -- --allow-package-all-secrets --allow-package-env-file --target $$(node -p 'process.platform + "-" + process.arch') --out $@

# A real VS Code, for `make editor` and the end-to-end tests.
.cache/vscode/.installed: tests/e2e/real_vscode.py | .venv/.installed
	tools/install_system_packages.sh compiler
	$(RUN) tests/e2e/real_vscode.py install
	touch $@
