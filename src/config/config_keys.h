/* The tables behind TrainConfig: every key of the program but the model's. */
#ifndef FLAME_CONFIG_CONFIG_KEYS_H
#define FLAME_CONFIG_CONFIG_KEYS_H

#include "config/train_config.h"
#include "config/keys.h"

enum { CONFIG_SECTIONS = 10 };

/* Fills in the tables of all sections, with the fields of `config` (NULL: names only). Table 0 is the top level:
 * device.
 */
void config_tables(TrainConfig *config, KeyTable tables[CONFIG_SECTIONS]);

#endif
