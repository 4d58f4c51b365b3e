"""Language models as Transformers' classes in a plain loop."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch
from heads_loop import BATCH, IGNORED, Features, Loop
from spacy.training import Example
from torch import Tensor


class LanguageLoop(Loop):
    """What both language models share: raw text, and perplexity."""

    def ids_of(self, example: Example) -> list[int]:
        found = self.tokenizer(
            example.predicted.text, truncation=True, max_length=self.window
        )
        return list(found["input_ids"])

    def row_of(self, ids: Sequence[int]) -> Features:
        zeros, ones = [0] * len(ids), [1] * len(ids)
        return {"input_ids": ids, "token_type_ids": zeros, "attention_mask": ones}

    def log_likelihoods(self, examples: Sequence[Example]) -> Iterator[Tensor]:
        """Of pieces, in nats; in any order."""
        raise NotImplementedError

    @torch.no_grad()
    def perplexity(self, examples: Sequence[Example]) -> float:
        """Over all pieces of texts."""
        self.model.eval()
        found = torch.cat(list(self.log_likelihoods(examples))).double()
        return float((-found.mean()).exp())

    def batches(self, rows: Sequence[Features]) -> Iterator[list[Features]]:
        return (list(rows[i : i + BATCH]) for i in range(0, len(rows), BATCH))


class MaskedLoop(LanguageLoop):
    """A masked language model; masks as ``electra_mlm`` sets them."""

    name = "ElectraForMaskedLM"
    share, share_masked = 0.15, 0.85

    def features(self, example: Example) -> list[Features]:
        return [self.row_of(self.ids_of(example))]

    def loss(self, batch: Sequence[Features]) -> Tensor:
        return super().loss([self.masked(row["input_ids"]) for row in batch])

    def masked(self, ids: Sequence[int]) -> Features:
        """Some pieces of a text hidden, other ones each time."""
        hidden, labels = list(ids), [IGNORED] * len(ids)
        count = max(1, round(self.share * (len(ids) - 2)))
        for place in random.sample(range(1, len(ids) - 1), count):
            labels[place] = ids[place]
            if random.random() < self.share_masked:
                hidden[place] = self.tokenizer.mask_token_id
        return {**self.row_of(hidden), "labels": labels}

    def log_likelihoods(self, examples: Sequence[Example]) -> Iterator[Tensor]:
        """Of each piece, hidden while all others are seen."""
        rows = [
            {**self.row_of(hidden), "place": place, "piece": ids[place]}
            for ids in map(self.ids_of, examples)
            for place in range(1, len(ids) - 1)
            for hidden in [
                [*ids[:place], self.tokenizer.mask_token_id, *ids[place + 1 :]]
            ]
        ]
        for batch in self.batches(rows):
            logits = self.model(**self.padded(batch)).logits
            places = torch.tensor([row["place"] for row in batch])
            pieces = torch.tensor([row["piece"] for row in batch])
            own = logits[torch.arange(len(batch)), places].log_softmax(-1)
            yield own.gather(1, pieces[:, None]).squeeze(1)


class CausalLoop(LanguageLoop):
    """A causal language model."""

    name = "ElectraForCausalLM"

    def features(self, example: Example) -> list[Features]:
        ids = self.ids_of(example)
        return [{**self.row_of(ids), "labels": ids}]

    def log_likelihoods(self, examples: Sequence[Example]) -> Iterator[Tensor]:
        """Of each piece, given those before it."""
        # What follows the last piece, [SEP], is no text.
        rows = [self.row_of(self.ids_of(each)[:-1]) for each in examples]
        for batch in self.batches(rows):
            inputs = self.padded(batch)
            ids = inputs["input_ids"][:, 1:]
            logs = self.model(**inputs).logits[:, :-1].log_softmax(-1)
            own = logs.gather(2, ids[:, :, None]).squeeze(2)
            yield own[inputs["attention_mask"][:, 1:].bool()]
