/* Token files from text, with the built-in byte tokenizer. */
#ifndef FLAME_DATA_BUILD_DATA_H
#define FLAME_DATA_BUILD_DATA_H

#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>

/* What is one document. Lines and paragraphs keep their line ends. */
typedef enum DocumentUnit { DOCUMENT_FILE, DOCUMENT_PARAGRAPH, DOCUMENT_LINE } DocumentUnit;

typedef struct BuildOptions {
    const char *const *text; /* files and folders, in this order; a folder's entries in the order of their bytes */
    int text_count;
    const char *out;
    const char *validation_out; /* NULL: none */
    double validation;          /* share of the documents that go to validation_out instead, 0 < share < 1 */
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

/* Writes the file, or both files, or neither. Skips, with a warning, files that hold a zero byte in their first 64 KiB
 * (binary), links to folders, and names that start with a dot. BAD_INPUT: no text, an output that exists, a file that
 * cannot be read (leaving it out silently would change the data). */
Status build_data(const BuildOptions *options, BuildReport *report);

#endif
