/* TensorBoard's event files: TFRecords (length, masked CRC-32C, protobuf) of scalars. */
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

/* A new file in the folder, which is made if needed. `resumed_step`: what older files say of later steps is outdated.
 */
Status tensorboard_open(const char *folder, int64_t resumed_step, TensorBoard **board);
void tensorboard_scalars(TensorBoard *board, int64_t step, const Scalar *scalars, int count);
void tensorboard_close(TensorBoard *board);

/* CRC-32C (Castagnoli), as in TFRecords. */
uint32_t crc32c(const void *bytes, size_t count);

#endif
