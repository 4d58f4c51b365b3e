"""The commands below `python -m spacy electra`."""

from __future__ import annotations

import typer
from spacy.cli._util import app as spacy_app

from .annotate import annotate
from .calibrate import calibrate
from .convert import convert
from .curves import curves
from .demo import demo
from .evaluate import evaluate
from .export import export
from .info import info
from .init_config import init_config
from .prepare import prepare
from .pretrain import pretrain
from .probe import probe
from .quantize import quantize
from .scan import ERROR as SCAN_FAILED
from .scan import scan
from .show import show
from .train import train
from .user_errors import plain_errors
from .vocab import vocab

app = typer.Typer(
    name="electra",
    help="Pretrain ELECTRA, mark words that do not belong, convert checkpoints.",
    no_args_is_help=True,
)
app.command("demo")(plain_errors(demo))
app.command("vocab")(plain_errors(vocab))
app.command("prepare")(plain_errors(prepare))
app.command("annotate")(plain_errors(annotate))
app.command("evaluate")(plain_errors(evaluate))
app.command("probe")(plain_errors(probe))
app.command("curves")(plain_errors(curves))
app.command("show")(plain_errors(show))
app.command("scan")(plain_errors(scan, status=SCAN_FAILED))
app.command("calibrate")(plain_errors(calibrate))
app.command("export")(plain_errors(export))
app.command("convert")(plain_errors(convert))
app.command("quantize")(plain_errors(quantize))
app.command("info")(plain_errors(info))
# A config's settings are options too, and typer does not know them.
_WITH_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command("pretrain", context_settings=_WITH_SETTINGS)(plain_errors(pretrain))
app.command("train", context_settings=_WITH_SETTINGS)(plain_errors(train))
app.command("init-config", context_settings=_WITH_SETTINGS)(plain_errors(init_config))
spacy_app.add_typer(app)
