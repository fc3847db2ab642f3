/* The prompts of `generate`: texts, or token ids, of the command line or of a file. */
#ifndef FLAME_COMMANDS_PROMPTS_H
#define FLAME_COMMANDS_PROMPTS_H

#include "base/check.h"
#include "commands/options.h"
#include "text/tokenizer.h"

typedef struct Prompt {
    char *text;    /* as it was given; NULL: it was given as token ids */
    int64_t bytes; /* of the text, which may hold zeros */
    TokenIds ids;
    char **stop; /* texts at which its continuation ends, beside those of the command line */
    int stops;
    int64_t new_tokens; /* at most; 0: as the command line says */
} Prompt;

typedef struct Prompts {
    Prompt *item;
    int64_t count;
} Prompts;

typedef struct PromptOptions {
    const Tokenizer *tokenizer; /* NULL: prompts are token ids, "17 4 3" */
    int64_t vocabulary;         /* of the model: ids are below it */
    int64_t first_token;        /* what an empty prompt becomes; -1: it is refused */
} PromptOptions;

/* Reads the texts, or else `file`: its lines if its name ends in .jsonl, objects with the keys "prompt" (a text or a
 * list of token ids) and, where wanted, "stop" (a list of texts) and "max_new_tokens"; else all of it as one prompt;
 * "-" is standard input. BAD_INPUT (logged, with the line) if there is no prompt or one that cannot be used. The caller
 * frees the prompts, also then. */
Status prompts_read(const Texts *texts, const char *file, const PromptOptions *options, Prompts *prompts);
void prompts_free(Prompts *prompts);

#endif
