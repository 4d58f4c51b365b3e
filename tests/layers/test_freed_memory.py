"""Memory that is freed stays with the process, within bounds."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import sys
from resource import RUSAGE_SELF, getrusage

import numpy as np

from spacy_electra.layers.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
def touch():
    # Two of a size: what glibc keeps by itself is less than both.
    arrays = [np.ones(12 * 2**20, dtype=np.uint8) for _ in range(3)]
for _ in range(3):
    touch()
before = getrusage(RUSAGE_SELF).ru_minflt
touch()
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is another one")
def test_freed_memory_is_used_again_without_asking_the_system():
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", COUNT, how], text=True))
        for how in ("keep", "give back")
    }
    pages = 3 * 12 * 2**20 // 4096
    assert faults["keep"] < pages / 20
    assert faults["keep"] < faults["give back"]
