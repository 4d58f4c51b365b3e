"""Folders that TensorFlow, Flax and Google's code wrote, and what they gave there."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parents[1] / "fixtures" / "frameworks"


def copy_of(name, target):
    """A fixture's folder, its HDF5 files unpacked, in a new folder ``target``."""
    shutil.copytree(FOLDER / name, target)
    for packed in target.glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return target


def names_in(framework):
    """The folders of a framework, as ``copy_of`` takes them."""
    return [f"{framework}/{f.name}" for f in sorted((FOLDER / framework).iterdir())]


def inputs():
    """Two sequences, the second of them padded."""
    with np.load(FOLDER / "outputs.npz") as saved:
        keys = [key for key in saved if key.startswith("inputs/")]
        return {k.removeprefix("inputs/"): torch.from_numpy(saved[k]) for k in keys}


def outputs_of(name):
    """What a framework's model gave for these, by the names of its outputs."""
    file = "outputs_google.npz" if name.startswith("google") else "outputs.npz"
    with np.load(FOLDER / file) as saved:
        keys = [key for key in saved if key.startswith(name + "/")]
        return {k[len(name) + 1 :]: torch.from_numpy(saved[k]) for k in keys}


def assert_close(found, expected):
    """Equal to 1e-4, but for padding."""
    mask = inputs()["attention_mask"].bool()
    expected = expected.reshape(found.shape)
    if found.shape[:2] == mask.shape:
        found, expected = found[mask], expected[mask]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
