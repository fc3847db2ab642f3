#include "checkpoint/checkpoint_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/crc.h"
#include "base/files.h"

static const int64_t LARGEST_STATE = 256 << 20;
static const char OPENING[] = "{\"crc32\": \"";
enum { OPENING_BYTES = sizeof OPENING - 1, CRC_DIGITS = 8 };

void checkpoint_state_add(json_t *state, const char *group, const char *name, uint32_t crc) {
    char digits[CRC_DIGITS + 1];
    snprintf(digits, sizeof digits, "%08" PRIx32, crc);
    json_t *entries = json_object_get(state, group);
    if (!entries) {
        entries = json_object();
        json_object_set_new(state, group, entries);
    }
    json_object_set_new(entries, name, json_string(digits));
}

static bool parse_crc(const char *text, int64_t length, uint32_t *crc) {
    if (length != CRC_DIGITS || strspn(text, "0123456789abcdef") < CRC_DIGITS) return false;
    *crc = (uint32_t)strtoul(text, NULL, 16);
    return true;
}

bool checkpoint_state_find(const json_t *state, const char *group, const char *name, uint32_t *crc) {
    const char *text = json_string_value(json_object_get(json_object_get(state, group), name));
    return text && parse_crc(text, (int64_t)strlen(text), crc);
}

char *checkpoint_state_encode(const json_t *state, int64_t *bytes) {
    json_t *all = json_object();
    json_object_set_new(all, "crc32", json_string("00000000"));
    json_object_update(all, (json_t *)state);
    char *body = json_dumps(all, JSON_INDENT(1));
    CHECK_MEMORY(body, "no memory for state.json");
    json_decref(all);
    /* jansson may break the line after the brace. Remove that, so that the digits start at offset OPENING_BYTES. */
    const char *first = strchr(body, '"');
    const size_t size = strlen(first) + 3;
    char *text = malloc(size);
    CHECK_MEMORY(text, "no memory for state.json");
    *bytes = snprintf(text, size, "{%s\n", first);
    CHECK(strncmp(text, OPENING, OPENING_BYTES) == 0, "state.json does not begin with its CRC");
    char digits[CRC_DIGITS + 1];
    snprintf(digits, sizeof digits, "%08" PRIx32, crc_update(0, text, *bytes));
    memcpy(text + OPENING_BYTES, digits, CRC_DIGITS);
    free(body);
    return text;
}

/* Whether the text matches the CRC that it contains. */
static bool is_intact(const char *text, int64_t bytes) {
    uint32_t expected;
    if (bytes < OPENING_BYTES + CRC_DIGITS || memcmp(text, OPENING, OPENING_BYTES) != 0) return false;
    if (!parse_crc(text + OPENING_BYTES, (int64_t)strcspn(text + OPENING_BYTES, "\""), &expected)) return false;
    uint32_t crc = crc_update(0, text, OPENING_BYTES);
    crc = crc_update(crc, "00000000", CRC_DIGITS);
    return crc_update(crc, text + OPENING_BYTES + CRC_DIGITS, bytes - OPENING_BYTES - CRC_DIGITS) == expected;
}

Status checkpoint_state_check_version(const json_t *state, const char *folder) {
    const json_t *version = json_object_get(state, "format_version");
    if (!json_is_integer(version) || json_integer_value(version) < 1) {
        log_error("%s/state.json has no format_version", folder);
        return BAD_INPUT;
    }
    if (json_integer_value(version) <= CHECKPOINT_VERSION) return OK;
    log_error("%s/state.json has format version %" JSON_INTEGER_FORMAT ", this program knows up to %d: use a newer "
              "flame-c",
              folder, json_integer_value(version), CHECKPOINT_VERSION);
    return BAD_INPUT;
}

static Status parse_state(const char *path, const char *text, int64_t bytes, json_t **state) {
    if (!is_intact(text, bytes)) {
        log_error("%s is damaged: its CRC-32 is wrong", path);
        return BAD_INPUT;
    }
    json_error_t error;
    *state = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(*state)) return OK;
    log_error("%s is not a JSON object: line %d: %s", path, error.line, error.text);
    json_decref(*state);
    *state = NULL;
    return BAD_INPUT;
}

Status checkpoint_state_read(const char *folder, json_t **state) {
    *state = NULL;
    char *path = path_join(folder, "state.json"), *text;
    int64_t bytes;
    const int error = file_read_all(path, LARGEST_STATE, &text, &bytes);
    Status status = file_is_missing(error) ? BAD_INPUT : IO_ERROR;
    if (error) {
        log_error("%s is not a complete checkpoint: reading state.json: %s", folder, strerror(error));
    } else {
        status = parse_state(path, text, bytes, state);
        free(text);
    }
    free(path);
    return status;
}

json_t *checkpoint_state_peek(const char *folder) {
    char *path = path_join(folder, "state.json"), *text = NULL;
    int64_t bytes = 0;
    json_t *state = NULL;
    if (file_read_all(path, LARGEST_STATE, &text, &bytes) == 0 && is_intact(text, bytes))
        state = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    free(path);
    return state;
}

int64_t checkpoint_state_updated_step(const json_t *state) {
    const json_t *updated = json_object_get(state, "updated_step");
    if (updated) return json_integer_value(updated);
    /* Version 0.1 wrote the number of skipped steps before this one instead. */
    return json_integer_value(json_object_get(state, "step")) -
           json_integer_value(json_object_get(state, "skipped_in_row"));
}

bool checkpoint_state_matches(const char *folder, const char *name) {
    json_t *state = checkpoint_state_peek(folder);
    char *path = path_join(folder, name), *text = NULL;
    int64_t bytes = 0;
    uint32_t expected = 0;
    const bool same = state && checkpoint_state_find(state, "files", name, &expected) &&
                      file_read_all(path, LARGEST_STATE, &text, &bytes) == 0 && crc_update(0, text, bytes) == expected;
    json_decref(state);
    free(text);
    free(path);
    return same;
}

Status checkpoint_state_check_file(const json_t *state, const char *folder, const char *name) {
    if (!path_is_name(name)) {
        log_error("%s/state.json names the file \"%s\", which is not in the folder", folder, name);
        return BAD_INPUT;
    }
    char *path = path_join(folder, name), *text = NULL;
    int64_t bytes = 0;
    uint32_t expected = 0;
    const bool known = checkpoint_state_find(state, "files", name, &expected);
    const int error = file_read_all(path, LARGEST_STATE, &text, &bytes);
    const bool same = !error && known && crc_update(0, text, bytes) == expected;
    if (!same) log_error("%s: %s", path, error ? strerror(error) : "changed after it was saved: its CRC-32 differs");
    free(text);
    free(path);
    return same ? OK : error && !file_is_missing(error) ? IO_ERROR : BAD_INPUT;
}
