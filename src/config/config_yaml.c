/* Parses YAML with libyaml's event parser, which is safe for untrusted files. The document loader is not: it takes
 * quadratic time in the nesting, expands aliases (a small file can have 10^9 nodes) and accepts duplicate keys. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "config/config_value.h"
#include "base/log.h"

typedef struct Reader {
    yaml_parser_t parser;
    const char *file;
    ConfigValue *root;
    int depth, documents;
    ConfigValue *open[CONFIG_DEPTH]; /* stack of the open lists and mappings, outermost first */
    char *key;                       /* key whose value has not been read yet, or NULL */
    int key_line;
    Status status;
} Reader;

static int line_of(yaml_mark_t mark) { return (int)mark.line + 1; }

__attribute__((format(printf, 3, 4))) static void refuse(Reader *reader, int line, const char *format, ...) {
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    const ConfigValue where = {.file = (char *)reader->file, .line = line};
    reader->status = config_error(&where, "%s", message);
}

static void refuse_syntax(Reader *reader) {
    const yaml_parser_t *p = &reader->parser;
    if (p->error == YAML_READER_ERROR) {
        refuse(reader, 0, "byte %zu: %s; a configuration is UTF-8 text", p->problem_offset, p->problem);
        return;
    }
    const char *problem = p->problem ? p->problem : "not enough memory";
    const bool tab = strstr(problem, "cannot start any token") != NULL;
    refuse(reader, line_of(p->problem_mark), "is not YAML: %s%s%s%s", p->context ? p->context : "",
           p->context ? ", " : "", problem, tab ? " (a tab cannot indent; use spaces)" : "");
}

/* Adds a scalar or a new container to the innermost open container, or makes it the root. */
static void place(Reader *reader, ConfigValue *value) {
    if (reader->depth == 0) {
        reader->root = value;
        return;
    }
    ConfigValue *around = reader->open[reader->depth - 1];
    config_value_append(around, value);
    if (around->type != VALUE_MAPPING) return;
    value->key = reader->key;
    value->key_line = reader->key_line;
    reader->key = NULL;
}

static bool expects_key(const Reader *reader) {
    return reader->depth > 0 && reader->open[reader->depth - 1]->type == VALUE_MAPPING && !reader->key;
}

static void open_container(Reader *reader, ValueType type, int line) {
    if (expects_key(reader)) {
        refuse(reader, line, "a key must be a plain word, not a %s", value_type_name(type));
    } else if (reader->depth == CONFIG_DEPTH) {
        refuse(reader, line, "is nested deeper than %d", CONFIG_DEPTH);
    } else {
        ConfigValue *value = config_value_new(type, reader->file, line);
        place(reader, value);
        reader->open[reader->depth++] = value;
    }
}

static void take_key(Reader *reader, const char *text, int line, bool plain) {
    ConfigValue *mapping = reader->open[reader->depth - 1];
    const ConfigValue *twin = config_value_get(mapping, text);
    if (plain && strcmp(text, "<<") == 0)
        refuse(reader, line, "merge keys (<<) are not accepted; write the keys out");
    else if (twin)
        refuse(reader, line, "key %s is here and in line %d; keep one", text, twin->key_line);
    else if (mapping->count == MAPPING_KEYS)
        refuse(reader, line, "more than %d keys in one mapping", MAPPING_KEYS);
    else if (strlen(text) > KEY_BYTES)
        refuse(reader, line, "key %.40s... has %zu bytes; at most %d", text, strlen(text), KEY_BYTES);
    else
        CHECK_MEMORY((reader->key = strdup(text)) != NULL, "no memory for key %s", text);
    reader->key_line = line;
}

static void take_scalar(Reader *reader, const yaml_event_t *event) {
    const char *text = (const char *)event->data.scalar.value;
    const int line = line_of(event->start_mark);
    const bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (strlen(text) != event->data.scalar.length)
        refuse(reader, line, "holds a NUL character");
    else if (expects_key(reader))
        take_key(reader, text, line, plain);
    else if (plain)
        place(reader, config_value_plain(text, reader->file, line));
    else
        place(reader, config_value_string(text, reader->file, line));
}

/* Refuses features of YAML that configurations do not need: anchors, aliases, tags, several documents. */
static bool refuse_extras(Reader *reader, const yaml_event_t *event) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor, tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    const int line = line_of(event->start_mark);
    if (anchor || event->type == YAML_ALIAS_EVENT)
        refuse(reader, line, "anchors and aliases (& and *) are not accepted; write the value out, or quote it");
    else if (tag)
        refuse(reader, line, "tags (%.40s) are not accepted", (const char *)tag);
    else if (event->type == YAML_DOCUMENT_START_EVENT && reader->documents++ > 0)
        refuse(reader, line, "a second document begins; a configuration must be one document");
    return reader->status != OK;
}

static void take(Reader *reader, const yaml_event_t *event) {
    if (refuse_extras(reader, event)) return;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        take_scalar(reader, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        open_container(reader, VALUE_LIST, line_of(event->start_mark));
        break;
    case YAML_MAPPING_START_EVENT:
        open_container(reader, VALUE_MAPPING, line_of(event->start_mark));
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        reader->depth--;
        break;
    default:
        break;
    }
}

Status config_value_read_yaml(const char *name, const char *text, size_t bytes, ConfigValue **value) {
    Status status = config_text_check(name, &text, &bytes);
    if (status != OK) return status;
    Reader reader = {.file = name};
    CHECK_MEMORY(yaml_parser_initialize(&reader.parser), "no memory to read %s", name);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, bytes);
    for (bool end = false; !end && reader.status == OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader.parser, &event)) {
            refuse_syntax(&reader);
            break;
        }
        take(&reader, &event);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&reader.parser);
    free(reader.key);
    if (reader.status != OK) {
        config_value_free(reader.root);
        return reader.status;
    }
    *value = reader.root ? reader.root : config_value_new(VALUE_MAPPING, name, 1);
    return OK;
}
