/* HDF5 as this program uses it. */
#ifndef FLAME_DATA_HDF5_H
#define FLAME_DATA_HDF5_H

#include <hdf5.h>

/* Call it in each thread before other functions of HDF5. It turns off HDF5's error stacks, because the messages here
 * are clearer, and its work at the end of the program, where it would write what a failed close has left, and crash. */
static inline void hdf5_prepare(void) {
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

#endif
