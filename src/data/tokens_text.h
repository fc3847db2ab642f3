/* String attributes of a token file. */
#ifndef FLAME_DATA_TOKENS_TEXT_H
#define FLAME_DATA_TOKENS_TEXT_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>

/* Reads an attribute that holds one string, fixed or of variable length, of the open HDF5 file at `path`. False if it
 * is something else, does not fit into `capacity` bytes with the zero behind it, or is damaged.
 *
 * A string of variable length lies elsewhere in the file, in a "global heap" (HDF5 File Format Specification, III.E).
 * HDF5 1.10 copies it without comparing the two lengths that the file gives for it, and goes through the heap without
 * comparing the sizes in it with the heap's: a damaged file ends the process, or keeps it busy for ever. So HDF5 only
 * says where the string lies, and the heap is read here. Called with the HDF5 lock held. */
bool tokens_text_read(hid_t attribute, const char *path, char *text, size_t capacity);

#endif
