/* The gradients of q, k and the gates of chunk_simple_gla, from those of the states and products. */
#if defined(TILE_ELEMENT_F32) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900)
#define TILE_PROGRAMS 2
#else
#define TILE_PROGRAMS 3
#endif
#include "tile/tile.h"
#include "kernels/recurrences/chunk_simple_gla/chunk_simple_gla.h"

/* Computes the gradients of q and k, and the states' parts of those of the gates. The gradient of q comes from o' and
 * the state before the span, that of k from v and the gradient of the state after it. Program: block of K, chunk,
 * sequence and head: first the query heads, then the key heads. The tiles of the next head or block of V are loaded
 * while those of one are used. */
KERNEL(chunk_simple_gla_dqk, ChunkSimpleGlaArguments) {
    TILE(own, ROWS, WIDTH_K);              /* q or k */
    TILE(matrices, 2 * ROWS, WIDTH_V);     /* o' or v, in the end P' */
    TILE(states, 2 * WIDTH_K, WIDTH_V);    /* S or S_next', in the end k or q */
    TILE(gradients, 2 * WIDTH_K, WIDTH_V); /* S_next', for q's part of g', which needs S S_next' */
    MATRIX(decays, 2 * 3, ROWS);           /* u and w, and u of the span's other chunk */
    VECTOR(sums, ROWS);
    ACCUMULATOR(of_head, ROWS, WIDTH_K); /* o' S^T or v S_next'^T */
    ACCUMULATOR(gradient, ROWS, WIDTH_K);
    const int q_heads = (int)a.q_heads, k_heads = (int)a.k_heads, q_group = q_heads / k_heads;
    const int sequence = (int)program_z / (q_heads + k_heads), number = (int)program_z % (q_heads + k_heads);
    const bool of_q = number < q_heads;
    const int first = of_q ? number : (number - q_heads) * q_group, count = of_q ? 1 : q_group;
    const int k_head = first / q_group, group = (int)a.heads / q_heads, index = (int)program_y;
    const int blocks = (int)blocks_of(a.V, WIDTH_V), steps = group * blocks;
    const bool paired = follows(index) || followed(&a, index), passes = of_q && a.parts && !followed(&a, index);
    const int other = follows(index) ? index - 1 : index + 1; /* chunk of the span, if it is a pair */
    const Rows rows = rows_of_chunk(a.T, ROWS, sequence, index);
    const Rows other_rows = rows_of_chunk(a.T, ROWS, sequence, paired ? other : index);
    float through = 0; /* S S_next' of a head: part of g' of every row, as what the span's last row reads */
    tile_load_block(own, of_q ? a.q : a.k, a.K, rows, of_q ? first : k_head, program_x);
    accumulator_zero(gradient);
    for (int q_head = first; q_head < first + count; q_head++) {
        int head = q_head * group, block = 0, used_head = head, used_block = 0;
        for (int load = 0; load <= steps; load++) {
            if (load > 0) sync();
            if (load < steps) {
                const int64_t at = state_offset(&a, sequence, index, head, program_x * WIDTH_K, block * WIDTH_V);
                const int64_t rows_k = a.K - program_x * WIDTH_K, cols_v = a.V - block * WIDTH_V;
                const int matrix_head = of_q ? head : head * (int)a.v_heads / (int)a.heads;
                TILE_VIEW(matrix, matrices, load % 2 * ROWS, 0, ROWS, WIDTH_V);
                TILE_VIEW(S, states, load % 2 * WIDTH_K, 0, WIDTH_K, WIDTH_V);
                TILE_VIEW(dS, gradients, load % 2 * WIDTH_K, 0, WIDTH_K, WIDTH_V);
                MATRIX_VIEW(decay, decays, load % 2 * 3, 0, 2, ROWS);
                MATRIX_VIEW(of_other, decays, load % 2 * 3 + 2, 0, 1, ROWS);
                tile_load_block(matrix, of_q ? a.do_ : a.v, a.V, rows, matrix_head, block);
                tile_load(S, (const element *)(of_q ? a.state : a.dstate) + at, a.V, rows_k, cols_v);
                if (passes) tile_load(dS, (const element *)a.dstate + at, a.V, rows_k, cols_v);
                matrix_load(decay, decays_of(&a, sequence, index, head) + UPTO * ROWS, ROWS, 2, ROWS);
                if (paired) matrix_load(of_other, decays_of(&a, sequence, other, head) + UPTO * ROWS, ROWS, 1, ROWS);
                block = block + 1 < blocks ? block + 1 : 0;
                head += block == 0;
            }
            if (load == 0) continue;
            TILE_VIEW(matrix, matrices, (load - 1) % 2 * ROWS, 0, ROWS, WIDTH_V);
            TILE_VIEW(S, states, (load - 1) % 2 * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            TILE_VIEW(dS, gradients, (load - 1) % 2 * WIDTH_K, 0, WIDTH_K, WIDTH_V);
            MATRIX_VIEW(decay, decays, (load - 1) % 2 * 3, 0, 3, ROWS);
            if (used_block == 0) {
                accumulator_zero(of_head);
                through = 0;
            }
            mma_nt(of_head, matrix, S);
            if (passes) tile_dot(through, S, dS);
            used_block = used_block + 1 < blocks ? used_block + 1 : 0;
            if (used_block > 0) continue;
            /* The state also decays over the span's other chunk if that chunk comes before q's or after k's. */
            const float passed = paired && of_q == follows(index) ? ENTRY(decay, 2, ROWS - 1) : 1.0f;
            const float scale = of_q ? a.scale * passed : passed;
            MAP(of_head, i, d, x, x *= scale * ENTRY(decay, !of_q, i); PEER(gradient, i, d) += x; x *= AT(own, i, d));
            if (!a.parts) continue;
            if (passes) PROGRAM_SUM(through);
            row_sum(sums, of_head);
            sync();
            float *parts = parts_of(&a, sequence, index, used_head++);
            float *to = of_q ? reads_of(parts, program_x) : writes_of(parts, program_x);
            const float last = passes ? ENTRY(decay, 0, ROWS - 1) * passed * through : 0.0f;
            EACH (i, ROWS) to[i] = sums[i] + (i == ROWS - 1 ? last : 0.0f);
        }
        /* The products of the chunk with itself, then (n = 1) those with the span's other chunk. */
        const int products = of_q ? 1 + follows(index) : 1 + followed(&a, index);
        for (int n = 0; n < products; n++) {
            const int64_t at = products_offset(&a, sequence, n == 0 || of_q ? index : other, q_head);
            const Rows token_rows = n == 0 ? rows : other_rows;
            TILE_VIEW(dP, matrices, 0, 0, ROWS, ROWS);
            TILE_VIEW(factor, states, 0, 0, ROWS, WIDTH_K);
            sync();
            tile_load_f32(dP, (n == 0 ? a.dproducts : a.dcrossing) + at, ROWS, ROWS, ROWS);
            tile_load_block(factor, of_q ? a.k : a.q, a.K, token_rows, of_q ? k_head : q_head, program_x);
            sync();
            if (of_q)
                mma_nn(gradient, dP, factor);
            else
                mma_tn(gradient, dP, factor);
        }
        sync();
    }
    accumulator_store_block(gradient, of_q ? a.dq : a.dk, a.K, rows, of_q ? first : k_head, program_x);
}

/* Computes the gradients of the gates from their parts. Program: span, sequence and block of heads. Each column of the
 * matrices is a head; their odd length puts rows into different banks. */
KERNEL(chunk_simple_gla_dg, ChunkSimpleGlaArguments) {
    enum { HEADS = CHUNK_SIMPLE_GLA_HEADS, SPAN_ROWS = SPAN * ROWS };
    MATRIX(from, SPAN_ROWS, HEADS + 1);     /* the sums over the rows from this one on */
    MATRIX(before, SPAN_ROWS, HEADS + 1);   /* the sums over the rows before it */
    MATRIX(scaled, SPAN_ROWS, HEADS + 1);   /* the gradient of s */
    MATRIX(diagonal, SPAN_ROWS, HEADS + 1); /* that of skip */
    const Rows rows = rows_of_chunk(a.T, SPAN_ROWS, program_y, program_x);
    const int64_t first = program_z * HEADS, blocks = blocks_of(a.K, WIDTH_K);
    const int heads = (int)(a.heads - first < HEADS ? a.heads - first : HEADS);
    EACH_PAIR(n, t, HEADS, SPAN_ROWS) {
        const int64_t index = program_x * SPAN + t / ROWS;
        const int i = t % ROWS;
        float read = 0, written = 0, of_columns = 0, of_diagonal = 0;
        if (n < heads && index < a.chunks) {
            float *parts = parts_of(&a, program_y, index, first + n);
            of_columns = parts[OF_COLUMNS * ROWS + i];
            of_diagonal = parts[DIAGONAL * ROWS + i];
            if (followed(&a, index)) of_columns += parts[CROSS_COLUMNS * ROWS + i];
            read = parts[OF_ROWS * ROWS + i] - of_columns;
            if (follows(index)) read += parts[CROSS_ROWS * ROWS + i];
            for (int64_t block = 0; block < blocks; block++) {
                read += reads_of(parts, block)[i];
                written += writes_of(parts, block)[i];
            }
        }
        ENTRY(from, t, n) = read;
        ENTRY(before, t, n) = written;
        ENTRY(scaled, t, n) = written + of_columns;
        ENTRY(diagonal, t, n) = of_diagonal;
    }
    sync();
    BLOCK_WALK(x, 0.0f, walk, 3, n, HEADS, t, SPAN_ROWS, {
        const int i = SPAN_ROWS - 1 - t;
        const float written = ENTRY(before, t, n);
        if (walk == 0) ENTRY(from, i, n) = x += ENTRY(from, i, n);
        if (walk == 1) {
            ENTRY(before, t, n) = x;
            x += written;
        }
        if (walk == 2) x += ENTRY(diagonal, t, n);
        if (walk == 2 && a.dskip && t == SPAN_ROWS - 1 && n < heads)
            a.dskip[(program_y * spans_of(&a) + program_x) * a.heads + first + n] = x;
    });
    sync();
    EACH_PAIR(t, n, SPAN_ROWS, HEADS) {
        if (t < rows.count && n < heads) {
            const int64_t row = rows.first + t, head = first + n, index = program_x * SPAN + t / ROWS;
            const float *P = a.products + products_offset(&a, program_y, index, head * a.q_heads / a.heads);
            if (a.dg) a.dg[row * a.g_stride + head] = ENTRY(from, t, n) + ENTRY(before, t, n);
            if (a.ds)
                a.ds[row * a.s_stride + head] = ENTRY(scaled, t, n) + ENTRY(diagonal, t, n) *
                                                                          exp_f(a.s[row * a.s_stride + head]) *
                                                                          P[t % ROWS * (ROWS + 1)];
        }
    }
}
