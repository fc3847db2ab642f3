/* Parses and formats decimal numbers, with a decimal point in every locale. */
#ifndef FLAME_BASE_NUMBER_H
#define FLAME_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

enum { NUMBER_TEXT = 40 };

/* -?(0|[1-9][0-9]*): no octal, no hexadecimal, no plus, no separators. */
bool number_is_integer(const char *text);
/* The same with a fraction, an exponent or both; ".5" and "5." are valid too. */
bool number_is_real(const char *text);
/* Converts a text that number_is_integer accepts. False if it does not fit into 64 bits. */
bool number_to_integer(const char *text, int64_t *value);
/* The nearest double; infinite if the number is too large. */
double number_to_real(const char *text);
/* Formats with the fewest digits that read back as the same double; "inf", "-inf" or "nan"
 * if it is not finite. Returns `text`. */
char *number_format(double value, char text[NUMBER_TEXT]);

#endif
