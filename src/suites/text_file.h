/* A text that is built in memory and then replaces a file as a whole:
 *
 *   TextFile text;
 *   text_file_begin(&text);
 *   fprintf(text.file, ...);
 *   status = text_file_replace(&text, path); */
#ifndef FLAME_SUITES_TEXT_FILE_H
#define FLAME_SUITES_TEXT_FILE_H

#include <stdio.h>

#include "base/check.h"

typedef struct TextFile {
    FILE *file;
    char *text;
    size_t bytes;
} TextFile;

/* Begins a text, which text_file_replace or text_file_drop ends. The struct must not be copied or moved in between. */
void text_file_begin(TextFile *text);
/* Replaces the file atomically and frees the text. IO_ERROR (logged) if it cannot be written. */
Status text_file_replace(TextFile *text, const char *path);
/* Frees the text without writing it. */
void text_file_drop(TextFile *text);

#endif
