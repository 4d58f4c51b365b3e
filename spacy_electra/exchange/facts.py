"""What there is to know of a checkpoint without reading a weight."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import srsly
import torch

from ..models import ElectraConfig, ElectraForCausalLM, ElectraForMaskedLM
from ..models.config import PRESETS
from ..models.pretrained import PretrainedModel
from ..tokenization import ElectraTokenizer
from ..weight_files import SAFETENSORS, weights_among
from .classes import CLASSES, class_of
from .formats import FORMATS

Facts = dict[str, Any]
# Pieces of a sequence that the cost of one is computed for.
LENGTH = 128
# A script of fewer of the pieces is not named.
_LEAST_SHARE = 0.01
# Scripts that one language alone is commonly written in.
_LANGUAGES = {
    "Hangul": "ko",
    "Thai": "th",
    "Greek": "el",
    "Georgian": "ka",
    "Armenian": "hy",
    "Khmer": "km",
    "Lao": "lo",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Gujarati": "gu",
    "Sinhala": "si",
}
_KANA = ("Hiragana", "Katakana")
# A vocabulary is of one language where so much of it is in its script; Chinese ones
# have a little kana, Japanese ones much.
_MOST, _MUCH_KANA = 0.5, 0.05
_CARD = "README.md"
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)
_LICENCES = ("LICENSE*", "LICENCE*")


def network_facts(config: ElectraConfig, cls: type[PretrainedModel]) -> Facts:
    """Sizes and costs of a network of some class.

    Returns:
        Sizes in units of the config; parameters, those that are tied once;
        multiplications and additions of the encoder per piece, in sequences of 128
        pieces; bytes of the weights in memory.
    """
    with torch.device("meta"):
        network = cls(config)
    parameters = sum(weight.numel() for weight in network.parameters())
    embeddings = network.base_model.embeddings
    flop = flop_per_piece(config)
    sizes = {name: flop_per_piece(ElectraConfig.preset(name)) for name in PRESETS}
    like = min(sizes, key=lambda name: abs(sizes[name] / flop - 1))
    facts: Facts = {
        "class": cls.__name__,
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "embedding_size": config.embedding_size,
        "attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "positions": config.max_position_embeddings,
        "position_embeddings": config.position_embedding_type,
        "token_types": config.type_vocab_size,
        "vocabulary": config.vocab_size,
        "activation": config.hidden_act,
        "is_decoder": config.is_decoder or cls is ElectraForCausalLM,
        "parameters": parameters,
        "parameters_of_embeddings": sum(w.numel() for w in embeddings.parameters()),
        "bytes_in_memory": {"fp32": 4 * parameters, "bf16": 2 * parameters},
        "flop_per_piece": flop,
        "speed_class": like,
        "flop_of_its_class": round(flop / sizes[like], 3),
    }
    if cls in (ElectraForMaskedLM, ElectraForCausalLM):
        width, pieces = config.embedding_size, config.vocab_size
        facts["flop_per_predicted_piece"] = 2 * width * (config.hidden_size + pieces)
    if "head.classifier.weight" in network.state_dict() and config.has_named_labels:
        facts["labels"] = list(config.labels)
        facts["problem_type"] = config.problem_type
    elif cls.__name__ in _LABELLED:
        facts["labels"] = f"{config.num_labels}, without names"
        facts["problem_type"] = config.problem_type
    return facts


_LABELLED = ("ElectraForSequenceClassification", "ElectraForTokenClassification")


def flop_per_piece(config: ElectraConfig) -> int:
    """Multiplications and additions of the encoder, in sequences of 128 pieces.

    Matrix products alone; a layer has 4 H^2 + 2 H I weights, and attention compares
    each piece with all, and adds them up.
    """
    width, inner = config.hidden_size, config.intermediate_size
    length = min(LENGTH, config.max_position_embeddings)
    layer = 2 * (4 * width**2 + 2 * width * inner) + 4 * length * width
    project = 0
    if config.embedding_size != width:
        project = 2 * config.embedding_size * width
    return config.num_hidden_layers * layer + project


def checkpoint_facts(folder: Path) -> Facts:
    """Of a checkpoint directory: the network, its files, what each class would lack.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is broken.
    """
    config = ElectraConfig.from_pretrained(folder)
    files = {
        file.name: file.stat().st_size
        for file in sorted(folder.iterdir())
        if file.is_file()
    }
    graphs = [f.NAME for f in FORMATS.values() if f.FILE in files]
    is_graph = bool(graphs) and not weights_among(files)
    cls = class_of(folder)
    # Before a network is made of a config that may say anything.
    new = {} if is_graph else {cls.__name__: cls.report_of(folder).newly_initialized}
    facts = network_facts(config, cls)
    if cls.__name__ not in (config.extra.get("architectures") or ()):
        facts["architectures"] = config.extra.get("architectures")
    facts["files"] = files
    facts["bytes_on_disk"] = sum(files.values())
    if SAFETENSORS.file in files:
        facts["stored_as"] = stored_dtypes(folder / SAFETENSORS.file)
    if is_graph:
        facts["stored_as"] = graphs
    else:
        others = {name: _new(kind, folder) for name, kind in CLASSES.items()}
        facts["new"] = {**others, **{name: list(own) for name, own in new.items()}}
    return facts


def _new(cls: type[PretrainedModel], folder: Path) -> list[str] | str:
    """Weights that a class would lack, or why it can't be opened."""
    try:
        return list(cls.report_of(folder).newly_initialized)
    except ValueError as error:
        return str(error)


def stored_dtypes(file: Path) -> dict[str, int]:
    """How many tensors of each dtype a safetensors file holds, by its header."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        kinds = (opened.get_slice(name).get_dtype() for name in opened.keys())  # noqa: SIM118
        return dict(Counter(kinds))


def tokenizer_facts(tokenizer: ElectraTokenizer) -> Facts:
    """What a tokenizer does to text, and its special pieces.

    Returns:
        Among it the share of the vocabulary's pieces by script, largest first, of those
        that have letters; digits, signs and unused ones are left out.
    """
    settings = tokenizer.settings
    strips = settings["strip_accents"]
    names = ("pad", "unk", "cls", "sep", "mask")
    return {
        "kind": "WordPiece",
        "pieces": tokenizer.vocab_size,
        "unused_pieces": sum(p.startswith("[unused") for p in tokenizer.vocab),
        "lowercases": settings["do_lower_case"],
        "strips_accents": settings["do_lower_case"] if strips is None else strips,
        "splits_chinese": settings["tokenize_chinese_chars"],
        "continuation": settings["wordpieces_prefix"],
        "words": settings["words"],
        "longest": settings["model_max_length"],
        "special_ids": {
            getattr(tokenizer, f"{name}_token"): getattr(tokenizer, f"{name}_token_id")
            for name in names
        },
        "added": [token["content"] for token in settings["added_tokens"] or ()],
        "scripts": scripts_of(tokenizer.vocab),
    }


def scripts_of(pieces: Iterable[str]) -> dict[str, float]:
    """Share of the pieces that are written in each script, by their first letter."""
    counts: Counter[str] = Counter()
    for piece in pieces:
        if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
            continue
        letter = next(filter(str.isalpha, piece), "")
        # The standard library has no scripts; the name of a letter begins with it.
        name = unicodedata.name(letter, "").partition(" ")[0] if letter else ""
        if name:
            counts[name if name == "CJK" else name.title()] += 1
    total = sum(counts.values())
    return {
        name: round(count / total, 3)
        for name, count in counts.most_common()
        if count >= _LEAST_SHARE * total
    }


def language_of(scripts: Mapping[str, float]) -> str | None:
    """The language of a vocabulary, where the scripts of its pieces tell it.

    Args:
        scripts: As ``scripts_of`` gives them.
    """
    kana = sum(scripts.get(name, 0.0) for name in _KANA)
    if kana + scripts.get("CJK", 0.0) >= _MOST:
        return "ja" if kana >= _MUCH_KANA else "zh"
    for script, language in _LANGUAGES.items():
        if scripts.get(script, 0.0) >= _MOST:
            return language
    return None


def card_facts(folder: Path) -> Facts:
    """Languages and licence, where a file of the folder says so.

    The head of a model card (README.md, as on the hub) comes first; the first line of a
    LICENSE file names a licence otherwise.
    """
    card = _front_matter(folder / _CARD)
    languages, licence = card.get("language"), card.get("license")
    if isinstance(languages, str):
        languages = [languages]
    facts: Facts = {"languages": languages or None, "languages_from": None}
    if languages:
        facts["languages_from"] = _CARD
    facts["licence"], facts["licence_from"] = licence, _CARD if licence else None
    if licence is None:
        for file in (f for p in _LICENCES for f in sorted(folder.glob(p))):
            with file.open(encoding="utf8", errors="replace") as lines:
                text = (line.strip() for line in lines.readlines(4096))
                facts["licence"] = next(filter(None, text), None)
            facts["licence_from"] = file.name
            break
    return facts


def _front_matter(file: Path) -> Mapping[str, Any]:
    """The YAML between the first two lines of dashes; {} where there is none."""
    if not file.is_file():
        return {}
    text = file.read_text(encoding="utf8", errors="replace").replace("\r\n", "\n")
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}
    try:
        values = srsly.yaml_loads(match[1])
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
