from pathlib import Path

import pytest

from spacy_electra.pretraining.settings import PretrainingSettings, TrainingSettings

CONFIGS = Path(__file__).parents[2] / "configs"
# The others are for `spacy train`.
PRETRAINING = [
    file
    for file in sorted(CONFIGS.glob("pretrain_*.cfg"))
    if "[nlp]" not in file.read_text("utf8")
]
# Clark et al. (2020), table 6: hidden size, layers, heads, embedding size, generator
# size, pieces a step, learning rate, steps.
TABLE_6 = {
    "small": (256, 12, 4, 128, 64, 128 * 128, 5e-4, 1_000_000),
    "base": (768, 12, 12, 768, 256, 256 * 512, 2e-4, 766_000),
    "large": (1024, 24, 16, 1024, 256, 2048 * 512, 2e-4, 400_000),
}


@pytest.mark.parametrize("file", PRETRAINING, ids=lambda file: file.stem)
def test_configs_are_filled_and_right(file):
    settings = PretrainingSettings.from_file(file, {"data.shards": "somewhere"})
    generator, discriminator = settings.model.configs(30522)
    assert settings.data.length <= discriminator.max_position_embeddings
    size = file.stem.removeprefix("pretrain_")
    if size not in TABLE_6:
        return
    found = (
        discriminator.hidden_size,
        discriminator.num_hidden_layers,
        discriminator.num_attention_heads,
        discriminator.embedding_size,
        generator.hidden_size,
        settings.data.batch_tokens * settings.training.accumulate,
        settings.optimizer.learn_rate,
        settings.training.max_steps,
    )
    assert found == TABLE_6[size]
    assert settings.optimizer.name == "adamw_reference"
    assert settings.optimizer.warmup_steps == 10_000
    assert settings.objective.mask_share == (0.25 if size == "large" else 0.15)


@pytest.mark.parametrize(
    ("limits", "share"),
    [
        ({"max_steps": 100}, 0.1),
        ({"max_tokens": 4000}, 0.25),
        ({"max_minutes": 1.0}, 0.5),
        ({"max_steps": 100, "max_minutes": 1.0}, 0.5),
        ({"max_steps": 5}, 1.0),
    ],
)
def test_budget_is_used_up_by_what_ends_first(limits, share):
    progress = TrainingSettings(**limits).progress(step=10, tokens=1000, seconds=30.0)
    assert progress == pytest.approx(share)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("objective", "name", "bert"),
        ("training", "accumulate", 0),
        ("training", "keep", 0),
        ("training", "parallel", "tensor"),
        ("training", "trackers", ["mlflow"]),
    ],
)
def test_bad_values_are_named(settings_for, section, key, value):
    with pytest.raises(ValueError, match=key):
        settings_for(**{section: {key: value}})
