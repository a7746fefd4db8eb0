"""Checks that a model's folder is what `transformers` expects, read with the `safetensors` library.

Usage: model_folder_agrees.py FOLDER EXPECTED_JSON

EXPECTED_JSON has dtype, shape and numbers of every tensor. Of an index, `transformers` takes the
files to open from weight_map, and loads from each what it holds.
"""

import json
import pathlib
import sys

import numpy
from safetensors import deserialize, safe_open


def numbers(tensor: dict) -> list[float]:
    if tensor["dtype"] == "BF16":
        halves = numpy.frombuffer(tensor["data"], dtype="<u2").astype(numpy.uint32)
        return (halves << 16).view(numpy.float32).tolist()
    kind = {"F32": "<f4", "F16": "<f2"}[tensor["dtype"]]
    return numpy.frombuffer(tensor["data"], dtype=kind).tolist()


def main(folder: str, expected: str) -> None:
    wanted = json.loads(pathlib.Path(expected).read_text(encoding="utf-8"))
    path = pathlib.Path(folder)
    index_path = path / "model.safetensors.index.json"
    if index_path.exists():
        index = json.loads(index_path.read_text(encoding="utf-8"))
        places = index["weight_map"]
        files = sorted(set(places.values()))
        numbered = [
            f"model-{number:05d}-of-{len(files):05d}.safetensors"
            for number in range(1, len(files) + 1)
        ]
        assert files == numbered, files
        assert not (path / "model.safetensors").exists()
    else:
        files = ["model.safetensors"]
        places = {name: files[0] for name in wanted}
    assert set(places) == set(wanted), places
    size = 0
    for file in files:
        with safe_open(path / file, framework="np") as opened:
            assert opened.metadata() == {"format": "pt"}, opened.metadata()
            names = list(opened.keys())
        found = dict(deserialize((path / file).read_bytes()))
        assert set(found) == set(names) == {name for name in places if places[name] == file}
        for name, tensor in found.items():
            assert tensor["dtype"] == wanted[name]["dtype"], (name, tensor["dtype"])
            assert tensor["shape"] == wanted[name]["shape"], (name, tensor["shape"])
            assert numbers(tensor) == wanted[name]["numbers"], name
            size += len(tensor["data"])
    if index_path.exists():
        assert index["metadata"]["total_size"] == size, (index["metadata"], size)


main(*sys.argv[1:])
