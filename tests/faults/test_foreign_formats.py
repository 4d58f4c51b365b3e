"""Damaged or hostile files of TensorFlow and Flax give one coded error."""

import json
import os
import random
import shutil
import struct
import warnings

import numpy as np
import pytest
from frameworks import FOLDER, copy_of

from spacy_electra.models import ElectraForPreTraining

crc32c = pytest.importorskip("google_crc32c")
h5py = pytest.importorskip("h5py")
msgpack = pytest.importorskip("msgpack")

WORDS = "electra/embeddings/word_embeddings/weight:0"


def open_all(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ElectraForPreTraining.from_pretrained(folder)


def refusal(folder):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        ElectraForPreTraining.from_pretrained(folder)
    assert str(folder) in str(error.value)
    return str(error.value)


@pytest.fixture
def keras(tmp_path):
    """A folder of TensorFlow's, whose HDF5 file is one part of an index."""
    folder = copy_of("tf/safetensors", tmp_path / "there")
    (folder / "model.safetensors").unlink()
    return folder


def write_h5(folder, fill):
    with h5py.File(folder / "tf_model.h5", "w") as opened:
        fill(opened)


def external_link(file):
    file["electra"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["electra"] = h5py.SoftLink("/elsewhere")


def external_storage(file):
    space = h5py.h5s.create_simple((4, 4))
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_external(b"/etc/passwd", 0, 64)
    name = WORDS.replace("/", "_").encode()
    h5py.h5d.create(file.id, name, h5py.h5t.IEEE_F32LE, space, plan)


def virtual(file):
    layout = h5py.VirtualLayout((4, 4), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4, 4))
    file.create_virtual_dataset(WORDS, layout)


def compressed(file):
    # A thousandth of the size that it takes in memory.
    file.create_dataset(WORDS, (1 << 20, 8), "f4", compression="gzip", fillvalue=0)


def never_written(file):
    file.create_dataset(WORDS, (1 << 40, 8), "f4")


def text(file):
    file[WORDS] = "a text"


def table_of_records(file):
    file[WORDS] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def named_type(file):
    file["electra"] = np.dtype("f4")


def no_values(file):
    file[WORDS] = h5py.Empty("f4")


@pytest.mark.parametrize(
    "fill",
    [
        external_link,
        soft_link,
        external_storage,
        virtual,
        compressed,
        never_written,
        text,
        table_of_records,
        named_type,
        no_values,
    ],
)
def test_hdf5_with_more_than_arrays_of_its_own_is_refused(keras, fill):
    write_h5(keras, fill)
    assert "SE031" in refusal(keras)


def test_groups_that_hold_themselves_are_refused(keras):
    def fill(file):
        group = file.create_group("electra")
        group["electra"] = group

    write_h5(keras, fill)
    assert "SE202" in refusal(keras)


def test_array_under_many_names_is_refused_before_it_is_read(keras):
    def fill(file):
        file[WORDS] = np.zeros((1000, 8), "f4")
        for number in range(100):
            file[f"{WORDS}{number}"] = file[WORDS]

    write_h5(keras, fill)
    assert "SE212" in refusal(keras)


def test_two_weights_of_one_name_must_be_alike(tmp_path):
    folder = copy_of("tf/ElectraForMaskedLM", tmp_path / "there")
    with h5py.File(folder / "tf_model.h5", "a") as opened:
        place = f"generator_lm_head/tf_electra_for_masked_lm/{WORDS}"
        opened[place][0, 0] += 1
    assert "SE030" in refusal(folder)


def test_big_endian_numbers_are_read(tmp_path):
    folder = copy_of("tf/ElectraForPreTraining", tmp_path / "there")
    file = folder / "tf_model.h5"
    expected = ElectraForPreTraining.from_pretrained(folder).state_dict()
    with h5py.File(file, "a") as opened:
        place = f"electra/tf_electra_for_pre_training/{WORDS}"
        values = opened[place][()]
        del opened[place]
        opened[place] = values.astype(">f4")
    found = ElectraForPreTraining.from_pretrained(folder).state_dict()
    assert all((found[name] == expected[name]).all() for name in expected)


def array(shape, dtype="float32", numbers=b""):
    return msgpack.ExtType(1, msgpack.packb((shape, dtype, numbers)))


def nested(depth):
    tree = {}
    for _ in range(depth):
        tree = {"electra": tree}
    return tree


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (msgpack.packb({"a": array((1 << 40, 8))}), "SE202"),
        (msgpack.packb({"a": array((2, -2), numbers=b"1" * 16)}), "SE202"),
        (msgpack.packb({"a": array((2.0, 2), numbers=b"1" * 16)}), "SE202"),
        (msgpack.packb({"a": array((True,), numbers=b"1" * 4)}), "SE202"),
        (msgpack.packb({"a": array((1,), "object", b"1" * 8)}), "SE202"),
        (msgpack.packb({"a": array((1 << 62, 1 << 62, 0))}), "SE202"),
        (msgpack.packb({"a": array([[1]] * 3, numbers=b"1" * 4)}), "SE202"),
        # A complex number and a scalar of NumPy, which Flax writes elsewhere.
        (msgpack.packb({"a": msgpack.ExtType(2, b"\x92\x00\x00")}), "SE202"),
        (msgpack.packb({"a": msgpack.ExtType(3, b"\x92\x00\x00")}), "SE202"),
        (msgpack.packb({"a": msgpack.Timestamp(1)}), "SE032"),
        (msgpack.packb({"a": [1, 2]}), "SE202"),
        (msgpack.packb({"a" * 5000: 1}), "SE202"),
        (msgpack.packb({"a": 1}), "SE032"),
        (msgpack.packb({"a": b"text"}), "SE032"),
        (msgpack.packb(3), "SE032"),
        (msgpack.packb(nested(100)), "SE032"),
        (b"\x81\xa1a" * 100_000, "SE202"),
        # Lists of four billion values, within each other.
        (b"\x81\xa1a" + b"\xdd\xff\xff\xff\xff" * 1000, "SE202"),
        (b"\xdf\xff\xff\xff\xff", "SE202"),
        (b"\x82\xa1a\x01\xa1a\x02", "SE202"),
        (b"", "SE202"),
        (
            msgpack.packb(
                {"__msgpack_chunked_array__": True, "shape": {"0": 9}, "chunks": {}}
            ),
            "SE202",
        ),
    ],
)
def test_msgpack_with_more_than_arrays_is_refused(tmp_path, content, code):
    folder = copy_of("flax/ElectraForPreTraining", tmp_path / "there")
    (folder / "flax_model.msgpack").write_bytes(content)
    assert code in refusal(folder)


@pytest.fixture
def google(tmp_path):
    """Google's folder, with a config."""
    folder = copy_of("google/tied", tmp_path / "there")
    shutil.copy(FOLDER / "tf/ElectraForPreTraining/config.json", folder)
    open_all(folder)
    return folder


def test_one_wrong_bit_of_a_weight_is_found(google):
    file = google / "electra.data-00000-of-00001"
    content = bytearray(file.read_bytes())
    # Of word embeddings; the slots of the optimizer are not even read.
    place = content.find(
        ElectraForPreTraining.from_pretrained(google)
        .electra.embeddings.word_embeddings.weight.detach()
        .numpy()
        .tobytes()
    )
    assert place >= 0
    content[place] ^= 1
    file.write_bytes(content)
    message = refusal(google)
    assert "SE202" in message and "electra/embeddings/word_embeddings" in message


def test_one_wrong_bit_of_the_index_is_found(google):
    file = google / "electra.index"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    assert "checksum" in refusal(google)


def varint(number):
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def block(pairs):
    """A block of a table; of each pair the key begins as the one before, so far."""
    rows = b"".join(
        varint(shared) + varint(len(key)) + varint(len(value)) + key + value
        for shared, key, value in pairs
    )
    content = rows + struct.pack("<II", 0, 1) + b"\0"
    crc = crc32c.value(content)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return content + struct.pack("<I", masked)


def table(data):
    """A table of one block, as TensorFlow writes its index."""
    index = block([(0, b"~", varint(0) + varint(len(data) - 5))])
    handles = varint(0) * 2 + varint(len(data)) + varint(len(index) - 5)
    footer = handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    return data + index + footer


def entry(dtype=1, sizes=(2,), shard=0, offset=0, size=8, more=b""):
    shape = b"".join(
        b"\x12" + varint(len(dim)) + dim
        for dim in (b"\x08" + varint(n % (1 << 64)) for n in sizes)
    )
    return (
        (b"\x08" + varint(dtype) + b"\x12" + varint(len(shape)) + shape)
        + (b"\x18" + varint(shard) + b"\x20" + varint(offset))
        + (b"\x28" + varint(size) + b"\x35" + struct.pack("<I", 0) + more)
    )


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([(b"a", entry(sizes=(1 << 40,), size=1 << 42))], "SE212"),
        ([(b"a", entry(sizes=(1 << 40,)))], "SE202"),
        ([(b"a", entry(sizes=(-1, -2)))], "SE202"),
        ([(b"a", entry(sizes=(1 << 62, 1 << 62, 0), size=0))], "SE202"),
        ([(b"a", entry(offset=1 << 63))], "SE202"),
        ([(b"a", entry(offset=1 << 20))], "SE202"),
        ([(b"a", entry(shard=7))], "SE202"),
        ([(b"a", entry(dtype=7))], "SE035"),
        ([(b"a", entry(more=b"\x3a\x00"))], "SE035"),
        ([(b"a", b"\xff" * 12)], "SE202"),
        ([(b"a", b"\x0b")], "SE202"),
        ([(b"\xff", entry())], "SE202"),
        ([(b"_CHECKPOINTABLE_OBJECT_GRAPH", entry(dtype=7))], "SE034"),
        ([(n.to_bytes(2, "big"), entry(size=8)) for n in range(10_000)], "SE2"),
        ([(b"a", entry()), (b"a", entry())], "SE202"),
    ],
)
def test_index_that_claims_what_is_not_there_is_refused(google, entries, code):
    header = (b"", b"\x08\x01\x1a\x02\x08\x01")
    rows = [(0, key, value) for key, value in (header, *entries)]
    (google / "electra.index").write_bytes(table(block(rows)))
    assert code in refusal(google)


@pytest.mark.parametrize("header", [b"", b"\x08\x00", b"\x08\x01\x10\x01"])
def test_index_without_a_header_that_fits_is_refused(google, header):
    content = table(block([(0, b"", header), (0, b"a", entry())]))
    (google / "electra.index").write_bytes(content)
    assert "SE202" in refusal(google)


def test_keys_that_repeat_one_another_cost_no_memory(google):
    rows = [(0, b"x" * 500_000, b"")] + [(500_000, b"y", b"")] * 100_000
    (google / "electra.index").write_bytes(table(block(rows)))
    assert "SE202" in refusal(google)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tf/ElectraForPreTraining", "tf_model.h5"),
        ("flax/ElectraForPreTraining", "flax_model.msgpack"),
        ("google/tied", "electra.index"),
        ("google/tied", "electra.data-00000-of-00001"),
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_pipes_and_folders_in_place_of_files_are_refused(tmp_path, name, file, kind):
    folder = copy_of(name, tmp_path / "there")
    shutil.copy(FOLDER / "tf/ElectraForPreTraining/config.json", folder)
    (folder / file).unlink()
    if kind == "pipe":
        os.mkfifo(folder / file)
    else:
        (folder / file).mkdir()
    message = refusal(folder)
    assert "SE211" in message and file in message


@pytest.mark.parametrize("name", ["tf/sharded", "flax/sharded"])
def test_index_must_not_lead_out_of_the_folder(tmp_path, name):
    folder = copy_of(name, tmp_path / "there")
    (file,) = folder.glob("*.index.json")
    index = json.loads(file.read_text())
    parts = set(index["weight_map"].values())
    for part in parts:
        shutil.move(folder / part, tmp_path / part)
    leading = {key: f"../{part}" for key, part in index["weight_map"].items()}
    file.write_text(json.dumps({"weight_map": leading}))
    assert "SE200" in refusal(folder)


def damaged(rng, content):
    """Some bytes of a file cut off, put in, or changed."""
    content = bytearray(content)
    kind = rng.choice(["truncate", "flip", "zero", "insert", "copy"])
    place = rng.randrange(len(content))
    if rng.random() < 0.5:
        # Where most of a file's structure is.
        place = rng.randrange(min(len(content), 4096))
    size = rng.randint(1, 16)
    if kind == "truncate":
        del content[place:]
    elif kind == "insert":
        content[place:place] = rng.randbytes(size)
    elif kind == "copy":
        other = rng.randrange(len(content))
        content[place : place + size] = content[other : other + size]
    else:
        for i in range(place, min(place + size, len(content))):
            content[i] = rng.randrange(256) if kind == "flip" else 0
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tf/ElectraForPreTraining", "tf_model.h5"),
        ("flax/ElectraForPreTraining", "flax_model.msgpack"),
        ("google/tied", "electra.index"),
        ("google/tied", "electra.data-00000-of-00001"),
    ],
)
def test_damaged_checkpoints_open_or_give_one_coded_error(tmp_path, name, file):
    count = int(os.environ.get("SPACY_ELECTRA_FUZZ", "300")) // 4
    rng = random.Random(file)
    folder = copy_of(name, tmp_path / "there")
    shutil.copy(FOLDER / "tf/ElectraForPreTraining/config.json", folder)
    whole = (folder / file).read_bytes()
    refused = 0
    for number in range(count):
        (folder / file).write_bytes(damaged(rng, whole))
        try:
            model = open_all(folder)
        except (ValueError, FileNotFoundError) as error:
            assert str(error).startswith("[SE"), (number, error)
            assert str(folder) in str(error), (number, error)
            refused += 1
        else:
            assert all(p.isfinite().all() for p in model.parameters()), number
    assert refused > count // 10
