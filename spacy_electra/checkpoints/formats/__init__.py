"""Formats of weight files, one module each, in the order in which they are preferred.

A format has the names ``FILE`` and ``INDEX`` (which lists the files of the parts), a
function ``header`` that gives names and shapes as tensors on the meta device without
reading a weight, and a function ``read`` that gives the weights on the CPU. Both hand
over Hugging Face's PyTorch names and shapes.
"""

from . import safetensors_file, torch_file

FORMATS = (safetensors_file, torch_file)
