/* The prompts of `generate`: texts or token ids, from the command line or from a file. */
#ifndef FLAME_COMMANDS_PROMPTS_H
#define FLAME_COMMANDS_PROMPTS_H

#include "base/check.h"
#include "commands/options.h"
#include "text/tokenizer.h"

#define MOST_NEW_TOKENS 1000000000

typedef struct Prompt {
    char *text;    /* as the user gave it; NULL: the prompt was a list of token ids */
    int64_t bytes; /* of the text, which may contain zero bytes */
    TokenIds ids;
    char **stop; /* texts at which its continuation ends, in addition to those of the command line */
    int stops;
    int64_t new_tokens; /* the most new tokens; 0: as the command line says */
} Prompt;

typedef struct Prompts {
    Prompt *item;
    int64_t count;
} Prompts;

typedef struct PromptOptions {
    const Tokenizer *tokenizer; /* NULL: prompts are token ids, "17 4 3" */
    int64_t vocabulary;         /* of the model; all ids are below it */
    int64_t first_token;        /* the token that replaces an empty prompt; -1: it is refused */
} PromptOptions;

/* Reads the prompts from `texts`, or else from `file` ("-": standard input). If its name ends in .jsonl, each line is
 * an object with the key "prompt" (a text or a list of token ids) and optionally "stop" (a list of texts) and
 * "max_new_tokens". Any other file is one prompt. BAD_INPUT (logged, with the line) if there is no prompt, or one that
 * cannot be used. The caller frees the prompts, also on failure. */
Status prompts_read(const Texts *texts, const char *file, const PromptOptions *options, Prompts *prompts);
void prompts_free(Prompts *prompts);

#endif
