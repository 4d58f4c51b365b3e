"""The project's parts fit together, and its scripts do what they say.

All of it runs by `make project`, which CI does.
"""

import importlib.util
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
import spacy
import srsly
from spacy.cli.package import package
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.util import load_config
from weasel.cli.document import project_document
from weasel.cli.run import check_rerun, project_run
from weasel.util import get_checksum, load_project_config, parse_config_overrides

from spacy_electra.metrics import detection
from spacy_electra.models import ElectraConfig
from spacy_electra.pipeline.scorers.rtd import gold_labels
from spacy_electra.pretraining.run.distributed import own_device
from spacy_electra.pretraining.settings import PretrainingSettings
from spacy_electra.source import resolve_source

PROJECT = Path(__file__).parents[1] / "project"


def cloned(folder):
    """The project as `spacy project clone` gives it: this folder alone, no results."""
    for name in ("configs", "scripts"):
        shutil.copytree(PROJECT / name, folder / name)
    for name in ("project.yml", "README.md", "requirements.txt", ".gitignore"):
        shutil.copy(PROJECT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return cloned(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module", params=["full", "small"])
def project(request, copy):
    """The project with its variables put in, and as `all` puts them."""
    plain = srsly.read_yaml(copy / "project.yml")
    small = shlex.split(plain["vars"]["small"]) if request.param == "small" else []
    return load_project_config(copy, overrides=parse_config_overrides(small))


def script(name):
    spec = importlib.util.spec_from_file_location(name, PROJECT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(name, *arguments):
    command = [sys.executable, PROJECT / f"scripts/{name}.py", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def options(words):
    """The settings of a config among the words of a command, by name."""
    pairs = itertools.pairwise(words)
    return {n[2:]: v for n, v in pairs if re.fullmatch(r"--[a-z]\w*\.[\w.@]+", n)}


def test_workflows_are_made_of_commands(project):
    names = [command["name"] for command in project["commands"]]
    assert len(set(names)) == len(names)
    assert {name for flow in project["workflows"].values() for name in flow} == set(
        names
    )
    workflows = "demo pretrain errors errors-seeds finetune textcat qa choice mlm adapt"
    assert set(project["workflows"]) == {*workflows.split(), "all"}


def test_all_runs_every_other_workflow(project):
    scripts = [c["script"][0] for c in project["commands"] if "all-" in c["name"]]
    run = [re.search(r"project run ([\w-]+) \.", line) for line in scripts]
    assert {match[1] for match in run if match} == set(project["workflows"]) - {"all"}


def test_what_a_command_needs_is_there_or_made_before(project, copy):
    commands = {command["name"]: command for command in project["commands"]}
    for name, flow in project["workflows"].items():
        made = set()
        if name == "all":
            # What the workflows that it runs have made.
            made = {o for c in commands.values() for o in c["outputs"]}
        for name in flow:
            for needed in commands[name].get("deps", []):
                assert needed in made or (copy / needed).exists(), (name, needed)
            made.update(commands[name]["outputs"])


def test_what_a_script_names_is_declared(project, copy):
    for command in project["commands"]:
        declared = {*command.get("deps", []), *command["outputs"]}
        for line in command["script"]:
            words = shlex.split(line)
            assert words[0] == "python"
            if words[1].startswith("scripts/"):
                assert words[1] in declared
            for word in words:
                if word.endswith(".cfg"):
                    assert (copy / word).is_file() and word in declared
    used = "".join(line for c in project["commands"] for line in c["script"])
    # The recipe of a bundled checkpoint stands in its config or on its card.
    recipes = [*PROJECT.parent.glob("docs/checkpoints/*.md")]
    recipes += PROJECT.parent.glob("configs/pretrain_*.cfg")
    used += "".join(file.read_text("utf8") for file in recipes)
    for file in (copy / "scripts").glob("*.py"):
        assert f"scripts/{file.name}" in used


def test_settings_that_commands_give_are_settings_of_their_configs(project, copy):
    found = 0
    for command in project["commands"]:
        for line in command["script"]:
            words = shlex.split(line)
            configs = [word for word in words if word.endswith(".cfg")]
            if not configs:
                continue
            overrides = parse_config_overrides(
                [part for n, v in options(words).items() for part in (f"--{n}", v)]
            )
            if "pretrain" in words:
                settings = PretrainingSettings.from_file(copy / configs[0], overrides)
                start = settings.model.init_from
                if start:
                    # It has the shape of the networks that go on with it.
                    begun = ElectraConfig.from_pretrained(resolve_source(start))
                    own = ElectraConfig.preset(settings.model.size)
                    for name in ("embedding_size", "hidden_size", "num_hidden_layers"):
                        assert getattr(begun, name) == getattr(own, name), start
            else:
                config = load_config(copy / configs[0])
                for name in overrides:
                    section = config
                    for part in name.split("."):
                        assert part in section, (command["name"], name)
                        section = section[part]
            found += 1
    assert found == 13


def test_configs_are_those_that_ship():
    # A clone of this folder alone needs its own. After a change of one of the shipped
    # configs: cp configs/NAME.cfg project/configs
    for file in PROJECT.glob("configs/*.cfg"):
        if file.name == "demo.cfg":
            PretrainingSettings.from_file(file)
        else:
            shipped = PROJECT.parent / "configs" / file.name
            assert file.read_text("utf8") == shipped.read_text("utf8"), file.name


def test_every_config_is_used(copy):
    plain = srsly.read_yaml(copy / "project.yml")
    scripts = "".join(line for c in plain["commands"] for line in c["script"])
    sizes = ("tiny", "small", "base", "large")
    used = {f"pretrain_{size}" for size in sizes}
    used |= set(re.findall(r"configs/(\w+)\.cfg", scripts))
    assert {file.stem for file in (copy / "configs").iterdir()} == used


def test_nothing_leads_out_of_the_folder(project):
    text = (PROJECT / "project.yml").read_text("utf8")
    assert "../" not in text
    names = ("/home/", "/root/", "/tmp/", "~/")
    assert not [name for name in names if name in text]


def test_what_a_command_reads_and_writes_is_declared(project):
    # Or a second run would do it again, or would not where it should.
    folders = ("assets/", "corpus/", "training/", "metrics/", "packages/", "scripts/")
    for command in project["commands"]:
        declared = [*command.get("deps", []), *command["outputs"]]
        words = {word for line in command["script"] for word in shlex.split(line)}
        for word in words:
            if word.startswith(folders):
                # The folder of a package, beside its wheel, has the wheel's name.
                near = (f"{word}/", f"{word}-")
                assert any(
                    f"{path}/".startswith(near) or word.startswith(f"{path}/")
                    for path in declared
                ), (command["name"], word)
        for path in command["outputs"]:
            assert path not in command.get("deps", []), command["name"]


def test_assets_have_public_addresses_of_one_commit_and_checksums(project):
    without = [a["dest"] for a in project["assets"] if "checksum" not in a]
    assert without == ["assets/squad_dev/dev-v2.0.json"]
    for asset in project["assets"]:
        address = urlparse(asset["url"])
        assert (address.scheme, address.netloc) == (
            "https",
            "raw.githubusercontent.com",
        )
        assert re.fullmatch(r"[0-9a-f]{8,40}", address.path.split("/")[3])
        assert re.fullmatch(r"[0-9a-f]{32}", asset.get("checksum", "0" * 32))
        assert Path(asset["dest"]).name == Path(address.path).name
        assert asset["description"]
    commands = {command["name"]: command for command in project["commands"]}
    dests = [asset["dest"] for asset in project["assets"]]
    assert commands["assets"]["outputs"] == dests


def test_checksums_are_those_of_the_data(project, shared_data):
    for asset in project["assets"]:
        file = shared_data / Path(asset["dest"]).relative_to("assets")
        if "checksum" in asset:
            assert get_checksum(file) == asset["checksum"]


def test_readme_is_what_spacy_writes(copy):
    before = (copy / "README.md").read_text("utf8")
    project_document(copy, copy / "README.md")
    assert (copy / "README.md").read_text("utf8") == before


def test_a_command_that_has_run_is_not_run_again(copy, monkeypatch):
    commands = {c["name"]: c for c in load_project_config(copy)["commands"]}
    assert check_rerun(copy, commands["demo-corpus"])
    project_run(copy, "demo-corpus", capture=True)
    monkeypatch.chdir(copy)
    assert not check_rerun(copy, commands["demo-corpus"])
    (copy / "corpus/demo/test.txt").write_text("Something else.")
    assert check_rerun(copy, commands["demo-corpus"])


def test_a_clone_alone_trains_and_evaluates_and_a_second_run_does_nothing(
    tmp_path, shared_data, monkeypatch
):
    folder = cloned(tmp_path / "clone")
    small = shlex.split(srsly.read_yaml(folder / "project.yml")["vars"]["small"])
    budget = {"choice_steps": 2, "dev_limit": 4, "test_limit": 8, "warmup_steps": 1}
    given = [part for n, v in budget.items() for part in (f"--vars.{n}", str(v))]
    given += ["--vars.data", str(shared_data)]
    overrides = parse_config_overrides([*small, *given])
    project_run(folder, "choice", overrides=overrides, capture=True)
    scores = srsly.read_json(folder / "metrics/small/choice.json")
    assert 0.0 <= scores["choice_acc"] <= 1.0

    def fail(script, **settings):
        pytest.fail(f"This ran again: {script}")

    monkeypatch.setattr("weasel.cli.run.run_commands", fail)
    project_run(folder, "choice", overrides=overrides)
    with pytest.raises(pytest.fail.Exception):
        more = {**overrides, "vars.choice_steps": 3}
        project_run(folder, "choice", overrides=more)


@pytest.mark.parametrize(
    "name, device", [("-1", "cpu"), ("0", "cuda:0"), ("cpu", "cpu")]
)
def test_a_device_is_named_as_spacy_names_it(name, device):
    assert str(own_device(name)) == device


def test_assets_at_hand_are_copied_unless_they_are_others(tmp_path):
    place = script("place_assets")
    (tmp_path / "data/texts").mkdir(parents=True)
    for name in ("right", "wrong", "there"):
        (tmp_path / f"data/texts/{name}").write_text(name)
    (tmp_path / "assets/texts").mkdir(parents=True)
    (tmp_path / "assets/texts/there").write_text("there")
    checksum = {
        "right": get_checksum(tmp_path / "data/texts/right"),
        "wrong": "0" * 32,
        "there": get_checksum(tmp_path / "data/texts/there"),
        "missing": "0" * 32,
    }
    assets = [{"dest": f"assets/texts/{n}", "checksum": c} for n, c in checksum.items()]
    assert place.copy_assets(assets, tmp_path / "data", tmp_path, {}) == 1
    in_place = [place.is_in_place(asset, tmp_path) for asset in assets]
    assert in_place == [True, False, True, False]
    assert not (tmp_path / "assets/texts/wrong").exists()


def test_another_file_takes_the_place_of_an_asset_without_checksum_alone(tmp_path):
    place = script("place_assets")
    data = tmp_path / "data"
    data.mkdir()
    (data / "other").write_text("other")
    assets = [{"dest": "assets/free"}, {"dest": "assets/strict", "checksum": "0" * 32}]
    others = {asset["dest"]: data / "other" for asset in assets}
    assert place.copy_assets(assets, data, tmp_path, others) == 1
    assert (tmp_path / "assets/free").read_text() == "other"
    assert not (tmp_path / "assets/strict").exists()
    # What is there stays, and is not fetched again.
    (data / "other").write_text("newer")
    assert place.copy_assets(assets, data, tmp_path, others) == 0
    assert place.is_in_place(assets[0], tmp_path)


def test_an_asset_that_is_nowhere_is_named(tmp_path, capsys):
    place = script("place_assets")
    asset = {"dest": "assets/texts/a.txt", "checksum": "0" * 32}
    # An address on this machine, so that no connection is opened.
    asset["url"] = str(tmp_path / "nowhere.txt")
    srsly.write_yaml(tmp_path / "project.yml", {"assets": [asset]})
    with pytest.raises(SystemExit):
        place.main(tmp_path / "data", tmp_path, [])
    assert "assets/texts/a.txt" in capsys.readouterr().out.split("checksum")[-1]


def test_columns_become_entities(tmp_path):
    (tmp_path / "a.conll").write_text("In\tO\nNew\tB-place\nYork\tI-place\n\t\nNo\tO\n")
    convert = script("convert_columns")
    kind = convert.Kind.entities
    convert.main(tmp_path / "a.conll", tmp_path / "a.spacy", kind, "en", False)
    docs = list(
        DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("en").vocab)
    )
    assert [doc.text.strip() for doc in docs] == ["In New York", "No"]
    assert [[(e.text, e.label_) for e in d.ents] for d in docs] == [
        [("New York", "place")],
        [],
    ]


def test_columns_become_errors_in_three_parts(tmp_path):
    sentences = [f"He\tc\ngo{n}\ti\nhome\tc" for n in range(20)]
    twice = [*sentences, sentences[1]]
    (tmp_path / "a.tsv").write_text("\n\n".join(twice) + "\n")
    out = tmp_path / "out"
    convert = script("convert_columns")
    convert.main(tmp_path / "a.tsv", out, convert.Kind.errors, "en", True)
    vocab = spacy.blank("en").vocab
    parts = {
        name: list(DocBin().from_disk(out / f"{name}.spacy").get_docs(vocab))
        for name in ("train", "dev", "test")
    }
    assert {name: len(docs) for name, docs in parts.items()} == {
        "train": 14,
        "dev": 2,
        "test": 4,
    }
    texts = [doc.text for docs in parts.values() for doc in docs]
    assert len(set(texts)) == 20
    for docs in parts.values():
        for doc in docs:
            assert [span.start for span in doc.spans["rtd"]] == [1]


def test_marks_of_one_word_and_of_runs_are_the_same_gold_labels():
    convert = script("convert_columns")
    vocab = spacy.blank("en").vocab
    rows = list(zip(["a", "b", "c", "d", "e"], "iicii", strict=True))
    single, joined = (
        convert.make_doc(vocab, rows, convert.Kind.errors, runs)
        for runs in (False, True)
    )
    assert [(s.start, s.end) for s in single.spans["rtd"]] == [
        (0, 1),
        (1, 2),
        (3, 4),
        (4, 5),
    ]
    assert [(s.start, s.end) for s in joined.spans["rtd"]] == [(0, 2), (3, 5)]
    labels = [
        gold_labels(Example(doc.copy(), doc), "rtd").tolist()
        for doc in (single, joined)
    ]
    assert labels[0] == labels[1] == [True, True, False, True, True]


def test_questions_of_the_test_are_not_learned_from():
    cooking = script("convert_cooking")
    learn = [{"text": str(number)} for number in range(30)]
    parts = cooking.split(learn, [*learn[20:], {"text": "new"}])
    held = {row["text"] for row in parts["test"]}
    assert len(held) == 11
    kept = [row["text"] for name in ("train", "dev") for row in parts[name]]
    assert sorted(kept, key=int) == [str(number) for number in range(20)]
    assert [row["text"] for row in parts["dev"]] == ["0", "10"]


def test_html_goes_and_paragraphs_stay():
    plain = script("convert_cooking").plain_text
    text = "Is it <em>safe</em>?\n<p>5 &lt; 6 &amp; so  on</p>\n<hr/>\n"
    assert plain(text) == "Is it safe ?\n5 < 6 & so on"


def test_reviews_are_unpacked_and_some_held_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("movie_reviews/README", "About")
        for number in range(40):
            file.writestr(
                f"movie_reviews/neg/cv{number:03}_1.txt", f"review {number}\n"
            )
    out = tmp_path / "train.jsonl", tmp_path / "held_out.jsonl"
    run_script("unpack_reviews", tmp_path / "a.zip", *out)
    train, held_out = ([row["text"] for row in srsly.read_jsonl(file)] for file in out)
    assert held_out == ["review 0", "review 20"]
    assert len(train) == 38 and not set(train) & set(held_out)


def test_pairs_of_sentences_become_lines_of_json(tmp_path):
    convert = script("convert_sick")
    columns = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"
    rows = [columns, '1\tIt "is" so\tIt is\t4.5\tENTAILMENT', "2\tA\tB\t1\tNEUTRAL"]
    for name in convert.PARTS.values():
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    convert.main(tmp_path, tmp_path / "out")
    first, second = srsly.read_jsonl(tmp_path / "out/dev.jsonl")
    assert (first["text"], first["text_pair"]) == ('It "is" so', "It is")
    assert first["cats"] == {"ENTAILMENT": 1.0, "NEUTRAL": 0.0, "CONTRADICTION": 0.0}
    assert second["cats"]["NEUTRAL"] == 1.0
    (tmp_path / "SICK_trial.txt").write_text("\n".join([columns, "1\tA\tB\t1\tMAYBE"]))
    with pytest.raises(SystemExit):
        convert.main(tmp_path, tmp_path / "out")


def test_articles_of_squad_stay_whole(tmp_path):
    squad = script("split_squad")
    titles = [f"article {number:02}" for number in range(20)]
    articles = [{"title": title, "paragraphs": [{"qas": [1]}]} for title in titles]
    srsly.write_json(tmp_path / "a.json", {"version": "v2.0", "data": articles})
    squad.main(tmp_path / "a.json", tmp_path / "out")
    parts = {
        name: [
            a["title"] for a in srsly.read_json(tmp_path / f"out/{name}.json")["data"]
        ]
        for name in ("train", "dev", "test")
    }
    assert {name: len(found) for name, found in parts.items()} == {
        "train": 14,
        "dev": 2,
        "test": 4,
    }
    assert sorted(title for found in parts.values() for title in found) == titles
    assert squad.split(articles[::-1]) == squad.split(articles)


def test_a_pipeline_of_questions_is_evaluated_by_the_reader_that_it_learned_with(
    tmp_path,
):
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_qa")
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    context = "The river floods the valley."
    question = {"id": "1", "question": "What floods the valley?"}
    question["answers"] = [{"text": "The river", "answer_start": 0}]
    paragraph = {"context": context, "qas": [question]}
    data = {"data": [{"title": "River", "paragraphs": [paragraph]}]}
    srsly.write_json(tmp_path / "data.json", data)
    evaluate = script("evaluate").main
    files = tmp_path / "pipeline", tmp_path / "data.json", tmp_path / "metrics.json"
    evaluate(*files, "spacy-electra.SQuADCorpus.v1", 0, -1)
    scores = srsly.read_json(tmp_path / "metrics.json")
    assert 0.0 <= scores["qa_f1"] <= 1.0


def test_best_threshold_is_best():
    compare = script("compare_errors")
    random = np.random.default_rng(0)
    for _ in range(20):
        labels = random.random(60) < 0.3
        scores = np.round(0.3 * labels + random.random(60), 1)
        best = compare.best_threshold(scores, labels)
        reached = detection(scores, labels, best).f05
        others = [detection(scores, labels, value).f05 for value in np.unique(scores)]
        assert reached == pytest.approx(max(others))


def test_spans_are_runs_of_marks():
    compare = script("compare_errors")
    marks = [np.array([True, True, False, True]), np.array([False]), np.array([True])]
    assert compare.spans(marks) == {(0, 0, 2), (0, 3, 4), (2, 0, 1)}
    labels = [np.array([True, True, False, False, True])]
    scores = [np.array([0.9, 0.8, 0.1, 0.7, 0.6])]
    found = compare.metrics_at((scores, labels), 0.5)
    assert found["precision"] == pytest.approx(3 / 4)
    assert found["recall"] == pytest.approx(1.0)
    # Of the marked runs (0, 2) and (3, 5) one is a gold run.
    assert found["span_precision"] == found["span_recall"] == pytest.approx(0.5)
    assert found["span_f05"] == pytest.approx(0.5)


def test_metrics_of_several_seeds_have_mean_and_range():
    over = script("compare_errors").over_runs
    assert over([{"f05": 0.5}]) == {"f05": 0.5}
    several = over([{"f05": 0.5}, {"f05": 0.6}, {"f05": 0.4}])
    assert several["f05"] == pytest.approx({"mean": 0.5, "least": 0.4, "most": 0.6})


def test_differences_are_taken_seed_by_seed():
    gained = script("compare_seeds").difference([0.5, 0.6, 0.7], [0.6, 0.6, 0.9])
    assert gained["values"] == pytest.approx([0.1, 0.0, 0.2])
    assert gained["mean"] == pytest.approx(0.1)
    assert gained["standard_error"] == pytest.approx(0.1 / 3**0.5)


def test_report_has_scores_and_pictures(tmp_path):
    values = {"auc": 0.75, "name": "x", "tag": {"NN": {"p": 1.0}}, "none": None}
    values["ents_per_type"] = {"place": {"p": 0.5}}
    srsly.write_json(tmp_path / "scores.json", values)
    files = (tmp_path / "scores.json", tmp_path / "curves.png")
    run_script("write_report", tmp_path / "report.md", *files, "--title", "Title")
    report = (tmp_path / "report.md").read_text("utf8")
    assert report.startswith("# Title")
    assert "| auc | 0.75 |" in report and "| tag, NN, p | 1 |" in report
    assert "![curves](curves.png)" in report and "name" not in report
    assert "place" not in report


def test_a_wheel_of_the_pipeline_installs_and_marks_words_offline(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("electra_rtd", config={"threshold": 0.1})
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    package(
        tmp_path / "pipeline",
        tmp_path,
        name="electra_rtd",
        version="0.1.0",
        create_sdist=False,
        require_parent=True,
    )
    folder = tmp_path / "en_electra_rtd-0.1.0"
    wheel = [sys.executable, "-m", "pip", "wheel", folder]
    wheel += ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*wheel, "--wheel-dir", tmp_path], check=True, capture_output=True)
    file = tmp_path / "en_electra_rtd-0.1.0-py3-none-any.whl"
    metrics = tmp_path / "package.json"
    main = script("try_package").main
    main(file, tmp_path / "pipeline", metrics)
    requirements = srsly.read_json(metrics)["requirements"]
    assert any(name.startswith("spacy<") or "spacy>" in name for name in requirements)
    assert any(name.startswith("spacy-electra") for name in requirements)
    # A pipeline that says something else is no copy of it.
    nlp.get_pipe("electra_rtd").cfg["threshold"] = 0.0
    nlp.to_disk(tmp_path / "other")
    with pytest.raises(SystemExit):
        main(file, tmp_path / "other", metrics)


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


def test_misspellings_are_one_slip_from_a_frequent_word():
    kind = script("misspellings").Misspellings
    text = "they receive letters and believe their united friends until casual sunday "
    found = kind([text * 400, "untied shoes and a recieve or two"])
    assert found("they recieve untill freinds beleive") == [
        "recieve",
        "untill",
        "freinds",
        "beleive",
    ]
    # Names, parts of words and addresses are no words here, nor are short ones.
    assert found("Recieve re-cieve don't teh www.recieve.com @untill") == []
    assert found("they receive united friends") == []
    # Known but rare, beside a frequent one.
    assert found("untied") == ["untied"] and found("shoes") == []
    # Far from every frequent word.
    assert found("blorptangle") == []
