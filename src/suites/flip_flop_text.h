/* The published examples of flip-flop language modelling (Hugging Face, synthseq/flipflop) as a text file with one
 * sequence of T characters per line: w, r or i alternating with 0 or 1. Ids are those of the task flip_flop. */
#ifndef FLAME_SUITES_FLIP_FLOP_TEXT_H
#define FLAME_SUITES_FLIP_FLOP_TEXT_H

#include "suites/task.h"

/* Ids of the tokens: the instructions, then the bits ZERO and ZERO + 1. */
enum { WRITE, READ, IGNORE, ZERO, FLIP_FLOP_TOKENS = 5 };

typedef struct FlipFlopText FlipFlopText;

/* BAD_INPUT or IO_ERROR (logged, with the file's name) if the file cannot be read, or if its lines differ in length.
 * The caller closes it. */
Status flip_flop_text_open(const char *path, FlipFlopText **opened);
void flip_flop_text_close(FlipFlopText *text);
int64_t flip_flop_text_examples(const FlipFlopText *text);
int64_t flip_flop_text_length(const FlipFlopText *text); /* T */

/* Reads example `number`; labels are the bits after reads. BAD_INPUT (logged) for other characters, a sequence that
 * does not begin with a write and end with a read, or a read whose bit is not the one that was written last. */
Status flip_flop_text_example(const FlipFlopText *text, int64_t number, Example example);

/* training.data is a folder with train.txt, test.txt and, if they are not to be generated, sparse.txt and so on. */
extern const TaskFiles flip_flop_files;

#endif
