"""What the heads are measured on: data sets as examples of spaCy, one reader each.

A reader gives a split, "train" or "test", of at most so many examples. Whatever stands
between the two (SICK's trial, MCTest's dev, a share of SQuAD's articles) is kept for
settling learning rates.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import srsly
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.converters import conllu_to_docs

from spacy_electra.pipeline.readers.choices import MCTestCorpus
from spacy_electra.pipeline.readers.squad import SQuADCorpus

Reader = Callable[[Language, Path, str, int], list[Example]]
# Of the articles of SQuAD's development sets, train on the first and test on the last.
TRAIN_SHARE, TEST_SHARE = 0.7, 0.15
# One learner's sentence of so many is kept for the test.
REALEC_TEST_EVERY = 5
# Sentences of a text that language models learn from.
SENTENCES = 4
LABEL = "electra_label"
# The tag of a learner's error.
WRONG = "i"


def sick_entailment(nlp: Language, data: Path, split: str, limit: int) -> list[Example]:
    """Pairs of sentences: entailment, contradiction or neither."""
    labels = ("CONTRADICTION", "ENTAILMENT", "NEUTRAL")
    return [
        pair(nlp, row, {x: float(x == row["entailment_judgment"]) for x in labels})
        for row in islice(sick(data, split), limit)
    ]


def sick_relatedness(
    nlp: Language, data: Path, split: str, limit: int
) -> list[Example]:
    """Pairs of sentences: how related they are, 1 to 5, moved to 0 to 1."""
    return [
        pair(nlp, row, {"relatedness": (float(row["relatedness_score"]) - 1) / 4})
        for row in islice(sick(data, split), limit)
    ]


def sick(data: Path, split: str) -> Iterator[dict[str, str]]:
    name = {"train": "SICK_train.txt", "test": "SICK_test_annotated.txt"}[split]
    with (data / "sick" / name).open(encoding="utf8", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def pair(nlp: Language, row: dict[str, str], cats: dict[str, float]) -> Example:
    doc = nlp.make_doc(row["sentence_A"])
    doc._.text_pair = row["sentence_B"]
    return labelled(doc, cats)


def labelled(doc: Doc, cats: dict[str, float]) -> Example:
    reference = doc.copy()
    reference.cats = cats
    return Example(doc, reference)


def cooking(nlp: Language, data: Path, split: str, limit: int) -> list[Example]:
    """Cooking questions with any number of labels."""
    name = {"train": "train", "test": "dev"}[split]
    rows = srsly.read_jsonl(data / "cooking" / f"cooking-{name}.jsonl")
    return [labelled(nlp.make_doc(r["text"]), r["cats"]) for r in islice(rows, limit)]


def wnut17(nlp: Language, data: Path, split: str, limit: int) -> list[Example]:
    """Posts with entities."""
    name = {"train": "wnut17train.conll", "test": "emerging.test.annotated"}[split]
    examples = []
    for words, tags in islice(columns(data / "wnut17" / name), limit):
        reference = Doc(nlp.vocab, words=words, ents=tags)
        examples.append(Example(Doc(nlp.vocab, words=words), reference))
    return examples


def realec(nlp: Language, data: Path, split: str, limit: int) -> list[Example]:
    """Learners' sentences: each token is correct, "c", or incorrect, "i"."""
    examples = []
    for words, tags in islice(learners_sentences(data, split), limit):
        reference = Doc(nlp.vocab, words=words)
        for token, tag in zip(reference, tags, strict=True):
            token._.set(LABEL, tag)
        examples.append(Example(Doc(nlp.vocab, words=words), reference))
    return examples


def realec_spans(nlp: Language, data: Path, split: str, limit: int) -> list[Example]:
    """The same sentences, incorrect tokens as spans."""
    examples = []
    for words, tags in islice(learners_sentences(data, split), limit):
        reference = Doc(nlp.vocab, words=words)
        wrong = [i for i, tag in enumerate(tags) if tag == WRONG]
        reference.spans["rtd"] = [reference[i : i + 1] for i in wrong]
        examples.append(Example(Doc(nlp.vocab, words=words), reference))
    return examples


def learners_sentences(data: Path, split: str) -> Iterator[tuple[list[str], list[str]]]:
    """Words and tags; REALEC publishes no part to train on, so this cuts its own."""
    rows = columns(data / "realec" / "en_realec_dev.tsv")
    for number, row in enumerate(rows):
        if (number % REALEC_TEST_EVERY == 0) == (split == "test"):
            yield row


def columns(file: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Words and tags of each sentence of a file with a word a line."""
    rows: list[tuple[str, str]] = []
    for line in [*file.read_text(encoding="utf8").split("\n"), ""]:
        if line.strip():
            word, tag = line.split("\t")[:2]
            rows.append((word, tag.strip()))
        elif rows:
            words, tags = zip(*rows, strict=True)
            yield list(words), list(tags)
            rows = []


def squad1(nlp: Language, data: Path, split: str, limit: int) -> list[Example]:
    """Questions about Wikipedia that all have an answer."""
    return squad(nlp, data / "squad_dev" / "dev-1.1.rebuilt.json", split, limit)


def squad2(nlp: Language, data: Path, split: str, limit: int) -> list[Example]:
    """Questions about Wikipedia, half of which have no answer."""
    return squad(nlp, data / "squad_dev" / "dev-v2.0.rebuilt.json", split, limit)


def squad(nlp: Language, path: Path, split: str, limit: int) -> list[Example]:
    """Questions, evenly drawn from the articles of a split, one an example."""
    articles = sorted(srsly.read_json(path)["data"], key=lambda each: each["title"])
    random.Random(0).shuffle(articles)
    chosen = articles_of(articles, split)
    asked = [
        (context["context"], question)
        for article in chosen
        for context in article["paragraphs"]
        for question in context["qas"]
    ]
    few = random.Random(0).sample(asked, min(limit, len(asked)))
    paragraphs = [{"context": text, "qas": [question]} for text, question in few]
    return read_back(nlp, {"data": [{"title": split, "paragraphs": paragraphs}]})


def articles_of(articles: list[Any], split: str) -> list[Any]:
    """The first of them, or the last."""
    count = len(articles)
    if split == "train":
        return articles[: round(TRAIN_SHARE * count)]
    return articles[count - round(TEST_SHARE * count) :]


def read_back(nlp: Language, record: dict[str, Any]) -> list[Example]:
    """Examples of a record in SQuAD's form, by the package's own reader."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "questions.json"
        srsly.write_json(file, record)
        return list(SQuADCorpus(file, questions_per_doc=1)(nlp))


def mctest(nlp: Language, data: Path, split: str, limit: int) -> list[Example]:
    """Stories for children, each question with four choices."""
    pattern = data / "mctest" / f"mc*.{split}.tsv"
    examples = list(MCTestCorpus(pattern)(nlp))
    random.Random(0).shuffle(examples)
    return examples[:limit]


def ewt(nlp: Language, data: Path, split: str, limit: int) -> list[Example]:
    """Raw web text: to learn from some sentences a text, to test on one each."""
    file = data / "ud_english_ewt" / f"en_ewt-ud-{split}.conllu"
    count = SENTENCES if split == "train" else 1
    text = file.read_text(encoding="utf8")
    docs = conllu_to_docs(text, n_sents=count, no_print=True)
    texts = [doc.text.strip() for doc in islice(docs, limit)]
    made = [nlp.make_doc(text) for text in texts if text]
    return [Example(doc, doc.copy()) for doc in made]


def labels_of(examples: Iterable[Example], per_token: bool) -> list[str]:
    """The labels of a data set, in the order of the alphabet."""
    found: set[str] = set()
    for example in examples:
        reference = example.reference
        if not per_token:
            found.update(reference.cats)
        elif reference.has_annotation("ENT_IOB"):
            kinds = {span.label_ for span in reference.ents}
            found |= {"O"} | {f"{a}-{kind}" for a in "BI" for kind in kinds}
        else:
            found |= {token._.get(LABEL) for token in reference}
    return sorted(found)
