#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_digits(const char *text) {
    while (*text >= '0' && *text <= '9') text++;
    return text;
}

bool number_is_integer(const char *text) {
    if (*text == '-') text++;
    const char *end = skip_digits(text);
    return end > text && *end == 0 && (*text != '0' || end == text + 1);
}

bool number_is_real(const char *text) {
    if (*text == '-') text++;
    const char *whole_end = skip_digits(text), *end = whole_end;
    if (*text == '0' && whole_end > text + 1) return false;
    bool digits = whole_end > text, real = false;
    if (*end == '.') {
        const char *fraction = end + 1;
        end = skip_digits(fraction);
        digits = digits || end > fraction;
        real = true;
    }
    if (digits && (*end == 'e' || *end == 'E')) {
        const char *exponent = end + 1;
        if (*exponent == '+' || *exponent == '-') exponent++;
        end = skip_digits(exponent);
        if (end == exponent) return false;
        real = true;
    }
    return digits && real && *end == 0;
}

bool number_to_integer(const char *text, int64_t *value) {
    errno = 0;
    const long long integer = strtoll(text, NULL, 10);
    if (errno == ERANGE) return false;
    *value = integer;
    return true;
}

/* strtod and printf follow the locale, which a library may have set to one with a decimal comma. */
static locale_t enter_c_locale(locale_t *mine) {
    *mine = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return *mine ? uselocale(*mine) : (locale_t)0;
}

static void leave_c_locale(locale_t mine, locale_t before) {
    if (!mine) return;
    uselocale(before);
    freelocale(mine);
}

double number_to_real(const char *text) {
    locale_t mine, before = enter_c_locale(&mine);
    const double value = strtod(text, NULL);
    leave_c_locale(mine, before);
    return value;
}

char *number_format(double value, char text[NUMBER_TEXT]) {
    if (!isfinite(value)) return strcpy(text, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    locale_t mine, before = enter_c_locale(&mine);
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, NUMBER_TEXT, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    leave_c_locale(mine, before);
    return text;
}
