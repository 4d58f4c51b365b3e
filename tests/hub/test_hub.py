import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import pytest
from hub_server import LARGE, SIGNATURE, git_sha1
from huggingface_hub import constants, hf_hub_download, scan_cache_dir

from spacy_electra import ElectraConfig, ElectraForPreTraining, ElectraTokenizer
from spacy_electra.hub.cache import checksum
from spacy_electra.source import resolve_source

NAME = "owner/tiny"
WEIGHTS = "model.safetensors"


@pytest.fixture
def offline(monkeypatch):
    def switch():
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    return switch


def files_in(folder):
    every = (f for f in folder.rglob("*") if f.is_file())
    return {file.relative_to(folder).as_posix() for file in every}


def config_with(files, **values):
    config = {**json.loads(files["config.json"]), **values}
    return {**files, "config.json": json.dumps(config).encode()}


def test_a_hub_id_leads_to_a_folder_with_its_files(hub, tiny_files):
    hub.add(NAME, {**tiny_files, "pytorch_model.bin": b"other", "train.py": b"code"})
    folder = resolve_source(NAME)
    assert files_in(folder) == set(tiny_files)
    for name, content in tiny_files.items():
        assert (folder / name).read_bytes() == content


def test_config_and_tokenizer_fetch_no_weights(hub, tiny_files):
    hub.add(NAME, tiny_files)
    assert ElectraConfig.from_pretrained(NAME).hidden_size > 0
    files = [a.file for a in hub.log if a.method == "GET" and "resolve" in a.path]
    assert files == ["config.json"]
    assert ElectraTokenizer.from_pretrained(NAME).vocab_size > 0
    assert not [asked for asked in hub.log if asked.host.startswith("localhost")]


def test_a_model_fetches_its_config_and_weights_alone(hub, tiny_files):
    hub.add(NAME, tiny_files)
    ElectraForPreTraining.from_pretrained(NAME)
    assert files_in(resolve_source(NAME, wanted="config")) == {"config.json", WEIGHTS}


def test_the_second_use_asks_for_the_commit_and_no_more(hub, tiny_files):
    commit = hub.add(NAME, tiny_files)
    first = resolve_source(NAME)
    hub.log.clear()
    assert resolve_source(NAME) == first
    assert hub.asked() == ["HEAD config.json"]
    hub.log.clear()
    assert resolve_source(f"{NAME}@{commit}") == first
    assert hub.asked() == []


def test_what_is_wanted_later_is_fetched_later(hub, tiny_files):
    hub.add(NAME, tiny_files)
    resolve_source(NAME, wanted="tokenizer")
    hub.log.clear()
    folder = resolve_source(NAME)
    assert files_in(folder) == set(tiny_files)
    assert "GET vocab.txt" not in hub.asked()


def test_a_branch_that_has_moved_is_fetched_anew(hub, tiny_files):
    hub.add(NAME, tiny_files)
    old = resolve_source(NAME)
    hub.add(NAME, config_with(tiny_files, hidden_dropout_prob=0.25))
    new = resolve_source(NAME)
    assert new != old
    assert ElectraConfig.from_pretrained(NAME).hidden_dropout_prob == 0.25
    # The weights are the same, and are not fetched twice.
    stored = [a for a in hub.log if a.host.startswith("localhost")]
    assert len(stored) == len(set(a.path for a in stored))


@pytest.mark.parametrize("ref", ["main", "v1.0", "refs/pr/3", "with/slash"])
def test_branches_and_tags(ref, hub, tiny_files, offline):
    commit = hub.add(NAME, tiny_files, ref)
    hub.add(NAME, config_with(tiny_files, hidden_dropout_prob=0.25), "other")
    assert resolve_source(f"{NAME}@{ref}").name == commit
    assert resolve_source(NAME, ref).name == commit
    offline()
    hub.log.clear()
    for source in (f"{NAME}@{ref}", f"{NAME}@{commit}"):
        assert resolve_source(source).name == commit
        assert ElectraConfig.from_pretrained(source).hidden_dropout_prob == 0.0
    assert hub.log == []


def test_a_revision_goes_to_config_tokenizer_and_model(hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.add(NAME, config_with(tiny_files, hidden_dropout_prob=0.25), "dropout")
    for revision, expected in ((None, 0.0), ("dropout", 0.25)):
        config = ElectraConfig.from_pretrained(NAME, revision=revision)
        assert config.hidden_dropout_prob == expected
        model = ElectraForPreTraining.from_pretrained(NAME, revision=revision)
        assert model.config.hidden_dropout_prob == expected
    ElectraTokenizer.from_pretrained(NAME, revision="dropout")
    model = ElectraForPreTraining.from_pretrained(f"{NAME}@dropout")
    assert model.config.hidden_dropout_prob == 0.25


def test_the_generator_of_an_exported_run_has_a_name(hub, tiny_files):
    hub.add(NAME, tiny_files, "v1")
    folder = resolve_source(f"{NAME}/generator@v1")
    content = (folder / "config.json").read_bytes()
    assert content == tiny_files["generator/config.json"]


def test_a_repository_without_generator_has_none(hub, tiny_files):
    top = {name: c for name, c in tiny_files.items() if "/" not in name}
    hub.add(NAME, top)
    with pytest.raises(FileNotFoundError, match=r"SE049.*owner/tiny/generator"):
        resolve_source(f"{NAME}/generator")


def test_a_tokenizer_needs_no_config(hub, tiny_files, offline):
    names = ("vocab.txt", "tokenizer_config.json")
    hub.add(NAME, {name: tiny_files[name] for name in names})
    expected = ElectraTokenizer.from_pretrained(NAME).vocab
    hub.log.clear()
    ElectraTokenizer.from_pretrained(NAME)
    assert hub.asked() == ["HEAD vocab.txt"]
    offline()
    assert ElectraTokenizer.from_pretrained(NAME).vocab == expected


@pytest.mark.parametrize(
    "weights", ["pytorch_model.bin", "flax_model.msgpack", "tf_model.h5"]
)
def test_other_formats_are_fetched(weights, hub, tiny_files):
    content = tiny_files[WEIGHTS]
    hub.add(NAME, {"config.json": tiny_files["config.json"], weights: content})
    assert files_in(resolve_source(NAME)) == {"config.json", weights}


def test_google_release_is_fetched(hub, tiny_files):
    files = {
        "config.json": tiny_files["config.json"],
        "vocab.txt": tiny_files["vocab.txt"],
        "electra_small.index": b"index",
        "electra_small.data-00000-of-00001": b"data",
        "electra_small.meta": b"graph",
    }
    hub.add(NAME, files)
    assert files_in(resolve_source(NAME)) == set(files) - {"electra_small.meta"}


def in_parts(files, parts):
    index = {"weight_map": {str(n): part for n, part in enumerate(parts)}}
    return {
        "config.json": files["config.json"],
        "model.safetensors.index.json": json.dumps(index).encode(),
        **{part: part.encode() for part in parts},
    }


def test_weights_in_parts_are_those_of_the_index(hub, tiny_files, offline):
    files = in_parts(tiny_files, ["model-1-of-2.safetensors", "second.safetensors"])
    hub.add(NAME, {**files, "model-9-of-9.safetensors": b"", "tf_model.h5": b""})
    folder = resolve_source(NAME)
    assert files_in(folder) == set(files)
    offline()
    assert resolve_source(NAME) == folder


@pytest.mark.parametrize("part", ["model-2-of-2.safetensors", "../../secret"])
def test_a_part_that_is_not_there_is_named(part, hub, tiny_files):
    files = in_parts(tiny_files, ["model-1-of-2.safetensors", part])
    hub.add(NAME, {name: c for name, c in files.items() if name != part})
    with pytest.raises(FileNotFoundError, match=r"SE047.*" + part.replace(".", r"\.")):
        resolve_source(NAME)


def test_listed_names_do_not_lead_out_of_the_cache(hub, tiny_files, cache):
    evil = ["../../../../evil.safetensors", "generator/../../../../evil.json"]
    hub.add(NAME, {**tiny_files, **{name: b"evil" for name in evil}})
    resolve_source(NAME)
    assert not [f for f in cache.parent.rglob("*") if "evil" in f.name]
    assert not [a for a in hub.log if "evil" in a.path]


def test_a_connection_that_is_cut_goes_on_where_it_ended(hub, tiny_files, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 64 * 1024)
    hub.add(NAME, tiny_files)
    weights = hashlib.sha256(tiny_files[WEIGHTS]).hexdigest()
    hub.fail(f"GET /{weights}", times=12, cut=200_000)
    folder = resolve_source(NAME)
    assert (folder / WEIGHTS).read_bytes() == tiny_files[WEIGHTS]
    begins = [a.headers.get("range") for a in hub.log if a.file == weights]
    assert begins[0] is None
    assert len(begins) > 5
    numbers = [int(begin.removeprefix("bytes=").rstrip("-")) for begin in begins[1:]]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 0


@pytest.mark.skipif(
    not huggingface_hub.__version__.startswith("0."),
    reason="from 1.0 on a partial file ends with the process",
)
def test_another_day_goes_on_where_this_one_ended(hub, tiny_files, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 64 * 1024)
    monkeypatch.setattr("spacy_electra.hub.transfer._TRIES", 1)
    hub.add(NAME, tiny_files)
    weights = hashlib.sha256(tiny_files[WEIGHTS]).hexdigest()
    hub.fail(f"GET /{weights}", cut=200_000)
    with pytest.raises(FileNotFoundError, match=rf"SE044.*{WEIGHTS}"):
        resolve_source(NAME)
    hub.log.clear()
    assert (resolve_source(NAME) / WEIGHTS).read_bytes() == tiny_files[WEIGHTS]
    (asked,) = [a for a in hub.log if a.file == weights]
    assert asked.headers["range"] == f"bytes={3 * 64 * 1024}-"


def test_a_cut_file_of_the_hub_itself_is_fetched_whole(hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.fail("GET .*vocab.txt", times=2, cut=100)
    folder = resolve_source(NAME)
    assert (folder / "vocab.txt").read_bytes() == tiny_files["vocab.txt"]


def test_a_partial_file_that_is_too_long_is_given_up(hub, tiny_files, cache):
    hub.add(NAME, tiny_files)
    blobs = cache / "models--owner--tiny" / "blobs"
    blobs.mkdir(parents=True)
    weights = hashlib.sha256(tiny_files[WEIGHTS]).hexdigest()
    too_much = tiny_files[WEIGHTS] + b"more"
    (blobs / f"{weights}.incomplete").write_bytes(too_much)
    folder = resolve_source(NAME)
    assert (folder / WEIGHTS).read_bytes() == tiny_files[WEIGHTS]


@pytest.mark.parametrize("name", [WEIGHTS, "vocab.txt"])
def test_a_wrong_content_is_found_and_removed(name, hub, tiny_files, cache):
    hub.add(NAME, tiny_files)
    right = tiny_files[name]
    wrong = bytes([right[0] ^ 1]) + right[1:]
    place = hashlib.sha256(right).hexdigest() if name == WEIGHTS else name
    hub.fail(f"GET .*{place}", content=wrong)
    with pytest.raises(ValueError, match=rf"SE029.*{name} of owner/tiny") as error:
        resolve_source(NAME)
    assert "taken out of the cache" in str(error.value)
    assert wrong not in [f.read_bytes() for f in cache.rglob("*") if f.is_file()]
    assert (resolve_source(NAME) / name).read_bytes() == right


def test_without_links_a_wrong_content_is_removed_too(hub, tiny_files, monkeypatch):
    def no_links(*args, **kwargs):
        raise OSError("no links here")

    monkeypatch.setattr(os, "symlink", no_links)
    hub.add(NAME, tiny_files)
    hub.fail("GET .*vocab.txt", content=tiny_files["vocab.txt"].replace(b"a", b"b"))
    with pytest.warns(UserWarning, match="symlinks"), pytest.raises(ValueError):
        resolve_source(NAME)
    folder = resolve_source(NAME)
    assert not (folder / "vocab.txt").is_symlink()
    assert (folder / "vocab.txt").read_bytes() == tiny_files["vocab.txt"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_out_of_the_cache_goes_but_not_what_it_leads_to(
    hub, tiny_files, tmp_path
):
    hub.add(NAME, tiny_files)
    hf_hub_download(NAME, "config.json")
    link = Path(hf_hub_download(NAME, "vocab.txt"))
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    link.unlink()
    link.symlink_to(precious)
    with pytest.raises(ValueError, match=r"SE029.*vocab\.txt"):
        resolve_source(NAME)
    assert precious.read_text() == "mine"
    assert (resolve_source(NAME) / "vocab.txt").read_bytes() == tiny_files["vocab.txt"]


def test_a_repository_with_a_new_name_is_found_by_the_old_one(hub, tiny_files):
    commit = hub.add("new/name", tiny_files)
    hub.renamed["old-name"] = "new/name"
    folder = resolve_source("old-name")
    assert folder.name == commit
    assert files_in(folder) == set(tiny_files)
    hub.log.clear()
    assert resolve_source("old-name") == folder
    assert set(hub.asked()) == {"HEAD config.json"}


def test_small_files_may_come_by_a_redirect(hub, tiny_files):
    hub.is_indirect = True
    hub.add(NAME, tiny_files)
    folder = resolve_source(NAME)
    assert files_in(folder) == set(tiny_files)
    hub.log.clear()
    assert resolve_source(NAME) == folder
    assert set(hub.asked()) == {"HEAD config.json"}


def test_any_file_may_lie_in_the_storage(hub, tiny_files):
    hub.large = (*LARGE, ".json", ".txt")
    hub.add(NAME, tiny_files)
    folder = resolve_source(NAME)
    assert files_in(folder) == set(tiny_files)
    # It answers no HEAD: its addresses are signed for one method.
    assert resolve_source(NAME) == folder


def test_many_may_fetch_at_once(hub, tiny_files):
    hub.add(NAME, tiny_files)
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(resolve_source, [NAME] * 4))
    assert len(set(folders)) == 1
    assert files_in(folders[0]) == set(tiny_files)
    assert resolve_source(NAME) == folders[0]


def test_content_is_compared_once(hub, tiny_files, monkeypatch):
    hub.add(NAME, tiny_files)
    resolve_source(NAME)
    monkeypatch.setattr("spacy_electra.hub.transfer.checksum", None)
    resolve_source(NAME)


def test_files_of_another_program_are_compared_and_used(hub, tiny_files):
    commit = hub.add(NAME, tiny_files)
    hf_hub_download(NAME, WEIGHTS)
    hf_hub_download(NAME, "config.json")
    hub.log.clear()
    folder = resolve_source(NAME)
    assert folder.name == commit
    assert f"GET {WEIGHTS}" not in hub.asked()
    assert hub.asked("GET")[0] == "GET main"


def test_a_cache_of_another_program_is_enough_offline(hub, tiny_files, offline):
    hub.add(NAME, tiny_files)
    for name in tiny_files:
        hf_hub_download(NAME, name)
    offline()
    assert files_in(resolve_source(NAME)) == set(tiny_files)


def test_checksums_are_those_of_git_and_of_large_files(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"Hello, World!")
    assert checksum(file, is_git=True) == "b45ef6fec89518d314f546fd6c3025367b721684"
    assert checksum(file, is_git=True) == git_sha1(b"Hello, World!")
    found = checksum(file, is_git=False)
    assert found == hashlib.sha256(b"Hello, World!").hexdigest()


def test_the_tools_of_the_cache_still_read_it(hub, tiny_files, cache):
    commit = hub.add(NAME, tiny_files)
    folder = resolve_source(NAME)
    found = scan_cache_dir(cache)
    assert found.warnings == []
    (repository,) = found.repos
    assert [r.commit_hash for r in repository.revisions] == [commit]
    found.delete_revisions(commit).execute()
    assert not folder.exists()
    assert files_in(resolve_source(NAME)) == set(tiny_files)


def test_a_record_that_is_broken_is_made_anew(hub, tiny_files, cache):
    hub.add(NAME, tiny_files)
    folder = resolve_source(NAME)
    (record,) = cache.rglob(".spacy-electra/*.json")
    for content in ("", "[]", '{"files": 3}', "[" * 10_000):
        record.write_text(content)
        assert resolve_source(NAME) == folder
        assert json.loads(record.read_text())["files"]


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="POSIX")
def test_a_cache_that_can_only_be_read_is_enough(hub, tiny_files, cache, offline):
    hub.add(NAME, tiny_files)
    folder = resolve_source(NAME)
    shutil.rmtree(cache / "models--owner--tiny" / ".spacy-electra")
    for path in cache.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    assert resolve_source(NAME) == folder
    offline()
    assert resolve_source(NAME) == folder
    for path in cache.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755)


def test_offline_without_a_copy_is_one_error(hub, offline, cache):
    offline()
    with pytest.raises(FileNotFoundError) as error:
        resolve_source(f"{NAME}@v1")
    message = str(error.value)
    assert message.startswith("[SE027]")
    assert "HF_HUB_OFFLINE=1" in message
    assert "hf download owner/tiny --revision v1 --local-dir FOLDER" in message
    assert str(cache) in message
    assert hub.log == []


def test_offline_names_the_files_that_the_cache_lacks(hub, tiny_files, offline):
    hub.add(NAME, tiny_files)
    resolve_source(NAME, wanted="tokenizer")
    offline()
    ElectraTokenizer.from_pretrained(NAME)
    with pytest.raises(FileNotFoundError, match=rf"SE027.*lacks {WEIGHTS}"):
        ElectraForPreTraining.from_pretrained(NAME)


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, tiny_files, monkeypatch):
    hub.add(NAME, tiny_files)
    hub.repositories[NAME].token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    resolve_source(NAME)
    to_hub = [a for a in hub.log if a.host.startswith("127.0.0.1")]
    elsewhere = [a for a in hub.log if a not in to_hub]
    assert elsewhere
    assert all(a.headers["authorization"] == "Bearer hf_secret" for a in to_hub)
    assert not any("authorization" in a.headers for a in elsewhere)
    assert not any("hf_secret" in str(a) for a in elsewhere)


SCRIPT = """
import sys
from spacy_electra.source import resolve_source
print(resolve_source(sys.argv[1]))
"""


def in_a_process(hub, cache, *arguments, **environment):
    settings = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(cache),
        "HF_TOKEN_PATH": str(cache / "no-token"),
        **environment,
    }
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.run(command, env=settings, capture_output=True, text=True)


def test_environment_alone_says_where_and_whether_to_ask(hub, tiny_files, cache):
    commit = hub.add(NAME, tiny_files, "v1")
    result = in_a_process(hub, cache, f"{NAME}@v1")
    assert Path(result.stdout.strip()).name == commit
    # Not a terminal: no progress bar.
    assert result.stderr == ""
    hub.log.clear()
    result = in_a_process(hub, cache, f"{NAME}@v1", HF_HUB_OFFLINE="1")
    assert Path(result.stdout.strip()).name == commit
    assert hub.log == []


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize("disabled", ["0", "1"])
def test_a_terminal_shows_progress_unless_it_is_off(disabled, hub, tiny_files, cache):
    import fcntl
    import pty
    import termios

    hub.add(NAME, tiny_files)
    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    settings = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_DISABLE_PROGRESS_BARS": disabled,
    }
    command = [sys.executable, "-c", SCRIPT, NAME]
    process = subprocess.Popen(
        command, env=settings, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(mine, 4096)
        except OSError:
            break
        if not block:
            break
        shown += block
    os.close(mine)
    assert process.wait() == 0
    assert (b"100%" in shown) == (disabled == "0")
    assert SIGNATURE.encode() not in shown
