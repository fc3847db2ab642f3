#include "suites/speed_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "suites/text_file.h"

void speed_table_append(SpeedTable *table, SpeedRow row) {
    SpeedRow *grown = realloc(table->row, (size_t)(table->rows + 1) * sizeof *grown);
    CHECK_MEMORY(grown, "out of memory");
    table->row = grown;
    table->row[table->rows++] = row;
}

void speed_table_free(SpeedTable *table) {
    free(table->row);
    *table = (SpeedTable){0};
}

/* Writes a number as a field, which is empty for NaN, as in results.csv. */
static void put_number(FILE *file, double value, const char *format) {
    if (!isnan(value)) fprintf(file, format, value);
    fputc(',', file);
}

static void put_csv(FILE *file, const SpeedTable *t) {
    fputs("mixer,length,batch,heads,head_dim,forward_ms,forward_backward_ms,tokens_per_s,device,precision\n", file);
    for (int64_t i = 0; i < t->rows; i++) {
        const SpeedRow *row = &t->row[i];
        fprintf(file, "%s,%lld,%lld,%lld,%lld,", row->mixer, (long long)row->length, (long long)t->batch,
                (long long)t->heads, (long long)t->head_dim);
        put_number(file, row->forward * 1e3, "%.4f");
        put_number(file, row->forward_backward * 1e3, "%.4f");
        put_number(file, (double)(t->batch * row->length) / row->forward_backward, "%.1f");
        fprintf(file, "%s,%s\n", t->device, t->dtype);
    }
}

/* Writes a table with a row for each length and a column for each mixer. */
static void put_times(FILE *file, const SpeedTable *t, const char *title, bool backward) {
    fprintf(file, "\n## %s\n\n| length |", title);
    for (int64_t i = 0; i < t->rows; i += t->lengths->count) fprintf(file, " %s |", t->row[i].mixer);
    fputs("\n|---:|", file);
    for (int64_t i = 0; i < t->rows; i += t->lengths->count) fputs("---:|", file);
    for (int64_t l = 0; l < t->lengths->count; l++) {
        fprintf(file, "\n| %lld |", (long long)t->lengths->item[l]);
        for (int64_t i = l; i < t->rows; i += t->lengths->count) {
            const double seconds = backward ? t->row[i].forward_backward : t->row[i].forward;
            if (isnan(seconds))
                fputs(" n/a |", file);
            else
                fprintf(file, " %.3f |", seconds * 1e3);
        }
    }
    fputc('\n', file);
}

static void put_tables(FILE *file, const SpeedTable *t) {
    fprintf(
        file,
        "# Speed of mixers\n\nMilliseconds of a layer's mixer: batch %lld, %lld heads of %lld, %s, %s. n/a: does not "
        "fit into memory.\n",
        (long long)t->batch, (long long)t->heads, (long long)t->head_dim, t->dtype, t->device);
    put_times(file, t, "Forward", false);
    put_times(file, t, "Forward + backward", true);
}

static Status write_file(const SpeedTable *table, const char *folder, const char *name,
                         void (*put)(FILE *file, const SpeedTable *table)) {
    TextFile text;
    text_file_begin(&text);
    put(text.file, table);
    char *path = path_join(folder, name);
    const Status status = text_file_replace(&text, path);
    free(path);
    return status;
}

Status speed_table_write(const SpeedTable *table, const char *folder) {
    const Status status = write_file(table, folder, "speed.csv", put_csv);
    return status == OK ? write_file(table, folder, "speed.md", put_tables) : status;
}
