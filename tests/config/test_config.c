/* Configurations that must be accepted, and configurations that must be refused: the text, the expected status, and a
 * part of the expected message. */
#include "config/config_cases.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#define DATA "data: {files: a.h5}\n"

static const Case files[] = {
    /* accepted configurations */
    {DATA, OK, NULL, 0},
    {"\xef\xbb\xbf" DATA "training:\r\n  steps: 500\r\n", OK, NULL, 0},
    {DATA "training:\n", OK, NULL, 0},
    {DATA "optimizer: {lr: 3e-4, eps: 1E-15, weight_decay: 0}\n", OK, NULL, 0},
    {DATA "optimizer: {lr: .5, eps: 1.}\n", OK, NULL, 0},
    {DATA "training: {steps: 0}\n", OK, NULL, 0},
    {"data: {files: [a.h5, b.h5], probabilities: [1, 0.5]}\n", OK, NULL, 0},
    {DATA "job: {description: 2024, dump_folder: \"null\"}\n", OK, NULL, 0},
    {DATA "model: {model_type: gla, attn: {layers: [1, 3], num_heads: 4}}\n", OK, NULL, 0},
    {"%YAML 1.1\n---\n" DATA "...\n", OK, NULL, 0},
    /* unknown keys */
    {DATA "training:\n  seqlen: 8\n", BAD_INPUT,
     "case.yaml:3: unknown key training.seqlen; did you mean training.seq_len?", 0},
    {DATA "training: {lr: 1}\n", BAD_INPUT, "unknown key training.lr; did you mean optimizer.lr?", 0},
    {DATA "optimizer: {beta_1: 0.9}\n", BAD_INPUT, "did you mean optimizer.beta1?", 0},
    {DATA "lr_scheduler: {warmup: 5}\n", BAD_INPUT, "did you mean lr_scheduler.warmup_steps?", 0},
    {DATA "training: {zzzzzzzz: 5}\n", BAD_INPUT, "unknown key training.zzzzzzzz; known: batch_size, ", 0},
    {DATA "trainning: {steps: 5}\n", BAD_INPUT, "unknown key trainning; did you mean training?", 0},
    {DATA "seq_len: 5\n", BAD_INPUT, "case.yaml:2: unknown key seq_len; did you mean training.seq_len?", 0},
    {DATA "training: {num_workers: 32}\n", BAD_INPUT,
     "training.num_workers is a key of flame that has no use here: data.threads", 0},
    {DATA "training: {compile: yess}\n", BAD_INPUT, "training.compile", 0},
    {DATA "optimizer: {min_lr_ratio: 0.1}\n", BAD_INPUT,
     "case.yaml:2: optimizer.min_lr_ratio is called lr_scheduler.lr_min here (flame-c from-flame", 0},
    {DATA "profiling: {enable_profiling: true}\n", BAD_INPUT,
     "case.yaml:2: profiling.enable_profiling is a key of flame that has no use here: flame-c bench shows", 0},
    {DATA "profiling:\n", BAD_INPUT, "profiling is a key of flame that has no use here", 0},
    {DATA "experimental:\n  pipeline_parallel_degree: 1\n", BAD_INPUT,
     "case.yaml:3: experimental.pipeline_parallel_degree is a key of flame that has no use here: there is no pipeline",
     0},
    {DATA "experimental: {context_parallel_degree: 2}\n", BAD_INPUT, "there is no context parallelism", 0},
    {DATA "comm: {trace_buf_size: 1}\n", BAD_INPUT, "comm.trace_buf_size is a key of flame that has no use", 0},
    {DATA "checkpoint: {async_mode: async_with_pinned_mem}\n", OK, NULL, 0},
    {DATA "checkpoint: {async_mode: pinned}\n", BAD_INPUT, "checkpoint.async_mode is pinned; it must be one of", 0},
    {DATA "comm: {train_timeout_seconds: 60, share_gpu: mpi}\n", OK, NULL, 0},
    /* YAML that is not accepted */
    {DATA "training:\n  steps: 1\n  seed: 2\n  steps: 3\n", BAD_INPUT, "case.yaml:5: key steps is here and in line 3",
     0},
    {DATA "training: {}\ntraining: {}\n", BAD_INPUT, "case.yaml:3: key training is here and in line 2", 0},
    {"data: &a {files: a.h5}\n", BAD_INPUT, "case.yaml:1: anchors and aliases", 0},
    {"data: {files: *a}\n", BAD_INPUT, "anchors and aliases", 0},
    {"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", BAD_INPUT, "case.yaml:1: anchors and aliases", 0},
    {"&a data: {files: a.h5}\n", BAD_INPUT, "anchors and aliases", 0},
    {DATA "training:\n  <<: {steps: 1}\n", BAD_INPUT, "case.yaml:3: merge keys (<<) are not accepted", 0},
    {"data: {files: !!python/object:os.system a}\n", BAD_INPUT, "tags (tag:yaml.org,2002:python/object:os.syst", 0},
    {"data: !x {files: a}\n", BAD_INPUT, "tags (!x) are not accepted", 0},
    {DATA "---\n" DATA, BAD_INPUT, "case.yaml:2: a second document begins", 0},
    {DATA "training:\n\tsteps: 1\n", BAD_INPUT, "a tab cannot indent; use spaces", 0},
    {"data: [a\n", BAD_INPUT, "case.yaml:2: is not YAML: ", 0},
    {"\xff\xfe"
     "a",
     BAD_INPUT, "is UTF-16; save it as UTF-8", 0},
    {"\xfe\xff"
     "a",
     BAD_INPUT, "is UTF-16; save it as UTF-8", 0},
    {"job: {description: \"\xff\xff\"}\n", BAD_INPUT, "a configuration is UTF-8 text", 0},
    {"job: {description: \"a\\0b\"}\n", BAD_INPUT, "case.yaml:1: holds a NUL character", 0},
    {"? [a, b]\n: c\n", BAD_INPUT, "a key must be a plain word, not a list", 0},
    {"- a\n- b\n", BAD_INPUT, "case.yaml:1: a configuration must be a mapping of sections, not a list", 0},
    {"just text\n", BAD_INPUT, "mapping of sections, not a string", 0},
    {"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n", BAD_INPUT,
     "case.yaml:1: is nested deeper than 32", 0},
    /* values */
    {DATA "optimizer:\n  lr: 3e-4x\n", BAD_INPUT, "case.yaml:3: optimizer.lr must be a number, not 3e-4x", 0},
    {DATA "optimizer: {lr: nan}\n", BAD_INPUT, "optimizer.lr must be a number, not nan", 0},
    {DATA "optimizer: {lr: .nan}\n", BAD_INPUT, "it must be finite", 0},
    {DATA "optimizer: {lr: .inf}\n", BAD_INPUT, "it must be finite", 0},
    {DATA "optimizer: {lr: -1}\n", BAD_INPUT, "optimizer.lr is -1, which is out of range: 0 to 1000", 0},
    {DATA "optimizer: {beta1: 1}\n", BAD_INPUT, "optimizer.beta1 is 1, which is out of range: 0 to 0.9999999", 0},
    {DATA "optimizer: {lr: 1e400}\n", BAD_INPUT, "optimizer.lr is 1e400, which is too large", 0},
    {DATA "optimizer: {lr: \"1e-3\"}\n", BAD_INPUT, "write the number without quotes", 0},
    {DATA "optimizer: {lr: 0,001}\n", BAD_INPUT, "unknown key optimizer.001", 0},
    {DATA "training: {steps: 1.5}\n", BAD_INPUT, "training.steps must be an integer, not 1.5: write it without", 0},
    {DATA "training: {steps: 1e3}\n", BAD_INPUT, "write it without a point or exponent", 0},
    {DATA "training: {steps: 16.0}\n", BAD_INPUT, "training.steps must be an integer, not 16.0", 0},
    {DATA "training: {steps: 0x10}\n", BAD_INPUT, "training.steps must be an integer, not 0x10", 0},
    {DATA "training: {steps: 010}\n", BAD_INPUT, "training.steps must be an integer, not 010", 0},
    {DATA "training: {steps: 1_000}\n", BAD_INPUT, "training.steps must be an integer, not 1_000", 0},
    {DATA "training: {steps: +5}\n", BAD_INPUT, "training.steps must be an integer, not +5", 0},
    {DATA "training: {steps: -1}\n", BAD_INPUT, "training.steps is -1, which is out of range: 0 to 1e+15", 0},
    {DATA "training: {steps: 99999999999999999999}\n", BAD_INPUT, "which does not fit in 64 bits", 0},
    {DATA "training: {seq_len: \"2048\"}\n", BAD_INPUT,
     "training.seq_len must be an integer, not 2048: write the number without quotes", 0},
    {DATA "training: {seq_len: 0}\n", BAD_INPUT, "training.seq_len is 0, which is out of range: 1 to ", 0},
    {DATA "training: {batch_size: 0}\n", BAD_INPUT, "training.batch_size is 0, which is out of range", 0},
    {DATA "training: {seq_len: null}\n", BAD_INPUT, "training.seq_len must be an integer, not null", 0},
    {DATA "training: {seq_len: [1]}\n", BAD_INPUT, "not a list", 0},
    {DATA "training: {varlen: yes}\n", BAD_INPUT, "training.varlen must be true or false, not yes", 0},
    {DATA "training: {varlen: 1}\n", BAD_INPUT, "training.varlen must be true or false, not 1", 0},
    {DATA "training: 5\n", BAD_INPUT, "training must be a mapping of keys to values, not 5", 0},
    {DATA "lr_scheduler: {decay_type: exponential}\n", BAD_INPUT, "it must be one of linear|sqrt|cosine|constant", 0},
    {DATA "lr_scheduler: {decay_type: linear|sqrt}\n", BAD_INPUT, "it must be one of", 0},
    {DATA "optimizer: {name: SGD}\n", BAD_INPUT, "it must be one of AdamW", 0},
    {DATA "device: gpu\n", BAD_INPUT, "device is gpu; it must be one of auto|cpu|cuda", 0},
    {"data: {files: [a, [b]]}\n", BAD_INPUT, "data.files must be a list of strings, not a list", 0},
    {"data: {files: {a: b}}\n", BAD_INPUT, "data.files must be a list of strings, not a mapping", 0},
    {DATA "model: 5\n", BAD_INPUT, "model must be a mapping of keys to values, not this integer", 0},
    {DATA "model: {config: missing/config.json}\n", BAD_INPUT,
     "case.yaml:2: model.config: neither missing/config.json nor /", 0},
    {DATA "model: {config: missing/config.json}\n", BAD_INPUT,
     "/missing/config.json exists; it is a path, not a name on the Hugging Face hub", 0},
    {DATA "job: {dump_folder: \"\"}\n", BAD_INPUT, "job.dump_folder is empty", 0},
    {DATA "checkpoint: {folder: ../x}\n", BAD_INPUT, "checkpoint.folder is \"../x\"", 0},
    /* keys that must fit together */
    {"", BAD_INPUT, "data.files is missing", 0},
    {"data: {files: [a, b], probabilities: [1]}\n", BAD_INPUT, "data.probabilities has 1 values for 2 files", 0},
    {"data: {files: [a, b], probabilities: [1, -1]}\n", BAD_INPUT, "data.probabilities is -1, which is out of range",
     0},
    {"data: {files: [a, b], probabilities: [0, 0]}\n", BAD_INPUT, "data.probabilities sum to 0", 0},
    {"data: {files: [a, b], probabilities: [1, .nan]}\n", BAD_INPUT,
     "data.probabilities must be a list of numbers, not .nan", 0},
    {"data: {files: a, probabilities: 1}\n", BAD_INPUT, "has no meaning with one file", 0},
    {DATA "training: {steps: 100}\n", OK, "warmup_steps 200 is cut to training.steps 100", 0},
    {DATA "lr_scheduler: {decay_ratio: 0.999}\n", OK, "is cut to the 9800 steps after the warm-up", 0},
    {DATA "training: {data_parallel_shard_degree: 2}\n", BAD_INPUT,
     "data_parallel_replicate_degree 1 x data_parallel_shard_degree 2 is not the 4 ranks; set "
     "data_parallel_shard_degree to 4, or to -1",
     4},
    {DATA "training: {data_parallel_shard_degree: 4}\n", OK, NULL, 4},
    {DATA "training: {data_parallel_shard_degree: 0}\n", BAD_INPUT, "-1 means all ranks", 4},
    {DATA "training: {data_parallel_replicate_degree: 2, data_parallel_shard_degree: 2}\n", OK, NULL, 4},
    {DATA "training: {data_parallel_replicate_degree: 4}\n", OK, NULL, 4},
    {DATA "training: {data_parallel_replicate_degree: 2, data_parallel_shard_degree: 4}\n", BAD_INPUT,
     "data_parallel_replicate_degree 2 x data_parallel_shard_degree 4 is not the 4 ranks; set "
     "data_parallel_shard_degree to 2",
     4},
    {DATA "training: {data_parallel_replicate_degree: 3}\n", BAD_INPUT,
     "data_parallel_replicate_degree 3 does not divide the 4 ranks", 4},
    {DATA "training: {data_parallel_replicate_degree: 8}\n", BAD_INPUT,
     "data_parallel_replicate_degree 8 does not divide the 4 ranks", 4},
    {DATA "training: {batch_size: 1000000, seq_len: 100000000}\n", BAD_INPUT,
     "batch_size 1000000 x training.seq_len 100000000 is more than 1e+09 tokens at once on each rank", 0},
    {DATA "training: {batch_size: 10000, gradient_accumulation_steps: 1000000, seq_len: 100000}\n", BAD_INPUT,
     "a step of 4e+10 sequences of training.seq_len 100000 has more than 1e+15 tokens", 4},
    {DATA "training: {global_batch_size: 1000000000, seq_len: 100000000}\n", BAD_INPUT, "more than 1e+15 tokens", 0},
    {DATA "training: {global_batch_size: 3}\n", BAD_INPUT, "leaves some of the 4 ranks without", 4},
    {DATA "training: {global_batch_size: 8, gradient_accumulation_steps: 2}\n", BAD_INPUT, "exclude each other", 4},
};

static void test_files(void **state) {
    (void)state;
    for (int i = 0; i < LENGTH(files); i++) {
        const char *path = write_case("case.yaml", files[i].yaml, strlen(files[i].yaml));
        expect(files[i].yaml, path, "", &files[i]);
    }
}

static const Case tomls[] = {
    {"[data]\nfiles = ['a.h5']\n", OK, NULL, 0},
    {"\xef\xbb\xbf# c\r\n[data] # c\r\nfiles = [ # c\r\n \"a.h5\",\r\n 'b#.h5', ] # c\r\n[training]\r\nsteps = +1_000",
     OK, NULL, 0},
    {"data.files = \"a\"\n[training]\nseq_len = 8\nvarlen = true\n", OK, NULL, 0},
    {"[training]\nsteps = 5\n[data]\nfiles = 'a'\n[training]\n", BAD_INPUT,
     "case.toml:5: section training is here and in line 1", 0},
    {"[training]\nsteps = 5\nsteps = 6\n", BAD_INPUT, "case.toml:3: key steps is here and in line 2", 0},
    {"[training]\n\nseqlen = 5\n", BAD_INPUT, "case.toml:3: unknown key training.seqlen; did you mean", 0},
    {"[training]\nsteps = 0x10\n", BAD_INPUT, "case.toml:2: \"0x10\" is not a number or boolean", 0},
    {"[training]\nsteps = 1979-05-27\n", BAD_INPUT, "put strings in quotes", 0},
    {"[training]\nsteps = five\n", BAD_INPUT, "put strings in quotes", 0},
    {"[training]\nsteps =\n", BAD_INPUT, "put strings in quotes", 0},
    {"[training]\nsteps 5\n", BAD_INPUT, "case.toml:2: expected = after steps", 0},
    {"[training]\nsteps = 5 6\n", BAD_INPUT, "\"6\n\" after the value", 0},
    {"[training]\n= 5\n", BAD_INPUT, "expected a name without quotes", 0},
    {"[training\nsteps = 5\n", BAD_INPUT, "case.toml:1: expected ] after the name", 0},
    {"[[training]]\n", BAD_INPUT, "double brackets", 0},
    {"[job]\ndump_folder = \"a\n", BAD_INPUT, "case.toml:2: the closing quote of a string is missing", 0},
    {"[job]\ndump_folder = 'a", BAD_INPUT, "the closing quote of a string is missing", 0},
    {"[job]\ndump_folder = \"a\\u0041\"\n", BAD_INPUT, "unknown escape in a string", 0},
    {"[job]\ndump_folder = \"\"\"a\"\"\"\n", BAD_INPUT, "multi-line strings", 0},
    {"[data]\nfiles = ['a'\n 'b']\n", BAD_INPUT, "case.toml:3: expected a comma or ] in this list", 0},
    {"[data]\nfiles = ['a',\n", BAD_INPUT, "put strings in quotes", 0},
    {"[data]\nfiles = {a = 1}\n", BAD_INPUT, "put strings in quotes", 0},
    {"\"a b\" = 1\n", BAD_INPUT, "expected a name without quotes", 0},
    {"a = '\xff'\n", BAD_INPUT, "a configuration is UTF-8 text", 0},
    {"a = 1\na.b = 2\n", BAD_INPUT, "case.toml:2: a is used as a value and as a section", 0},
};

static void test_toml(void **state) {
    (void)state;
    for (int i = 0; i < LENGTH(tomls); i++) {
        const char *path = write_case("case.toml", tomls[i].yaml, strlen(tomls[i].yaml));
        expect(tomls[i].yaml, path, "", &tomls[i]);
    }
    char deep[4096] = "a = ";
    memset(deep + 4, '[', 4000);
    expect("deep", write_case("case.toml", deep, 4004), "",
           &(Case){NULL, BAD_INPUT, "case.toml:1: is nested deeper than 32", 0});
}

static const Case arguments[] = {
    {"--training.steps=500 --training.seq_len 8", OK, NULL, 0},
    {"--training.varlen --training.mask_document_boundaries false", OK, NULL, 0},
    {"--device=cpu --data.files=a.h5,b.h5 --data.probabilities=1,2", OK, NULL, 0},
    {"--activation_checkpoint.selective_ac_option=2 --activation_checkpoint.mode=selective", OK, NULL, 0},
    {"--activation_checkpoint.selective_ac_option=2", BAD_INPUT,
     "selective_ac_option: 2 needs activation_checkpoint.mode", 0},
    {"--activation_checkpoint.selective_ac_option=op", OK, NULL, 0},
    {"--activation_checkpoint.selective_ac_option=0 --activation_checkpoint.mode=full", OK, NULL, 0},
    {"--activation_checkpoint.selective_ac_option=0 --activation_checkpoint.mode=selective", BAD_INPUT,
     "selective_ac_option is \"0\"; it must be op, or a number n for every", 0},
    {"--activation_checkpoint.selective_ac_option=2.5 --activation_checkpoint.mode=selective", BAD_INPUT,
     "selective_ac_option is \"2.5\"", 0},
    {"--data.files=[a.h5,b.h5] --data.probabilities=[0.5,.5]", OK, NULL, 0},
    {"--model.attn.layers=[1,3] --model.attn.num_heads=2", OK, NULL, 0},
    {"--training.global_batch_size=null --job.description=a:b", OK, NULL, 0},
    {"--training.seq_len", USAGE, "--training.seq_len needs a value", 0},
    {"--training.seq_len=", USAGE, "--training.seq_len needs a value", 0},
    {"--training.seq_len --training.steps=1", USAGE, "--training.seq_len needs a value", 0},
    {"--seq_len=8", USAGE, "unknown option --seq_len; did you mean --training.seq_len?", 0},
    {"--seqlen=8", USAGE, "unknown option --seqlen; did you mean --training.seq_len?", 0},
    {"--seqlen", USAGE, "unknown option --seqlen; did you mean --training.seq_len?", 0},
    {"--training.seqlen", USAGE, "unknown key training.seqlen; did you mean training.seq_len?", 0},
    {"--model.num_heads", USAGE, "--model.num_heads needs a value", 0},
    {"--qqqqqqqq=8", USAGE, "unknown option --qqqqqqqq", 0},
    {"--training.seqlen=8", USAGE, "command line: unknown key training.seqlen; did you mean training.seq_len?", 0},
    {"--training.compile", USAGE,
     "command line: training.compile is a key of flame that has no use here: everything is compiled", 0},
    {"--training.compile --training.steps=5", USAGE, "everything is compiled", 0},
    {"--experimental.enable_async_tensor_parallel", USAGE,
     "experimental.enable_async_tensor_parallel is a key of flame that has no use here: there is no tensor", 0},
    {"--profiling.profile_freq 10", USAGE, "profiling.profile_freq is a key of flame", 0},
    {"--training.data_probs 0.5,0.5", USAGE,
     "training.data_probs is called data.probabilities here; one for each file of data.files", 0},
    {"--job.config_file x.toml", USAGE, "job.config_file is called --config here", 0},
    {"--training.num_workers=8", USAGE, "data.threads is the number of reader threads", 0},
    {"--model.config=fla-hub/gla", BAD_INPUT, "command line: model.config: fla-hub/gla does not exist; it is a path",
     0},
    {"--training.steps=1.5", USAGE, "command line: training.steps must be an integer, not 1.5", 0},
    {"--training.steps=500 --training.steps=700", OK,
     "--training.steps is given more than once; the last one counts: 700", 0},
    {"rubbish", USAGE, "rubbish is not an option", 0},
    {"-x", USAGE, "-x is not an option", 0},
    {"--", USAGE, "-- is not an option", 0},
    {"--=5", USAGE, "--=5 is not an option", 0},
    {"--data.files=[a", USAGE, "command line: is not YAML", 0},
    {"--config other.yaml", USAGE, "--config is given twice", 0},
    {"--config", USAGE, "--config needs a value", 0},
};

static void test_arguments(void **state) {
    (void)state;
    const char *path = write_case("case.yaml", DATA, strlen(DATA));
    for (int i = 0; i < LENGTH(arguments); i++) expect(arguments[i].yaml, path, arguments[i].yaml, &arguments[i]);
    const Case without_file = {NULL, OK, NULL, 0};
    expect("no --config", NULL, "--data.files=a.h5", &without_file);
}

/* An error is found in the file even if the command line sets a key of the same section. */
static void test_arguments_over_files(void **state) {
    (void)state;
    const struct {
        const char *yaml, *arguments;
        Case result;
    } rows[] = {
        {DATA "training: [3]\n",
         "--training.steps=1",
         {NULL, BAD_INPUT, "case.yaml:2: training must be a mapping of keys to values, not this list", 0}},
        {DATA "optimizer: hello\n",
         "--optimizer.lr=1e-4",
         {NULL, BAD_INPUT, "case.yaml:2: optimizer must be a mapping of keys to values, not this string", 0}},
        {DATA "model:\n  attn: 5\n",
         "--model.attn.layers=1,3",
         {NULL, BAD_INPUT, "case.yaml:3: model.attn must be a mapping of keys to values, not this integer", 0}},
        {DATA "training:\nmodel: {attn: null}\n", "--training.seed=1 --model.attn.layers=1,3", {NULL, OK, NULL, 0}},
        {DATA,
         "--model.attn=5 --model.attn.layers=1,3",
         {NULL, USAGE, "command line: model.attn must be a mapping of keys to values, not this integer", 0}},
    };
    for (size_t i = 0; i < LENGTH(rows); i++)
        expect(rows[i].yaml, write_case("case.yaml", rows[i].yaml, strlen(rows[i].yaml)), rows[i].arguments,
               &rows[i].result);
}

/* Row by row: empty, folder, FIFO, device, missing, too large, too deep, NUL. */
static void test_strange_files(void **state) {
    (void)state;
    char fifo[300], argument[600];
    snprintf(fifo, sizeof fifo, "%s/fifo", temporary_folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    expect("folder", temporary_folder, "", &(Case){NULL, BAD_INPUT, "is a folder", 0});
    expect("FIFO", fifo, "", &(Case){NULL, BAD_INPUT, "is not a regular file", 0});
    expect("zero", "/dev/zero", "", &(Case){NULL, BAD_INPUT, "is not a regular file", 0});
    expect("in a file", "/dev/null/x.yaml", "", &(Case){NULL, BAD_INPUT, "/dev/null/x.yaml: Not a directory", 0});
    expect("missing", "/nowhere/x.yaml", "", &(Case){NULL, BAD_INPUT, "/nowhere/x.yaml: No such file", 0});
    expect("empty", write_case("case.yaml", "", 0), "--data.files=a", &(Case){NULL, OK, NULL, 0});
    expect("NUL", write_case("case.yaml", "a: b\0c\n", 7), "", &(Case){NULL, BAD_INPUT, "holds a NUL byte", 0});
    char *big = malloc(2 << 20);
    memset(big, '[', 2 << 20);
    expect("deep", write_case("case.yaml", big, 100000), "", &(Case){NULL, BAD_INPUT, "is nested deeper than 32", 0});
    expect("deep JSON", write_case("case.json", big, 100000), "", &(Case){NULL, BAD_INPUT, "is not JSON", 0});
    memset(big, '#', 2 << 20);
    expect("large", write_case("case.yaml", big, 2 << 20), "", &(Case){NULL, BAD_INPUT, "is larger than 1 MiB", 0});
    expect("1 MiB", write_case("case.yaml", big, 1 << 20), "--data.files=a", &(Case){NULL, OK, NULL, 0});
    size_t used = 0;
    for (int i = 0; i < 1100; i++) used += (size_t)sprintf(big + used, "k%d: 1\n", i);
    expect("keys", write_case("case.yaml", big, used), "",
           &(Case){NULL, BAD_INPUT, "case.yaml:1001: more than 1000 keys", 0});
    memset(big, 'k', 201);
    strcpy(big + 201, ": 1\n");
    expect("long key", write_case("case.yaml", big, 205), "",
           &(Case){NULL, BAD_INPUT, "has 201 bytes; at most 200", 0});
    strcpy(big, "{\"");
    memset(big + 2, 'k', 201);
    strcpy(big + 203, "\": 1}");
    snprintf(argument, sizeof argument, "--data.files=a --model.config=%s", write_case("case.json", big, 208));
    expect("long key in JSON", NULL, argument, &(Case){NULL, BAD_INPUT, "has 201 bytes; at most 200", 0});
    free(big);
}

static void test_long_and_strange_values(void **state) {
    (void)state;
    const char *path = write_case("case.yaml", DATA, strlen(DATA));
    const size_t bytes = 1 << 20;
    char *text = malloc(bytes + 64), message[4096];
    TrainConfig config;
    strcpy(text, "--training.steps=");
    memset(text + strlen(text), '7', bytes);
    text[bytes] = 0;
    char *argv[] = {"--config", (char *)path, text};
    Capture capture = capture_begin(2);
    assert_int_equal(config_load(3, argv, &config), USAGE);
    capture_end(&capture, message, sizeof message);
    assert_non_null(strstr(message, "777..."));
    assert_true(strlen(message) < 300);
    memcpy(text, "--training.7777=", 16);
    memset(text + 11, '7', 200);
    strcpy(text + 211, "=1");
    capture = capture_begin(2);
    assert_int_equal(config_load(3, argv, &config), USAGE);
    capture_end(&capture, message, sizeof message);
    assert_non_null(strstr(message, "777... is a name of 209 bytes; at most 200"));
    strcpy(text, "--training.steps=5\n6\x1b[2J");
    capture = capture_begin(2);
    assert_int_equal(config_load(3, argv, &config), USAGE);
    capture_end(&capture, message, sizeof message);
    assert_non_null(strstr(message, "not 5?6?[2J"));
    strcpy(text, "--job.dump_folder=caf\xe9 x"); /* not UTF-8: a path may be anything */
    assert_int_equal(config_load(3, argv, &config), OK);
    assert_string_equal(config.job.dump_folder, "caf\xe9 x");
    config_free(&config);
    free(text);
}

static void test_defaults_are_flames(void **state) {
    (void)state;
    char message[4096];
    TrainConfig c;
    assert_int_equal(load(NULL, "--data.files=a.h5", 1, &c, message), OK);
    assert_true(c.optimizer.lr == 8e-4);
    assert_true(c.optimizer.eps == 1e-8);
    assert_true(c.optimizer.beta1 == 0.9);
    assert_true(c.optimizer.beta2 == 0.95);
    assert_true(c.optimizer.weight_decay == 0.1);
    assert_int_equal(c.lr_scheduler.warmup_steps, 200);
    assert_true(isnan(c.lr_scheduler.decay_ratio));
    assert_string_equal(c.lr_scheduler.decay_type, "linear");
    assert_true(c.lr_scheduler.lr_min == 0);
    assert_int_equal(c.training.batch_size, 8);
    assert_int_equal(c.training.global_batch_size, -1);
    assert_int_equal(c.training.seq_len, 2048);
    assert_int_equal(c.training.steps, 10000);
    assert_int_equal(c.training.seed, 42);
    assert_true(c.training.max_norm == 1);
    assert_null(c.training.mixed_precision_param); /* follows from what auto comes to */
    config_set_device(&c, "cuda");
    assert_string_equal(c.device, "cuda");
    assert_string_equal(c.training.mixed_precision_param, "bfloat16");
    config_set_device(&c, "cpu");
    assert_string_equal(c.training.mixed_precision_param, "bfloat16");
    assert_string_equal(c.training.fsdp_reshard_after_forward, "default");
    assert_string_equal(c.activation_checkpoint.mode, "auto");
    assert_false(c.checkpoint.enable_checkpoint);
    assert_int_equal(c.checkpoint.interval, 500);
    assert_int_equal(c.checkpoint.load_step, -1);
    assert_null(c.checkpoint.initial_load_path);
    assert_int_equal(c.metrics.log_freq, 10);
    assert_int_equal(c.data.files.count, 1);
    assert_string_equal(c.data.files.item[0], "a.h5");
    assert_int_equal(c.model->count, 0);
    config_free(&c);
}

/* The command line overrides the file; the file's model keys override those of config.json. */
static void test_order_and_model(void **state) {
    (void)state;
    static const char json[] = "{\"model_type\": \"gla\",\n \"num_heads\": 4,\n \"dt_limit\": [0.0, Infinity],\n"
                               " \"b\": {\"__float__\": \"-Infinity\"}, \"attn\": {\"layers\": [1]}}";
    static const char yaml[] = "training: {steps: 5000}\ndata:\n  files:\n  - a.h5\n  - b.h5\n"
                               "model:\n  config: config.json\n  num_heads: 8\n";
    char message[4096];
    TrainConfig c;
    write_case("config.json", json, strlen(json));
    const char *path = write_case("case.yaml", yaml, strlen(yaml));
    assert_int_equal(load(path, "--training.steps=300 --model.hidden_size=64 --model.attn.layers=[2]", 1, &c, message),
                     OK);
    assert_string_equal(message, "");
    assert_int_equal(c.training.steps, 300);
    assert_int_equal(c.data.files.count, 2);
    assert_null(config_value_get(c.model, "config"));
    assert_int_equal(config_value_get(c.model, "num_heads")->integer, 8);
    assert_int_equal(config_value_get(c.model, "hidden_size")->integer, 64);
    const ConfigValue *limit = config_value_get(c.model, "dt_limit");
    assert_int_equal(limit->line, 3);
    assert_int_equal(limit->item[1]->type, VALUE_REAL);
    assert_true(isinf(limit->item[1]->real));
    assert_true(config_value_get(c.model, "b")->real == -INFINITY);
    assert_int_equal(config_value_get(c.model, "b")->line, 4);
    assert_int_equal(config_value_get(config_value_get(c.model, "attn"), "layers")->item[0]->integer, 2);
    config_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_toml),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_arguments_over_files),
        cmocka_unit_test(test_strange_files),
        cmocka_unit_test(test_long_and_strange_values),
        cmocka_unit_test(test_defaults_are_flames),
        cmocka_unit_test(test_order_and_model),
    };
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
