#!/usr/bin/env python3
"""Makes a token file (docs/data-format.md) from text, JSONL or Parquet, with a Hugging Face tokenizer.

  tools/prepare.py INPUT... --tokenizer tokenizer.json --out train.h5

An input is a folder (read with everything below it, in the order of names; names that start with a dot, links to
folders and files with zero bytes are skipped) or a file: *.jsonl, *.jsonl.gz and *.parquet hold a document per row, in
--field; any other file is one document. Documents are tokenized on all cores. The tokenizer is a tokenizer.json, a
folder with one, or "bytes", the one built into flame-c.

bos and eos are those that tokenizer_config.json beside the tokenizer names, unless they are given here. A document is
bos, text, eos; if the two are the same token, it is text, eos.

The tokenizer's files (tokenizer.json and those of its folder that belong to it) are kept in the output. Checkpoints and
exports get them from there, so that transformers' AutoTokenizer can load them.

Needs numpy and h5py; tokenizers for Hugging Face tokenizers; pyarrow for Parquet."""
import argparse
import collections
import concurrent.futures
import gzip
import hashlib
import json
import os
import re
import signal
import sys
import time
import zlib
from concurrent.futures.process import BrokenProcessPool

try:
    import h5py
    import numpy as np
except ImportError as missing:
    sys.exit(f"prepare.py: error: needs numpy and h5py (pip install numpy h5py): {missing}")

BYTES_BOS, BYTES_EOS, BYTES_VOCAB_SIZE = 256, 257, 320
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                   "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja")
BATCH_BYTES = 1 << 20  # of text per task
BINARY_TEST_BYTES = 64 << 10
PATH_ONLY = "it is a path, not a name on the Hugging Face hub"
tokenize = None  # of a worker process


class Refused(Exception):
    """What the user gave cannot be used."""


def warn(text):
    print(f"prepare.py: warning: {text}", file=sys.stderr)


def walk(path, top=True):
    """Files below path, in the order of `flame-c data build`: by the bytes of their names."""
    if not os.path.isdir(path):
        if not os.path.exists(path) and (top or not os.path.islink(path)):
            raise Refused(f"{path}: does not exist; {PATH_ONLY}")
        if os.path.isfile(path):
            yield path
        else:
            warn(f"{path}: skipped: not a file")
    elif os.path.islink(path) and not top:
        warn(f"{path}: skipped: a link to a folder")
    else:
        for name in sorted(os.listdir(path), key=os.fsencode):
            if not name.startswith("."):
                yield from walk(os.path.join(path, name), False)


def text_of(row, field, place):
    if not isinstance(row, dict) or field not in row:
        fields = ", ".join(row) if isinstance(row, dict) else type(row).__name__
        raise Refused(f'{place}: no field "{field}" (there is: {fields}); name it with --field')
    if not isinstance(row[field], str):
        raise Refused(f'{place}: field "{field}" is not a text')
    return row[field].encode("utf-8", "surrogatepass")


def lines_of(path):
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
            yield from enumerate(file, 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Refused(f"{path}: damaged: {error}") from None


def jsonl_documents(path, field):
    for number, line in lines_of(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Refused(f"{path}:{number}: not JSON: {error}") from None
        yield text_of(row, field, f"{path}:{number}")


def parquet_documents(path, field):
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise Refused(f"{path}: reading Parquet needs pyarrow (pip install pyarrow)") from None
    try:
        file = parquet.ParquetFile(path)
        if field not in file.schema_arrow.names:
            raise Refused(f'{path}: no column "{field}" (there is: {", ".join(file.schema_arrow.names)}); use --field')
        row = 0
        for batch in file.iter_batches(columns=[field]):
            for text in batch.column(0).to_pylist():
                yield text_of({field: text}, field, f"{path}: row {row}")
                row += 1
    except pyarrow.ArrowInvalid as error:
        raise Refused(f"{path}: damaged: {error}") from None


def text_documents(path):
    with open(path, "rb") as file:
        data = file.read()
    if not data:
        warn(f"{path}: skipped: empty")
    elif b"\0" in data[:BINARY_TEST_BYTES]:
        warn(f"{path}: skipped: not text (it has zero bytes)")
    else:
        yield data


def documents(inputs, field, done):
    """The bytes of each document; done[0] counts the bytes of the files that were read."""
    for path in inputs:
        if path.endswith((".jsonl", ".jsonl.gz")):
            rows = jsonl_documents(path, field)
        else:
            rows = parquet_documents(path, field) if path.endswith(".parquet") else text_documents(path)
        yield from (row for row in rows if row)
        done[0] += os.path.getsize(path)


def batches(rows):
    batch, size = [], 0
    for row in rows:
        batch.append(row)
        size += len(row)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def special_token(value, name, folder, vocabulary):
    """The id of bos or eos: from the command line (an id, a token, "none"), or else from tokenizer_config.json."""
    may_be_id = value != "auto"
    if value == "auto":
        path = os.path.join(folder, "tokenizer_config.json")
        try:
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
        except OSError:
            warn(f"{folder}: no tokenizer_config.json, so no {name}; give --{name} TOKEN")
            config = {}
        except (ValueError, RecursionError) as error:
            raise Refused(f"{path}: not JSON: {error}") from None
        value = config.get(f"{name}_token") if isinstance(config, dict) else config
        value = value.get("content") if isinstance(value, dict) else value
        if value is not None and not isinstance(value, str):
            raise Refused(f"{path}: {name}_token is no text; give --{name} TOKEN")
    if value in (None, "none"):
        return -1
    if may_be_id and re.fullmatch("0|[1-9][0-9]{0,9}", value) and int(value) <= max(vocabulary.values()):
        return int(value)
    if value in vocabulary:
        return vocabulary[value]
    raise Refused(f"--{name} {value}: neither a token of the tokenizer nor an id of its vocabulary")


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def byte_tokenizer_files():
    """The built-in tokenizer in Hugging Face's form: byte b is token b. The same bytes as src/data/byte_tokenizer.c."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = iter(range(256, 512))
    vocabulary = {chr(byte if byte in printable else next(others)): byte for byte in range(256)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    marks = [{"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for number, text in ((BYTES_BOS, "<bos>"), (BYTES_EOS, "<eos>"))]
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
             "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": []}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": marks, "normalizer": None,
                 "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level, "model": model}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<bos>", "eos_token": "<eos>",
              "clean_up_tokenization_spaces": False}
    return {"tokenizer.json": compact(tokenizer), "tokenizer_config.json": compact(config)}


class Tokenizer:
    """A tokenizer's description, which can be pickled; each worker makes its own encoder from it."""

    def __init__(self, options):
        if options.tokenizer == "bytes":
            self.path, self.name, self.sha256 = None, "bytes", ""
            self.vocab_size, self.bos, self.eos = BYTES_VOCAB_SIZE, BYTES_BOS, BYTES_EOS
            self.files = byte_tokenizer_files()
            return
        self.path = options.tokenizer
        if not os.path.exists(self.path):
            raise Refused(f"{self.path}: does not exist; {PATH_ONLY}")
        if os.path.isdir(self.path):
            self.path = os.path.join(self.path, "tokenizer.json")
        try:
            with open(self.path, "rb") as file:
                self.sha256 = hashlib.sha256(file.read()).hexdigest()
        except OSError as error:
            raise Refused(f"{self.path}: cannot be read: {error.strerror}") from None
        folder = os.path.dirname(os.path.abspath(self.path))
        self.name = options.name or os.path.basename(folder)
        vocabulary = self.load().get_vocab(with_added_tokens=True)
        self.vocab_size = max(vocabulary.values()) + 1
        self.bos = special_token(options.bos, "bos", folder, vocabulary)
        self.eos = special_token(options.eos, "eos", folder, vocabulary)
        self.files = self.read_files(folder, vocabulary)

    def read_files(self, folder, vocabulary):
        """Reads the files beside the tokenizer, and makes the tokenizer_config.json that AutoTokenizer needs if there is none."""
        paths = {name: os.path.join(folder, name) for name in TOKENIZER_FILES}
        paths["tokenizer.json"] = self.path
        files = {}
        for name, path in paths.items():
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    files[name] = file.read()
        if "tokenizer_config.json" not in files:
            token_of = {number: token for token, number in vocabulary.items()}
            marks = {"bos_token": token_of.get(self.bos), "eos_token": token_of.get(self.eos)}
            files["tokenizer_config.json"] = compact({"tokenizer_class": "PreTrainedTokenizerFast",
                                                      **{name: token for name, token in marks.items() if token}})
        return files

    def load(self):
        try:
            from tokenizers import Tokenizer as HuggingFaceTokenizer
        except ImportError:
            raise Refused('Hugging Face tokenizers need tokenizers (pip install tokenizers); or use "bytes"') from None
        try:
            tokenizer = HuggingFaceTokenizer.from_file(self.path)
            tokenizer.no_truncation()  # some files would cut or fill every document
            tokenizer.no_padding()
            return tokenizer
        except Exception as error:
            raise Refused(f"{self.path}: not a tokenizer.json: {error}") from None

    def encoder(self):
        before = [self.bos] if self.bos >= 0 and self.bos != self.eos else []
        after = [self.eos] if self.eos >= 0 else []
        dtype = np.uint16 if self.vocab_size <= 1 << 16 else np.uint32
        if not self.path:
            return lambda rows: [np.concatenate([before, np.frombuffer(row, np.uint8), after]).astype(dtype)
                                 for row in rows]
        model = self.load()

        def encode(rows):
            texts = [row.decode("utf-8", "replace") for row in rows]
            try:
                encodings = model.encode_batch(texts, add_special_tokens=False)
            except Exception:
                encodings = [encode_one(model, text) for text in texts]
            return [np.array(before + encoding.ids + after, dtype) for encoding in encodings]
        return encode


def encode_one(model, text):
    try:
        return model.encode(text, add_special_tokens=False)
    except Exception as error:
        raise Refused(f"the tokenizer refuses the document that begins with {text[:60]!r}: {error}") from None


def start_worker(tokenizer):
    global tokenize
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one process per core is enough
    tokenize = tokenizer.encoder()


def encode_batch(rows):
    encoded = [row for row in tokenize(rows) if len(row)]
    lengths = np.array([len(row) for row in encoded], np.uint64)
    return (np.concatenate(encoded) if encoded else np.empty(0, np.uint16)), lengths


def fixed_text(text):
    """An attribute of fixed length, at least one byte."""
    return np.array(text.encode(), f"S{max(1, len(text.encode()))}")


class Writer:
    """A token file under a temporary name until finish()."""

    def __init__(self, path, tokenizer, options):
        if os.path.isdir(path):
            raise Refused(f"{path}: is a folder; give the name of a file")
        if os.path.lexists(path) and not options.force:
            raise Refused(f"{path}: exists already; give another name, or --force to replace it")
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self.path, self.temporary, self.tokenizer = path, f"{path}.{os.getpid()}.tmp", tokenizer
        self.dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
        self.chunk = options.chunk
        # Metadata with checksums, readable by HDF5 1.10 and later.
        self.file = h5py.File(self.temporary, "x", libver=("v110", "v110"))
        self.tokens = self.file.create_dataset("tokens", (0,), self.dtype, maxshape=(None,), chunks=(self.chunk,),
                                               shuffle=True, compression="gzip", compression_opts=options.level)
        self.pending, self.pending_count, self.written = [], 0, 0
        self.doc_ends, self.crcs = [], []
        self.count = 0

    def add(self, tokens, lengths):
        self.doc_ends.append(self.count + np.cumsum(lengths))
        self.count += len(tokens)
        self.pending.append(tokens)
        self.pending_count += len(tokens)
        if self.pending_count >= 16 * self.chunk:
            self.write(self.pending_count // self.chunk * self.chunk)

    def write(self, count):
        tokens = np.concatenate(self.pending).astype(self.dtype, copy=False)
        now, rest = tokens[:count], tokens[count:]
        for start in range(0, count, self.chunk):
            self.crcs.append(zlib.crc32(now[start:start + self.chunk].tobytes()))
        self.tokens.resize((self.written + count,))
        self.tokens[self.written:] = now
        self.written += count
        self.pending, self.pending_count = [rest], len(rest)

    def finish(self):
        if self.count == 0:
            raise Refused(f"{self.path}: not written, because there is no text for it")
        if self.pending_count:
            self.write(self.pending_count)
        doc_ends = np.concatenate(self.doc_ends).astype("<u8")
        compact_storage = dict(shuffle=True, compression="gzip")
        self.file.create_dataset("doc_ends", data=doc_ends, chunks=(min(8192, len(doc_ends)),), **compact_storage)
        contents = [(name, self.tokenizer.files[name]) for name in TOKENIZER_FILES if self.tokenizer.files.get(name)]
        for name, content in contents:
            self.file.create_dataset(f"tokenizer/{name}", data=np.frombuffer(content, np.uint8),
                                     chunks=(min(8192, len(content)),), **compact_storage)
        crcs = np.array(self.crcs, "<u4")
        self.file.create_dataset("chunk_crc32", data=crcs, chunks=(min(8192, len(crcs)),), **compact_storage)
        # Strings of fixed length: HDF5 crashes on damage to those of variable length.
        self.file.attrs.update(format=fixed_text("flame-c tokens"), version=1, vocab_size=self.tokenizer.vocab_size,
                               bos_token_id=self.tokenizer.bos, eos_token_id=self.tokenizer.eos,
                               tokenizer=fixed_text(self.tokenizer.name),
                               tokenizer_sha256=fixed_text(self.tokenizer.sha256),
                               doc_ends_crc32=zlib.crc32(doc_ends.tobytes()),
                               tokenizer_crc32=zlib.crc32(b"".join(content for _, content in contents)))
        self.file.flush()
        self.file.attrs["complete"] = 1
        self.file.close()
        descriptor = os.open(self.temporary, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.replace(self.temporary, self.path)
        print(f"{self.path}: {self.count} tokens ({self.dtype}), {len(doc_ends)} documents, "
              f"{os.path.getsize(self.path) / 1e6:.2f} MB")

    def abandon(self):
        self.file.close()
        if os.path.exists(self.temporary):
            os.remove(self.temporary)


class Progress:
    def __init__(self, total):
        self.total, self.start, self.last = max(total, 1), time.monotonic(), 0.0
        self.on = sys.stderr.isatty()

    def show(self, done, tokens, last=False):
        now = time.monotonic()
        if not self.on or (now - self.last < 0.2 and not last):
            return
        self.last = now
        share = 1.0 if last else min(done / self.total, 1.0)
        bar = "#" * int(30 * share)
        rate = tokens / max(now - self.start, 1e-9)
        print(f"\r[{bar:<30}] {100 * share:3.0f}%  {tokens / 1e6:.2f} M tokens  {rate / 1e6:.2f} M/s",
              end="\n" if last else "", file=sys.stderr, flush=True)


def split_batch(tokens, lengths, chosen):
    """The documents of a batch for which `chosen` is true, and the others."""
    per_token = np.repeat(chosen, lengths.astype(np.int64))
    return (tokens[per_token], lengths[chosen]), (tokens[~per_token], lengths[~chosen])


def encoded(rows, tokenizer, workers):
    """The tokens and lengths of each batch, in order, from worker processes, each of which works up to four batches ahead."""
    pool = concurrent.futures.ProcessPoolExecutor(workers, initializer=start_worker, initargs=(tokenizer,))
    ahead = collections.deque()
    try:
        for batch in rows:
            ahead.append(pool.submit(encode_batch, batch))
            if len(ahead) == 4 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    except BrokenProcessPool:
        raise Refused("a worker process was killed; if by a lack of memory, give fewer --workers") from None
    finally:
        pool.shutdown(cancel_futures=True)


def prepare(options, writers, tokenizer):
    inputs = [path for given in options.inputs for path in walk(given)]
    progress = Progress(sum(os.path.getsize(path) for path in inputs))
    done, random = [0], np.random.default_rng(0)  # the split depends on a document's number alone
    for tokens, lengths in encoded(batches(documents(inputs, options.field, done)), tokenizer, options.workers):
        if len(writers) > 1:
            held_out, kept = split_batch(tokens, lengths, random.random(len(lengths)) < options.validation)
            writers[1].add(*held_out)
            tokens, lengths = kept
        writers[0].add(tokens, lengths)
        progress.show(done[0], sum(writer.count for writer in writers))
    progress.show(done[0], sum(writer.count for writer in writers), last=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="folders and files")
    add("--tokenizer", required=True, help='tokenizer.json, a folder with one, or "bytes"')
    add("--out", required=True, help="the token file to write")
    add("--force", action="store_true", help="replace the output if it exists")
    add("--field", default="text", help="field or column with the text (text)")
    add("--bos", default="auto", help='id or token that begins a document, or "none"')
    add("--eos", default="auto", help='id or token that ends a document, or "none"')
    add("--name", help="the tokenizer's name to note in the file (its folder's)")
    add("--validation", type=float, default=0.0, metavar="FRACTION", help="share of the documents for ...")
    add("--validation-out", help="... this file")
    add("--chunk", type=int, default=65536, help="tokens per chunk (65536)")
    add("--level", type=int, default=4, choices=range(10), metavar="0..9", help="compression (4)")
    add("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes (one per core)")
    options = parser.parse_args()
    if not 2048 <= options.chunk <= 1 << 24:
        parser.error("--chunk must be 2048 .. 16777216")
    if options.workers < 1:
        parser.error("--workers must be at least 1")
    if (options.validation > 0) != (options.validation_out is not None) or not 0 <= options.validation < 1:
        parser.error("--validation (between 0 and 1) and --validation-out go together")
    if options.validation_out == options.out:
        parser.error("--out and --validation-out are the same file")
    return options


def main():
    options = parse()
    writers = []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        tokenizer = Tokenizer(options)
        for path in filter(None, [options.out, options.validation_out]):
            writers.append(Writer(path, tokenizer, options))
        prepare(options, writers, tokenizer)
        if any(writer.count == 0 for writer in writers):
            raise Refused("no documents for one of the outputs; is there enough text?")
        for writer in reversed(writers):
            writer.finish()
        return 0
    except Refused as error:
        print(f"prepare.py: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"prepare.py: error: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("prepare.py: stopped; nothing was written", file=sys.stderr)
        return 130
    finally:
        for writer in writers:
            writer.abandon()


if __name__ == "__main__":
    sys.exit(main())
