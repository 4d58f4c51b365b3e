"""What an annotation run does, as plain data that every process gets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import Errors

# How results are written, and how their files end.
ENDINGS = {"jsonl": ".jsonl", "parquet": ".parquet", "docbin": ".spacy"}


@dataclass(frozen=True)
class AnnotationSettings:
    """What to annotate with, and what to write.

    Args:
        pipeline: An installed package or a folder, as ``spacy.load`` takes it.
        format: "jsonl", "parquet" or "docbin".
        annotations: What to write, such as "token._.rtd_score" or "doc.ents"; by
            default what the components say that they assign, and extension attributes
            that they set.
        text_field: The field or column of a row that holds the text.
        annotation_field: The one that the annotation goes to.
        inputs: Fields that are set on the Doc first: "questions" as
            ``doc._.questions``.
        max_length: Most characters of a text; 0 for the pipeline's own limit.
        batch_size: Texts that the pipeline gets at a time; 0 for its own number.
        shard_size: Most rows of an output file.
        gpu_id: The GPU, as in spaCy; -1 for the CPU.
        threads: Of each process; 0 for torch's own number.

    Raises:
        ValueError: If a value can't be.
    """

    pipeline: str
    format: str = "jsonl"
    annotations: tuple[str, ...] = ()
    text_field: str = "text"
    annotation_field: str = "annotation"
    inputs: tuple[str, ...] = ()
    max_length: int = 0
    batch_size: int = 0
    shard_size: int = 1000
    gpu_id: int = -1
    threads: int = 0

    def __post_init__(self) -> None:
        if self.format not in ENDINGS:
            choices = ", ".join(ENDINGS)
            raise ValueError(
                Errors.SE002(name="format", value=self.format, choices=choices)
            )
        least = {"shard_size": 1, "max_length": 0, "batch_size": 0, "threads": 0}
        for name, number in least.items():
            if getattr(self, name) < number:
                requirement = f"{number} or more"
                value = getattr(self, name)
                raise ValueError(
                    Errors.SE003(name=name, requirement=requirement, value=value)
                )
        if self.annotation_field == self.text_field:
            raise ValueError(Errors.SE640(field=self.text_field))

    def of_result(self) -> dict[str, Any]:
        """Those on which the result depends; the others may change on resuming."""
        values = asdict(self)
        for name in ("batch_size", "gpu_id", "threads", "pipeline"):
            del values[name]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
