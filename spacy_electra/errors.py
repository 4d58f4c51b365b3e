"""Every error and warning message of the package, each under a code of its own."""

from enum import Enum


class _Message(str, Enum):
    """A message with named blanks; calling it fills them and puts the code in front."""

    def __call__(self, **values: object) -> str:
        return f"[{self.name}] {self.value.format(**values)}"


class Warnings(_Message):
    """Messages for ``warnings.warn``."""


class Errors(_Message):
    """Messages for exceptions: what was wrong, with the value, and what to do."""

    # Models: SE001 to SE099
    SE001 = (
        "num_attention_heads={heads} does not divide hidden_size={width}. Choose a "
        "number of heads that does, for instance {suggestion}."
    )
    SE002 = "Unknown {name}: {value!r}. Choose one of: {choices}."
    SE003 = "{name} must be {requirement}, but is {value!r}."
    SE004 = (
        "A sequence of {length} pieces is longer than max_position_embeddings="
        "{limit}. Split it into windows of at most {limit} pieces."
    )
    SE005 = "Give either input_ids or inputs_embeds, not {given}."
    SE006 = (
        "The lengths of a packed batch add up to {total}, but it has {rows} pieces. "
        "lengths must list the number of pieces of each sequence, in order."
    )
    SE007 = "There is no preset {name!r}. Choose one of: {choices}."
