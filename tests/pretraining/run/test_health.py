import warnings

import pytest

from spacy_electra.pretraining.run.health import Watcher

# Runs of seconds learn nothing, and say so.
pytestmark = pytest.mark.filterwarnings("ignore:.*SW40")
ROW = {
    "step": 10,
    "progress": 0.5,
    "auc_unigram": 0.8,
    "auc_generator": 0.7,
    "mlm_accuracy": 0.4,
}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (ROW, None),
        ({**ROW, "auc_unigram": 0.5}, "SW402"),
        ({**ROW, "auc_generator": 0.51}, "SW403"),
        ({**ROW, "auc_unigram": 0.5, "progress": 0.3}, None),
        ({"step": 10, "progress": 0.5}, None),
        ({**ROW, "step": 100}, "SW404"),
    ],
)
def test_warnings_that_help(settings_for, row, code):
    settings = settings_for(objective={"mlm_warmup": 0.3}, training={"most_repeats": 4})
    watcher = Watcher(settings, steps_per_epoch=10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watcher.look_at(row)
        watcher.look_at(row)
    assert [str(w.message)[1:6] for w in caught] == ([code] if code else [])


def test_planned_repeats_are_told_before_the_first_step(settings_for):
    settings = settings_for(training={"max_steps": 50, "most_repeats": 4})
    with pytest.warns(UserWarning, match=r"5\.0 times"):
        Watcher(settings, steps_per_epoch=10).begin()
