#include "reporting/tensorboard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "reporting/journal.h"
#include "base/files.h"
#include "base/log.h"

static const int64_t LATEST_TIME = 9999999999; /* ten digits, so that names sort as numbers do */

struct TensorBoard {
    Journal journal;
};

uint32_t crc32c(const void *bytes, size_t count) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < count; i++) {
        crc ^= ((const unsigned char *)bytes)[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* A protobuf message under construction. */
typedef struct Message {
    unsigned char *bytes;
    size_t used, room;
} Message;

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void put_bytes(Message *message, const void *bytes, size_t count) {
    if (message->used + count > message->room) {
        message->room = 2 * (message->used + count);
        message->bytes = realloc(message->bytes, message->room);
        CHECK_MEMORY(message->bytes, "no memory for an event of %zu bytes", message->room);
    }
    if (count > 0) memcpy(message->bytes + message->used, bytes, count);
    message->used += count;
}

static void put_varint(Message *message, uint64_t value) {
    for (; value >= 0x80; value >>= 7) put_bytes(message, &(unsigned char){(unsigned char)(value | 0x80)}, 1);
    put_bytes(message, &(unsigned char){(unsigned char)value}, 1);
}

static void put_fixed(Message *message, uint64_t bits, int bytes) {
    for (int i = 0; i < bytes; i++) put_bytes(message, &(unsigned char){(unsigned char)(bits >> 8 * i)}, 1);
}

static void put_tag(Message *message, int field, int wire) { put_varint(message, (uint64_t)(field << 3 | wire)); }

static void put_field(Message *message, int field, const void *bytes, size_t count) {
    put_tag(message, field, WIRE_BYTES);
    put_varint(message, count);
    put_bytes(message, bytes, count);
}

/* Appends a message as a field and frees it. */
static void put_message(Message *message, int field, Message *content) {
    put_field(message, field, content->bytes, content->used);
    free(content->bytes);
}

static uint64_t bits_of_double(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Event { double wall_time = 1; int64 step = 2; ... } */
static void begin_event(Message *event, int64_t step) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *event = (Message){0};
    put_tag(event, 1, WIRE_FIXED64);
    put_fixed(event, bits_of_double((double)now.tv_sec + 1e-9 * (double)now.tv_nsec), 8);
    put_tag(event, 2, WIRE_VARINT);
    put_varint(event, (uint64_t)step);
}

static uint32_t masked_crc(const void *bytes, size_t count) {
    const uint32_t crc = crc32c(bytes, count);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Appends the event as a TFRecord and frees it. */
static void append_record(TensorBoard *board, Message *event) {
    Message record = {0};
    put_fixed(&record, event->used, 8);
    put_fixed(&record, masked_crc(record.bytes, 8), 4);
    put_bytes(&record, event->bytes, event->used);
    put_fixed(&record, masked_crc(event->bytes, event->used), 4);
    journal_append(&board->journal, record.bytes, record.used);
    free(record.bytes);
    free(event->bytes);
}

/* Writes the version of the format, and SessionLog { status = START }, which makes readers drop older values from its
 * step on. */
static void append_header(TensorBoard *board, int64_t resumed_step) {
    static const char version[] = "brain.Event:2";
    static const unsigned char session_start[] = {1 << 3 | WIRE_VARINT, 1};
    Message event;
    begin_event(&event, 0);
    put_field(&event, 3, version, strlen(version));
    append_record(board, &event);
    begin_event(&event, resumed_step + 1);
    put_field(&event, 7, session_start, sizeof session_start);
    append_record(board, &event);
}

/* The time that the name of a new file begins with. It is later than that of every file in the folder, because readers
 * sort files by name, and the clock may have been set back or be another host's. */
static int64_t time_of_name(const char *folder) {
    char **names;
    int64_t count, latest = time(NULL);
    if (folder_list(folder, &names, &count)) return latest;
    for (int64_t i = 0; i < count; i++) {
        long long before;
        if (sscanf(names[i], "events.out.tfevents.%lld.", &before) == 1 && before >= latest && before < LATEST_TIME)
            latest = before + 1;
    }
    folder_list_free(names, count);
    return latest;
}

Status tensorboard_open(const char *folder, int64_t resumed_step, TensorBoard **board) {
    char host[128] = "localhost", path[4096];
    const int error = folder_create_all(folder);
    if (error) {
        log_error("the folder %s cannot be created: %s", folder, strerror(error));
        return IO_ERROR;
    }
    gethostname(host, sizeof host - 1);
    const int length = snprintf(path, sizeof path, "%s/events.out.tfevents.%010lld.%s.%ld.%lld", folder,
                                (long long)time_of_name(folder), host, (long)getpid(), (long long)resumed_step);
    TensorBoard *made = calloc(1, sizeof *made);
    CHECK_MEMORY(made, "no memory for events");
    CHECK(length < (int)sizeof path, "the event file %s", path);
    const Status status = journal_open(&made->journal, path, 0);
    if (status != OK) {
        free(made);
        return status;
    }
    append_header(made, resumed_step);
    *board = made;
    return OK;
}

/* Event.summary = 5 */
static void append_summary(TensorBoard *board, int64_t step, Message *summary) {
    Message event;
    begin_event(&event, step);
    put_message(&event, 5, summary);
    append_record(board, &event);
}

/* Summary.value = 1; Value { string tag = 1; float simple_value = 2; } */
void tensorboard_scalars(TensorBoard *board, int64_t step, const Scalar *scalars, int count) {
    if (!board) return;
    Message summary = {0};
    for (int i = 0; i < count; i++) {
        Message value = {0};
        put_field(&value, 1, scalars[i].tag, strlen(scalars[i].tag));
        put_tag(&value, 2, WIRE_FIXED32);
        put_fixed(&value, bits_of_float((float)scalars[i].value), 4);
        put_message(&summary, 1, &value);
    }
    append_summary(board, step, &summary);
}

/* TensorBoard reads Markdown, which shows a line unchanged if four spaces precede it. */
static Message as_it_is(const char *text, int64_t bytes) {
    Message lines = {0};
    put_bytes(&lines, "    ", 4);
    for (int64_t i = 0; i < bytes; i++) {
        put_bytes(&lines, &text[i], 1);
        if (text[i] == '\n') put_bytes(&lines, "    ", 4);
    }
    return lines;
}

/* Value { string tag = 1; TensorProto tensor = 8; SummaryMetadata metadata = 9; }
 * TensorProto { DataType dtype = 1; TensorShapeProto tensor_shape = 2 { Dim dim = 2 { int64 size = 1; } };
 *               repeated bytes string_val = 8; }
 * SummaryMetadata { PluginData plugin_data = 1 { string plugin_name = 1; } } */
void tensorboard_text(TensorBoard *board, int64_t step, const char *tag, const char *text, int64_t bytes) {
    enum { DT_STRING = 7 };
    static const char plugin[] = "text";
    if (!board) return;
    Message summary = {0}, value = {0}, tensor = {0}, shape = {0}, dim = {0}, metadata = {0}, plugin_data = {0},
            lines = as_it_is(text, bytes);
    put_tag(&dim, 1, WIRE_VARINT);
    put_varint(&dim, 1);
    put_message(&shape, 2, &dim);
    put_tag(&tensor, 1, WIRE_VARINT);
    put_varint(&tensor, DT_STRING);
    put_message(&tensor, 2, &shape);
    put_message(&tensor, 8, &lines);
    put_field(&plugin_data, 1, plugin, strlen(plugin));
    put_message(&metadata, 1, &plugin_data);
    put_field(&value, 1, tag, strlen(tag));
    put_message(&value, 8, &tensor);
    put_message(&value, 9, &metadata);
    put_message(&summary, 1, &value);
    append_summary(board, step, &summary);
}

/* Errors are ignored: some file systems cannot sync. */
void tensorboard_flush(TensorBoard *board) {
    if (board) (void)fdatasync(board->journal.fd);
}

void tensorboard_close(TensorBoard *board) {
    if (!board) return;
    journal_close(&board->journal);
    free(board);
}
