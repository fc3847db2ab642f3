/* The gradients of q and k, which are those of an attention whose queries do not see their own token. */
#define TILE_PRODUCTS_IN_FULL
#define ATTENTION_STRICT 1
#include "tile/tile.h"
#include "kernels/softmax/attention/attention.h"
#include "kernels/softmax/attention/attention_tiles.h"

#define GATES                  0
#define ATTENTION_KERNEL(name) SIZED_KERNEL(name##_strict, HEAD, AttentionArguments)

#define HEAD 32
#include "kernels/softmax/attention/attention_head.h"
#define HEAD 64
#include "kernels/softmax/attention/attention_head.h"
#define HEAD 128
#include "kernels/softmax/attention/attention_head.h"
#define HEAD 256
#include "kernels/softmax/attention/attention_head.h"
