/* "model": the tokens of a word. */
#ifndef FLAME_TEXT_MODEL_H
#define FLAME_TEXT_MODEL_H

#include "text/fields.h"
#include "text/token_ids.h"
#include "text/vocabulary.h"

/* Short-lived memory of one thread; {0} is empty. */
typedef struct ModelRoom {
    void *memory[3];
    int64_t bytes[3];
} ModelRoom;
/* One of the three parts, for at least `count` elements. */
void *model_room(ModelRoom *room, int part, int64_t count, size_t element);
void model_room_free(ModelRoom *room);

#define WORD_MARK "\xe2\x96\x81" /* U+2581, with which words begin in SentencePiece's vocabularies */

typedef struct Model Model;

typedef struct ModelKind {
    const char *type;
    Status (*read)(Model *model, const Fields *fields); /* the vocabulary, and `data` */
    Status (*encode)(const Model *model, ModelRoom *room, const char *word, int64_t bytes, TokenIds *ids);
    void (*free)(void *data); /* also of what was read in part, or NULL */
} ModelKind;

struct Model {
    const ModelKind *kind;
    Vocabulary vocabulary;
    void *data;
    int64_t tokens;     /* in the file, behind which those of added tokens follow */
    int64_t unknown;    /* the token of what has none; -1: there is none */
    bool cut_at_marks;  /* a word may be cut before each WORD_MARK behind another character: its tokens stay the same */
    bool byte_fallback; /* what has no token becomes the tokens <0x00> of its bytes */
    int64_t byte_token[256];
};

/* BAD_INPUT (logged) if it cannot be used. The model is to be freed in any case. */
Status model_read(Model *model, const char *path, const json_t *object);
void model_free(Model *model);

/* The bytes of the word's first part, up to the first place where it may be cut. */
int64_t model_part(const Model *model, const char *word, int64_t bytes);

/* For kinds: "vocab" as an object of tokens and ids. */
Status model_read_vocabulary(Model *model, const Fields *fields);
/* For kinds: adds the tokens of the bytes of a text. False, adding nothing, if one is missing or there is no fallback.
 */
bool model_fall_back(const Model *model, const char *text, int64_t bytes, TokenIds *ids);
/* For kinds: logs that a text has no token; always BAD_INPUT. */
Status model_no_token(const char *text, int64_t bytes);

/* The kinds. */
extern const ModelKind bpe_kind, unigram_kind, word_piece_kind, word_level_kind;

#endif
