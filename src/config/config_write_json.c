/* Writes a tree as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "config/config_value.h"

/* JSON has no infinity and no NaN; transformers reads and writes this form. */
static json_t *special_real(double value) {
    return json_pack("{s:s}", "__float__", isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

static json_t *to_json(const ConfigValue *value) {
    json_t *result = NULL;
    switch (value->type) {
    case VALUE_NULL:
        return json_null();
    case VALUE_BOOL:
        return json_boolean(value->boolean);
    case VALUE_INTEGER:
        return json_integer(value->integer);
    case VALUE_REAL:
        return isfinite(value->real) ? json_real(value->real) : special_real(value->real);
    case VALUE_STRING:
        return json_string(value->text);
    case VALUE_LIST:
        result = json_array();
        for (int i = 0; i < value->count; i++) json_array_append_new(result, to_json(value->item[i]));
        return result;
    case VALUE_MAPPING:
        result = json_object();
        for (int i = 0; i < value->count; i++)
            json_object_set_new(result, value->item[i]->key, to_json(value->item[i]));
        return result;
    }
    return result;
}

char *config_value_json(const ConfigValue *value) {
    json_t *json = to_json(value);
    char *text = NULL;
    /* Tries 15 digits first, which keep 0.1 and 1e-6 short, and uses more if the numbers do not read back equal. */
    for (size_t digits = 15; digits <= 17 && !text; digits++) {
        text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(digits));
        CHECK(text, "the configuration cannot be written as JSON");
        json_t *again = json_loads(text, 0, NULL);
        if (digits < 17 && !json_equal(json, again)) {
            free(text);
            text = NULL;
        }
        json_decref(again);
    }
    json_decref(json);
    return text;
}
