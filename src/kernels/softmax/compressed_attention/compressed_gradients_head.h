/* All gradients of compressed_attention, for the CPU (grouped_gradients.h); part of compressed_head.h. Program: part,
 * key head, sequence. */
COMPRESSED_KERNEL(compressed_gradients) {
    GROUPED_GRADIENT_TILES(GROUPED_TILE);

    const GroupedArguments g = a.grouped;
    const int64_t kv_head = program_y, sequence = program_z;
    const KeySums sums = sums_of_keys(&g, a.partial, a.parts, a.B * a.rows);
    const Heads dk_sums = part_of_sums(sums, DK, program_x), dv_sums = part_of_sums(sums, DV, program_x);
    const float exponent_scale = g.scale * LOG2_E;

    if (ON_GPU) return;
    zero_sums(dk_sums, g.head_dim, sequence * a.rows, a.rows, kv_head);
    zero_sums(dv_sums, g.head_dim, sequence * a.rows, a.rows, kv_head);
    for (int64_t m0 = program_x * ROWS; m0 < g.T * g.group; m0 += a.parts * ROWS) {
        const GroupedRows rows = grouped_rows(&g, sequence, kv_head, m0);
        const SeenRows seen =
            rows_between(&a, sequence, token_of_row(rows, rows.m0), token_of_row(rows, row_inside(rows, ROWS - 1)));
        load_gradient_rows(rows, sums_of_rows_at(&g, sequence, kv_head));
        for (int r0 = seen.first; r0 < seen.end; r0 += GROUPED_TILE) {
            const Rows keys = {sequence * a.rows + r0, a.rows - r0};
            load_gradient_keys(keys, dk_sums, dv_sums);
            EACH_BAND(b, BAND, rows_inside(rows, ROWS)) {
                const GroupedRows band = band_of_rows(rows, b * BAND);
                const SeenRows seen_now = seen_by_band(&a, sequence, band);
                if (sees_of_tile(seen_now, r0))
                    add_band_gradients(b, exponent_scale, mask_blocks(p, band, seen_now, r0));
            }
            store_gradient_keys(keys, dk_sums, dv_sums);
        }
        MAP(dq, i, j, x, x *= g.scale);
        if (g.dq.data) store_rows(dq, q, g.dq, g.head_dim, rows);
    }
}
