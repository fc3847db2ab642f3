/* For run/tokenizer.sh: removes the tokenizer's files from a token file. */
#include <stdio.h>

#include "data/hdf5.h"

int main(int argc, char **argv) {
    const hid_t file = argc == 2 ? H5Fopen(argv[1], H5F_ACC_RDWR, H5P_DEFAULT) : -1;
    const bool dropped =
        file >= 0 && H5Ldelete(file, "tokenizer", H5P_DEFAULT) >= 0 && H5Adelete(file, "tokenizer_crc32") >= 0;
    if (file >= 0) H5Fclose(file);
    if (!dropped) fprintf(stderr, "usage: drop_tokenizer DATA.h5\n");
    return dropped ? 0 : 1;
}
