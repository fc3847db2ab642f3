/* The tables behind TrainConfig: every key of the program but the model's. */
#ifndef FLAME_CONFIG_CONFIG_KEYS_H
#define FLAME_CONFIG_CONFIG_KEYS_H

#include "config/train_config.h"
#include "config/keys.h"

enum { CONFIG_SECTIONS = 10 };

/* The tables with the places of `config` (NULL: names only), device first, which stands in no section. */
void config_tables(TrainConfig *config, KeyTable tables[CONFIG_SECTIONS]);

#endif
