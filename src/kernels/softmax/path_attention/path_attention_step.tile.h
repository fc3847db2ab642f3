/* Moves the kept keys of path_attention on by one token; equations in path_attention_step.h. */
#include "tile/tile.h"
#include "kernels/softmax/path_attention/path_attention_step.h"
#include "kernels/softmax/row_products.h"
#include "tile/rows.h"

/* Programs: x over keys, y over key-value heads, z over sequences. */
KERNEL(path_attention_step, PathAttentionStepArguments) {
    VECTOR(w, STEP_HEAD);
    const int64_t head = program_y, sequence = program_z, D = a.head_dim, first = program_x * STEP_KEYS;
    const element *const turns = (const element *)a.w.data + entry_of_head(a.w, D, sequence, head, 0);
    const element *const k = (const element *)a.k.data + entry_of_head(a.k, D, sequence, head, 0);
    float *const kept = a.kept + (sequence * a.capacity * a.kv_heads + head) * D;
    const float beta = a.beta[sequence * a.beta_stride + head];
    EACH (i, D) w[i] = to_float(turns[i]);
    sync();
    EACH_SHORT_ROW (j, first, end_of_program(first, a.tokens, STEP_KEYS), D) {
        float *const key = kept + j * a.kv_heads * D;
        float along;
        VECTORS_OF(key);
        row_times_vector(along, READ_F32, key, w, D);
        WARP_VECTOR(i, D) {
            READ_F32(x, key + i);
            EACH_LANE(e) x[e] -= beta * along * (LANE_INSIDE(e) ? w[i + e] : 0.0f);
            WRITE_F32(key + i, x);
        }
    }
    if (first <= a.tokens && a.tokens < first + STEP_KEYS)
        EACH (i, D) kept[a.tokens * a.kv_heads * D + i] = to_float(k[i]);
}
