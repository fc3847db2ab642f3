/* Text to tokens and back: the tokenizer of a Hugging Face tokenizer.json, with the ids and texts of the library
 * `tokenizers` (docs/tokenizers.md), or the built-in one, whose tokens are bytes.
 *
 *   Tokenizer *tokenizer;
 *   Status status = tokenizer_open("runs/gla/export", &tokenizer);
 *   TokenEncoder *encoder = token_encoder_create(tokenizer);
 *   TokenIds ids = {0};
 *   if (!status) status = tokenizer_encode(encoder, text, bytes, false, &ids);
 */
#ifndef FLAME_TEXT_TOKENIZER_H
#define FLAME_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "text/token_ids.h"

/* The built-in tokenizer: a token per byte, BYTES_BOS and BYTES_EOS around a document. The vocabulary is rounded up to
 * a multiple of 64, which suits matrix products; ids from 258 on do not occur. */
enum { BYTES_BOS = 256, BYTES_EOS = 257, BYTES_VOCAB_SIZE = 320 };

/* Never changes once it is open: any number of threads may use it. */
typedef struct Tokenizer Tokenizer;

/* `path`: a tokenizer.json, a folder with one (a checkpoint or an export has it beside config.json), or NULL for the
 * built-in tokenizer. BAD_INPUT (logged) if there is none, if it is damaged, or if it has a part that this program does
 * not know; IO_ERROR (logged) if it cannot be read. *tokenizer is NULL then. */
Status tokenizer_open(const char *path, Tokenizer **tokenizer);
/* A file of a tokenizer that is in memory. */
typedef struct TokenizerText {
    const char *name; /* for messages */
    const char *text; /* NULL: there is no such file */
    int64_t bytes;
} TokenizerText;
/* The same of what a tokenizer.json holds, and a tokenizer_config.json. */
Status tokenizer_from_texts(const TokenizerText *json, const TokenizerText *config, Tokenizer **tokenizer);
void tokenizer_close(Tokenizer *tokenizer);
/* Whether it is the built-in one. */
bool tokenizer_is_bytes(const Tokenizer *tokenizer);

/* Every id is smaller. */
int64_t tokenizer_vocab_size(const Tokenizer *tokenizer);
/* The tokens that begin and end a document: those that tokenizer_config.json, beside tokenizer.json, names. -1: none.
 */
int64_t tokenizer_bos(const Tokenizer *tokenizer);
int64_t tokenizer_eos(const Tokenizer *tokenizer);
/* The id of a token of the vocabulary, added tokens included; -1 if there is no such token. */
int64_t tokenizer_id(const Tokenizer *tokenizer, const char *token);
/* The token with this id as the vocabulary has it, of *bytes bytes (`bytes` may be NULL); NULL if there is none. */
const char *tokenizer_token(const Tokenizer *tokenizer, int64_t id, int64_t *bytes);

/* What one thread needs for encoding, so that each has its own: room for intermediate texts, and the words it has seen
 * last with their tokens. Closed before the tokenizer is. */
typedef struct TokenEncoder TokenEncoder;
TokenEncoder *token_encoder_create(const Tokenizer *tokenizer);
void token_encoder_free(TokenEncoder *encoder);

/* Appends the tokens of a text to `ids`. Added tokens (<s>, <|endoftext|>) are recognized in the text, as the library
 * does. `special_tokens`: with those that the tokenizer puts around every text ([CLS] text [SEP]), if it does. Bytes
 * that are not UTF-8 become U+FFFD, but the built-in tokenizer keeps every byte. BAD_INPUT (logged) if the vocabulary
 * has no token for the text and none for unknown text. */
Status tokenizer_encode(TokenEncoder *encoder, const char *text, int64_t bytes, bool special_tokens, TokenIds *ids);

/* The text of `count` tokens, in UTF-8, with a zero byte behind its *bytes bytes (`bytes` may be NULL); the caller
 * frees it. What does not make a whole character becomes U+FFFD. Ids without a token are left out, and with
 * `skip_special` so are special tokens. */
char *tokenizer_decode(const Tokenizer *tokenizer, const uint32_t *ids, int64_t count, bool skip_special,
                       int64_t *bytes);

/* Decodes tokens one at a time, for printing them as they come. The texts joined are those of tokenizer_decode on all
 * tokens, except where the tokens of single bytes (<0xE2>) are not UTF-8 as a whole: what was a character when it was
 * returned stays one. */
typedef struct TokenStream TokenStream;
TokenStream *token_stream_create(const Tokenizer *tokenizer, bool skip_special);
void token_stream_free(TokenStream *stream);
/* The text that is certain with this token and has not been returned: whole characters, often none ("", 0 bytes). Valid
 * until the stream's next call. `bytes` may be NULL. */
const char *token_stream_add(TokenStream *stream, uint32_t id, int64_t *bytes);
/* The rest, where what is no whole character has become U+FFFD. The stream then begins again. */
const char *token_stream_end(TokenStream *stream, int64_t *bytes);

#endif
