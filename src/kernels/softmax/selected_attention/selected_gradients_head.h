/* All gradients of selected_attention, for the CPU (grouped_gradients.h); part of selected_head.h. Program: part, key
 * head, sequence. */
SELECTED_KERNEL(selected_gradients) {
    GROUPED_GRADIENT_TILES(SELECTED_TILE);

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
        SelectedTiles now = selected_tiles(&a, sequence, kv_head, token_of_row(rows, rows.m0),
                                           token_of_row(rows, row_inside(rows, ROWS - 1)));
        load_gradient_rows(rows, sums_of_rows_at(&g, sequence, kv_head));
        while (to_next_tile(&now, &a)) {
            const Rows keys = {now.keys + now.s0, now.end - now.s0};
            load_gradient_keys(keys, dk_sums, dv_sums);
            EACH_BAND(b, BAND, rows_inside(rows, ROWS)) {
                const GroupedRows band = band_of_rows(rows, b * BAND);
                const int seen = keys_seen_by_band(&now, &a, band);
                if (seen > 0)
                    add_band_gradients(b, exponent_scale, if (seen < SELECTED_TILE) mask_selected(p, band, now));
            }
            store_gradient_keys(keys, dk_sums, dv_sums);
        }
        MAP(dq, i, j, x, x *= g.scale);
        if (g.dq.data) store_rows(dq, q, g.dq, g.head_dim, rows);
    }
}
