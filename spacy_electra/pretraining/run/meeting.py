"""Where the processes of a run find each other, after a restart as well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

from ...errors import Errors

if TYPE_CHECKING:
    from torch.distributed import Store

_SECONDS_BETWEEN = 0.02


def fresh_store(store: Store, rank: int, size: int, patience: float = 1800.0) -> Store:
    """A part of a store that no earlier try of the run has written to.

    `torchrun` keeps one store for all tries of a run. After a restart it still holds
    the addresses of workers that are dead, and who reads one before its new owner
    writes it connects to nobody (torch 2.13, both kinds of rendezvous). The number of
    the try can't name a part: on several machines each launcher counts for itself.

    So the processes agree on a name first. Every other one asks under a word of its
    own that nobody has used before; the first one answers to each word that it finds,
    stale ones too, until all have taken note.

    Args:
        store: What all of them share.
        rank: Number of this process.
        size: How many there are.
        patience: How long the first one waits for the others, seconds. They wait for
            it as long as the store's own timeout says.

    Raises:
        TimeoutError: If one of them does not come.
    """
    # Some builds of torch have none of it.
    from torch.distributed import PrefixStore

    if rank > 0:
        word = uuid4().hex
        store.set(f"word/{rank}", word)
        name = store.get(f"name/{word}").decode()
        store.set(f"noted/{name}/{rank}", "")
        return PrefixStore(name, store)
    name = uuid4().hex
    missing = set(range(1, size))
    deadline = time.monotonic() + patience
    while missing:
        for other in sorted(missing):
            if store.check([f"word/{other}"]):
                store.set(f"name/{store.get(f'word/{other}').decode()}", name)
            if store.check([f"noted/{name}/{other}"]):
                missing.remove(other)
        if time.monotonic() > deadline:
            raise TimeoutError(Errors.SE432(missing=sorted(missing), size=size))
        time.sleep(_SECONDS_BETWEEN)
    return PrefixStore(name, store)
