/* HDF5 as this program uses it. */
#ifndef FLAME_DATA_HDF5_H
#define FLAME_DATA_HDF5_H

#include <hdf5.h>

/* To be called in each thread before other functions of HDF5. HDF5 prints no error stacks, because the messages here
 * are clearer, and does nothing when the program ends: it would write what a failed close has left, and crash. */
static inline void hdf5_prepare(void) {
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

#endif
