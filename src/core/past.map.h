/* Documents of tokens that earlier calls have read. */
#include "tile/tile.h"
#include "core/past.h"

KERNEL(past_tokens, PastTokensArguments) {
    const int64_t all = a.past + a.T, first = program_x * PAST_TOKENS, rest = all - first;
    const int32_t *const segment = a.segment + program_y * a.T, *const position = a.position + program_y * a.T;
    EACH (i, rest < PAST_TOKENS ? rest : PAST_TOKENS) {
        const int64_t at = first + i, back = a.past - at, to = program_y * all + at;
        const bool is_new = back <= 0, same = is_new || back <= position[0];
        a.all_segments[to] = is_new ? segment[-back] : same ? segment[0] : -1;
        a.all_positions[to] = (int32_t)(is_new ? position[-back] : same ? position[0] - back : at);
    }
}
