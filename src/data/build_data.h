/* Builds token files from text. */
#ifndef FLAME_DATA_BUILD_DATA_H
#define FLAME_DATA_BUILD_DATA_H

#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>

/* What counts as one document. A paragraph ends with a blank line; lines and paragraphs keep their line ends. */
typedef enum DocumentUnit { DOCUMENT_FILE, DOCUMENT_PARAGRAPH, DOCUMENT_LINE } DocumentUnit;

typedef struct BuildOptions {
    const char *const *text; /* files and folders, read in this order; a folder's entries are sorted by byte value */
    int text_count;
    const char *tokenizer; /* as for tokenizer_open: a file, a folder, or NULL for the built-in byte tokenizer */
    const char *bos, *eos; /* a token, an id, "none", or "auto" for those of the tokenizer */
    const char *out;
    const char *validation_out; /* NULL: none */
    double validation; /* share of the documents that go to validation_out instead; between 0 and 1, both excluded */
    DocumentUnit document;
    bool force;
    int64_t chunk_tokens;
    int level;
} BuildOptions;

typedef struct BuildReport {
    int64_t files, bytes;
    int64_t skipped_binary, skipped_empty, skipped_links;
    int64_t tokens, documents;                       /* in out */
    int64_t validation_tokens, validation_documents; /* in validation_out */
} BuildReport;

/* Writes `out`, and `validation_out` if given. On failure it leaves neither behind. Skips files with a zero byte in
 * their first 64 KiB (binary), empty files and links to folders with a warning, and names that start with a dot
 * silently. BAD_INPUT if there is no text, an output exists already or a file cannot be read (skipping it would change
 * the data). */
Status build_data(const BuildOptions *options, BuildReport *report);

#endif
