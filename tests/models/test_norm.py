import torch

from spacy_electra.models.norm import LayerNorm


def gradients_of(norm, rows, upstream):
    norm.zero_grad()
    norm(rows).backward(upstream)
    return norm.weight.grad.clone(), norm.bias.grad.clone()


def test_gradients_of_weight_and_bias_are_exact_in_bf16():
    torch.manual_seed(0)
    norm = LayerNorm(64)
    rows, upstream = torch.randn(2, 4000, 64).to(torch.bfloat16)
    found = gradients_of(norm, rows, upstream)
    exactly = gradients_of(norm.double(), rows.double(), upstream.double())
    for one, exact in zip(found, exactly, strict=True):
        assert (one - exact).norm() / exact.norm() < 1e-4


def test_rows_keep_their_dtype_and_values():
    norm = LayerNorm(8).requires_grad_(True)
    rows = torch.randn(5, 8)
    for dtype in (torch.float32, torch.bfloat16):
        with torch.no_grad():
            plain = norm(rows.to(dtype))
        assert plain.dtype == dtype
        assert torch.equal(norm(rows.to(dtype)), plain)
    # A network that is in bf16 as a whole stays in it.
    assert norm.to(torch.bfloat16)(rows.to(torch.bfloat16)).dtype == torch.bfloat16
