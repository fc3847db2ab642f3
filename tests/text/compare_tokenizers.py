#!/usr/bin/env python3
"""Compares tokenizer_pipe with the library `tokenizers` on texts of mixed scripts: tokens with and without special ones,
and the texts of these tokens, of tokens in random order and of tokens one at a time.

  compare_tokenizers.py PIPE TOKENIZER.json... [--texts 1000] [--seed 1] [--corpus FOLDER]"""
import argparse
import os
import random
import struct
import subprocess
import sys
import unicodedata

from tokenizers import Tokenizer

BLOCKS = [(0x20, 0x7e)] * 6 + [
    (0xa0, 0x17f), (0x180, 0x24f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x4ff), (0x531, 0x587), (0x591, 0x5f4),
    (0x600, 0x6ff), (0x900, 0x97f), (0x980, 0x9fb), (0xe01, 0xe5b), (0x10a0, 0x10ff), (0x1100, 0x11ff), (0x1e00, 0x1eff),
    (0x1f00, 0x1fff), (0x2000, 0x206f), (0x2070, 0x20be), (0x2100, 0x218b), (0x2190, 0x23f3), (0x2460, 0x24ff),
    (0x2500, 0x27bf), (0x3000, 0x303f), (0x3041, 0x30ff), (0x3300, 0x33ff), (0x4e00, 0x9fcc), (0xac00, 0xd7a3),
    (0xf900, 0xfa6d), (0xfb00, 0xfb06), (0xfe00, 0xfe0f), (0xff01, 0xffee), (0x1d400, 0x1d7ff), (0x1f300, 0x1f64f),
    (0x1f680, 0x1f6cf), (0x20000, 0x20100)]
SNIPPETS = [" ", "  ", "   ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u200d", "\u200b", "\ufeff", "\ufffd", "\x00", "\x85",
            "'s", "'LL", "n't", " do not", "don't", "12345", "3.14", "\u0663\u0664", "\u00bd", "...", "?!", "\u2581", "\u2581\u2581", "<unk>", "<s>",
            "</s>", "[MASK]", "[CLS]", "<0x41>", "<|endoftext|>", "<|begin_of_text|>", " [INST] ", "tok", " tok ", "<mask>", "  <mask>",
            "Straße", "STRASSE", "e\u0301", "\u1e9b\u0323", "\u0130", "\u01c5", "\ufb01", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f",
            "\u0e01\u0e33", "\u0915\u094d\u0937", "\uac00\u11a8", "\u1100\u1161", "the", "The", " and", "ing", "_", "__init__", "http://a.b/c?d=e", "a" * 120]


def is_old(character):
    """Assigned in Unicode 8 or before, so that every library knows it."""
    return unicodedata.category(character) not in ("Cn", "Cs")


def words_of(folder):
    words = []
    for path, _, names in os.walk(folder or os.path.dirname(os.path.abspath(__file__))):
        for name in sorted(names):
            if name.endswith((".c", ".h", ".md", ".py")):
                words += open(os.path.join(path, name), encoding="utf-8", errors="replace").read().split(" ")
    return words[:200000]


def make_text(chance, words):
    parts = []
    for _ in range(chance.choice((0, 1, 2, 5, 10, 20))):
        kind = chance.random()
        if kind < 0.3:
            low, high = chance.choice(BLOCKS)
            letters = (chr(chance.randint(low, high)) for _ in range(chance.randint(1, 8)))
            parts.append("".join(letter for letter in letters if is_old(letter)))
        elif kind < 0.6:
            parts.append(chance.choice(SNIPPETS))
        else:
            parts.append(chance.choice(words) + chance.choice((" ", " ", "")))
    return "".join(parts)


def through(pipe, tokenizer, mode, records):
    """Records of bytes or of lists of tokens, and what comes back: the other."""
    decoding = mode in ("decode", "skip", "stream")
    raw = [struct.pack(f"<{len(record)}I", *record) if decoding else record for record in records]
    data = b"".join(struct.pack("<I", len(record)) + part for record, part in zip(records, raw))
    done = subprocess.run([pipe, tokenizer, mode], input=data, stdout=subprocess.PIPE, check=True)
    out, at = [], 0
    while at < len(done.stdout):
        (length,) = struct.unpack_from("<I", done.stdout, at)
        size = length if decoding else 4 * length
        part = done.stdout[at + 4:at + 4 + size]
        out.append(part if decoding else list(struct.unpack(f"<{length}I", part)))
        at += 4 + size
    assert len(out) == len(records), (len(out), len(records))
    return out


def differences(name, what, inputs, ours, theirs):
    wrong = [(given, a, b) for given, a, b in zip(inputs, ours, theirs) if a != b]
    for given, a, b in wrong[:3]:
        print(f"{name}: {what} of {given!r}\n  here    {a}\n  library {b}")
    return len(wrong)


def compare(pipe, path, texts, chance):
    library, name = Tokenizer.from_file(path), os.path.basename(path)
    library.no_truncation()
    library.no_padding()
    data = [text.encode() for text in texts]
    wrong = tokens = 0
    for mode in ("encode", "special"):
        theirs = [encoding.ids for encoding in library.encode_batch(texts, add_special_tokens=mode == "special")]
        wrong += differences(name, mode, texts, through(pipe, path, mode, data), theirs)
        tokens += sum(map(len, theirs))
    mixed = [[chance.randrange(library.get_vocab_size() + 2) for _ in range(chance.randint(0, 12))] for _ in texts]
    for lists in (theirs, mixed):
        for mode in ("decode", "skip"):
            expected = [text.encode() for text in library.decode_batch(lists, skip_special_tokens=mode == "skip")]
            wrong += differences(name, mode, lists, through(pipe, path, mode, lists), expected)
    expected = through(pipe, path, "decode", theirs)
    wrong += differences(name, "stream", theirs, through(pipe, path, "stream", theirs), expected)
    print(f"{name}: {len(texts)} texts, {tokens} tokens, {wrong} differences")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipe")
    parser.add_argument("tokenizers", nargs="+")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", help="where words are taken from")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    words = words_of(options.corpus)
    texts = [make_text(chance, words) for _ in range(options.texts)]
    return 1 if sum([compare(options.pipe, path, texts, chance) for path in options.tokenizers]) else 0


if __name__ == "__main__":
    sys.exit(main())
