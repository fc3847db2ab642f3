/* Writes a tree as YAML that reads back as the same tree. */
#include <math.h>
#include <string.h>

#include "config/config_value.h"
#include "base/number.h"

/* Length of the UTF-8 character at `text`; 0 if the bytes are not UTF-8. */
static int utf8_length(const unsigned char *text) {
    const int length = text[0] < 0x80 ? 1 : text[0] >= 0xc2 && text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    if (length == 1) return 1;
    if (text[0] < 0xc2 || text[0] > 0xf4) return 0;
    for (int i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if (text[0] == 0xe0 && text[1] < 0xa0) return 0;                                          /* overlong encoding */
    if (text[0] == 0xed && text[1] > 0x9f) return 0;                                          /* surrogate */
    if ((text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f)) return 0; /* outside Unicode */
    return length;
}

static bool is_plain(const char *text) {
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/.0123456789";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/.0123456789+-";
    if (!*text || !strchr(first, *text) || text[strspn(text, others)] || strncmp(text, "...", 3) == 0) return false;
    ConfigValue *meaning = config_value_plain(text, NULL, 0);
    const bool plain = meaning->type == VALUE_STRING;
    config_value_free(meaning);
    return plain;
}

static uint32_t code_point(const unsigned char *c, int length) {
    static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t point = c[0] & first_bits[length];
    for (int i = 1; i < length; i++) point = point << 6 | (c[i] & 0x3f);
    return point;
}

/* Whether a character needs no escape in double quotes. Control characters, line separators, byte order marks and
 * non-characters do. */
static bool is_printable(uint32_t point) {
    if (point < 0xa0) return point >= 0x20 && point < 0x7f && point != '"' && point != '\\';
    return point != 0x2028 && point != 0x2029 && point != 0xfeff && (point & 0xfffe) != 0xfffe;
}

void config_write_string(FILE *file, const char *text) {
    if (is_plain(text)) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        const int length = utf8_length(c);
        const uint32_t point = length ? code_point(c, length) : *c;
        if (length && is_printable(point))
            fwrite(c, 1, (size_t)length, file);
        else
            fprintf(file, point < 0x100 ? "\\x%02x" : point < 0x10000 ? "\\u%04x" : "\\U%08x", point);
        c += length ? length : 1;
    }
    fputc('"', file);
}

void config_write_real(FILE *file, double value) {
    char text[NUMBER_TEXT];
    if (!isfinite(value)) {
        fputs(isnan(value) ? ".nan" : value > 0 ? ".inf" : "-.inf", file);
        return;
    }
    number_format(value, text);
    /* 1 would read back as an integer */
    fprintf(file, "%s%s", text, number_is_integer(text) ? ".0" : "");
}

static void write_inline(FILE *file, const ConfigValue *value) {
    switch (value->type) {
    case VALUE_NULL:
        fputs("null", file);
        return;
    case VALUE_BOOL:
        fputs(value->boolean ? "true" : "false", file);
        return;
    case VALUE_INTEGER:
        fprintf(file, "%lld", (long long)value->integer);
        return;
    case VALUE_REAL:
        config_write_real(file, value->real);
        return;
    case VALUE_STRING:
        config_write_string(file, value->text);
        return;
    case VALUE_LIST:
    case VALUE_MAPPING:
        break;
    }
    fputc(value->type == VALUE_LIST ? '[' : '{', file);
    for (int i = 0; i < value->count; i++) {
        if (i > 0) fputs(", ", file);
        if (value->type == VALUE_MAPPING) {
            config_write_string(file, value->item[i]->key);
            fputs(": ", file);
        }
        write_inline(file, value->item[i]);
    }
    fputc(value->type == VALUE_LIST ? ']' : '}', file);
}

void config_value_write(FILE *file, const ConfigValue *value, int indent) {
    if (value->type != VALUE_MAPPING || value->count == 0 || indent < 0) {
        write_inline(file, value);
        if (indent >= 0) fputc('\n', file);
        return;
    }
    for (int i = 0; i < value->count; i++) {
        const ConfigValue *item = value->item[i];
        const bool block = item->type == VALUE_MAPPING && item->count > 0;
        fprintf(file, "%*s", indent, "");
        config_write_string(file, item->key);
        fputs(block ? ":\n" : ": ", file);
        config_value_write(file, item, block ? indent + 2 : indent);
    }
}
