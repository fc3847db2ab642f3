/* The log that power_log writes and power_replay reads: the changes that programs make to a folder, in order. The
 * record of a write is followed by its `bytes` bytes. */
#ifndef FLAME_TESTS_FAULTS_POWER_H
#define FLAME_TESTS_FAULTS_POWER_H

#include <stdint.h>

typedef enum PowerOperation {
    POWER_CREATE, /* a file: path */
    POWER_FOLDER, /* a folder: path */
    POWER_WRITE,  /* path, offset, bytes */
    POWER_RESIZE, /* path, offset: the new size */
    POWER_GROW,   /* path, offset: the least size */
    POWER_SYNC,   /* path of a file or a folder */
    POWER_RENAME, /* path, other */
    POWER_EXCHANGE,
    POWER_REMOVE /* path */
} PowerOperation;

typedef struct PowerRecord {
    int64_t operation, offset, bytes;
    char path[512], other[512]; /* below the folder */
} PowerRecord;

#endif
