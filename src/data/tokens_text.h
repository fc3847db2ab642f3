/* Reads string attributes of a token file. */
#ifndef FLAME_DATA_TOKENS_TEXT_H
#define FLAME_DATA_TOKENS_TEXT_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

/* Reads an attribute that holds one string, fixed or of variable length, of the open HDF5 file at `path`. False if it
 * is something else, is damaged, or does not fit into `capacity` bytes with its terminating zero.
 *
 * The attribute stores only a reference to a string of variable length; the string itself is in a "global heap" (HDF5
 * File Format Specification, III.E). HDF5 1.10 trusts the sizes in the heap, so that a damaged file crashes or hangs
 * it. Therefore HDF5 reads only the reference, and this function reads the heap. Called with the HDF5 lock held. */
bool tokens_text_read(hid_t attribute, const char *path, char *text, size_t capacity);

#endif
