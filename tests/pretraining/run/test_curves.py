"""The picture of a run shows what its log says."""

import pytest

from spacy_electra.pretraining.run.curves import (
    auc_columns,
    draw_curves,
    points,
    read_rows,
)
from spacy_electra.pretraining.run.log import LogFile, read_log

LOG = """step,tokens,train_mlm,mlm_loss,auc_generator,auc_unigram
10,1000000,7.0,,,
20,2000000,6.0,6.5,0.5,0.7
"""


def test_curves_are_the_columns_that_are_not_empty(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    rows = read_rows(tmp_path)
    assert points(rows, "train_mlm") == [(1.0, 7.0), (2.0, 6.0)]
    assert points(rows, "mlm_loss") == [(2.0, 6.5)]
    assert points(rows, "no_such_column") == []
    assert auc_columns(rows) == ["auc_generator", "auc_unigram"]


def test_picture_is_drawn_from_folder_or_log(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "log.csv").write_text(LOG)
    picture = draw_curves(tmp_path, tmp_path / "new" / "curves.png", title="A run")
    assert picture.read_bytes().startswith(b"\x89PNG")
    vectors = draw_curves(tmp_path / "log.csv", tmp_path / "curves.svg")
    assert "<svg" in vectors.read_text()


def test_run_without_log_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"log\.csv"):
        read_rows(tmp_path)
    (tmp_path / "log.csv").write_text("step,tokens\n")
    with pytest.raises(ValueError, match="first report"):
        read_rows(tmp_path)


def test_log_of_a_run_that_goes_on_drops_later_steps(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text(LOG + "30,3000000,5.")
    log = LogFile(file, ["step", "tokens", "auc_new"], step=10)
    log.append({"step": 20, "tokens": 7, "auc_new": 0.9})
    rows = read_log(file)
    assert [row["step"] for row in rows] == ["10", "20"]
    assert rows[0]["train_mlm"] == "7.0"
    assert (rows[1]["auc_new"], rows[1]["mlm_loss"]) == ("0.9", "")


def test_log_of_a_new_run_begins_empty(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    LogFile(tmp_path / "log.csv", ["step"], step=0)
    assert read_log(tmp_path / "log.csv") == []
