import pytest
import torch
from torch import nn

from spacy_electra.pretraining.run.averaging import WeightAverage

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")


def test_average_follows_the_weights():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    average = WeightAverage(module, decay=0.5)
    for _ in range(40):
        with torch.no_grad():
            module.weight += 1.0
        average.update()
    with average.applied():
        assert module.weight.item() == pytest.approx(39.0, abs=0.1)
    assert module.weight.item() == 40.0
    other = WeightAverage(module, decay=0.5)
    other.load(average.tensors())
    with other.applied():
        assert module.weight.item() == pytest.approx(39.0, abs=0.1)
