#include "meter/kernel.h"
#include "meter/counted.tile.h"
