"""One vector for a sequence, by each option of the config."""

from dataclasses import replace

import pytest
import torch
import transformers
from counterparts import assert_same, pair
from test_packed import padded, sequences

from spacy_electra.models import ElectraForMultipleChoice, PackedBatch
from spacy_electra.models.summary import SequenceSummary

TYPES = ["first", "last", "mean", "cls_index"]


def summaries(config):
    """Ours and that of Transformers, with the same weights."""
    torch.manual_seed(0)
    theirs = transformers.models.electra.modeling_electra.ElectraSequenceSummary(
        transformers.ElectraConfig(**config.to_dict())
    ).eval()
    ours = SequenceSummary(config).eval()
    names = {"summary.weight": "projection.weight", "summary.bias": "projection.bias"}
    ours.load_state_dict({names[n]: t for n, t in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("projected", [False, True, "to labels"])
@pytest.mark.parametrize("activation", ["gelu", "tanh", None])
def test_options_as_in_transformers(small_config, kind, projected, activation):
    config = replace(
        small_config.changed(num_labels=5),
        summary_type=kind,
        summary_use_proj=bool(projected),
        summary_activation=activation,
        extra={"summary_proj_to_labels": projected == "to labels"},
    )
    ours, theirs = summaries(config)
    hidden = torch.randn(3, 7, 32)
    found = ours(ours.pick(hidden))
    assert_same(found, theirs(hidden))
    assert found.shape == (3, 5 if projected == "to labels" else 32)
    assert ours.width == found.shape[1]
    if kind == "cls_index":
        index = torch.tensor([2, 0, 6])
        assert_same(ours(ours.pick(hidden, cls_index=index)), theirs(hidden, index))


@pytest.mark.parametrize("first", [0.0, 0.5])
@pytest.mark.parametrize("last", [0.0, 0.5])
def test_dropout_before_and_after(small_config, first, last):
    config = replace(
        small_config,
        summary_use_proj=False,
        summary_activation=None,
        summary_last_dropout=last,
        extra={"summary_first_dropout": first},
    )
    summary = SequenceSummary(config).train()
    dropped = (summary(torch.ones(1000, 32)) == 0).float().mean().item()
    assert dropped == pytest.approx(1 - (1 - first) * (1 - last), abs=0.02)


@pytest.mark.parametrize("kind", TYPES)
def test_padding_takes_no_part(small_config, kind):
    summary = SequenceSummary(replace(small_config, summary_type=kind)).eval()
    hidden = torch.randn(2, 7, 32)
    mask = torch.ones(2, 7)
    mask[1, 4:] = 0
    picked = summary.pick(hidden, mask)
    assert_same(picked[:1], summary.pick(hidden[:1]))
    assert_same(picked[1:], summary.pick(hidden[1:, :4]))
    # No piece at all: zeros, or whatever stands first.
    nothing = summary.pick(hidden, torch.zeros(2, 7))
    assert nothing.isfinite().all()


@pytest.mark.parametrize("kind", TYPES)
def test_models_with_each_summary(small_config, kind):
    config = replace(small_config, summary_type=kind)
    ours, theirs = pair(ElectraForMultipleChoice, config)
    parts = sequences([3, 9, 9, 5])
    ids, mask = padded(parts)
    with torch.no_grad():
        packed = ours.forward_packed(PackedBatch.from_sequences(parts))
        assert_same(ours(ids[None], mask[None]).logits[0], packed)
        for part, logit in zip(parts, packed, strict=True):
            assert_same(logit[None, None], theirs(part[None, None]).logits)


def test_a_summary_as_wide_as_the_labels_has_a_classifier(small_config):
    config = replace(
        small_config.changed(num_labels=5), extra={"summary_proj_to_labels": True}
    )
    model = ElectraForMultipleChoice(config)
    assert model.head.classifier.in_features == 5
    assert model(torch.randint(99, (2, 3, 9))).logits.shape == (2, 3)


def test_what_there_is_not_is_refused(small_config):
    with pytest.raises(ValueError, match=r"SE019.*'attn'.*first, last, mean"):
        SequenceSummary(replace(small_config, summary_type="attn"))
    with pytest.raises(ValueError, match=r"SE002.*summary_activation: 'gulu'"):
        SequenceSummary(replace(small_config, summary_activation="gulu"))


def test_no_activation_is_kept_in_files(small_config, tmp_path):
    config = replace(small_config, summary_activation=None)
    ElectraForMultipleChoice(config).save_pretrained(tmp_path)
    again = ElectraForMultipleChoice.from_pretrained(tmp_path)
    assert again.config.summary_activation is None
    theirs = transformers.ElectraForMultipleChoice.from_pretrained(tmp_path)
    assert theirs.config.summary_activation is None
