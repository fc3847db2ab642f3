#!/usr/bin/env bash
# The tokenizers of tests/golden/tokenizers against the library `tokenizers`, on texts of mixed scripts. Skipped (77)
# without Python's tokenizers. TEXTS: how many; CORPUS: a folder for the words in them; TOKENIZERS: other tokenizer.json files.
source "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
"$python" -c 'import tokenizers' 2>"$work/log" || skip "the comparison needs tokenizers: $(tail -n 1 "$work/log")"
golden=$source_folder/tests/golden/tokenizers
read -ra files <<<"${TOKENIZERS:-$golden/gpt2.json $golden/llama2.json $golden/llama3.json $golden/mistral.json $golden/unigram.json \
    $golden/wordpiece.json}"
PYTHONDONTWRITEBYTECODE=1 "$python" "$source_folder/tests/text/compare_tokenizers.py" "$BUILD/tests/tokenizer_pipe" "${files[@]}" \
    --texts "${TEXTS:-300}" --corpus "${CORPUS:-$source_folder/docs}" || fail "they differ"
echo "tokenizers: equal"
