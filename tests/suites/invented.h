/* Invented results of runs. */
#ifndef FLAME_TESTS_SUITES_INVENTED_H
#define FLAME_TESTS_SUITES_INVENTED_H

#include <stdio.h>

#define RESULT_COLUMNS                                                                                                 \
    "suite,task,setting,split,model,seed,lr,wd,d_model,layers,heads,params,state_bytes,train_tokens,steps,accuracy,"   \
    "accuracy_macro,exact,error,f1,mse,perplexity,trivial,tokens_per_s,decode_tokens_per_s,peak_bytes,seconds,"        \
    "device,precision,examples_crc,version,scored,run\n"

/* A row: names (suite,task,setting,split,model), seed, (lr,wd) and scores (accuracy,accuracy_macro,exact,error,f1,mse,
 * perplexity,trivial). */
static inline void put_result(FILE *file, const char *names, int seed, const char *point, const char *scores) {
    fprintf(file, "%s,%d,%s,128,2,1,405632,65536,1000000,200,%s,%d,%d,%d,12.5,cpu,float32,0badcafe,0.2.0,8000,run-%d\n",
            names, seed, point, scores, 1000 + 100 * seed, 300 + 20 * seed, 5000000 + seed, seed);
}

/* A row of a model with this size, (d_model,layers,heads), of one macro accuracy. names: suite,task,setting,split. */
static inline void put_sized(FILE *file, const char *names, const char *model, const char *size, double macro) {
    fprintf(file, "%s,%s,0,0.001,0,%s,1,1,1,1,0.5,%g,,,,,,0.125,1,,1,1,cpu,float32,0badcafe,0.2.0,8000,\n", names,
            model, size, macro);
}

/* A row whose run has this name, on test examples of this CRC. names: suite,task,setting,split. */
static inline void put_run(FILE *file, const char *names, const char *model, int seed, const char *scores,
                           const char *crc, const char *run) {
    fprintf(file, "%s,%s,%d,0.001,0,128,2,1,1,1,1,1,%s,1,,1,1,cpu,float32,%s,0.2.0,8000,%s\n", names, model, seed,
            scores, crc, run);
}

#endif
