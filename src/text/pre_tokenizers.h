/* "pre_tokenizer": how a text is cut into words. */
#ifndef FLAME_TEXT_PRE_TOKENIZERS_H
#define FLAME_TEXT_PRE_TOKENIZERS_H

#include "text/step.h"

extern const StepKind pre_tokenizer_kinds[];

#endif
