#include "suites/text_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"

void text_file_begin(TextFile *text) {
    text->file = open_memstream(&text->text, &text->bytes);
    CHECK_MEMORY(text->file, "out of memory");
}

Status text_file_replace(TextFile *text, const char *path) {
    CHECK_MEMORY(fflush(text->file) == 0, "out of memory");
    const int error = file_replace(path, text->text, (int64_t)text->bytes);
    text_file_drop(text);
    if (error == 0) return OK;
    log_error("%s cannot be written: %s", path, strerror(error));
    return IO_ERROR;
}

void text_file_drop(TextFile *text) {
    fclose(text->file);
    free(text->text);
}
