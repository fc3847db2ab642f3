#include "data/byte_tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "data/tokens_writer.h"

/* GPT-2's mapping of bytes to printable characters, as UTF-8: a byte that is printable in Latin-1 stands for itself;
 * the others are U+0100, U+0101, ... in order, of which `next` is the next one. */
static void letter_of_byte(int byte, int *next, char letter[3]) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const int code = printable ? byte : (*next)++;
    if (code < 0x80)
        snprintf(letter, 3, "%c", code);
    else
        snprintf(letter, 3, "%c%c", 0xc0 | code >> 6, 0x80 | (code & 0x3f));
}

static json_t *vocabulary(void) {
    json_t *object = json_object();
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
        char letter[3];
        letter_of_byte(byte, &next, letter);
        json_object_set_new(object, letter, json_integer(byte));
    }
    return object;
}

static json_t *mark(int id, const char *text) {
    return json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", id, "content", text, "single_word", 0, "lstrip", 0,
                     "rstrip", 0, "normalized", 0, "special", 1);
}

static json_t *byte_level(void) {
    return json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0, "use_regex",
                     0);
}

static TokenizerFile text_of(json_t *json) {
    char *text = json_dumps(json, JSON_COMPACT);
    CHECK_MEMORY(text, "no memory for a tokenizer");
    json_decref(json);
    return (TokenizerFile){text, (int64_t)strlen(text)};
}

TokenizerFiles byte_tokenizer_files(void) {
    json_t *tokenizer =
        json_pack("{s:s,s:n,s:n,s:[o,o],s:n,s:o,s:n,s:o,s:{s:s,s:n,s:n,s:s,s:s,s:b,s:b,s:o,s:[]}}", "version", "1.0",
                  "truncation", "padding", "added_tokens", mark(BYTES_BOS, "<bos>"), mark(BYTES_EOS, "<eos>"),
                  "normalizer", "pre_tokenizer", byte_level(), "post_processor", "decoder", byte_level(), "model",
                  "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix", "", "end_of_word_suffix", "",
                  "fuse_unk", 0, "byte_fallback", 0, "vocab", vocabulary(), "merges");
    json_t *config = json_pack("{s:s,s:s,s:s,s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "bos_token", "<bos>",
                               "eos_token", "<eos>", "clean_up_tokenization_spaces", 0);
    CHECK_MEMORY(tokenizer && config, "no memory for a tokenizer");
    return (TokenizerFiles){{text_of(tokenizer), text_of(config)}};
}
