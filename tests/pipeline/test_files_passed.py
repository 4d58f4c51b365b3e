"""How many files a text passes on its way: who follows it must open each of them."""

import sys
from pathlib import Path

import pytest
import torch

import spacy_electra
from spacy_electra.models import ElectraModel
from spacy_electra.models.inference import can_infer

PACKAGE = Path(spacy_electra.__file__).parent
# Fourteen for the way itself; eight more for speed: the cache of chunks and their
# bounds, texts aligned as one row and its sums, the streams, what sets attributes of
# many Docs at once, the watch over weights, and the linear layers.
MOST_FILES = 22


def files_of(function):
    """The package's files that a function's calls enter."""
    found = set()

    def note(frame, event, argument):
        file = Path(frame.f_code.co_filename)
        if event == "call" and PACKAGE in file.parents:
            found.add(file.relative_to(PACKAGE).as_posix())

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_from_a_text_to_its_scores_there_are_few_files(nlp, precision):
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    if not can_infer(ElectraModel.from_pretrained("en_tiny"), dtype):
        pytest.skip("needs torch's kernels for inference, which this build lacks")
    nlp.add_pipe("electra_rtd", config={"model": {"encoder": {"precision": precision}}})
    texts = ["The chef cooked the meal.", "", "In 1905 he published four papers. " * 40]
    # The first time weights are read.
    list(nlp.pipe(texts))
    docs = []
    found = files_of(lambda: docs.extend(nlp.pipe(texts)))
    assert docs[0][1]._.rtd_score > 0
    assert {"pipeline/rtd.py", "layers/encoding.py", "models/inference.py"} <= found
    assert len(found) <= MOST_FILES, "\n".join(sorted(found))
