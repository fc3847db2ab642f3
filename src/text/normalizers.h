/* "normalizer": what happens to a text before it is cut into words. */
#ifndef FLAME_TEXT_NORMALIZERS_H
#define FLAME_TEXT_NORMALIZERS_H

#include "text/step.h"

extern const StepKind normalizer_kinds[];

#endif
