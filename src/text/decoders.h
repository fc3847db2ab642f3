/* "decoder": how tokens become text. The pieces are tokens, and are joined at the end. */
#ifndef FLAME_TEXT_DECODERS_H
#define FLAME_TEXT_DECODERS_H

#include "text/step.h"

extern const StepKind decoder_kinds[];

#endif
