/* A configuration tree as the text of a JSON file. */
#ifndef FLAME_MODELS_CONFIG_JSON_H
#define FLAME_MODELS_CONFIG_JSON_H

#include "core/config_value.h"

/* Indented by two spaces, keys sorted, as transformers writes config.json. The caller frees it. */
char *config_value_json(const ConfigValue *value);

#endif
