"""Makes Tests/Fixtures/tokenizers: small tokenizers of every kind that is read, and what the
`tokenizers` library (the version in Tests/requirements.txt) makes of all kinds of text with them.

Usage: make_tokenizers.py, from anywhere. KIND.json is the tokenizer; KIND.cases.json holds texts,
each with its ids (special tokens as text; recognized; with the template), and sequences of ids,
each with its text (special tokens left out; kept). scalar_kinds.json holds the general categories
by which the library splits. All of it follows from the seeds below.
"""

import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).resolve().parent
OUTPUT = HERE / "tokenizers"

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d"
    "\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
    "\u1ff2-\u1ff4\u1ff6-\u1ffcℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄ"
    "Ⱡ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
    r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and the router sends each token to two experts.",
    "Don't you think that we'll see it? I'M SURE they've been; she'd said so: it's THEIR'S.",
    "    def f(x: int) -> str:\n        return f\"{x!r}\"  # comment\n\n\n\tif (a[i] != b->c) { d++; }",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Ça été naïf, où l’œuvre dort.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία.",
    "いろはにほへと ちりぬるを。日本語のテキスト、東京都知事。中文文本测试，你好，世界！",
    "다람쥐 헌 쳇바퀴에 타고파. 키스의 고유조건은 입술끼리 만나야 하고.",
    "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت. דג סקרן שט בים מאוכזב ולפתע מצא חברה.",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश।",
    "1234567890 3.14159 1,000,000 0x1F600 ٠١٢٣٤ ४५६ ½ ² Ⅻ ①",
    "https://example.org/a?b=c&d=%20 user@example.org $12.50 €3,- ~/path/to/file.txt C:\\dir\\x",
    "emoji 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ 🏳️‍🌈 ✨, math ∑∫√≤≥≠∞ ∀x∈ℝ, box ┌─┐│└┘, arrows ←↑→↓",
]

FIXED = [
    "", " ", "  ", "   a", "a   ", " a b  c   d    e", "\n", "\r\n", "\r", "\n\n\n", " \n \n", "\t\tx",
    "a\n", "a\r\nb\r\n\r\nc", "x  \n  y", "end of line  ", "\u000b\u000c\u001c\u001d\u001e\u001f",
    "\u0000", "a\u0000b\u0000", "\u0001\u007f\u0080\u0085\u00a0\u00ad", "\u1680\u180e\u2000\u2007",
    "\u2008\u2009\u200a\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff", "x\u3000 \u3000y",
    "\ud7ff\ue000\uf8ff\ufdd0\ufffd\ufffe\uffff", "\U00010000\U0001ffff\U000e0001\U0010ffff",
    "e\u0301 é E\u0301\u0327 \u1e9b\u0323 ﬁ Å \u212b \u2126 \u1100\u1161\u11a8 가각 \u0958 \u0344",
    "q\u0307\u0323 a\u0323\u0302\u0301 \u0b47\u0b3e \u09c7\u09be \u11131\u11127 i\u0307 \u0130 ı ſ ß",
    "👩‍👩‍👧‍👦👩🏽‍🚀🇩🇪🇫🇷🏴󠁧󠁢󠁥󠁮󠁧󠁿👍🏽❤️☺︎", "a👍b", "👍 👍", "שָׁלוֹם", "اَلْعَرَبِيَّةُ", "ไทยกำลัง", "ကမ္ဘာ", "தமிழ்", "ខ្មែរ",
    "Ｆｕｌｌ　ｗｉｄｔｈ！？", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚", "Ωmega Кириллица ελληνικά ქართული հայերեն", "ǅ ǈ ʰ ª º ʕ",
    "'s 'S 'ſ 't'T're'RE've'm'll'LL'd ''s 'x don't DON'T I’m it''s", "'", "''", "a'", "'a", " 's",
    "12", "123", "1234", "12345678901234567890", "1 2 3", "3.14", "1٢3४", "½¾²³", "Ⅷↁ", "①②", "x1y2z3",
    "-1,000.00%", "foo_bar-baz.qux/quux\\corge", "a.b..c...d....", "!!!???", "({[<>]})", "#$%^&*",
    "==>", "\"quoted\" “quoted” «quoted»", "---\n===\n***\n", "!\n\n?\r\n", " !\n", "- item\n  - item\n",
    "<|endoftext|>", "a<|endoftext|>b", "<|endoftext|><|endoftext|>", " <|endoftext|> ", "<|end<|endoftext|>",
    "<|im_start|>user\nhi<|im_end|>\n", "<s>a</s>", "<s> <s>", "</s", "<unk>", "<0x41>", "<0xE2><0x82><0xAC>",
    "<pad> x", "xx<pad>", "[WORD] [WORD]a a[WORD] é[WORD] [WORD].", "a [LEFT] b  [LEFT]\n[LEFT]", "a [RIGHT] \n b [RIGHT] [RIGHT]",
    "[BOTH]  [BOTH] \u3000[BOTH]x", "café cafe\u0301 CAFÉ", "new token Neue", "▁", "▁▁a", " ▁ a ▁b", "a▁b",
    "Ġ Ċ ĉ Ā ¡ ÿ Ń", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "the" * 60, "日本語" * 40, " " * 70 + "x", "\n" * 70, "\t" * 9 + " " * 9 + "\n" * 9, "1" * 200, "ab " * 50,
    "\u0295\U00011de0\U00016ff4\u20c1", "a\u0300\u0301\u0302\u0303\u0304b", "\u0301start", "\u200dx", "x\ufe0f",
]


def all_texts(seed: int, count: int = 220) -> list[str]:
    """Fixed texts, sentences, and random ones of many kinds of scalars."""
    generator = random.Random(seed)
    pools = [
        list(range(0x20, 0x7f)), list(range(0x0, 0x180)), list(range(0x300, 0x370)) + [0x61, 0x65, 0x6f],
        list(range(0x370, 0x600)), list(range(0x600, 0x700)), list(range(0x900, 0xa00)),
        list(range(0x1100, 0x1200)) + list(range(0xac00, 0xac80)), list(range(0x2000, 0x2070)),
        list(range(0x3000, 0x3100)), list(range(0x4e00, 0x4f00)), list(range(0x1f300, 0x1f700)),
        [0x20, 0x20, 0xa, 0xd, 0x9, 0xa0, 0x3000, 0x61, 0x31], [0x27, 0x73, 0x74, 0x6c, 0x53, 0x17f, 0x20, 0x64],
        [c for c in range(0x110000) if not 0xD800 <= c < 0xE000],
    ]
    texts = FIXED + SENTENCES
    for _ in range(count):
        chosen = generator.choices(pools, k=generator.randint(1, 3))
        size = generator.choice([1, 2, 3, 5, 8, 13, 30])
        texts.append("".join(chr(generator.choice(generator.choice(chosen))) for _ in range(size)))
    for _ in range(count // 4):
        words = " ".join(generator.choices(SENTENCES, k=2)).split(" ")
        generator.shuffle(words)
        special = generator.choice(["<|endoftext|>", "<s>", "[LEFT]", "\n", "  "])
        texts.append(special.join([" ".join(words[:5]), "".join(words[5:8])]))
    return texts


def train(tokenizer: Tokenizer, size: int, special: list[str], alphabet: bool = True) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
    )
    tokenizer.train_from_iterator(SENTENCES * 3 + [t for t in FIXED if len(t) > 8], trainer)
    return tokenizer


def byte_level(steps: list, special: list[str], size: int = 900, **byte_options) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    last = pre_tokenizers.ByteLevel(**{"add_prefix_space": False, "use_regex": False, **byte_options})
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, last]) if steps else last
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, size, special)


def split(pattern: str, behavior: str = "isolated", invert: bool = False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def gpt2() -> Tokenizer:
    tokenizer = byte_level([], ["<|endoftext|>"], use_regex=True)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def qwen2() -> Tokenizer:
    tokenizer = byte_level([split(QWEN2)], [])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return tokenizer


def llama3() -> Tokenizer:
    tokenizer = byte_level([split(LLAMA3)], [])
    # Words that no merges lead to.
    document = json.loads(tokenizer.to_str())
    document["model"]["ignore_merges"] = True
    for word in ["ĠtheĠrouter", "Ġbrown", "Zw", "ĠÐ½Ð°", "日", "Ġzzz"]:
        document["model"]["vocab"].setdefault(word, len(document["model"]["vocab"]))
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|endoftext|>"])
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def deepseek2() -> Tokenizer:
    steps = [
        split(r"[\r\n]"), split(rf"\s?[{LETTERS}]+"), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
        split(r"\s+$"), split("[一-龥ࠀ-一가-퟿]+"), pre_tokenizers.Digits(individual_digits=True),
    ]
    return byte_level(steps, ["<|endoftext|>", "<pad>"])


def deepseek3() -> Tokenizer:
    steps = [split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK3)]
    return byte_level(steps, ["<|endoftext|>"])


def o200k() -> Tokenizer:
    return byte_level([split(O200K, "removed", invert=True)], ["<|endoftext|>"])


def behaviors() -> Tokenizer:
    steps = [
        split("[-_]", "merged_with_previous"), split("[.#]", "merged_with_next"), split("!", "contiguous"),
        split(" ", "removed"), pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split("the", "isolated"), split(r"[A-Z]+", "isolated", invert=True),
    ]
    return byte_level(steps, ["<|endoftext|>"], add_prefix_space=True, use_regex=True)


def flags() -> Tokenizer:
    tokenizer = gpt2()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([
        AddedToken("[WORD]", single_word=True, normalized=False),
        AddedToken("[LEFT]", lstrip=True, normalized=False),
        AddedToken("[RIGHT]", rstrip=True, normalized=True),
        AddedToken("[BOTH]", lstrip=True, rstrip=True, normalized=False),
        AddedToken("cafe\u0301", normalized=True), AddedToken("new", normalized=True, single_word=True),
        AddedToken("new token", normalized=False), AddedToken("é", normalized=True),
    ])
    tokenizer.add_special_tokens([AddedToken("<s>", normalized=True), AddedToken("<pad>", single_word=True)])
    return tokenizer


def mixtral() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    # A vocabulary of few letters, so that the others fall back to bytes.
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=special, limit_alphabet=90, show_progress=False)
    tokenizer.train_from_iterator([w for s in SENTENCES for w in s.replace(" ", " \u2581").split(" ")] * 3, trainer)
    document = json.loads(tokenizer.to_str())
    # Only the first three are found in text.
    document["added_tokens"] = document["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    return tokenizer


def metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<unk>", "<s>"], limit_alphabet=80, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def cases(tokenizer: Tokenizer, seed: int) -> dict:
    generator = random.Random(seed + 1)
    texts = []
    for text in all_texts(seed):
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
        found = tokenizer.encode(text, add_special_tokens=False).ids
        texts.append({"text": text, "ids": plain, "special": found, "template": tokenizer.encode(text).ids})
    sequences = [case["template"] for case in texts]
    size = tokenizer.get_vocab_size()
    for _ in range(150):
        sequences.append([generator.randrange(size) for _ in range(generator.randint(1, 12))])
    for _ in range(60):
        sequences.append([generator.randrange(min(size, 300)) for _ in range(generator.randint(1, 9))])
    return {
        "texts": texts,
        "sequences": [
            {"ids": ids, "text": tokenizer.decode(ids), "all": tokenizer.decode(ids, skip_special_tokens=False)}
            for ids in sequences
        ],
    }


def scalar_kinds() -> list:
    """Runs of scalars of one general category and one mind about white space, as the library's
    regular expressions see them: [first scalar, category, white space]."""
    names = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn"
    scalars = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    chunks = ["".join(map(chr, scalars[at:at + 65536])) for at in range(0, len(scalars), 65536)]

    def members(pattern: str):
        splitter = split(pattern, "removed", invert=True)
        for chunk in chunks:
            for text, _ in splitter.pre_tokenize_str(chunk):
                yield from map(ord, text)

    kinds = dict.fromkeys(scalars, ("", False))
    for name in names.split():
        for scalar in members(rf"\p{{{name}}}"):
            assert not kinds[scalar][0], hex(scalar)
            kinds[scalar] = (name, False)
    for scalar in members(r"\s"):
        kinds[scalar] = (kinds[scalar][0], True)
    runs = []
    for scalar in scalars:
        if not runs or tuple(runs[-1][1:]) != kinds[scalar]:
            runs.append([scalar, *kinds[scalar]])
    return runs


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    kinds = json.dumps(scalar_kinds(), separators=(",", ":"))
    (OUTPUT / "scalar_kinds.json").write_text(kinds, encoding="utf-8")
    kinds = [gpt2, qwen2, llama3, deepseek2, deepseek3, o200k, behaviors, flags, mixtral, metaspace]
    for seed, kind in enumerate(kinds):
        tokenizer = kind()
        (OUTPUT / f"{kind.__name__}.json").write_text(tokenizer.to_str(), encoding="utf-8")
        text = json.dumps(cases(tokenizer, seed), ensure_ascii=False, separators=(",", ":"))
        (OUTPUT / f"{kind.__name__}.cases.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
