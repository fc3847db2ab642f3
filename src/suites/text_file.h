/* A text that is written in memory and then replaces a file as a whole:
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

/* The text ends at text_file_replace or text_file_drop. It stays where it is: not to be copied. */
void text_file_begin(TextFile *text);
/* Replaces the file atomically and frees the text. IO_ERROR (logged) if it cannot be written. */
Status text_file_replace(TextFile *text, const char *path);
/* Frees the text, which is written nowhere. */
void text_file_drop(TextFile *text);

#endif
