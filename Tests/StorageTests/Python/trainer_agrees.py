"""Checks that the `tokenizers` library learns the same tokenizer as we do, and reads ours.

Usage: trainer_agrees.py TOKENIZER.json CASES.json, where the cases hold the documents, the split
pattern ("" for GPT-2's), the size, the special tokens, and texts with our ids.
"""

import json
import pathlib
import sys

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers


def main(path: str, cases: dict) -> None:
    theirs = Tokenizer(models.BPE())
    if cases["pattern"]:
        theirs.normalizer = normalizers.NFC()
        theirs.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(cases["pattern"]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=cases["size"], special_tokens=cases["special"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    theirs.train_from_iterator(cases["documents"], trainer)
    model = json.loads(theirs.to_str())["model"]
    ours = json.loads(pathlib.Path(path).read_text("utf-8"))["model"]
    for index, (a, b) in enumerate(zip(model["merges"], ours["merges"])):
        assert a == b, f"merge {index} is {b}, and the library's is {a}"
    assert len(model["merges"]) == len(ours["merges"])
    assert model["vocab"] == ours["vocab"]
    loaded = Tokenizer.from_file(path)
    loaded.encode_special_tokens = True
    for case in cases["texts"]:
        assert loaded.encode(case["text"]).ids == case["ids"], case["text"]
    print(f"{len(ours['merges'])} merges and {len(cases['texts'])} texts agree")


main(sys.argv[1], json.loads(pathlib.Path(sys.argv[2]).read_text("utf-8")))
