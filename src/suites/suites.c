#include "suites/suites.h"

#include <string.h>

#include "suites/flip_flop.h"
#include "suites/mad/mad.h"
#include "suites/mqar.h"
#include "suites/tropical/tropical.h"

const MixerKeys mixer_defaults[] = {
    {"abc", "model.num_heads={heads} model.num_slots=64"},
    {"based", "model.num_heads={heads}"},
    {"comba", "model.num_heads={heads} model.head_dim={head_dim} model.expand_v=1"},
    {"delta_net", "model.num_heads={heads}"},
    {"deltaformer", "model.num_heads={heads}"},
    {"forgetting_transformer", "model.num_heads={heads}"},
    {"gated_deltanet", "model.num_heads={heads} model.head_dim={head_dim} model.expand_v=1"},
    {"gated_deltaproduct", "model.num_heads={heads} model.head_dim={head_dim} model.expand_v=1"},
    {"gla", "model.num_heads={heads}"},
    {"gsa", "model.num_heads={heads} model.num_slots=64"},
    {"hgrn2", "model.expand_ratio={head_dim}"},
    {"kda", "model.num_heads={heads} model.head_dim={head_dim}"},
    {"lightnet", "model.expand_ratio={head_dim}"},
    {"linear_attn", "model.num_heads={heads}"},
    {"mamba2", "model.head_dim={head_dim} model.state_size=64"},
    {"mesa_net", "model.num_heads={heads} model.head_dim={head_dim}"},
    {"mlstm_block", "model.num_heads={heads}"},
    {"nsa", "model.num_heads=16 model.num_kv_heads=1 model.head_dim=16 model.block_size=16 model.block_counts=8 "
            "model.window_size=64"},
    {"path_attn", "model.num_heads={heads}"},
    {"rebased", "model.num_heads={heads}"},
    {"retnet", "model.num_heads={heads}"},
    {"rwkv6", "model.num_heads={heads} model.proj_low_rank_dim=8 model.gate_low_rank_dim=16"},
    {"rwkv7", "model.head_dim={head_dim} model.decay_low_rank_dim=16 model.gate_low_rank_dim=32 "
              "model.a_low_rank_dim=16 model.v_low_rank_dim=8"},
    {"samba", "model.attn.layers=[1] model.attn.num_heads={heads}"},
    {"transformer", "model.num_heads={heads}"},
    {"transformer_vq", "model.n_head={heads} model.d_k={head_dim} model.d_v={head_dim} model.n_code=64 "
                       "model.block_len=32 model.mem_len=32"},
    {"transnormer", "model.decoder_attention_heads={heads}"},
    {"tropical_attention", "model.num_heads={heads}"},
    {"two_simplicial", "model.num_heads={heads} model.window1=64 model.window2=8"},
    {"xlstm", "model.num_heads={heads}"},
    {NULL, NULL},
};

static const Task *const mad_tasks[] = {&compression,  &fuzzy_in_context_recall, &in_context_recall,
                                        &memorization, &noisy_in_context_recall, &selective_copying,
                                        NULL};

static const MixerKeys mad_mixers[] = {
    {"gated_deltaproduct", "mixer.heads=1 model.allow_neg_eigval=true model.num_householder=6"},
    {"gsa", "mixer.heads=1 model.gate_logit_normalizer=8"},
    {"mamba", "model.num_hidden_layers=4"},
    {"mamba2", "model.num_hidden_layers=4"},
    {"mesa_net", "model.use_output_gate=false"},
    {"mlstm_block", "mixer.heads=4 model.num_hidden_layers=4"},
    {"path_attn", "mixer.heads=2 model.use_forget_gate=false"},
    {"transformer", "mixer.heads=2 model.window_size=128"},
    {"transformer_vq", "model.num_hidden_layers=4"},
    {"transnormer", "model.norm_eps=1e-6"},
    {"xlstm", "mixer.heads=4"},
    {NULL, NULL},
};

static const char *const mad_notes[] = {
    "initial matrices are fla's, N(0, 0.02^2); MAD's are PyTorch's defaults",
    "examples come from this program's generators, unless training.data names the published files",
    "float32 instead of mixed bfloat16 unless training.dtype says otherwise",
    NULL,
};

static const Suite mad = {
    .name = "mad",
    .meaning = "MAD: six tasks of 4-layer models (mixer, MLP, mixer, MLP), arXiv 2403.17844",
    .tasks = mad_tasks,
    .metric = METRIC_MACRO,
    .keys = "training.examples=12800 training.test_examples=1280 training.batch_size=128 training.epochs=200 "
            "training.lr=[1e-4,5e-4,1e-3] training.weight_decay=[0,0.1] training.decay=constant training.beta2=0.999 "
            "training.stop_at=0.999 training.select=best training.splits=false mixer.heads=1 mixer.head_bias=true "
            "model.hidden_size=128 "
            "model.num_hidden_layers=2 model.intermediate_size=352 model.norm_eps=1e-5",
    .quick = "training.examples=3200 training.epochs=3 training.lr=1e-3 training.weight_decay=0 model.hidden_size=64 "
             "model.intermediate_size=176",
    .mixers = mad_mixers,
    .notes = mad_notes,
};

static const Task *const mqar_tasks[] = {&mqar, NULL};

static const MixerKeys mqar_mixers[] = {
    {"mamba2", "model.tie_word_embeddings=false"},
    {"samba", "model.num_hidden_layers=2"},
    {"transformer_vq", "model.num_hidden_layers=2 model.e_tie=1"},
    {"transnormer", "model.num_hidden_layers=2 model.tie_word_embeddings=false"},
    {NULL, NULL},
};

static const char *const mqar_notes[] = {
    "models are a gated convolution (BaseConv) and one block of the mixer, as in the authors' later experiments; in "
    "figure 2 two blocks of the mixer (mixer.base_conv=false model.num_hidden_layers=2), and widths of 64 to 512",
    "attention has rotary positions; in figure 2 learned ones, in the later experiments none",
    "the gated convolution has no biases, and its projection PyTorch's initial values, not N(0, 0.02^2)",
    "norms are the model's own (RMSNorm in most), not LayerNorm",
    "no dropout of the embeddings or of attention",
    "with --quick there are random tokens between the queries, as in the presets; in figure 2 there are none",
    "Mamba-2 and TransNormer have a head of their own, not the embeddings",
    "Samba, Transformer-VQ and TransNormer have two layers, as they cannot have one",
    "n_back: vocabulary, examples and learning rates are those of the other presets; the publications' are not known",
    "examples are in another order in each epoch, also those of a segment; the program has one order for all",
    NULL,
};

static const Suite mqar_suite = {
    .name = "mqar",
    .meaning = "multi-query associative recall: a convolution, then the mixer, without MLPs, arXiv 2312.04927",
    .tasks = mqar_tasks,
    .metric = METRIC_ACCURACY,
    .keys = "training.examples=100000 training.test_examples=3000 training.batch_size=512 training.epochs=64 "
            "training.lr=[1e-4,4.64e-4,2.15e-3,1e-2] training.weight_decay=0.1 training.decay=cosine "
            "training.stop_at=0.99 mixer.heads=1 mixer.base_conv=true model.hidden_size=64 model.num_hidden_layers=1 "
            "model.intermediate_size=0 model.tie_word_embeddings=true",
    .quick = "task.vocab_size=256 training.examples=20000 training.test_examples=1000 training.batch_size=64 "
             "training.epochs=0 training.steps=1200 training.evaluate_every=200 training.lr=3e-3 "
             "training.warmup_steps=50 training.max_norm=1",
    .mixers = mqar_mixers,
    .notes = mqar_notes,
};

static const MixerKeys one_layer_mixers[] = {
    {"samba", "model.num_hidden_layers=2"},
    {"transformer_vq", "model.num_hidden_layers=2"},
    {"transnormer", "model.num_hidden_layers=2 model.glu_dim=256"},
    {NULL, NULL},
};

/* The publication's encoder has no positional information, so it is turned off here. */
static const MixerKeys tropical_mixers[] = {
    {"samba", "model.num_hidden_layers=2 model.attn.rope_theta=null"},
    {"transformer", "model.rope_theta=null"},
    {"transformer_vq", "model.num_hidden_layers=2"},
    {"transnormer", "model.num_hidden_layers=2 model.glu_dim=256"},
    {NULL, NULL},
};

static const Task *const flip_flop_tasks[] = {&flip_flop, NULL};

static const char *const flip_flop_notes[] = {
    "the tests have fewer sequences than the publication's 100,000 sparse ones: training.test_examples sets them",
    "Samba, Transformer-VQ and TransNormer have two layers, as they cannot have one",
    NULL,
};

static const Suite flip_flop_suite = {
    .name = "flipflop",
    .meaning = "flip-flop language modelling: remember one bit without a single error, arXiv 2306.00946",
    .tasks = flip_flop_tasks,
    .metric = METRIC_ERROR,
    .keys = "training.examples=0 training.test_examples=1000 training.batch_size=16 training.epochs=0 "
            "training.steps=10000 training.evaluate_every=1000 training.lr=3e-4 training.weight_decay=0.1 "
            "training.beta2=0.999 training.decay=linear training.warmup_steps=50 mixer.heads=2 model.hidden_size=64 "
            "model.num_hidden_layers=1",
    .quick = "task.seq_len=128 training.steps=1000 training.test_examples=300 training.lr=1e-3",
    .mixers = one_layer_mixers,
    .notes = flip_flop_notes,
};

static const Task *const tropical_tasks[] = {&balanced_partition,
                                             &bin_packing,
                                             &convex_hull,
                                             &floyd_warshall,
                                             &fractional_knapsack,
                                             &knapsack,
                                             &longest_increasing_subsequence,
                                             &min_coin_change,
                                             &quickselect,
                                             &strongly_connected_components,
                                             &subset_sum,
                                             &three_sum,
                                             NULL};

static const char *const tropical_notes[] = {
    "AdamW with lr 1e-3 as in the paper's text; its program has RAdam-ScheduleFree with lr 1e-4",
    "blocks are the model's own (norms first, gated MLP), not the publication's (norms last, ReLU)",
    "transformer and samba have no positions here, as in the publication; other attention has its own",
    "attention is causal: sets whose elements have answers are read twice, those with one answer (subset_sum, "
    "three_sum, fractional_knapsack, longest_increasing_subsequence) once; with mixer.bidirectional all are read once, "
    "in both directions, which are added",
    "tropical attention of one layer gives the second copy what the publication's, which sees all, gives the set",
    "all positions count; the program drops those whose features are all 0",
    "noise of quickselect is that of the program; the paper names another range",
    "longest_increasing_subsequence is in the program only, without other ranges of values; those here are "
    "quickselect's",
    NULL,
};

static const Suite tropical_suite = {
    .name = "tropical",
    .meaning = "answers of algorithms on sets of numbers and on graphs, at other lengths and values, arXiv 2505.17190",
    .tasks = tropical_tasks,
    .metric = METRIC_F1,
    .keys = "training.examples=80000 training.test_examples=5000 training.batch_size=500 training.epochs=100 "
            "training.lr=1e-3 training.weight_decay=0.01 training.decay=constant training.beta2=0.999 "
            "training.select=best mixer.heads=2 mixer.head_bias=true model.hidden_size=64 model.num_hidden_layers=1 "
            "model.intermediate_size=256",
    .quick = "training.examples=20000 training.test_examples=2000 training.epochs=20",
    .mixers = tropical_mixers,
    .notes = tropical_notes,
};

const Suite *const all_suites[] = {&mad, &mqar_suite, &flip_flop_suite, &tropical_suite, NULL};

const Suite *suite_find(const char *name) {
    for (const Suite *const *suite = all_suites; *suite; suite++)
        if (strcmp((*suite)->name, name) == 0) return *suite;
    return NULL;
}

const Task *suite_task(const Suite *suite, const char *name) {
    for (const Task *const *task = suite->tasks; *task; task++)
        if (strcmp((*task)->name, name) == 0) return *task;
    return NULL;
}

const char *metric_name(Metric metric) {
    static const char *const names[] = {"accuracy", "macro accuracy", "error", "F1", "mean squared error"};
    return names[metric];
}

bool metric_is_loss(Metric metric) { return metric == METRIC_ERROR || metric == METRIC_MSE; }
