/* The built-in tokenizer in Hugging Face's form, so that AutoTokenizer reads and writes what a model of bytes was
 * trained on: byte b is token b, <bos> and <eos> are BYTES_BOS and BYTES_EOS. tools/prepare.py makes the same files. */
#ifndef FLAME_DATA_BYTE_TOKENIZER_H
#define FLAME_DATA_BYTE_TOKENIZER_H

#include "checkpoint/tokenizer_files.h"

/* tokenizer.json and tokenizer_config.json; the caller frees them. */
TokenizerFiles byte_tokenizer_files(void);

#endif
