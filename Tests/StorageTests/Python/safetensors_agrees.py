"""Checks that the `safetensors` library reads our file as we do, and writes one for us to read.

Usage: safetensors_agrees.py OURS EXPECTED_JSON THEIRS
"""

import json
import pathlib
import sys

import numpy
from safetensors import safe_open
from safetensors.numpy import save_file


def main(ours: str, expected: str, theirs: str) -> None:
    wanted = json.loads(pathlib.Path(expected).read_text(encoding="utf-8"))
    with safe_open(ours, framework="np") as file:
        assert file.metadata() == {"format": "pt"}, file.metadata()
        assert set(file.keys()) == set(wanted), (sorted(file.keys()), sorted(wanted))
        for name, tensor in wanted.items():
            found = file.get_tensor(name)
            assert found.dtype == numpy.float32, (name, found.dtype)
            assert list(found.shape) == tensor["shape"], (name, found.shape)
            assert found.view(numpy.uint32).ravel().tolist() == tensor["bits"], name
    save_file(
        {
            "matrix": numpy.arange(6, dtype=numpy.float32).reshape(2, 3),
            "half": numpy.array([0.5, -2], dtype=numpy.float16),
            "tokens": numpy.array([1, -2, 1 << 40], dtype=numpy.int64),
            "double": numpy.array([0.1], dtype=numpy.float64),
        },
        theirs,
        metadata={"format": "np"},
    )


main(*sys.argv[1:])
