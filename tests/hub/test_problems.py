import errno
import socket
import traceback

import pytest
from hub_server import SIGNATURE
from huggingface_hub import constants

from spacy_electra import ElectraForPreTraining
from spacy_electra.errors import Errors
from spacy_electra.hub.problems import reason_of
from spacy_electra.source import resolve_source

NAME = "owner/tiny"


def error_of(source=NAME, code="", **given):
    """The message of the one error that a source gives."""
    with pytest.raises(FileNotFoundError) as error:
        resolve_source(source, **given)
    message = str(error.value)
    assert message.startswith(f"[{code}] {source!r}")
    assert "\n" not in message
    assert "{" not in message
    return message


def test_a_repository_that_is_not_there(hub):
    message = error_of(code="SE037")
    assert "no repository owner/tiny" in message
    assert "No token is set" in message


def test_a_private_repository(hub, tiny_files, monkeypatch):
    hub.add(NAME, tiny_files)
    hub.repositories[NAME].token = "hf_right"
    assert "No token is set" in error_of(code="SE037")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    message = error_of(code="SE037")
    assert "The token in use does not suffice" in message
    assert "hf_wrong" not in message
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert resolve_source(NAME).is_dir()


def test_a_gated_repository(hub, tiny_files, monkeypatch):
    hub.add(NAME, tiny_files)
    hub.repositories[NAME].token = "hf_right"
    hub.repositories[NAME].is_gated = True
    assert "No token is set" in error_of(code="SE039")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "does not suffice" in error_of(code="SE039")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert resolve_source(NAME).is_dir()


def test_servers_that_do_not_say_what_is_missing(hub, tiny_files, monkeypatch):
    hub.add(NAME, tiny_files)
    for status in (401, 404):
        hub.fail("GET /api/.*/revision", status=status)
        assert "No token is set" in error_of(code="SE037")
    hub.fail("GET /api/.*/revision", status=404)
    assert "It has: main." in error_of(f"{NAME}@v2", code="SE038")
    hub.fail("GET /api/.*/revision", status=403)
    assert "Set HF_TOKEN" in error_of(code="SE042")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    hub.fail("GET /api/.*/revision", status=401)
    error_of(code="SE043")


def test_a_file_that_is_listed_and_not_there(hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.fail("HEAD .*vocab", status=404, error="EntryNotFound")
    assert "HTTP 404" in error_of(code="SE042")


def test_a_token_that_has_expired(hub, tiny_files, monkeypatch):
    hub.add(NAME, tiny_files)
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    message = error_of(code="SE043")
    assert "is not accepted" in message
    assert "hf_expired" not in message


@pytest.mark.parametrize("token", ["hf_a b", "hf_ü", "hf_a\x07b"])
def test_a_token_that_is_none_is_never_shown(token, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(FileNotFoundError, match="SE043") as error:
        resolve_source(NAME)
    shown = "".join(traceback.format_exception(error.value))
    assert token not in shown
    assert hub.log == []


def test_a_token_in_an_error_of_a_library_is_never_shown(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def fail(*args, **kwargs):
        raise OSError("Bearer hf_secret at http://me:pass@host/x?Signature=abc")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    with pytest.raises(FileNotFoundError, match="SE206") as error:
        resolve_source(NAME)
    shown = "".join(traceback.format_exception(error.value))
    for secret in ("hf_secret", "me:pass", "abc"):
        assert secret not in str(error.value)
    assert "hf_secret" not in shown.replace('raise OSError("Bearer hf_secret', "")


def test_a_revision_that_is_not_there_names_those_that_are(hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.add(NAME, tiny_files, "v1")
    message = error_of(f"{NAME}@v2", code="SE038")
    assert "no branch, tag or commit 'v2'" in message
    assert "It has: main, v1." in message
    error_of(f"{NAME}@{'a' * 40}", code="SE038")


def test_a_revision_that_went_is_not_taken_from_the_cache(hub, tiny_files):
    hub.add(NAME, tiny_files, "v1")
    resolve_source(f"{NAME}@v1")
    hub.repositories[NAME].refs = {"main": hub.repositories[NAME].refs["v1"]}
    error_of(f"{NAME}@v1", code="SE038")


def test_a_repository_without_config(hub, tiny_files):
    hub.add(NAME, {"vocab.txt": tiny_files["vocab.txt"], "data.csv": b""})
    for wanted in ("config", "model", "checkpoint", "all"):
        message = error_of(code="SE040", wanted=wanted)
        assert "data.csv, vocab.txt" in message
    assert resolve_source(NAME, wanted="tokenizer").is_dir()


def test_a_repository_without_weights(hub, tiny_files):
    files = {"config.json": tiny_files["config.json"], "model.onnx": b""}
    hub.add(NAME, files)
    assert "model.onnx" in error_of(code="SE041")
    assert resolve_source(NAME, wanted="config").is_dir()


def test_a_repository_without_tokenizer(hub):
    hub.add(NAME, {"data.csv": b""})
    assert "data.csv" in error_of(code="SE048", wanted="tokenizer")


def test_an_empty_repository(hub):
    hub.add(NAME, {})
    assert "It has: nothing" in error_of(code="SE040")


@pytest.mark.parametrize("pattern", ["GET /api", "HEAD .*config", "GET .*vocab"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_once_is_asked_again(pattern, status, hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.fail(pattern, status=status)
    assert (resolve_source(NAME) / "vocab.txt").is_file()


def test_the_storage_that_fails_once_is_asked_again(hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.fail("GET /[0-9a-f]{64}", status=503)
    assert ElectraForPreTraining.from_pretrained(NAME)


@pytest.mark.parametrize("pattern", ["GET /api", "GET .*vocab", "GET /[0-9a-f]{64}"])
def test_a_server_that_always_fails(pattern, hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.fail(pattern, status=503, times=1000)
    message = error_of(code="SE042")
    assert "HTTP 503" in message
    assert "hf download owner/tiny --local-dir FOLDER" in message
    assert SIGNATURE not in message


def test_a_new_commit_that_does_not_come_leaves_the_old_one(hub, tiny_files):
    hub.add(NAME, tiny_files)
    folder = resolve_source(NAME)
    hub.add(NAME, {**tiny_files, "vocab.txt": tiny_files["vocab.txt"] + b"new\n"})
    hub.fail("GET .*vocab", cut=10, times=1000)
    with pytest.warns(UserWarning, match="SW021"):
        assert resolve_source(NAME) == folder
    hub.faults.clear()
    assert resolve_source(NAME) != folder


def test_a_server_that_forbids(hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.fail("GET /api", status=403, message="Access to this resource is disabled.")
    assert "HTTP 403, Access to this resource is disabled" in error_of(code="SE042")


def test_a_server_that_fails_leaves_the_cache(hub, tiny_files):
    hub.add(NAME, tiny_files)
    folder = resolve_source(NAME)
    hub.fail("", status=503, times=1000)
    with pytest.warns(UserWarning, match=r"SW021.*owner/tiny.*HTTP 503"):
        assert resolve_source(NAME) == folder


def test_what_was_fetched_stays_when_the_repository_goes(hub, tiny_files):
    hub.add(NAME, tiny_files)
    folder = resolve_source(NAME)
    hub.repositories.clear()
    with pytest.warns(UserWarning, match="SW021"):
        assert resolve_source(NAME) == folder


def test_nobody_listens(hub, tiny_files):
    hub.add(NAME, tiny_files)
    folder = resolve_source(NAME)
    hub.stop()
    with pytest.warns(UserWarning, match="SW021"):
        assert resolve_source(NAME) == folder
    message = error_of("owner/other", code="SE028")
    assert "refused" in message
    assert hub.url.removeprefix("http://") in message


def test_a_host_without_address(hub, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "Name or service not known" in error_of(code="SE028")


@pytest.mark.parametrize("pattern", ["GET /api", "GET .*vocab", "GET /[0-9a-f]{64}"])
def test_a_server_that_does_not_answer(pattern, hub, tiny_files, monkeypatch):
    of_files = "api" not in pattern
    name = "HF_HUB_DOWNLOAD_TIMEOUT" if of_files else "HF_HUB_ETAG_TIMEOUT"
    monkeypatch.setattr(constants, name, 0.2)
    monkeypatch.setattr("spacy_electra.hub.transfer._TRIES", 1)
    hub.add(NAME, tiny_files)
    hub.fail(pattern, stalls=True, times=1000)
    message = error_of(code="SE044" if of_files else "SE028")
    assert "timed out" in message


def test_a_connection_that_is_always_cut(hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.fail("GET .*vocab", cut=10, times=1000)
    message = error_of(code="SE044")
    assert "vocab.txt of owner/tiny has not come whole" in message


@pytest.mark.parametrize(
    "content", [b"<html>Log in</html>", b"[]", b"{}", b'{"sha":1}']
)
def test_what_answers_is_no_hub(content, hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.fail("GET /api", content=content)
    assert "HF_ENDPOINT" in error_of(code="SE045")


def test_a_server_without_checksums_is_no_hub(hub, tiny_files):
    hub.add(NAME, tiny_files)
    hub.fail("HEAD .*config", status=302, location="/elsewhere")
    hub.fail("HEAD /elsewhere", status=200)
    assert "HF_ENDPOINT" in error_of(code="SE045")


def test_a_disk_without_room(hub, tiny_files, monkeypatch, cache):
    hub.add(NAME, tiny_files)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", str(cache / "blob"))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    message = error_of(code="SE046")
    assert "No space left" in message
    assert "HF_HOME" in message
    assert str(cache / "blob") in message


def test_a_cache_that_is_a_file(hub, tiny_files, cache):
    hub.add(NAME, tiny_files)
    cache.write_text("")
    assert str(cache) in error_of(code="SE046")


def test_the_key_that_was_typed_is_named(hub):
    with pytest.raises(FileNotFoundError, match="name = 'owner/tiny': "):
        resolve_source(NAME, key="name")


def test_the_reason_is_the_last_cause_in_one_line():
    try:
        try:
            raise OSError(111, "Connection\nrefused")
        except OSError as error:
            raise RuntimeError("HTTPConnectionPool(...) <object at 0x7f>") from error
    except RuntimeError as error:
        assert reason_of(error) == "Connection refused"
    assert reason_of(ValueError()) == "ValueError"
    long = reason_of(ValueError("x" * 1000))
    assert len(long) <= 200


def test_every_message_has_the_source_first():
    codes = [f"SE0{n}" for n in (*range(21, 30), *range(37, 51))]
    codes += ["SE204", "SE205", "SE206", "SE207"]
    for code in codes:
        assert Errors[code].value.startswith("{source}"), code
