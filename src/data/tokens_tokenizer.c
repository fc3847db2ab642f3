/* The tokenizer in a token file: data set /tokenizer/NAME holds the bytes of file NAME. */
#include "data/tokens_internal.h"

#include <stdio.h>
#include <stdlib.h>

Status tokens_check_tokenizer(TokensFile *file) {
    H5L_info_t link;
    Status status = OK;
    if (H5Lexists(file->file, "tokenizer", H5P_DEFAULT) <= 0) return OK;
    if (H5Lget_info(file->file, "tokenizer", &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
        return tokens_refuse(file, "/tokenizer is a link; copy the group into the file itself");
    for (int i = 0; i < TOKENIZER_FILES && !status; i++) {
        TokenizerFile *part = &file->tokenizer_files.file[i];
        char name[64];
        snprintf(name, sizeof name, "tokenizer/%s", tokenizer_file_names[i]);
        if (H5Lexists(file->file, name, H5P_DEFAULT) > 0)
            status = tokens_read_table(file, name, H5T_NATIVE_UINT8, 1, 0, TOKENIZER_BYTES_MAX, (void **)&part->content,
                                       &part->bytes);
    }
    int64_t wanted;
    if (!status) status = tokens_read_integer(file, "tokenizer_crc32", 0, UINT32_MAX, &wanted);
    if (!status && tokenizer_files_crc(&file->tokenizer_files) != wanted)
        status = tokens_refuse(file, "/tokenizer does not match its CRC-32; build the file again");
    return status;
}
