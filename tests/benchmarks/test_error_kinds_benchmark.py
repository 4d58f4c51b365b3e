"""What benchmarks/error_kinds.py trains, and what it trains on."""

import numpy as np
import pytest
import spacy
import srsly

from spacy_electra.pretraining.corpus.preparation import prepare_corpus
from spacy_electra.pretraining.error_samplers import KINDS
from spacy_electra.source import resolve_source
from spacy_electra.tokenization import ElectraTokenizer


@pytest.fixture(scope="module")
def benchmark():
    import error_kinds

    return error_kinds


def test_each_kind_has_half_of_the_errors_of_a_run(benchmark):
    beside = set(benchmark.VARIANTS) - {benchmark.ALONE, benchmark.TOGETHER}
    # A list of misspellings is another benchmark's.
    assert beside == set(KINDS) - {"word", "misspelling"}
    for kind in beside:
        assert benchmark.VARIANTS[kind] == {"word": 0.5, kind: 0.5}
    for weights in benchmark.VARIANTS.values():
        assert sum(weights.values()) == pytest.approx(1.0)


def test_a_run_has_the_shape_of_its_start_and_the_errors_alone(benchmark, tmp_path):
    errors = {"word": 0.5, "punctuation": 0.5}
    settings = benchmark.short_run(tmp_path, "en_tiny", 1234, errors, seed=3)
    assert settings.model.discriminator["hidden_size"] == 256
    assert dict(settings.sampler.errors) == errors
    assert settings.training.max_tokens == 1234 and settings.training.seed == 3
    assert settings.data.shards == str(tmp_path)


def test_a_short_run_is_measured_on_all_cases(benchmark, tmp_path):
    from rtd_texts import Case

    texts = ["the old man went to the house, and saw the river by the sea."] * 400
    srsly.write_jsonl(tmp_path / "texts.jsonl", [{"text": text} for text in texts])
    tokenizer = ElectraTokenizer.from_pretrained(resolve_source("en_tiny"))
    prepare_corpus(tmp_path / "texts.jsonl", tokenizer, tmp_path / "shards")
    errors = {"word": 0.5, "doubling": 0.5}
    settings = benchmark.short_run(tmp_path / "shards", "en_tiny", 3000, errors, seed=0)
    doc = spacy.blank("en")("the old man man went home")
    wrong = np.array([token.i == 3 for token in doc])
    cases = {"doubling": [Case(doc, wrong, np.ones_like(wrong))]}
    found = benchmark.detector(settings, cases)
    assert found.keys() == {"doubling"} and 0.5 < found["doubling"] <= 1.0
