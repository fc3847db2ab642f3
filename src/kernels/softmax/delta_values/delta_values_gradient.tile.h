/* The gradients of q and k, which are those of an attention whose queries do not see their own token. */
#define TILE_PRODUCTS_IN_FULL
#define ATTENTION_STRICT 1
#include "tile/tile.h"
#include "kernels/softmax/attention/attention.h"
#include "kernels/softmax/attention/attention_tiles.h"

#define GATES 0

#define HEAD                32
#define attention_queries   attention_queries_strict_32
#define attention_keys      attention_keys_strict_32
#define attention_gradients attention_gradients_strict_32
#include "kernels/softmax/attention/attention_head.h"
#define HEAD                64
#define attention_queries   attention_queries_strict_64
#define attention_keys      attention_keys_strict_64
#define attention_gradients attention_gradients_strict_64
#include "kernels/softmax/attention/attention_head.h"
#define HEAD                128
#define attention_queries   attention_queries_strict_128
#define attention_keys      attention_keys_strict_128
#define attention_gradients attention_gradients_strict_128
#include "kernels/softmax/attention/attention_head.h"
#define HEAD                256
#define attention_queries   attention_queries_strict_256
#define attention_keys      attention_keys_strict_256
#define attention_gradients attention_gradients_strict_256
#include "kernels/softmax/attention/attention_head.h"
