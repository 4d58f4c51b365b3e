"""Every head of the table: checkpoints both ways, labels, losses, packed batches."""

import copy
import json
from dataclasses import replace

import pytest
import torch
import transformers
from counterparts import (
    assert_same,
    assert_same_gradients,
    batch,
    ids_for,
    labels_for,
    pair,
)
from safetensors.torch import load_file
from test_packed import padded, sequences

import spacy_electra
from spacy_electra import models
from spacy_electra.models import (
    ElectraForCausalLM,
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
    ElectraModel,
    PackedBatch,
)
from spacy_electra.models.heads import HEADS

WITH_LABELS = [ElectraForSequenceClassification, ElectraForTokenClassification]
LABELS = ("bad", "fair", "good")


def name_of(value):
    return getattr(value, "__name__", str(value))


@pytest.fixture(params=HEADS.values(), ids=name_of)
def head_class(request):
    return request.param


def first(model, ids):
    with torch.no_grad():
        return model(ids).to_tuple()[0]


def test_the_table_names_classes_as_transformers_does():
    for name, cls in HEADS.items():
        assert cls.__name__ == name
        assert hasattr(transformers, name)
        assert getattr(models, name) is cls
        assert getattr(spacy_electra, name) is cls
    assert len(HEADS) == 7


@pytest.mark.parametrize("positions", ["absolute", "relative_key"])
def test_packed_logits_equal_padded(head_class, positions, small_config):
    config = replace(small_config, position_embedding_type=positions)
    model, _ = pair(head_class, config)
    parts = sequences([3, 9, 9, 5])
    ids, mask = padded(parts)
    is_choice = head_class is ElectraForMultipleChoice
    given = (ids[None], mask[None]) if is_choice else (ids, mask)
    with torch.no_grad():
        packed = model.forward_packed(PackedBatch.from_sequences(parts))
        output = model(*given)
    if head_class is ElectraForQuestionAnswering:
        logits = torch.stack([output.start_logits, output.end_logits], dim=-1)
    else:
        logits = output.logits[0] if is_choice else output.logits
    assert_same(packed, logits if head_class.per_sequence else logits[mask.bool()])


def test_checkpoints_open_on_both_sides(head_class, small_config, tmp_path):
    ours, theirs = pair(head_class, small_config)
    ids = ids_for(head_class)
    expected = first(ours, ids)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    again, report = getattr(transformers, head_class.__name__).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert_same(first(again.eval(), ids), expected)
    opened, report = head_class.from_pretrained_with_report(tmp_path / "theirs")
    assert report.newly_initialized == report.left_over == ()
    assert_same(first(opened, ids), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_files(head_class, dtype, small_config, tmp_path):
    config = replace(small_config, initializer_range=0.02)
    model = head_class(config).eval()
    model.save_pretrained(tmp_path, dtype)
    stored = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    again = head_class.from_pretrained(tmp_path)
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    ids = ids_for(head_class)
    torch.testing.assert_close(
        first(again, ids), first(model, ids), rtol=0.1, atol=0.02
    )
    theirs = getattr(transformers, head_class.__name__).from_pretrained(tmp_path)
    assert_same(first(theirs.float().eval(), ids), first(again, ids))


def test_the_encoder_of_a_bert_opens(head_class, small_config, tmp_path):
    values = small_config.to_dict()
    del values["embedding_size"], values["model_type"]
    torch.manual_seed(0)
    theirs = transformers.BertModel(transformers.BertConfig(**values)).eval()
    theirs.save_pretrained(tmp_path)
    model, report = head_class.from_pretrained_with_report(tmp_path)
    tied = set(head_class.tied)
    of_head = {name for name in model.state_dict() if name.startswith("head.")}
    assert set(report.newly_initialized) == of_head - tied
    ids = torch.randint(99, (2, 9))
    plain, _ = ElectraModel.from_pretrained_with_report(tmp_path)
    with torch.no_grad():
        expected = theirs(ids).last_hidden_state
        assert_same(plain(ids).last_hidden_state, expected)
        if not model.config.is_decoder:
            assert_same(model.electra(ids).last_hidden_state, expected)


@pytest.mark.parametrize(
    ("theirs_name", "cls"),
    [
        ("BertForTokenClassification", ElectraForTokenClassification),
        ("BertForQuestionAnswering", ElectraForQuestionAnswering),
    ],
)
def test_heads_that_a_bert_has_alike_open_too(theirs_name, cls, small_config, tmp_path):
    values = small_config.to_dict()
    del values["embedding_size"], values["model_type"]
    torch.manual_seed(0)
    config = transformers.BertConfig(**values)
    theirs = getattr(transformers, theirs_name)(config).eval()
    theirs.save_pretrained(tmp_path)
    ours, report = cls.from_pretrained_with_report(tmp_path)
    assert report.newly_initialized == report.left_over == ()
    ids = torch.randint(99, (2, 9))
    assert_same(first(ours, ids), first(theirs, ids))


@pytest.mark.parametrize("cls", WITH_LABELS, ids=name_of)
def test_labels_of_ours_are_known_to_transformers(cls, small_config, tmp_path):
    config = small_config.with_labels(LABELS, "single_label_classification")
    model = cls(config).eval()
    model.save_pretrained(tmp_path)
    theirs = getattr(transformers, cls.__name__).from_pretrained(tmp_path).eval()
    assert theirs.config.id2label == dict(enumerate(LABELS))
    assert theirs.config.label2id == {"bad": 0, "fair": 1, "good": 2}
    assert theirs.config.problem_type == "single_label_classification"
    ids = ids_for(cls)
    assert first(theirs, ids).shape[-1] == 3
    assert_same(first(theirs, ids), first(model, ids))
    again = cls.from_pretrained(tmp_path)
    assert again.config.labels == LABELS
    assert again.config.problem_type == "single_label_classification"


@pytest.mark.parametrize("cls", WITH_LABELS, ids=name_of)
def test_labels_of_transformers_are_known_here(cls, small_config, tmp_path):
    config = transformers.ElectraConfig(
        **replace(small_config, classifier_dropout=0.25).to_dict(),
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
        problem_type="multi_label_classification",
    )
    torch.manual_seed(0)
    theirs = getattr(transformers, cls.__name__)(config).eval()
    theirs.save_pretrained(tmp_path)
    ours = cls.from_pretrained(tmp_path)
    assert ours.config.labels == LABELS
    assert ours.config.problem_type == "multi_label_classification"
    assert ours.head.dropout.p == 0.25
    ids = ids_for(cls)
    assert_same(first(ours, ids), first(theirs, ids))


def test_a_checkpoint_with_another_head_keeps_the_encoder(small_config, tmp_path):
    ElectraForSequenceClassification(small_config).save_pretrained(tmp_path)
    for cls in HEADS.values():
        if cls is ElectraForSequenceClassification:
            continue
        with pytest.warns(UserWarning, match="SW200") as caught:
            cls.from_pretrained(tmp_path)
        message = str(caught[0].message)
        assert "classifier.dense.weight" in message
        assert "classifier.out_proj.bias" in message
        assert "head." in message


def test_labels_that_do_not_match_the_weights_are_refused(small_config, tmp_path):
    ElectraForTokenClassification(small_config.with_labels(LABELS)).save_pretrained(
        tmp_path
    )
    with pytest.raises(ValueError, match=r"SE203.*head.classifier"):
        ElectraForTokenClassification.from_pretrained(tmp_path, num_labels=5)


KINDS = {
    "regression, one": (1, None, [0.3, -1.0, 2.0], "regression"),
    "regression, three": (3, "regression", [[0.3, 1, 0]] * 3, "regression"),
    "single": (3, None, [2, 0, 1], "single_label_classification"),
    "single, ignored": (3, None, [2, -100, 1], "single_label_classification"),
    "multi": (
        3,
        None,
        [[1.0, 0, 1], [0, 0, 0], [0, 1, 0]],
        "multi_label_classification",
    ),
    "multi of one": (
        1,
        "multi_label_classification",
        [[1.0], [0.0], [1.0]],
        "multi_label_classification",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_problem_types(kind, small_config, tmp_path):
    count, problem, labels, expected = KINDS[kind]
    config = replace(small_config.changed(num_labels=count), problem_type=problem)
    ours, theirs = pair(ElectraForSequenceClassification, config)
    kwargs = batch(config)
    labels = torch.tensor(labels)
    mine, other = ours(**kwargs, labels=labels), theirs(**kwargs, labels=labels)
    assert mine.logits.shape == (3, count)
    assert_same(mine.loss, other.loss)
    mine.loss.backward()
    other.loss.backward()
    assert_same_gradients(ours, theirs)
    assert ours.config.problem_type == theirs.config.problem_type == expected
    ours.save_pretrained(tmp_path)
    again = ElectraForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.problem_type == expected
    assert again.electra.config == again.config


def test_dropout_of_a_classifier_is_its_own(small_config):
    config = replace(small_config, classifier_dropout=0.5)
    for cls in WITH_LABELS:
        model = cls(config).train()
        ids = torch.randint(99, (2, 9))
        torch.manual_seed(0)
        one = model(ids).logits
        assert not torch.equal(one, model(ids).logits)
        torch.manual_seed(0)
        assert torch.equal(one, model(ids).logits)
        none = cls(replace(config, classifier_dropout=0.0, hidden_dropout_prob=0.5))
        assert none.head.dropout.p == 0.0
        assert cls(replace(small_config, hidden_dropout_prob=0.3)).head.dropout.p == 0.3


@pytest.mark.parametrize(
    "cls",
    [ElectraForMaskedLM, ElectraForTokenClassification, ElectraForCausalLM],
    ids=name_of,
)
def test_labels_of_padding_do_not_count(cls, small_config):
    model = cls(small_config).eval()
    kwargs = batch(small_config)
    torch.manual_seed(0)
    labels = torch.randint(2, (3, 11))
    inside = labels.masked_fill(kwargs["attention_mask"] == 0, -100)
    with torch.no_grad():
        assert (
            model(**kwargs, labels=labels).loss == model(**kwargs, labels=inside).loss
        )


@pytest.mark.parametrize(
    "cls",
    [
        ElectraForMaskedLM,
        ElectraForTokenClassification,
        ElectraForCausalLM,
        ElectraForSequenceClassification,
    ],
    ids=name_of,
)
def test_no_label_at_all_is_a_loss_of_zero(cls, small_config):
    model = cls(small_config)
    ids = torch.randint(99, (2, 9))
    labels = torch.full((2,) if cls.per_sequence else (2, 9), -100)
    loss = model(ids, labels=labels).loss
    loss.backward()
    assert loss == 0
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


def lengths_of(mask):
    return mask.sum(1).tolist()


def test_answers_are_looked_for_outside_padding(small_config):
    ours, theirs = pair(ElectraForQuestionAnswering, small_config)
    kwargs = batch(small_config)
    starts, ends = torch.tensor([3, 0, 1]), torch.tensor([6, 10, 2])
    output = ours(**kwargs, start_positions=starts, end_positions=ends)
    # As many unpadded batches of one, in Transformers.
    losses = []
    for row, length in enumerate(lengths_of(kwargs["attention_mask"])):
        alone = {name: part[row : row + 1, :length] for name, part in kwargs.items()}
        single = theirs(
            **alone,
            start_positions=starts[row : row + 1],
            end_positions=ends[row : row + 1],
        )
        losses.append(single.loss)
        assert_same(output.start_logits[row, :length], single.start_logits[0])
        assert_same(output.end_logits[row, :length], single.end_logits[0])
        assert (output.start_logits[row, length:] < -1e38).all()
        assert (output.end_logits[row, length:] < -1e38).all()
    loss = torch.stack(losses).mean()
    assert_same(output.loss, loss)
    output.loss.backward()
    loss.backward()
    assert_same_gradients(ours, theirs)


def test_answers_outside_the_text_do_not_count(small_config):
    ours, theirs = pair(ElectraForQuestionAnswering, small_config)
    ids = torch.randint(99, (3, 11))
    # Outside, negative (which means the first piece, as in Transformers), inside.
    starts, ends = torch.tensor([[11], [-1], [2]]), torch.tensor([[50], [3], [11]])
    labels = {"start_positions": starts, "end_positions": ends}
    with torch.no_grad():
        assert_same(ours(ids, **labels).loss, theirs(ids, **labels).loss)
        mask = torch.ones(3, 11)
        mask[2, 2:] = 0
        everything = ours(ids, mask, **labels).loss
        # Its first piece of the answer is padding, its last is outside.
        assert_same(
            everything,
            ours(
                ids[:2], mask[:2], **{name: part[:2] for name, part in labels.items()}
            ).loss,
        )
        assert (
            ours(ids[:1], start_positions=starts[:1], end_positions=ends[:1]).loss == 0
        )


def test_question_answering_has_two_outputs_whatever_the_labels(small_config, tmp_path):
    model = ElectraForQuestionAnswering(small_config.with_labels(LABELS)).eval()
    assert len(model.config.labels) == 2
    model.save_pretrained(tmp_path)
    theirs = transformers.ElectraForQuestionAnswering.from_pretrained(tmp_path).eval()
    ids = torch.randint(99, (2, 9))
    assert_same(first(theirs, ids), first(model, ids))


def test_shape_and_loss_of_several_questions(small_config):
    ours, theirs = pair(ElectraForMultipleChoice, small_config)
    ids = torch.randint(1, 99, (2, 3, 9))
    labels = torch.tensor([2, 0])
    mine, other = ours(ids, labels=labels), theirs(ids, labels=labels)
    assert mine.logits.shape == (2, 3)
    assert_same(mine.logits, other.logits)
    assert_same(mine.loss, other.loss)


def test_a_choice_without_pieces_is_none(small_config):
    model, _ = pair(ElectraForMultipleChoice, small_config)
    ids = torch.randint(1, 99, (2, 3, 9))
    mask = torch.ones_like(ids)
    mask[1, 2] = 0
    with torch.no_grad():
        output = model(ids, mask, labels=torch.tensor([0, 1]))
        alone = model(ids[1:, :2], labels=torch.tensor([1]))
        other = model(ids[:1], labels=torch.tensor([0]))
    assert_same(output.logits[1, :2], alone.logits[0])
    assert output.logits[1].softmax(0)[2] == 0
    assert_same(output.loss, (alone.loss + other.loss) / 2)


def test_choices_need_an_axis(small_config):
    model = ElectraForMultipleChoice(small_config)
    with pytest.raises(ValueError, match=r"SE018.*\[B, C, S\].*\(2, 9\)"):
        model(torch.randint(99, (2, 9)))
    with pytest.raises(ValueError, match=r"SE018.*\(2, 9, 16\)"):
        model(inputs_embeds=torch.randn(2, 9, 16))
    with pytest.raises(ValueError, match="SE005"):
        model()


def test_the_head_for_next_pieces_is_that_of_the_generator(small_config, tmp_path):
    generator = ElectraForMaskedLM(small_config).eval()
    generator.save_pretrained(tmp_path)
    model, report = ElectraForCausalLM.from_pretrained_with_report(tmp_path)
    assert report.newly_initialized == report.left_over == ()
    assert model.config.is_decoder
    assert model.head.decoder.weight is model.get_input_embeddings().weight
    assert torch.equal(model.head.dense.weight, generator.head.dense.weight)
    model.save_pretrained(tmp_path / "decoder")
    written = json.loads((tmp_path / "decoder" / "config.json").read_text())
    assert written["is_decoder"] is True
    assert written["architectures"] == ["ElectraForCausalLM"]


def test_loss_of_left_padded_texts_is_that_of_unpadded_ones(small_config):
    model, theirs = pair(ElectraForCausalLM, small_config)
    ids = torch.randint(1, 99, (1, 6))
    with torch.no_grad():
        expected = theirs(ids, labels=ids).loss
        left = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], dim=1)
        mask = (torch.arange(9) >= 3)[None].long()
        positions = (torch.arange(9) - 3).clamp(min=0)[None]
        found = model(left, mask, position_ids=positions, labels=left)
    assert_same(found.loss, expected)
    assert found.past_key_values is None


def test_causal_lm_sees_another_encoder(small_config):
    config = replace(small_config, is_decoder=True, add_cross_attention=True)
    ours, theirs = pair(ElectraForCausalLM, config)
    kwargs = batch(config)
    states = torch.randn(3, 5, 32)
    kwargs["encoder_hidden_states"] = states
    labels = labels_for(ElectraForCausalLM, config, kwargs)
    mine = ours(**kwargs, **labels, output_attentions=True)
    other = theirs(**kwargs, **labels, output_attentions=True)
    assert_same(mine.loss, other.loss)
    assert len(mine.cross_attentions) == len(other.cross_attentions) == 2
    mine.loss.backward()
    other.loss.backward()
    assert_same_gradients(ours, theirs)
    with torch.no_grad():
        assert ours(**kwargs).past_key_values[0].cross_key.shape == (3, 4, 5, 8)


def test_heads_copy(head_class, small_config):
    model = head_class(small_config).eval()
    again = copy.deepcopy(model)
    ids = ids_for(head_class)
    assert torch.equal(first(again, ids), first(model, ids))
    for name, source in head_class.tied.items():
        parameters = dict(again.named_parameters(remove_duplicate=False))
        assert parameters[name] is parameters[source]
