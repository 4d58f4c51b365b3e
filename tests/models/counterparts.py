"""A model of ours beside the same one of Transformers, and a batch for both."""

import torch
import transformers

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def pair(ours_class, config):
    """Both with the same random weights, in evaluation mode."""
    torch.manual_seed(0)
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


def batch(config, inputs="ids"):
    """Three sequences, two of them padded."""
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
    return kwargs


def assert_same(ours, theirs, mask=None):
    """Equal within ``TOLERANCE``, but for padding."""
    if mask is not None:
        ours, theirs = ours[mask.bool()], theirs[mask.bool()]
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
