#define TILE_EMULATOR
#define TILE_ELEMENT_F32
#include "tile/words.tile.h"
