/* Text to tokens and back: the tokenizer of a Hugging Face tokenizer.json, which gives the same ids and texts as the
 * library `tokenizers` (docs/tokenizers.md), or the built-in one, whose tokens are bytes.
 *
 *   Tokenizer *tokenizer;
 *   Status status = tokenizer_open("runs/gla/export", &tokenizer);
 *   TokenEncoder *encoder = token_encoder_create(tokenizer);
 *   TokenIds ids = {0};
 *   if (!status) status = tokenizer_encode(encoder, text, bytes, false, &ids); */
#ifndef FLAME_TEXT_TOKENIZER_H
#define FLAME_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "text/token_ids.h"

/* The built-in tokenizer: a token per byte, BYTES_BOS and BYTES_EOS around a document. The vocabulary is rounded up to
 * a multiple of 64, which suits matrix products; ids from 258 on do not occur. */
enum { BYTES_BOS = 256, BYTES_EOS = 257, BYTES_VOCAB_SIZE = 320 };

/* A tokenizer never changes once it is open, so any number of threads may use it. */
typedef struct Tokenizer Tokenizer;

/* `path`: a tokenizer.json, a folder with one (a checkpoint or an export has it beside config.json), or NULL for the
 * built-in tokenizer. BAD_INPUT (logged) if there is no such file, if it is damaged, or if it has a part that this
 * program does not know; IO_ERROR (logged) if it cannot be read. *tokenizer is NULL on failure. */
Status tokenizer_open(const char *path, Tokenizer **tokenizer);
/* The contents of one file of a tokenizer. */
typedef struct TokenizerText {
    const char *name; /* for messages */
    const char *text; /* NULL: there is no such file */
    int64_t bytes;
} TokenizerText;
/* Opens a tokenizer from the contents of its tokenizer.json and its tokenizer_config.json. */
Status tokenizer_from_texts(const TokenizerText *json, const TokenizerText *config, Tokenizer **tokenizer);
void tokenizer_close(Tokenizer *tokenizer);
/* Whether the tokenizer is the built-in one. */
bool tokenizer_is_bytes(const Tokenizer *tokenizer);

/* The size of the vocabulary: every id is smaller. */
int64_t tokenizer_vocab_size(const Tokenizer *tokenizer);
/* The tokens that begin and end a document, as named by tokenizer_config.json beside tokenizer.json. -1: none. */
int64_t tokenizer_bos(const Tokenizer *tokenizer);
int64_t tokenizer_eos(const Tokenizer *tokenizer);
/* The id of a token of the vocabulary, added tokens included; -1 if there is no such token. */
int64_t tokenizer_id(const Tokenizer *tokenizer, const char *token);
/* The token with this id, as it is written in the vocabulary, of *bytes bytes (`bytes` may be NULL); NULL if there is
 * none. */
const char *tokenizer_token(const Tokenizer *tokenizer, int64_t id, int64_t *bytes);

/* What a thread needs to encode: memory for intermediate texts, and a cache of recent words and their tokens. Each
 * thread has its own. It must be freed before the tokenizer is closed. */
typedef struct TokenEncoder TokenEncoder;
TokenEncoder *token_encoder_create(const Tokenizer *tokenizer);
void token_encoder_free(TokenEncoder *encoder);

/* Appends the tokens of a text to `ids`. Added tokens (<s>, <|endoftext|>) are recognized in the text, as in the
 * library. With `special_tokens` the result includes those that the tokenizer puts around every text ([CLS] text
 * [SEP]), if it has any. Bytes that are not UTF-8 become U+FFFD, except that the built-in tokenizer keeps every byte.
 * BAD_INPUT (not logged) if the vocabulary has no token for the text and none for unknown text, or if a regular
 * expression cannot be matched. */
Status tokenizer_encode(TokenEncoder *encoder, const char *text, int64_t bytes, bool special_tokens, TokenIds *ids);
/* Why the last text was refused, for the caller to log. Valid until the next text. */
const char *token_encoder_reason(const TokenEncoder *encoder);

/* The text of `count` tokens, in UTF-8, with a zero byte behind its *bytes bytes (`bytes` may be NULL). The caller
 * frees it. Incomplete characters become U+FFFD. Ids without a token are left out, and with `skip_special` so are
 * special tokens. */
char *tokenizer_decode(const Tokenizer *tokenizer, const uint32_t *ids, int64_t count, bool skip_special,
                       int64_t *bytes);

/* Decodes tokens one at a time, so that text can be printed as it is generated. The returned texts together equal
 * tokenizer_decode of all tokens, except where a run of byte tokens (<0xE2>) is not valid UTF-8 as a whole: a character
 * that has been returned stays. */
typedef struct TokenStream TokenStream;
TokenStream *token_stream_create(const Tokenizer *tokenizer, bool skip_special);
void token_stream_free(TokenStream *stream);
/* Adds a token, and returns the text that is now certain and has not been returned before: complete characters, often
 * none ("", 0 bytes). Valid until the stream's next call. `bytes` may be NULL. */
const char *token_stream_add(TokenStream *stream, uint32_t id, int64_t *bytes);
/* Returns the rest of the text, with U+FFFD for an incomplete character. The stream then starts anew. */
const char *token_stream_end(TokenStream *stream, int64_t *bytes);

#endif
