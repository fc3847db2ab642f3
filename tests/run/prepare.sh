#!/usr/bin/env bash
# tools/prepare.py and `flame-c data build` agree on bytes; JSONL gives documents; errors leave nothing. Skipped (77)
# without Python's h5py and numpy.
source "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
"$python" -c 'import h5py, numpy' 2>"$work/log" || skip "tools/prepare.py needs h5py and numpy: $(tail -n 1 "$work/log")"
prepare() { "$python" "$source_folder/tools/prepare.py" "$@" >"$work/log" 2>&1; }

same_tokens() {
    "$python" - "$1" "$2" <<'END'
import sys, h5py, numpy
a, b = (h5py.File(path) for path in sys.argv[1:])
for name in ("tokens", "doc_ends", "chunk_crc32"):
    assert a[name].dtype == b[name].dtype and numpy.array_equal(a[name][:], b[name][:]), name
for name in a["tokenizer"]:
    assert numpy.array_equal(a["tokenizer"][name][:], b["tokenizer"][name][:]), name
assert sorted(a["tokenizer"]) == sorted(b["tokenizer"])
for name, value in a.attrs.items():
    other = b.attrs[name]
    assert value == other, (name, value, other)
    assert not isinstance(value, str), f"{name} is a string of variable length"
END
}

make_data
prepare "$source_folder/src" --tokenizer bytes --out "$work/prepared.h5" || fail "$(cat "$work/log")"
same_tokens "$work/prepared.h5" "$work/data.h5" || fail "prepare.py and data build differ on the sources"
"$FLAME" data verify "$work/prepared.h5" >"$work/log" 2>&1 || fail "$(cat "$work/log")"

printf '{"body": "one"}\n\n{"body": "zw\\u00f6lf"}\n' >"$work/rows.jsonl"
prepare "$work/rows.jsonl" --field body --tokenizer bytes --out "$work/rows.h5" || fail "$(cat "$work/log")"
"$FLAME" data inspect "$work/rows.h5" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
grep -q "tokens       13 " "$work/log" && grep -q "documents    2," "$work/log" || fail "rows: $(cat "$work/log")"

refused() {
    local message=$1
    shift
    if prepare "$@"; then fail "accepted: $*"; fi
    grep -q "$message" "$work/log" || fail "expected \"$message\": $(cat "$work/log")"
}
refused "exists already" "$work/rows.jsonl" --field body --tokenizer bytes --out "$work/rows.h5"
refused 'no field "text"' "$work/rows.jsonl" --tokenizer bytes --out "$work/no.h5"
refused "nothing: does not exist; it is a path, not a name on the Hugging Face hub" "$work/nothing" --tokenizer bytes --out "$work/no.h5"
refused "fla-hub/gla: does not exist; it is a path, not a name" "$work/rows.jsonl" --tokenizer fla-hub/gla --out "$work/no.h5"
printf '{"body": "one"}\n{' >"$work/rows.jsonl"
refused "rows.jsonl:2: not JSON" "$work/rows.jsonl" --field body --tokenizer bytes --out "$work/no.h5"
gzip -c "$work/rows.jsonl" | head -c 30 >"$work/cut.jsonl.gz"
refused "cut.jsonl.gz: damaged" "$work/cut.jsonl.gz" --field body --tokenizer bytes --out "$work/no.h5"
"$python" -c 'print("[" * 200000)' >"$work/deep.jsonl"
refused "deep.jsonl:1: not JSON" "$work/deep.jsonl" --tokenizer bytes --out "$work/no.h5"

# A worker that the system kills ends the command, which would wait for it for ever.
"$python" -c 'print("""{"text": "a line of text that keeps the workers at work for a while"}\n""" * 1000000)' >"$work/much.jsonl"
"$python" "$source_folder/tools/prepare.py" "$work/much.jsonl" --tokenizer bytes --workers 2 --out "$work/no.h5" >"$work/log" 2>&1 &
job=$!
until worker=$(pgrep -P "$job" -f prepare.py | tail -n 1) && [ -n "$worker" ]; do kill -0 "$job" || fail "no worker"; sleep 0.1; done
kill -KILL "$worker"
if wait "$job"; then fail "went on without its worker"; fi
grep -q "a worker process was killed" "$work/log" || fail "$(cat "$work/log")"
[ -z "$(find "$work" -name 'no.h5*')" ] || fail "something was left behind"
"$python" -c 'import tokenizers' 2>"$work/log" ||
    { echo "prepare: good, but only bytes were compared: $(tail -n 1 "$work/log")"; exit 0; }

# compared NAME ARGUMENTS...: both make the same file with this tokenizer; the arguments are for both.
compared() {
    local name=$1
    shift
    prepare "$source_folder/src/text" --tokenizer "$work/$name" --out "$work/prepared-$name.h5" "$@" || fail "$(cat "$work/log")"
    OMP_NUM_THREADS=3 "$FLAME" data build --text "$source_folder/src/text" --tokenizer "$work/$name" --out "$work/built-$name.h5" "$@" \
        >"$work/log" 2>&1 || fail "$(cat "$work/log")"
    same_tokens "$work/prepared-$name.h5" "$work/built-$name.h5" || fail "prepare.py and data build differ: $name $*"
}
for name in gpt2 llama2 unigram wordpiece; do
    mkdir "$work/$name" && cp "$source_folder/tests/golden/tokenizers/$name.json" "$work/$name/tokenizer.json"
done
compared gpt2 --bos '<|endoftext|>' --eos '<|endoftext|>'
compared llama2 --bos '<s>' --eos 2 --chunk 4096 # an id, though there is a token "2"
eos_is() { # NAME ID
    "$FLAME" data inspect "$work/built-$1.h5" >"$work/log" 2>&1 && grep -q "eos $2\b" "$work/log" || fail "eos is not $2: $(cat "$work/log")"
}
eos_is llama2 2
mkdir "$work/digit" && cp "$work/llama2/tokenizer.json" "$work/digit"
echo '{"bos_token": "1", "eos_token": "2"}' >"$work/digit/tokenizer_config.json"
compared digit # tokens, though there are such ids
eos_is digit 276
echo '{"bos_token": null, "eos_token": {"content": "</s>"}, "tokenizer_class": "T5TokenizerFast"}' >"$work/unigram/tokenizer_config.json"
compared unigram
compared wordpiece --bos '[CLS]' --eos none
mkdir "$work/letter"
echo '{"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "u"}}' >"$work/letter/tokenizer.json"
printf '{"text": "a"}\n{"text": "b"}\n' >"$work/rows.jsonl"
refused "refuses the document that begins with 'b'" "$work/rows.jsonl" --tokenizer "$work/letter" --bos none --eos none --out "$work/no.h5"
"$FLAME" data build --text "$source_folder/src" --tokenizer "$work/gpt2" --eos '<no>' --out "$work/no.h5" >"$work/log" 2>&1 &&
    fail "an unknown --eos is accepted"
grep -q -- '--eos <no>: neither a token' "$work/log" || fail "$(cat "$work/log")"
[ -z "$(find "$work" -name 'no.h5*')" ] || fail "something was left behind"
echo "prepare: good"
