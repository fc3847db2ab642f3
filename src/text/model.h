/* "model": splits a word into tokens. */
#ifndef FLAME_TEXT_MODEL_H
#define FLAME_TEXT_MODEL_H

#include "text/fields.h"
#include "text/token_ids.h"
#include "text/vocabulary.h"

/* Reusable working memory of one thread; {0} is empty. */
typedef struct ModelRoom {
    void *memory[3];
    int64_t bytes[3];
    char reason[200]; /* why a word was refused */
} ModelRoom;
/* Returns one of the three parts, grown to at least `count` elements of `element` bytes. */
void *model_room(ModelRoom *room, int part, int64_t count, size_t element);
void model_room_free(ModelRoom *room);

#define WORD_MARK "\xe2\x96\x81" /* U+2581, with which words begin in SentencePiece's vocabularies */

typedef struct Model Model;

typedef struct ModelKind {
    const char *type;
    Status (*read)(Model *model, const Fields *fields); /* reads the vocabulary and `data` */
    Status (*encode)(const Model *model, ModelRoom *room, const char *word, int64_t bytes, TokenIds *ids);
    void (*free)(void *data); /* `data` may be NULL or only partly read */
} ModelKind;

struct Model {
    const ModelKind *kind;
    Vocabulary vocabulary;
    void *data;
    int64_t tokens;     /* number of tokens in the file; new added tokens are numbered from here on */
    int64_t unknown;    /* the token for text that has no token; -1: there is none */
    bool cut_at_marks;  /* cutting a word before a WORD_MARK behind another character keeps its tokens */
    bool byte_fallback; /* text that has no token becomes the tokens of its bytes: <0x00>, ... */
    int64_t byte_token[256];
};

/* Reads the value of "model". BAD_INPUT (logged) if it cannot be used. The caller calls model_free, also on failure. */
Status model_read(Model *model, const char *path, const json_t *object);
void model_free(Model *model);

/* The number of bytes of the word's first part, up to the first place where the word may be cut. */
int64_t model_part(const Model *model, const char *word, int64_t bytes);

/* For kinds: reads "vocab", an object with tokens as keys and ids as values. */
Status model_read_vocabulary(Model *model, const Fields *fields);
/* For kinds: adds the tokens of the bytes of a text. Returns false and adds nothing if one is missing or there is no
 * byte fallback. */
bool model_fall_back(const Model *model, const char *text, int64_t bytes, TokenIds *ids);
/* For kinds: says in room->reason that a text has no token, and returns BAD_INPUT. */
Status model_no_token(ModelRoom *room, const char *text, int64_t bytes);

/* The kinds. */
extern const ModelKind bpe_kind, unigram_kind, word_piece_kind, word_level_kind;

#endif
