"""Checks that the `tokenizers` library reads our tokenizer.json as we do.

Usage: tokenizer_agrees.py FOLDER, which holds tokenizer.json and cases.json.
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer


def main(folder: pathlib.Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    assert tokenizer.get_vocab_size() == 258, tokenizer.get_vocab_size()
    assert tokenizer.token_to_id("<|endoftext|>") == 256
    assert tokenizer.token_to_id("<|pad|>") == 257
    for case in cases["texts"]:
        text = case["text"]
        tokenizer.encode_special_tokens = True
        ids = tokenizer.encode(text).ids
        assert ids == case["ids"], (text, ids, case["ids"])
        assert tokenizer.decode(ids) == text, (text, tokenizer.decode(ids))
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text).ids
        assert ids == case["ids_with_special"], (text, ids, case["ids_with_special"])
    for case in cases["sequences"]:
        text = tokenizer.decode(case["ids"], skip_special_tokens=True)
        assert text == case["text"], (case["ids"], text, case["text"])
    print(f"{len(cases['texts'])} texts and {len(cases['sequences'])} sequences agree")


main(pathlib.Path(sys.argv[1]))
