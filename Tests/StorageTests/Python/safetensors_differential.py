"""Says of many files whether the `safetensors` library accepts them, and what it reads.

Usage: safetensors_differential.py FILES ANSWERS_JSON

FILES holds one file behind the other, the length of each before it in 8 bytes, little-endian. An
answer is null for a refusal, else the shapes by name.
"""

import json
import pathlib
import sys

from safetensors import SafetensorError, deserialize


def answer(contents: bytes) -> dict | None:
    try:
        return {name: tensor["shape"] for name, tensor in deserialize(contents)}
    except SafetensorError:
        return None


def main(files: str, answers: str) -> None:
    rest = pathlib.Path(files).read_bytes()
    found = []
    while rest:
        end = 8 + int.from_bytes(rest[:8], "little")
        found.append(answer(rest[8:end]))
        rest = rest[end:]
    pathlib.Path(answers).write_text(json.dumps(found), encoding="utf-8")


main(*sys.argv[1:])
