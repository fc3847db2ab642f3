/* Numbers as text, the same in every locale: always a point, decimal only. */
#ifndef FLAME_BASE_NUMBER_H
#define FLAME_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

enum { NUMBER_TEXT = 40 };

/* -?(0|[1-9][0-9]*): no octal, no hexadecimal, no plus, no separators. */
bool number_is_integer(const char *text);
/* The same with at least one of a fraction and an exponent; ".5" and "5." are fine. */
bool number_is_real(const char *text);
/* False if the integer does not fit. */
bool number_to_integer(const char *text, int64_t *value);
/* Nearest double; infinite if the number is too large. */
double number_to_real(const char *text);
/* As few digits as read back as the same double; "inf", "-inf" or "nan" for the others. Returns `text`. */
char *number_format(double value, char text[NUMBER_TEXT]);

#endif
