#define _GNU_SOURCE
#include "tile/emulator_memory.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

enum { PAGE = 4096, ALIGNMENT = 16, POISON = 0xff /* a NaN, as bf16 and as fp32 */ };

/* An inaccessible page, `pages` bytes that may be accessed, and another inaccessible page. */
typedef struct Array {
    unsigned char *data, *first_page;
    int64_t bytes, pages;
    struct Array *next;
} Array;

static struct {
    Array *arrays;
    bool guard_starts;
    const char *kernel;      /* that is running */
    struct sigaction before; /* the handler of faults before the kernel */
} memory;

static int64_t whole(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

static int64_t bytes_before(const Array *array) { return array->data - array->first_page; }
static int64_t bytes_after(const Array *array) { return array->pages - array->bytes - bytes_before(array); }

/* Reports which array lies next to the address. The access then faults again, which ends the process. */
static void report_touch(int number, siginfo_t *info, void *context) {
    (void)context;
    const unsigned char *const address = info->si_addr;
    for (const Array *array = memory.arrays; array; array = array->next) {
        const ptrdiff_t at = address - array->data;
        if (address < array->first_page - PAGE || address >= array->first_page + array->pages + PAGE) continue;
        fprintf(stderr, "%s touches memory %lld bytes %s of an array of %lld bytes\n", memory.kernel,
                (long long)(at < 0 ? -at : at - array->bytes), at < 0 ? "before the start" : "after the end",
                (long long)array->bytes);
    }
    signal(number, SIG_DFL);
}

void emulator_guard_starts(bool starts) { memory.guard_starts = starts; }

void *emulator_allocate(int64_t bytes) {
    Array *array = malloc(sizeof *array);
    const int64_t pages = whole(bytes > 0 ? bytes : 1, PAGE);
    unsigned char *all = mmap(NULL, (size_t)(pages + 2 * PAGE), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!array || all == MAP_FAILED || mprotect(all + PAGE, (size_t)pages, PROT_READ | PROT_WRITE) != 0) {
        free(array);
        return NULL;
    }
    const int64_t before = memory.guard_starts ? 0 : pages - whole(bytes, ALIGNMENT);
    *array = (Array){all + PAGE + before, all + PAGE, bytes, pages, memory.arrays};
    memory.arrays = array;
    memset(array->first_page, POISON, (size_t)bytes_before(array));
    memset(array->data + bytes, POISON, (size_t)bytes_after(array));
    return array->data;
}

void emulator_release(void *data) {
    Array **link = &memory.arrays;
    while (*link && (*link)->data != data) link = &(*link)->next;
    Array *array = *link;
    CHECK(array, "released memory that is no array of the emulator");
    *link = array->next;
    CHECK(munmap(array->first_page - PAGE, (size_t)(array->pages + 2 * PAGE)) == 0, "an array cannot be released");
    free(array);
}

void emulator_memory_lend(const char *kernel) {
    const struct sigaction action = {.sa_sigaction = report_touch, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, &memory.before) == 0, "no handler for touches of the emulator's guards");
    memory.kernel = kernel;
}

static bool is_poison(const unsigned char *from, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i++)
        if (from[i] != POISON) return false;
    return true;
}

void emulator_memory_take_back(void) {
    sigaction(SIGSEGV, &memory.before, NULL);
    for (const Array *array = memory.arrays; array; array = array->next) {
        CHECK(is_poison(array->first_page, bytes_before(array)), "%s writes before the start of an array of %lld bytes",
              memory.kernel, (long long)array->bytes);
        CHECK(is_poison(array->data + array->bytes, bytes_after(array)),
              "%s writes after the end of an array of %lld bytes", memory.kernel, (long long)array->bytes);
    }
}
