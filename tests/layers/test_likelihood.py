"""Likelihoods of texts, against Transformers' network asked one by one."""

from dataclasses import replace

import numpy as np
import pytest
import spacy
import torch
import transformers

from spacy_electra.layers.language_model import LanguageModel
from spacy_electra.layers.likelihood import (
    log_likelihoods,
    pseudo_log_likelihoods,
    sums_per_token,
)
from spacy_electra.models import ElectraForMaskedLM
from spacy_electra.source import resolve_source
from spacy_electra.tokenization.alignment import align

GENERATOR = resolve_source("en_tiny/generator")
TEXTS = [
    "The physicists' unbelievable paperweights sat.",
    "",
    "He doesn't know.",
    "A ☃ melts [MASK] here.",
]


@pytest.fixture(scope="module")
def ask():
    """Log-probabilities by Transformers of all pieces at a position of a sequence."""
    network = transformers.ElectraForMaskedLM.from_pretrained(GENERATOR).eval()

    def log_probabilities(ids, position):
        with torch.no_grad():
            logits = network(torch.tensor([ids])).logits[0, position]
        return logits.log_softmax(-1).tolist()

    return log_probabilities


@pytest.fixture(scope="module")
def model(tokenizer):
    network = ElectraForMaskedLM.from_pretrained(GENERATOR)
    return LanguageModel.from_network(network, tokenizer)


def ids_of(model, texts):
    return [encoding.ids for encoding in model.tokenizer.encode_batch(texts)]


def hidden_pieces(tokens, index, hidden):
    """Which pieces are hidden when one is scored, by the papers' descriptions."""
    word = [index]
    while tokens[word[0]].startswith("##"):
        word.insert(0, word[0] - 1)
    while word[-1] + 1 < len(tokens) and tokens[word[-1] + 1].startswith("##"):
        word.append(word[-1] + 1)
    return {
        "piece": [index],
        "rest_of_word": [n for n in word if n >= index],
        "word": word,
    }[hidden]


@pytest.mark.parametrize("hidden", ["piece", "rest_of_word", "word"])
def test_pieces_are_scored_as_one_by_one(model, ask, hidden):
    texts = ids_of(model, TEXTS)
    tokenizer = model.tokenizer
    several = 0
    for ids, found in zip(
        texts, pseudo_log_likelihoods(model, texts, hidden), strict=True
    ):
        tokens = tokenizer.convert_ids_to_tokens(ids)
        several += sum(token.startswith("##") for token in tokens)
        assert len(found) == len(ids)
        for index, value in enumerate(found):
            sequence = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
            for place in hidden_pieces(tokens, index, hidden):
                sequence[place + 1] = tokenizer.mask_token_id
            if tokens[index] == "[MASK]":
                assert np.isnan(value)
            else:
                expected = ask(sequence, index + 1)[ids[index]]
                assert value == pytest.approx(expected, abs=1e-5)
    assert several > 3


def test_an_unknown_way_to_hide_is_refused(model):
    with pytest.raises(ValueError, match=r"hidden.*'pieces'.*piece, rest"):
        pseudo_log_likelihoods(model, [], "pieces")


@pytest.mark.parametrize("hidden", ["piece", "rest_of_word", "word"])
def test_long_texts_are_scored_through_windows_around_each_piece(model, ask, hidden):
    small = replace(model, window=9)
    (ids,) = ids_of(model, ["The unbelievable paperweights of the paperweights sat."])
    tokens = model.tokenizer.convert_ids_to_tokens(ids)
    assert len(ids) > 14
    (found,) = pseudo_log_likelihoods(small, [ids], hidden)
    for index, value in enumerate(found):
        masked = ids.copy()
        masked[hidden_pieces(tokens, index, hidden)] = model.tokenizer.mask_token_id
        # Seven pieces: three on either side, or what there is.
        start = min(max(0, index - 3), len(ids) - 7)
        sequence = [2, *masked[start : start + 7], 3]
        expected = ask(sequence, index - start + 1)[ids[index]]
        assert value == pytest.approx(expected, abs=1e-5)


def test_batches_of_any_size_give_the_same(model):
    texts = ids_of(model, TEXTS)
    expected = pseudo_log_likelihoods(model, texts)
    for max_tokens in (1, 20):
        small = replace(model, max_tokens=max_tokens)
        for ours, theirs in zip(
            pseudo_log_likelihoods(small, texts), expected, strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.fixture(scope="module")
def causal(tokenizer):
    """The same weights where each piece sees only those before it."""
    network = ElectraForMaskedLM.from_pretrained(GENERATOR, is_decoder=True)
    return LanguageModel.from_network(network, tokenizer)


@pytest.fixture(scope="module")
def ask_causal():
    """Log-probability by Transformers of each piece of a sequence but the first."""
    network = transformers.ElectraForCausalLM.from_pretrained(
        GENERATOR, is_decoder=True
    ).eval()

    def log_probabilities(ids):
        ids = torch.tensor([ids])
        with torch.no_grad():
            scores = network(ids, use_cache=False).logits.log_softmax(-1)
        return scores[0, :-1].gather(1, ids[0, 1:, None]).squeeze(1).tolist()

    return log_probabilities


def test_each_piece_is_scored_given_those_before_it(causal, ask_causal):
    texts = ids_of(causal, TEXTS)
    for ids, found in zip(texts, log_likelihoods(causal, texts, 255), strict=True):
        assert found.tolist() == pytest.approx(ask_causal([2, *ids]), abs=1e-5)


def test_what_follows_changes_nothing(causal):
    short, long = ids_of(causal, ["He does not", "He does not know her brother."])
    first, second = log_likelihoods(causal, [short, long], 255)
    np.testing.assert_allclose(first, second[: len(first)], atol=1e-5)


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_windows_over_long_texts_keep_the_left_context(causal, ask_causal, stride):
    (ids,) = ids_of(causal, ["The unbelievable paperweights of the paperweights sat."])
    small = replace(causal, window=8)
    (found,) = log_likelihoods(small, [ids], stride)
    expected = ask_causal([2, *ids[:7]])
    while len(expected) < len(ids):
        end = min(len(expected) + stride, len(ids))
        in_window = ask_causal([2, *ids[end - 7 : end]])
        expected += in_window[len(expected) - end :]
    assert len(ids) > 14
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("stride", [0, 8])
def test_a_stride_that_makes_no_sense_is_refused(causal, stride):
    with pytest.raises(ValueError, match=f"stride.*from 1 to window - 1 = 7.*{stride}"):
        log_likelihoods(replace(causal, window=8), [], stride)


def test_no_texts_have_no_likelihoods(model, causal):
    assert pseudo_log_likelihoods(model, []) == []
    assert log_likelihoods(causal, [], 10) == []


def test_a_token_has_the_sum_of_its_pieces_and_shared_ones_count_once(tokenizer):
    doc = spacy.blank("en")("He doesn't like \n unbelievable paperweights.")
    (pieces,) = align([doc], tokenizer)
    values = 2.0 ** np.arange(len(pieces))
    sums = sums_per_token(values, pieces)
    tokens = [token.text for token in doc]
    assert tokens[1:3] == ["does", "n't"]
    assert tokenizer.convert_ids_to_tokens(pieces.ids[1:4]) == ["doesn", "'", "t"]
    assert sums[1:3].tolist() == [2.0, 4.0 + 8.0]
    assert sums[tokens.index("\n ")] == 0.0
    assert sums.sum() == values.sum()
    values[1] = np.nan
    assert sums_per_token(values, pieces)[1] == 0.0
    assert (
        sums_per_token(np.zeros(0), align([doc[:0].as_doc()], tokenizer)[0]).size == 0
    )
