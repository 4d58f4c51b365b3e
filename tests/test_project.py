"""The project's parts fit together; its demo is run by hand and in CI."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import srsly

from spacy_electra.pretraining.settings import PretrainingSettings

PROJECT = Path(__file__).parents[1] / "project"


@pytest.fixture(scope="module")
def project():
    return srsly.read_yaml(PROJECT / "project.yml")


def script(name):
    spec = importlib.util.spec_from_file_location(name, PROJECT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_workflows_are_made_of_commands(project):
    names = [command["name"] for command in project["commands"]]
    assert len(set(names)) == len(names)
    assert {name for flow in project["workflows"].values() for name in flow} == set(
        names
    )


def test_what_a_command_needs_is_there_or_made_before(project):
    commands = {command["name"]: command for command in project["commands"]}
    for flow in project["workflows"].values():
        made = {"${vars.corpus}", "${vars.test}"}
        for name in flow:
            for needed in commands[name].get("deps", []):
                path = needed.replace("${vars.config}", project["vars"]["config"])
                assert needed in made or (PROJECT / path).exists(), (name, needed)
            made.update(commands[name]["outputs"])


def test_configs_are_whole(project):
    for file in [*PROJECT.glob("configs/*.cfg"), PROJECT / project["vars"]["config"]]:
        PretrainingSettings.from_file(file)


def test_sentences_of_the_grammar_agree():
    grammar = script("write_grammar")
    random = np.random.default_rng(0)
    kinds = grammar.KINDS.values()
    for _ in range(200):
        text = grammar.sentence(random)
        article, subject, verb = re.findall(r"\w+", text.lower())[:3]
        found = [
            number
            for subjects, verbs, _, _ in kinds
            for number in (0, 1)
            if subject in [s[number] for s in subjects]
            and verb in [v[number] for v in verbs]
        ]
        assert len(found) == 1, text
        assert article in ("the", ("this", "these")[found[0]])
    again = np.random.default_rng(0)
    assert grammar.document(again) == grammar.document(np.random.default_rng(0))


def test_demo_asks_for_words_that_the_grammar_has():
    grammar, check = script("write_grammar"), script("check_learned")
    words = set(re.findall(r"\w+", str(grammar.KINDS).lower())) | {
        "this",
        "these",
        "the",
    }
    for sentence, belongs, does_not in check.PAIRS:
        text = sentence.replace("{}", f"{belongs} {does_not}").lower()
        assert set(re.findall(r"\w+", text)) <= words
