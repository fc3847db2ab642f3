/* Reads single attributes and data sets of a token file, strictly. */
#include "base/log.h"
#include "data/tokens_internal.h"
#include "data/tokens_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Status tokens_refuse(const TokensFile *file, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_error("%s: %s", file->path, text);
    return BAD_INPUT;
}

void *tokens_allocate(int64_t count, int64_t size) {
    return count <= INT64_MAX / 16 ? calloc((size_t)count + 1, (size_t)size) : NULL;
}

Status tokens_no_memory(const TokensFile *file, const char *what, int64_t count) {
    log_error("%s: no memory for %s (%lld entries); use several smaller files", file->path, what, (long long)count);
    return IO_ERROR;
}

Status tokens_read_integer(TokensFile *file, const char *name, int64_t minimum, int64_t maximum, int64_t *value) {
    if (H5Aexists(file->file, name) <= 0)
        return tokens_refuse(file, "attribute \"%s\" is missing; build the file with data build or tools/prepare.py",
                             name);
    hid_t attribute = H5Aopen(file->file, name, H5P_DEFAULT);
    hid_t type = attribute < 0 ? -1 : H5Aget_type(attribute);
    hid_t space = attribute < 0 ? -1 : H5Aget_space(attribute);
    bool usable = type >= 0 && H5Tget_class(type) == H5T_INTEGER && space >= 0 &&
                  H5Sget_simple_extent_npoints(space) == 1 && H5Aread(attribute, H5T_NATIVE_INT64, value) >= 0;
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    if (!usable) return tokens_refuse(file, "attribute \"%s\" is not one integer", name);
    if (*value < minimum || *value > maximum)
        return tokens_refuse(file, "attribute \"%s\" is %lld, which is outside %lld .. %lld", name, (long long)*value,
                             (long long)minimum, (long long)maximum);
    return OK;
}

Status tokens_read_string(TokensFile *file, const char *name, char *text, size_t capacity) {
    if (H5Aexists(file->file, name) <= 0)
        return tokens_refuse(file, "attribute \"%s\" is missing; build the file with data build or tools/prepare.py",
                             name);
    hid_t attribute = H5Aopen(file->file, name, H5P_DEFAULT);
    bool usable = attribute >= 0 && tokens_text_read(attribute, file->path, text, capacity);
    if (attribute >= 0) H5Aclose(attribute);
    return usable
               ? OK
               : tokens_refuse(file, "attribute \"%s\" is not one string shorter than %zu, or damaged", name, capacity);
}

static herr_t append_name(hid_t group, const char *name, const H5L_info_t *info, void *names) {
    (void)group, (void)info;
    size_t used = strlen(names);
    snprintf((char *)names + used, 256 - used, "%s%s", used ? ", " : "", name);
    return 0;
}

Status tokens_open_dataset(TokensFile *file, const char *name, hid_t *dataset) {
    H5L_info_t link;
    if (H5Lexists(file->file, name, H5P_DEFAULT) <= 0 || H5Lget_info(file->file, name, &link, H5P_DEFAULT) < 0) {
        char names[256] = "";
        H5Literate(file->file, H5_INDEX_NAME, H5_ITER_INC, NULL, append_name, names);
        return tokens_refuse(file, "has no data set /%s (it holds: %s); build it with data build or tools/prepare.py",
                             name, names[0] ? names : "nothing");
    }
    if (link.type != H5L_TYPE_HARD)
        return tokens_refuse(file, "/%s is %s link; copy the data into the file itself", name,
                             link.type == H5L_TYPE_EXTERNAL ? "an external" : "a soft");
    *dataset = H5Oopen(file->file, name, H5P_DEFAULT);
    if (*dataset < 0)
        return tokens_refuse(
            file, "/%s cannot be opened: damaged, or written for a newer HDF5 (write it without libver=\"latest\")",
            name);
    if (H5Iget_type(*dataset) != H5I_DATASET) return tokens_refuse(file, "/%s is a group, not a data set", name);
    return OK;
}

Status tokens_check_storage(TokensFile *file, const char *name, hid_t plist, ChunkCodec *codec) {
    if (H5Pget_external_count(plist) != 0)
        return tokens_refuse(file, "/%s is stored in external files; copy the data into the file itself", name);
    if (H5Pget_layout(plist) == H5D_VIRTUAL)
        return tokens_refuse(file, "/%s is a virtual data set; copy the data into the file itself", name);
    int filters = H5Pget_nfilters(plist);
    int place = 0;
    for (; place < filters; place++) {
        unsigned flags, settings;
        size_t values = 0;
        char filter_name[64] = "";
        H5Z_filter_t filter =
            H5Pget_filter2(plist, (unsigned)place, &flags, &values, NULL, sizeof filter_name, filter_name, &settings);
        if (filter == H5Z_FILTER_SHUFFLE && place == 0)
            codec->shuffle = true;
        else if (filter == H5Z_FILTER_DEFLATE && !codec->deflate)
            codec->deflate = true;
        else
            return tokens_refuse(file, "/%s uses filter %d%s%s; only shuffle, then deflate (gzip) can be read", name,
                                 (int)filter, filter_name[0] ? ": " : "", filter_name);
    }
    return OK;
}

static void type_text(hid_t type, char text[48]) {
    const H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    const size_t bits = type < 0 ? 0 : H5Tget_precision(type);
    const bool is_signed = class == H5T_INTEGER && H5Tget_sign(type) != H5T_SGN_NONE;
    if (class == H5T_INTEGER)
        snprintf(text, 48, "%sint%zu%s", is_signed ? "" : "u", bits,
                 H5Tget_order(type) == H5T_ORDER_BE ? ", big-endian" : "");
    else if (class == H5T_FLOAT)
        snprintf(text, 48, "float%zu", bits);
    else
        snprintf(text, 48, "%s", class == H5T_STRING ? "text" : "of no numbers");
}

Status tokens_check_type(TokensFile *file, const char *name, hid_t dataset, size_t width, size_t other, int64_t *count,
                         int *found_width) {
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    Status status = OK;
    hsize_t dimension = 0;
    size_t size = type < 0 ? 0 : H5Tget_size(type);
    bool right_type = size && H5Tget_class(type) == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_NONE &&
                      H5Tget_order(type) == H5T_ORDER_LE && (size == width || size == other) &&
                      H5Tget_precision(type) == 8 * size;
    bool right_space =
        space >= 0 && H5Sget_simple_extent_ndims(space) == 1 && H5Sget_simple_extent_dims(space, &dimension, NULL) == 1;
    char found[48], wanted[48];
    type_text(type, found);
    snprintf(wanted, sizeof wanted, width != other ? "uint%zu or uint%zu" : "uint%zu", 8 * width, 8 * other);
    if (!right_type)
        status = tokens_refuse(file, "/%s is %s; it must be %s, little-endian", name, found, wanted);
    else if (!right_space)
        status = tokens_refuse(file, "/%s has %d dimensions; it must have one", name,
                               space < 0 ? 0 : H5Sget_simple_extent_ndims(space));
    else if (dimension == 0)
        status = tokens_refuse(file, "/%s is empty", name);
    else if (dimension > (hsize_t)INT64_MAX / 16)
        status = tokens_refuse(file, "/%s has an impossible length", name);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    *count = (int64_t)dimension;
    *found_width = (int)size;
    return status;
}

Status tokens_read_table(TokensFile *file, const char *name, hid_t memory_type, size_t width, int64_t expected,
                         int64_t largest, void **table, int64_t *count) {
    hid_t dataset = -1, plist = -1;
    ChunkCodec codec = {0};
    int found;
    Status status = tokens_open_dataset(file, name, &dataset);
    if (!status && (plist = H5Dget_create_plist(dataset)) < 0) status = tokens_refuse(file, "/%s is damaged", name);
    if (!status) status = tokens_check_storage(file, name, plist, &codec);
    if (!status) status = tokens_check_type(file, name, dataset, width, width, count, &found);
    if (!status && expected && *count != expected)
        status =
            tokens_refuse(file, "/%s has %lld entries instead of %lld", name, (long long)*count, (long long)expected);
    if (!status && *count > largest)
        status =
            tokens_refuse(file, "/%s has %lld entries, more than %lld", name, (long long)*count, (long long)largest);
    if (!status && !(*table = tokens_allocate(*count, (int64_t)width))) status = tokens_no_memory(file, name, *count);
    if (!status && H5Dread(dataset, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *table) < 0)
        status = tokens_refuse(file, "/%s cannot be read; the file is damaged: build it again", name);
    if (plist >= 0) H5Pclose(plist);
    if (dataset >= 0) H5Oclose(dataset);
    return status;
}
