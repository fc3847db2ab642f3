#!/usr/bin/env bash
# lm-evaluation-harness says the same of an exported folder through tools/lm_eval_model.py and through its own backend "hf", which
# runs transformers' Mamba: tasks over local files, with long contexts, empty ones, whole texts, and texts to generate. Skipped
# (77) without Python's lm_eval, transformers, torch and datasets; $LM_EVAL_PYTHON names an interpreter that has them.
source "$(dirname "$0")/common.sh"
python=${LM_EVAL_PYTHON:-${PYTHON:-python3}}
"$python" -c 'import datasets, lm_eval, torch, transformers' 2>"$work/log" ||
    skip "no lm_eval, transformers and torch (LM_EVAL_PYTHON names an interpreter that has them): $(tail -n 1 "$work/log")"
make_data
cat >"$work/config.yaml" <<END
job: {dump_folder: $work/run}
model: {model_type: mamba, hidden_size: 32, num_hidden_layers: 2, state_size: 16, vocab_size: 320, max_position_embeddings: 48}
optimizer: {lr: 3.0e-3}
training: {steps: 200, batch_size: 8, seq_len: 64}
data: {files: [$work/data.h5]}
checkpoint: {enable_checkpoint: true}
END
ranks 1 --config "$work/config.yaml" ||
    { cat "$work/log"; fail "training"; }
ranks 1 export --checkpoint "$work/run" --out "$work/exported" --dtype float32 || { cat "$work/log"; fail "export"; }

cat >"$work/choices.jsonl" <<END
{"question": "static", "choices": [" int", " void", " =", "((("], "answer": 1}
{"question": "if (status == OK) ", "choices": ["status = ", "return", "zzz"], "answer": 0}
{"question": "", "choices": ["/* The", "xyzzy"], "answer": 0}
{"question": "a context of more bytes than the model of this test may see at a time, so that its end alone counts: ", "choices": ["}", "const "], "answer": 1}
{"question": "Größe ", "choices": ["=", "ß"], "answer": 1}
END
cat >"$work/lines.jsonl" <<END
{"start": "static ", "goal": "void"}
{"start": "if (status == OK", "goal": ")"}
{"start": "a context of more bytes than the model of this test may see at a time, so that its end alone counts: ", "goal": ""}
END
cat >"$work/texts.jsonl" <<END
{"text": "for (int64_t i = 0; i < count; i++)"}
{"text": "/* A text of several windows, each of which the model sees without what is before it, and a last one that begins earlier. */"}
{"text": "x"}
END
task() { # NAME OUTPUT_TYPE KEYS...
    printf '%s\n' "task: $1" "dataset_path: json" "dataset_kwargs: {data_files: {test: $work/$1.jsonl}}" "test_split: test" \
        "output_type: $2" "${@:3}" "metadata: {version: 1}" >"$work/$1.yaml"
}
task choices multiple_choice 'doc_to_text: "{{question}}"' 'doc_to_choice: choices' 'doc_to_target: answer' \
    'target_delimiter: ""' 'metric_list: [{metric: acc}, {metric: acc_norm}]'
task texts loglikelihood_rolling 'doc_to_text: ""' 'doc_to_target: "{{text}}"' 'metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]'
task lines generate_until 'doc_to_text: "{{start}}"' 'doc_to_target: goal' 'metric_list: [{metric: exact_match}]' \
    'generation_kwargs: {until: ["e", "RE"], max_gen_toks: 20, do_sample: false}'

# The same model with another tokenizer, which puts a token before every text.
cp -r "$work/exported" "$work/words"
cat >"$work/words.py" <<'END'
import sys
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
folder, *texts = sys.argv[1:]
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
tokenizer.train(texts, trainers.BpeTrainer(vocab_size=310, special_tokens=["<s>", "</s>"], show_progress=False,
                                           initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
END
"$python" "$work/words.py" "$work/words" "$source_folder"/src/data/*.c >"$work/log" 2>&1 || { cat "$work/log"; fail "a tokenizer"; }

cat >"$work/compare.py" <<'END'
import json
import os
import subprocess
import sys
sys.path.insert(0, os.path.join(sys.argv[1], "tools"))
import lm_eval
import lm_eval_model  # noqa: F401, registers flame-c
from lm_eval.tasks import TaskManager

work, program = sys.argv[2], os.environ["FLAME"]
tasks = TaskManager(include_path=work, include_defaults=False)
mpirun = "mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2"


def evaluate(model, arguments):
    return lm_eval.simple_evaluate(model=model, model_args={**arguments, "device": "cpu"}, tasks=["choices", "texts", "lines"],
                                   task_manager=tasks, batch_size=1, bootstrap_iters=0)


def answers(results):
    """[(log-likelihood, greedy)] of the choices, [log-likelihood] of the texts, [text] of the lines."""
    return [[value for sample in results["samples"][name] for value in sample["filtered_resps"]]
            for name in ("choices", "texts", "lines")]


def check_metrics(theirs, ours):
    for task, metrics in theirs["results"].items():
        for metric, value in metrics.items():
            if isinstance(value, float):
                assert abs(ours["results"][task][metric] - value) <= 1e-4 * max(1, abs(value)), (task, metric)


def check_likelihoods(what, theirs, ours):
    worst = 0
    for (a, greedy), (b, also) in zip(theirs, ours, strict=True):
        assert greedy == also, (what, a, b)
        worst = max(worst, abs(a - b))
    print(f"{what}: {len(ours)} log-likelihoods, the largest difference {worst:.2g}")
    assert worst <= 1e-4, (what, worst)


def check_strings(folder, theirs):
    """flame-c score on the strings of the choices, with the tokenizer in C. lm_eval moves spaces from the end of a context."""
    asked = []
    with open(f"{work}/choices.jsonl") as file:
        for row in map(json.loads, file):
            bare = row["question"].rstrip()
            asked += [{"context": bare, "continuation": row["question"][len(bare):] + choice} for choice in row["choices"]]
    with open(f"{work}/strings.jsonl", "w") as file:
        file.writelines(json.dumps(request) + "\n" for request in asked)
    out = f"{work}/strings-{os.path.basename(folder)}.jsonl"
    subprocess.run([program, "score", "--checkpoint", folder, "--input", file.name, "--out", out, "--seq-len=48"], check=True)
    with open(out) as file:
        scores = [json.loads(line) for line in file]
    check_likelihoods(f"{folder}, strings", theirs, [(score["logprob"], score["greedy"]) for score in scores])


for name, checkpoint in (("exported", "run"), ("words", "words")):
    folder = f"{work}/{name}"
    theirs = evaluate("hf", {"pretrained": folder, "dtype": "float32"})
    choices, texts, lines = answers(theirs)
    for arguments in ({"checkpoint": folder}, {"checkpoint": f"{work}/{checkpoint}", "launcher": mpirun}):
        results = evaluate("flame-c", {**arguments, "program": program})
        check_metrics(theirs, results)
        ours = answers(results)
        check_likelihoods(f"{arguments}, choices", choices, ours[0])
        check_likelihoods(f"{arguments}, texts", [(value, False) for value in texts], [(value, False) for value in ours[1]])
        assert lines == ours[2], (lines, ours[2])
        print(f"{arguments}, lines: {lines}")
    check_strings(folder, choices)
END
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME=$work/hf TOKENIZERS_PARALLELISM=false
"$python" "$work/compare.py" "$source_folder" "$work" >"$work/log" 2>&1 || { cat "$work/log"; fail "hf and flame-c differ"; }
[ "$(grep -c 'log-likelihoods, the largest' "$work/log")" = 10 ] || { cat "$work/log"; fail "nothing was compared"; }
grep -E 'log-likelihoods, the largest|, lines: ' "$work/log"
"$python" "$source_folder/tools/lm_eval_model.py" --model flame-c --model_args "checkpoint=$work/run,program=$FLAME" --tasks choices \
    --include_path "$work" >"$work/log" 2>&1 || { cat "$work/log"; fail "tools/lm_eval_model.py as lm_eval's command line"; }
grep -q 'choices' "$work/log" || { cat "$work/log"; fail "no table of results"; }
echo "lm_eval: good"
