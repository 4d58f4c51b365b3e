# Everything runs in an environment of its own; nothing outside this folder changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test quick coverage lint docs wheel project clean

demo: $(INSTALLED)
	$(BIN)/python -m spacy electra demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2

# What most changes touch, in less than a minute.
QUICK := tests/tokenization tests/checkpoints tests/models/test_packed.py \
	tests/models/test_heads.py tests/layers/test_head_model.py tests/pipeline/test_rtd.py

quick: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 $(QUICK)

# All tests, and which lines none of them runs; it takes half as long again.
coverage: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --cov=spacy_electra --cov-report=term-missing:skip-covered

# The quick tests, and their coverage, on the built wheel in an environment of its own.
WHEEL := build/wheel
ON_WHEEL := tests/test_typing.py tests/test_without_transformers.py

wheel: $(INSTALLED)
	rm -rf $(WHEEL)
	$(BIN)/python -m pip install --quiet build
	mkdir -p $(WHEEL)
	$(BIN)/python -m build --outdir $(WHEEL)/dist . > $(WHEEL)/build.log \
		|| { cat $(WHEEL)/build.log; exit 1; }
	$(PYTHON) -m venv $(WHEEL)/venv
	$(WHEEL)/venv/bin/python -m pip install --quiet -c constraints.txt \
		"$$(echo $(WHEEL)/dist/*.whl)[test]"
	cp -r tests docs pyproject.toml $(WHEEL)
	cd $(WHEEL) && venv/bin/python -m pytest -n 2 --cov=spacy_electra \
		--cov-report=term:skip-covered $(QUICK) $(ON_WHEEL)

# Every workflow of the spaCy project, with small budgets; DATA may hold its assets.
DATA := $(abspath ../shared/data)

project: $(INSTALLED)
	$(BIN)/python -m spacy project run all project --vars.data $(DATA)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in output/site; a broken link or reference is an error.
docs: $(VENV)/docs
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VENV)/docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test,lint,plots]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
