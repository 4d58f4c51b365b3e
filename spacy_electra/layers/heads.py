"""The registered architectures of heads over an encoder."""

from __future__ import annotations

from typing import cast

from spacy.util import registry

from ..errors import Errors
from ..models import (
    ElectraForCausalLM,
    ElectraForMaskedLM,
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraForSequenceClassification,
    ElectraForTokenClassification,
)
from ..models.config import PROBLEM_TYPES
from .encoding import AnyEncoder
from .head_model import Head, by_problem, resize_output, softmax
from .language_model_heads import CausalHead, MaskedHead
from .network_shim import NetworkShim
from .units import (
    EVERY_PIECE,
    EVERY_PLACE,
    FIRST_PIECE,
    LARGEST_PIECE,
    MEAN_WINDOW,
    WINDOW_CLS,
)


@registry.architectures("spacy-electra.RTD.v1")
def RTD(encoder: AnyEncoder) -> Head:
    """Replaced-token detection: the logit of each token for "was replaced".

    A second shim holds the generator during pretraining, so that Thinc saves, moves and
    updates it too.

    Args:
        encoder: From texts to the states of their pieces; with an ``EncoderListener``
            the encoder is that of an ``electra`` component.

    Returns:
        A model from Docs to one float32 array per Doc: the largest logit among the
        pieces of each token, minus infinity for a token without pieces.
    """
    return Head(
        "electra_rtd",
        encoder,
        ElectraForPreTraining,
        LARGEST_PIECE,
        kind="discriminator",
        attrs={"piece_counts": None},
        shims=[NetworkShim(ElectraForMaskedLM, "generator")],
    )


@registry.architectures("spacy-electra.MaskedLM.v1")
def MaskedLM(encoder: AnyEncoder) -> Head:
    """Which piece stands at each place, given those on both sides.

    The word embeddings are the encoder's own, in the head as well.

    Args:
        encoder: As in ``spacy-electra.RTD.v1``.

    Returns:
        A model from texts to the logits of all pieces of the vocabulary at each piece,
        one float32 array [pieces, vocabulary] per text. ``LanguageModel`` gives only
        those that are asked for.
    """
    kind = "masked language model"
    return MaskedHead(
        "electra_mlm", encoder, ElectraForMaskedLM, EVERY_PIECE, kind=kind
    )


@registry.architectures("spacy-electra.CausalLM.v1")
def CausalLM(encoder: AnyEncoder) -> Head:
    """Which piece comes next, given those before it.

    Args:
        encoder: As in ``spacy-electra.RTD.v1``. One of its own becomes a decoder,
            whatever its checkpoint; that of an ``electra`` component has to be one.

    Returns:
        As ``spacy-electra.MaskedLM.v1``, but the logits at a piece are about the next.
    """
    kind = "causal language model"
    return CausalHead(
        "electra_causal_lm", encoder, ElectraForCausalLM, EVERY_PIECE, kind=kind
    )


@registry.architectures("spacy-electra.SequenceClassification.v1")
def SequenceClassification(
    encoder: AnyEncoder, problem_type: str | None = None
) -> Head:
    """Labels of whole texts, or of pairs; also the model of spaCy's ``textcat``.

    Args:
        encoder: As in ``spacy-electra.RTD.v1``.
        problem_type: "single_label_classification" (labels exclude each other),
            "multi_label_classification" (they do not) or "regression" (they are
            numbers). None takes the checkpoint's or, where it says nothing, numbers for
            one label and labels that exclude each other for more.

    Returns:
        A model from texts to probabilities, or to numbers, float32 [texts, labels]. Of
        a text in several windows it is the mean over them of the logits that counts.
    """
    if problem_type not in (None, *PROBLEM_TYPES):
        choices = ", ".join(PROBLEM_TYPES)
        raise ValueError(
            Errors.SE002(name="problem_type", value=problem_type, choices=choices)
        )
    return Head(
        "electra_textcat",
        encoder,
        ElectraForSequenceClassification,
        MEAN_WINDOW,
        kind="sequence classifier",
        activation=by_problem,
        attrs={"problem_type": problem_type, "resize_output": resize_output},
    )


@registry.architectures("spacy-electra.TokenClassification.v1")
def TokenClassification(encoder: AnyEncoder) -> Head:
    """A label for each token; also the model of spaCy's ``tagger``.

    Args:
        encoder: As in ``spacy-electra.RTD.v1``.

    Returns:
        A model from Docs to probabilities, float32 [tokens, labels] per Doc, read off
        the first piece of each token; all alike for a token without pieces.
    """
    return Head(
        "electra_token_classifier",
        encoder,
        ElectraForTokenClassification,
        FIRST_PIECE,
        kind="token classifier",
        activation=softmax,
        attrs={"resize_output": resize_output},
    )


@registry.architectures("spacy-electra.QuestionAnswering.v1")
def QuestionAnswering(encoder: AnyEncoder) -> Head:
    """Extractive question answering: where the answer begins, and where it ends.

    Args:
        encoder: From texts to the states of their pieces, or a listener.

    Returns:
        A model from pairs of a Doc and a question to one ``PlaceOutputs`` per pair:
        for every piece of the Doc, and for the [CLS] of every window, the logit of a
        beginning and that of an end.
    """
    return Head(
        "electra_qa",
        encoder,
        ElectraForQuestionAnswering,
        EVERY_PLACE,
        kind="question-answering model",
    )


@registry.architectures("spacy-electra.MultipleChoice.v1")
def MultipleChoice(encoder: AnyEncoder) -> Head:
    """Multiple choice: how well a text goes with a Doc.

    Args:
        encoder: From texts to the states of their pieces, or a listener.

    Returns:
        A model from pairs of a Doc and a choice to one float32 array per pair: a logit
        for each window of the Doc.
    """
    return Head(
        "electra_multiple_choice",
        encoder,
        ElectraForMultipleChoice,
        WINDOW_CLS,
        kind="multiple-choice model",
    )


def generator_shim(model: Head) -> NetworkShim:
    """The shim of the generator, which is empty but where RTD is pretrained."""
    return cast(NetworkShim, model.shims[1])
