# make demo    train one small model per domain on data that comes along, and look at the reports
# make test    the whole test suite, formatting, lints and types
# make bench   the benchmarks against other libraries, in an environment of their own
# make docs    the generated pages of docs/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RESULTS := benchmarks/results/$(shell date +%Y-%m-%d)
SOURCES := pyproject.toml constraints.txt $(wildcard */pyproject.toml */*/pyproject.toml)

.PHONY: demo test lint bench docs clean

demo: $(VENV)/.installed
	$(BIN)/rondel quickstart

test: $(VENV)/.tested lint
	$(BIN)/python -m pytest -n auto --dist loadscope

lint: $(VENV)/.tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy core/src domains/detection/src domains/text/src domains/tabular/src domains/gan/src plugins/example/src

bench: .venv-bench/.installed
	.venv-bench/bin/python benchmarks/startup.py --json $(RESULTS)-startup.json
	.venv-bench/bin/python benchmarks/checkpoint_cost.py --json $(RESULTS)-checkpoint_cost.json
	.venv-bench/bin/python benchmarks/resume_exact.py --json $(RESULTS)-resume_exact.json
	.venv-bench/bin/python benchmarks/coco_eval.py --json $(RESULTS)-coco_eval.json
	.venv-bench/bin/python benchmarks/label_reading.py --json $(RESULTS)-label_reading.json
	.venv-bench/bin/python benchmarks/detection_step.py --json $(RESULTS)-detection_step.json
	.venv-bench/bin/python benchmarks/text_throughput.py --json $(RESULTS)-text_throughput.json
	.venv-bench/bin/python benchmarks/accumulation.py --json $(RESULTS)-accumulation.json
	.venv-bench/bin/python benchmarks/text_overhead.py --json $(RESULTS)-text_overhead.json
	.venv-bench/bin/python benchmarks/tabular_scores.py --json $(RESULTS)-tabular_scores.json
	.venv-bench/bin/python benchmarks/tabular_feed.py --json $(RESULTS)-tabular_feed.json
	.venv-bench/bin/python benchmarks/tabular_folds.py --json $(RESULTS)-tabular_folds.json
	.venv-bench/bin/python benchmarks/tabular_memory.py --json $(RESULTS)-tabular_memory.json
	.venv-bench/bin/python benchmarks/gan_step.py --json $(RESULTS)-gan_step.json
	.venv-bench/bin/python benchmarks/gan_frechet.py --json $(RESULTS)-gan_frechet.json
	.venv-bench/bin/python benchmarks/gan_recipes.py --json $(RESULTS)-gan_recipes.json
	.venv-bench/bin/python benchmarks/loop_overhead.py --json $(RESULTS)-loop_overhead.json

docs: $(VENV)/.tested
	$(BIN)/python docs/generate.py

# Editable, so that a change of the sources needs no new installation.
$(VENV)/.installed: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e "./core[report]" -e ./domains/detection -e ./domains/text -e ./domains/tabular -e ./domains/gan
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-r requirements-test.txt -e "./domains/detection[onnx,transformers]" -e "./domains/text[onnx,lora,language]" -e "./domains/tabular[onnx,trees]" -e "./domains/gan[onnx]" -e ./plugins/example
	touch $@

.venv-bench/.installed: $(SOURCES) benchmarks/requirements-peers.txt benchmarks/requirements-tables.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		-r benchmarks/requirements-peers.txt -e "./core[report]" -e "./domains/detection[onnx,transformers]" -e "./domains/text[onnx,lora,language]" -e "./domains/tabular[onnx,trees]" -e ./domains/gan
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements-tables.txt
	touch $@

clean:
	rm -rf .venv .venv-bench runs
