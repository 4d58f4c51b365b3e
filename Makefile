# Everything runs in an environment of its own; nothing outside this folder changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test lint docs project clean

demo: $(INSTALLED)
	$(BIN)/python -m spacy electra demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2

# Every workflow of the spaCy project, with small budgets.
project: $(INSTALLED)
	$(BIN)/python -m spacy project run all project

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
