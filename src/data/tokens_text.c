#include "data/tokens_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/files.h"

/* The reference to a string of variable length, as an attribute stores it, little-endian:
 *     length (4 bytes) | address of the heap (8) | number of the object in the heap (4) */
enum { REFERENCE_BYTES = 16 };

/* A heap:   "GCOL" | version (1) | reserved (3) | size of the heap (8) | objects
 * An object: number (2) | reference count (2) | reserved (4) | size (8) | data, padded to a multiple of 8 */
enum { HEAP_HEADER = 16, OBJECT_HEADER = 16, HEAP_BYTES_MAX = 1 << 24 };

static uint64_t little_endian(const unsigned char *bytes, int count) {
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* An HDF5 type conversion that leaves the bytes alone, so that H5Aread returns the reference as it is stored. */
static herr_t keep_reference(hid_t from, hid_t to, H5T_cdata_t *data, size_t count, size_t stride, size_t other_stride,
                             void *values, void *background, hid_t transfer) {
    (void)to, (void)count, (void)stride, (void)other_stride, (void)values, (void)background, (void)transfer;
    data->need_bkg = H5T_BKG_NO;
    return data->command != H5T_CONV_CONV || H5Tget_size(from) == REFERENCE_BYTES ? 0 : -1;
}

/* The memory type for reading references. Created once; HDF5 frees it at exit. */
static hid_t reference_type(void) {
    static hid_t type = -1;
    if (H5Iis_valid(type) > 0) return type;
    type = H5Tcreate(H5T_OPAQUE, REFERENCE_BYTES);
    hid_t variable = H5Tcopy(H5T_C_S1);
    H5Tset_size(variable, H5T_VARIABLE);
    H5Tregister(H5T_PERS_SOFT, "string reference", variable, type, keep_reference);
    H5Tclose(variable);
    return type;
}

/* The data of object `number` in a heap of `bytes` bytes, and their length; NULL if it is not there. */
static const unsigned char *find_object(const unsigned char *heap, uint64_t bytes, uint64_t number, uint64_t *length) {
    for (uint64_t at = HEAP_HEADER; bytes - at >= OBJECT_HEADER;) {
        const unsigned char *object = heap + at;
        const uint64_t room = bytes - at - OBJECT_HEADER, found = little_endian(object, 2);
        *length = little_endian(object + 8, 8);
        if (found == 0 || *length > room) return NULL;
        if (found == number) return object + OBJECT_HEADER;
        const uint64_t padded = (*length + 7) / 8 * 8;
        if (padded > room) return NULL;
        at += OBJECT_HEADER + padded;
    }
    return NULL;
}

/* Reads the whole heap at `address` into new memory; NULL if there is none. */
static unsigned char *read_heap(int fd, uint64_t address, uint64_t *bytes) {
    unsigned char header[HEAP_HEADER];
    if (address > INT64_MAX || file_read(fd, header, HEAP_HEADER, (int64_t)address)) return NULL;
    *bytes = little_endian(header + 8, 8);
    if (memcmp(header, "GCOL\1", 5) != 0 || *bytes < HEAP_HEADER || *bytes > HEAP_BYTES_MAX) return NULL;
    unsigned char *heap = malloc((size_t)*bytes);
    CHECK_MEMORY(heap, "no memory for a string");
    if (file_read(fd, heap, (int64_t)*bytes, (int64_t)address) == 0) return heap;
    free(heap);
    return NULL;
}

static bool read_referenced(const unsigned char *reference, const char *path, char *text, size_t capacity) {
    const uint64_t length = little_endian(reference, 4), number = little_endian(reference + 12, 4);
    uint64_t bytes, stored;
    int fd;
    if (length >= capacity) return false;
    text[length] = 0;
    if (length == 0 && number == 0) return true;
    if (file_open_read(path, &fd, NULL)) return false;
    unsigned char *heap = read_heap(fd, little_endian(reference + 4, 8), &bytes);
    file_close(fd);
    const unsigned char *string = heap ? find_object(heap, bytes, number, &stored) : NULL;
    const bool whole = string && stored == length;
    if (whole) memcpy(text, string, (size_t)length);
    free(heap);
    return whole;
}

static bool read_of_type(hid_t attribute, hid_t type, const char *path, char *text, size_t capacity) {
    unsigned char reference[REFERENCE_BYTES];
    if (H5Tget_class(type) != H5T_STRING) return false;
    if (H5Tis_variable_str(type) > 0)
        return H5Aread(attribute, reference_type(), reference) >= 0 && read_referenced(reference, path, text, capacity);
    if (H5Tget_size(type) >= capacity) return false;
    memset(text, 0, capacity);
    return H5Aread(attribute, type, text) >= 0;
}

bool tokens_text_read(hid_t attribute, const char *path, char *text, size_t capacity) {
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const bool done = type >= 0 && space >= 0 && H5Sget_simple_extent_npoints(space) == 1 &&
                      read_of_type(attribute, type, path, text, capacity);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return done;
}
