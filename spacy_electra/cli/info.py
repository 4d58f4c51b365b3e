"""`python -m spacy electra info`: what a checkpoint, a run or a pipeline is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import srsly
import typer
from wasabi import msg

from ..exchange.classes import CLASSES
from ..exchange.facts import (
    Facts,
    card_facts,
    checkpoint_facts,
    language_of,
    network_facts,
    tokenizer_facts,
)
from ..files import folder_size
from ..pipeline.saving.folder import pipeline_folder
from ..pipeline.saving.networks import saved_networks
from ..pretraining.pairs import pair_folders
from ..source import resolve_source
from ..tokenization import ElectraTokenizer

_MOST_NAMED = 4


def info(
    source: str = typer.Argument(
        ..., help="Source directory, run, pipeline, bundled name or hub id"
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON, with all of it"),
) -> None:
    """Say what something is: class, sizes, labels, tokenizer, languages, licence.

    Only names and shapes of weights are read, never the weights.
    """
    folder = pipeline_folder(source)
    facts = _of_source(source) if folder is None else _of_pipeline(folder)
    facts = {"source": source, **facts}
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print(facts)


def _of_source(source: str) -> Facts:
    folder = resolve_source(source)
    own, beside = pair_folders(folder)
    networks = {"": checkpoint_facts(own)}
    if beside is not None:
        networks["generator"] = checkpoint_facts(beside)
    try:
        tokenizer = tokenizer_facts(ElectraTokenizer.from_pretrained(own))
    except (FileNotFoundError, ValueError) as error:
        # That it is another kind is a fact too.
        tokenizer = {"problem": str(error)}
    return {
        "kind": "checkpoint" if own == folder else "pretraining run",
        "folder": str(own),
        "networks": networks,
        "tokenizer": tokenizer,
        **_told(card_facts(own), tokenizer),
    }


def _told(card: Facts, tokenizer: Facts) -> Facts:
    """What a card says, or the scripts of the pieces where it says no language."""
    language = language_of(tokenizer.get("scripts") or {})
    if card["languages"] or language is None:
        return card
    return {
        **card,
        "languages": [language],
        "languages_from": "by the script of its pieces",
    }


def _of_pipeline(folder: Path) -> Facts:
    saved = saved_networks(folder)
    with_head = {n.component for n in saved if n.kind != "ElectraModel"}
    networks: dict[str, Facts] = {}
    tokenizer: Facts | None = None
    for part in saved:
        if part.tokenizer is not None and tokenizer is None:
            tokenizer = tokenizer_facts(part.tokenizer)
        if part.kind == "ElectraModel" and part.component in with_head:
            # The encoder of the head before it.
            continue
        name = part.component
        if name in networks:
            name += ", generator"
        facts = network_facts(part.config, CLASSES[part.kind])
        networks[name] = {**facts, "factory": part.factory, "stored_as": part.dtypes}
    meta = srsly.read_json(folder / "meta.json")
    return {
        "kind": "spaCy pipeline",
        "folder": str(folder),
        "bytes_on_disk": folder_size(folder),
        "networks": networks,
        "tokenizer": tokenizer,
        "languages": [meta["lang"]] if meta.get("lang") else None,
        "languages_from": "meta.json",
        "licence": meta.get("license") or None,
        "licence_from": "meta.json" if meta.get("license") else None,
    }


def _print(facts: Facts) -> None:
    msg.divider(f"{facts['source']}, a {facts['kind']}")
    for name, network in facts["networks"].items():
        if name:
            msg.divider(name, char="-")
        msg.table(list(_rows_of_network(network)))
        if "new" in network:
            msg.table(
                [(cls, _of_class(new)) for cls, new in network["new"].items()],
                header=("Opened as", "New weights, to be trained"),
                divider=True,
            )
    if not facts["networks"]:
        msg.warn("No component of this pipeline holds an ELECTRA network")
    msg.divider("Tokenizer and papers", char="-")
    rows = [] if facts["tokenizer"] is None else _rows_of_tokenizer(facts["tokenizer"])
    languages = ", ".join(facts["languages"] or ())
    rows.append(("Languages", _said(languages, facts["languages_from"])))
    rows.append(("Licence", _said(facts["licence"], facts["licence_from"])))
    msg.table(rows)


def _rows_of_network(network: Facts) -> list[tuple[str, str]]:
    total, words = network["parameters"], network["parameters_of_embeddings"]
    memory = network["bytes_in_memory"]
    flop, like = network["flop_per_piece"], network["speed_class"]
    rows = [
        ("Class", network["class"]),
        ("Layers", f"{network['layers']} of width {network['hidden_size']}"),
        ("Attention heads", str(network["attention_heads"])),
        ("Feed-forward", str(network["intermediate_size"])),
        ("Vocabulary", f"{network['vocabulary']:,} of {network['embedding_size']}"),
        ("Positions", f"{network['positions']}, {network['position_embeddings']}"),
        ("Token types", str(network["token_types"])),
        ("Parameters", f"{total:,}, of them {words:,} in embeddings"),
        ("In memory", " or ".join(f"{_mb(n)} in {p}" for p, n in memory.items())),
        (
            "Speed class",
            f"{flop / 1e6:,.1f} million operations per piece, "
            f"{network['flop_of_its_class']:.2f} of ELECTRA {like}",
        ),
    ]
    if "architectures" in network:
        rows.insert(1, ("config.json says", str(network["architectures"])))
    if network["is_decoder"]:
        rows.append(("Decoder", "pieces see only what stands before them"))
    if "bytes_on_disk" in network:
        files = network["files"]
        rows.append(
            ("On disk", f"{_mb(network['bytes_on_disk'])} in {len(files)} files")
        )
    if "stored_as" in network:
        kinds = network["stored_as"]
        rows.append(("Stored as", ", ".join(kinds)))
    if "labels" in network:
        labels = network["labels"]
        named = labels if isinstance(labels, str) else ", ".join(labels)
        rows.append(("Labels", named))
        rows.append(("Problem type", str(network["problem_type"] or "not said")))
    return rows


def _rows_of_tokenizer(tokenizer: Facts) -> list[tuple[str, str]]:
    if "problem" in tokenizer:
        return [("Tokenizer", tokenizer["problem"])]
    unused = tokenizer["unused_pieces"]
    case = "ignored" if tokenizer["lowercases"] else "kept"
    accents = "ignored" if tokenizer["strips_accents"] else "kept"
    scripts = [f"{name} {share:.0%}" for name, share in tokenizer["scripts"].items()]
    rows = [
        ("Tokenizer", f"{tokenizer['kind']}, words from {tokenizer['words']!r}"),
        ("Pieces", f"{tokenizer['pieces']:,}, of them {unused:,} unused"),
        ("Case, accents", f"{case}, {accents}"),
        (
            "Special ids",
            ", ".join(f"{t} {n}" for t, n in tokenizer["special_ids"].items()),
        ),
        ("Scripts of pieces", ", ".join(scripts) or "none"),
    ]
    if tokenizer["added"]:
        rows.append(("Added tokens", ", ".join(tokenizer["added"])))
    return rows


def _of_class(new: list[str] | str) -> str:
    if isinstance(new, str):
        return f"can't be: {new}"
    more = f" and {len(new) - _MOST_NAMED} more" if len(new) > _MOST_NAMED else ""
    return ", ".join(new[:_MOST_NAMED]) + more or "none"


def _said(value: Any, where: str | None) -> str:
    return f"{value} ({where})" if value else "no file says"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
