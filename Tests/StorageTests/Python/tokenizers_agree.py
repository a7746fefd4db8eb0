"""Checks that the `tokenizers` library reads texts and ids as we do, for any tokenizer.

Usage: tokenizers_agree.py TOKENIZER.json CASES.json
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer


def main(tokenizer: Tokenizer, cases: dict) -> None:
    for case in cases["texts"]:
        text = case["text"]
        tokenizer.encode_special_tokens = True
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == case["ids"], (text, ids, case["ids"])
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text).ids
        assert ids == case["template"], (text, ids, case["template"])
    for case in cases["sequences"]:
        text = tokenizer.decode(case["ids"])
        assert text == case["text"], (case["ids"], text, case["text"])
    print(f"{len(cases['texts'])} texts and {len(cases['sequences'])} sequences agree")


main(Tokenizer.from_file(sys.argv[1]), json.loads(pathlib.Path(sys.argv[2]).read_text("utf-8")))
