#define TILE_EMULATOR
#define TILE_ELEMENT_BF16
#include "tile/words.tile.h"
