/* Settings as text, "task.vocab_size=32 training.lr=1e-3 model.num_heads=2": what a suite's table or a user on the
 * command line changes. Later ones override earlier ones. Values are YAML without spaces; "2x" is twice the value that
 * the key had. */
#ifndef FLAME_SUITES_SETTINGS_H
#define FLAME_SUITES_SETTINGS_H

#include "config/config_value.h"

/* Puts the settings of `text` (NULL: none) into a tree of mappings, root -> section -> key. USAGE (logged) if a setting
 * does not have this form, or multiplies something that is not a number. */
Status settings_apply(ConfigValue *root, const char *text);
/* The mapping of a section, or NULL. */
const ConfigValue *settings_section(const ConfigValue *root, const char *section);

#endif
