"""A model of ours beside the same one of Transformers, and a batch for both."""

from dataclasses import replace

import torch
import transformers

from spacy_electra.models import ElectraForCausalLM, ElectraForMultipleChoice

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def pair(ours_class, config):
    """Both with the same random weights, in evaluation mode."""
    torch.manual_seed(0)
    if ours_class is ElectraForCausalLM:
        # In Transformers it must be said.
        config = replace(config, is_decoder=True)
    their_config = transformers.ElectraConfig(**config.to_dict())
    their_config._attn_implementation = "eager"
    theirs = getattr(transformers, ours_class.__name__)(their_config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            # Biases and layer norms too, so that one in the wrong place shows.
            parameter.add_(torch.randn_like(parameter) * 0.1)
    ours = ours_class(config).eval()
    tensors, left_over = ours_class.from_hugging_face(theirs.state_dict())
    ours.load_state_dict(tensors)
    assert not left_over
    return ours, theirs


def batch(config, inputs="ids", cls=None):
    """Three sequences, two of them padded; for multiple choice, those of one text."""
    torch.manual_seed(1)
    shape = (3, 11)
    mask = torch.ones(shape, dtype=torch.long)
    mask[0, 7:] = 0
    mask[2, 3:] = 0
    kwargs = {
        "attention_mask": mask,
        "token_type_ids": torch.randint(config.type_vocab_size, shape),
        "position_ids": torch.arange(11).expand(shape).flip(1) + 5,
    }
    if config.position_embedding_type != "absolute":
        del kwargs["position_ids"]
    if inputs == "ids":
        kwargs["input_ids"] = torch.randint(config.vocab_size, shape)
    else:
        kwargs["inputs_embeds"] = torch.randn(*shape, config.embedding_size)
    if cls is ElectraForMultipleChoice:
        kwargs = {name: part[None] for name, part in kwargs.items()}
    return kwargs


def labels_for(cls, config, kwargs):
    """Labels of each kind of head for a batch; padding has none."""
    torch.manual_seed(2)
    mask = kwargs["attention_mask"]
    pieces = torch.randint(config.vocab_size, mask.shape)
    if cls.__name__ == "ElectraForMaskedLM":
        pieces[torch.rand(mask.shape) < 0.6] = -100
    return {
        "ElectraForPreTraining": {"labels": torch.randint(2, mask.shape)},
        "ElectraForMaskedLM": {"labels": pieces.masked_fill(mask == 0, -100)},
        "ElectraForCausalLM": {"labels": pieces.masked_fill(mask == 0, -100)},
        "ElectraForSequenceClassification": {"labels": torch.tensor([1, 0, 1])},
        "ElectraForTokenClassification": {
            "labels": torch.randint(2, mask.shape).masked_fill(mask == 0, -100)
        },
        "ElectraForQuestionAnswering": {
            "start_positions": torch.tensor([3, 0, 1]),
            "end_positions": torch.tensor([6, 10, 1]),
        },
        "ElectraForMultipleChoice": {"labels": torch.tensor([2])},
    }[cls.__name__]


def ids_for(cls, highest=99):
    """Two sequences of nine pieces; for multiple choice, those of one text."""
    torch.manual_seed(4)
    ids = torch.randint(highest, (2, 9))
    return ids[None] if cls is ElectraForMultipleChoice else ids


def without_padding(scores, mask):
    """The rows of pieces, where there is one a piece; else all."""
    one_a_piece = scores.shape[: mask.dim()] == mask.shape
    return scores[mask.bool()] if one_a_piece else scores


def assert_same(ours, theirs, mask=None):
    """Equal within ``TOLERANCE``, but for padding."""
    if mask is not None:
        ours, theirs = without_padding(ours, mask), without_padding(theirs, mask)
    torch.testing.assert_close(ours, theirs, **TOLERANCE)


def assert_same_gradients(ours, theirs):
    """Equal within 1e-4 for every weight of ours."""
    gradients = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    expected, left_over = type(ours).from_hugging_face(gradients)
    assert not left_over
    tied = type(ours).tied_names(ours.config)
    for name, parameter in ours.named_parameters():
        if parameter.grad is None:
            assert name not in expected
        else:
            found = expected.pop(name)
            torch.testing.assert_close(parameter.grad, found, rtol=1e-4, atol=1e-4)
    assert set(expected) <= set(tied)
