#!/usr/bin/env bash
# lm-evaluation-harness says the same of an exported folder through tools/lm_eval_model.py and through its own backend "hf", which
# runs transformers' Mamba: tasks of log-likelihoods over local files, with long contexts, empty ones, and whole texts. Skipped
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
cat >"$work/texts.jsonl" <<END
{"text": "for (int64_t i = 0; i < count; i++)"}
{"text": "/* A text of several windows, each of which the model sees without what is before it, and a last one that begins earlier. */"}
{"text": "x"}
END
task() { # NAME OUTPUT_TYPE KEYS...
    printf '%s\n' "task: $1" "dataset_path: json" "dataset_kwargs: {data_files: {test: $work/$1.jsonl}}" "test_split: test" \
        "output_type: $2" "${@:3}" "metadata: {version: 1}" >"$work/$1.yaml"
}
task choices multiple_choice 'doc_to_text: "{{question}}"' 'doc_to_choice: choices' 'doc_to_target: answer' 'metric_list: [{metric: acc}, {metric: acc_norm}]'
task texts loglikelihood_rolling 'doc_to_text: ""' 'doc_to_target: "{{text}}"' 'metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]'

cat >"$work/compare.py" <<'END'
import os
import sys
sys.path.insert(0, os.path.join(sys.argv[1], "tools"))
import lm_eval
import lm_eval_model  # noqa: F401, registers flame-c
from lm_eval.tasks import TaskManager

work = sys.argv[2]
tasks = TaskManager(include_path=work, include_defaults=False)
hf = {"pretrained": f"{work}/exported", "dtype": "float32", "device": "cpu"}
ours = {"checkpoint": f"{work}/exported", "program": os.environ["FLAME"], "device": "cpu"}
ranks = {**ours, "checkpoint": f"{work}/run", "launcher": "mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2"}


def evaluate(model, arguments):
    return lm_eval.simple_evaluate(model=model, model_args=arguments, tasks=["choices", "texts"], task_manager=tasks, batch_size=8,
                                   bootstrap_iters=0)


def likelihoods(results):
    return [(name, sample["doc_id"], value) for name in ("choices", "texts") for sample in results["samples"][name]
            for value in sample["filtered_resps"]]


theirs = evaluate("hf", hf)
for arguments in (ours, ranks):
    results = evaluate("flame-c", arguments)
    for task, metrics in theirs["results"].items():
        for metric, value in metrics.items():
            if isinstance(value, float):
                assert abs(results["results"][task][metric] - value) <= 1e-4 * max(1, abs(value)), metric
    pairs = list(zip(likelihoods(theirs), likelihoods(results), strict=True))
    worst = 0
    for (task, number, a), (_, _, b) in pairs:
        a, b = (a, b) if isinstance(a, tuple) else ((a,), (b,))
        assert a[1:] == b[1:], (task, number, a, b)
        worst = max(worst, abs(a[0] - b[0]))
    assert worst <= 1e-4, worst
    print(f"{len(pairs)} log-likelihoods, the largest difference {worst:.2g}")
try:
    lm_eval.api.registry.get_model("flame-c").create_from_arg_obj(ours).generate_until([])
    sys.exit("generates")
except NotImplementedError as error:
    print(error)
END
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME=$work/hf TOKENIZERS_PARALLELISM=false
"$python" "$work/compare.py" "$source_folder" "$work" >"$work/log" 2>&1 || { cat "$work/log"; fail "hf and flame-c differ"; }
[ "$(grep -c 'log-likelihoods, the largest' "$work/log")" = 2 ] || { cat "$work/log"; fail "nothing was compared"; }
grep 'log-likelihoods, the largest' "$work/log"
"$python" "$source_folder/tools/lm_eval_model.py" --model flame-c --model_args "checkpoint=$work/run,program=$FLAME" --tasks choices \
    --include_path "$work" >"$work/log" 2>&1 || { cat "$work/log"; fail "tools/lm_eval_model.py as lm_eval's command line"; }
grep -q 'choices' "$work/log" || { cat "$work/log"; fail "no table of results"; }
echo "lm_eval: good"
