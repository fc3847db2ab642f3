/* The built-in byte tokenizer as Hugging Face files, so that AutoTokenizer can encode and decode for a model of bytes:
 * byte b is token b, and <bos> and <eos> are BYTES_BOS and BYTES_EOS. tools/prepare.py writes the same files. */
#ifndef FLAME_DATA_BYTE_TOKENIZER_H
#define FLAME_DATA_BYTE_TOKENIZER_H

#include "checkpoint/tokenizer_files.h"

/* tokenizer.json and tokenizer_config.json; the caller frees them. */
TokenizerFiles byte_tokenizer_files(void);

#endif
