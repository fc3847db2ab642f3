/* Writes scalars and texts as TensorBoard event files: TFRecords of length, masked CRC-32C and protobuf message. */
#ifndef FLAME_REPORTING_TENSORBOARD_H
#define FLAME_REPORTING_TENSORBOARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

typedef struct Scalar {
    const char *tag; /* "loss/train" */
    double value;
} Scalar;

typedef struct TensorBoard TensorBoard;

/* Creates a new event file in the folder, and the folder if it does not exist. Readers then drop the values after
 * `resumed_step` that older files hold. IO_ERROR after one log_error. */
Status tensorboard_open(const char *folder, int64_t resumed_step, TensorBoard **board);
/* Writes the scalars of one step. `board` may be NULL, here and below. */
void tensorboard_scalars(TensorBoard *board, int64_t step, const Scalar *scalars, int count);
/* Writes a text of one step. TensorBoard shows it unchanged. */
void tensorboard_text(TensorBoard *board, int64_t step, const char *tag, const char *text, int64_t bytes);
/* fsyncs the file. */
void tensorboard_flush(TensorBoard *board);
void tensorboard_close(TensorBoard *board);

/* CRC-32C (Castagnoli). */
uint32_t crc32c(const void *bytes, size_t count);

#endif
