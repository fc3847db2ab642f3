/* Finds the known key that is most similar to an unknown one. */
#include <string.h>

#include "config/keys.h"

enum { LONGEST = 64 };

static char folded(char c) {
    if (c >= 'A' && c <= 'Z') return (char)(c - 'A' + 'a');
    return c == '-' || c == '.' ? '_' : c;
}

static int least(int a, int b) { return a < b ? a : b; }

/* Dynamic programming over prefixes; only three rows of the table are kept. */
int edit_distance(const char *a, const char *b) {
    const int m = (int)strnlen(a, LONGEST + 1), n = (int)strnlen(b, LONGEST + 1);
    if (m > LONGEST || n > LONGEST) return 2 * LONGEST;
    int rows[3][LONGEST + 1];
    for (int j = 0; j <= n; j++) rows[0][j] = j;
    for (int i = 1; i <= m; i++) {
        int *now = rows[i % 3];
        const int *before = rows[(i + 2) % 3], *before_that = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= n; j++) {
            const int replaced = before[j - 1] + (folded(a[i - 1]) != folded(b[j - 1]));
            now[j] = least(replaced, least(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) && folded(a[i - 2]) == folded(b[j - 1]))
                now[j] = least(now[j], before_that[j - 2] + 1);
        }
    }
    return rows[m % 3][n];
}

const char *keys_nearest(const KeyTable *tables, int count, const char *name) {
    const char *nearest = NULL;
    const size_t length = strnlen(name, LONGEST);
    int best = length < 4 ? 2 : 2 + (int)length / 4; /* smaller distances count as near */
    for (int t = 0; t < count; t++)
        for (int k = 0; k < tables[t].count; k++) {
            if (!key_has_field(&tables[t].keys[k])) continue;
            const char *known = tables[t].keys[k].name;
            /* A prefix or suffix of at least 4 characters is near too: warmup for warmup_steps. */
            const size_t known_length = strlen(known);
            const bool part = length >= 4 && known_length > length &&
                              (strncmp(known, name, length) == 0 || strcmp(known + known_length - length, name) == 0);
            const int distance = least(edit_distance(name, known), part ? 2 : 2 * LONGEST);
            if (distance >= best) continue;
            best = distance;
            nearest = known;
        }
    return nearest;
}
