/* The steps that a reader of TensorBoard's event files shows for loss/train: event_steps FILE..., in the order of their
 * names. A session start event at step S discards what was read of step S and later ones. A truncated record ends its
 * file. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/files.h"

static int64_t steps[1 << 16];
static int count;

static uint64_t varint(const unsigned char **at, const unsigned char *end) {
    uint64_t value = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        const unsigned char byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) break;
    }
    return value;
}

static void read_event(const unsigned char *at, const unsigned char *end) {
    int64_t step = 0;
    while (at < end) {
        const uint64_t tag = varint(&at, end);
        if (tag == (2 << 3 | 0)) {
            step = (int64_t)varint(&at, end);
        } else if ((tag & 7) == 1) {
            at += 8;
        } else {
            const uint64_t length = varint(&at, end);
            static const char wanted[] = "loss/train";
            if (tag >> 3 == 5 && memmem(at, length, wanted, sizeof wanted - 1)) steps[count++] = step;
            for (int i = 0; tag >> 3 == 7 && i < count; i++)
                if (steps[i] >= step) steps[i--] = steps[--count];
            at += length;
        }
    }
}

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        char *data;
        int64_t bytes;
        uint64_t length;
        CHECK(file_read_all(argv[i], 1 << 30, &data, &bytes) == 0, "%s cannot be read", argv[i]);
        for (int64_t at = 0; at + 16 <= bytes; at += 16 + (int64_t)length) {
            memcpy(&length, data + at, sizeof length);
            if (length > (uint64_t)(bytes - at - 16) || length == 0) break;
            read_event((unsigned char *)data + at + 12, (unsigned char *)data + at + 12 + length);
        }
        free(data);
    }
    qsort(steps, (size_t)count, sizeof *steps, compare);
    for (int i = 0; i < count; i++) printf("%lld ", (long long)steps[i]);
    printf("\n");
    return 0;
}
