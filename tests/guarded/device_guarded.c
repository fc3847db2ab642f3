/* The CPU with the rules of a GPU: the host cannot access device memory, and a copy to the host arrives as late as is
 * allowed. It shows that a program never reads or writes device memory itself, and never uses a result before it has
 * waited for it.
 *
 *   memory       one mapping without any access, accessible only while a function of the device runs; any other
 *                access is a SIGSEGV, after a message
 *   to the host  the bytes are taken at the copy, the host's memory is filled with NaN, and they arrive at the wait
 *   to the device the host must not change what it sends before the wait: compared there
 *
 * Linked with --wrap=device_cpu: a whole program computes on this device wherever it asks for the CPU. */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "core/device.h"

const Device *__real_device_cpu(void);
const Device *__wrap_device_cpu(void);

enum { ALIGNMENT = 4096, COPIES = 4096 };
static const int64_t RESERVED = INT64_C(64) << 30; /* bytes of address space */

typedef struct Block {
    int64_t offset, bytes;
    struct Block *next; /* in the order of their addresses */
} Block;

/* A copy from or to the host's memory that the program has not waited for. */
typedef struct PendingCopy {
    unsigned char *host, *bytes; /* bytes: a copy of the data */
    int64_t stride, rows, row_bytes;
    bool to_host;
} PendingCopy;

static struct {
    unsigned char *base;
    Block *blocks;
    int64_t end; /* offset of the end of the last block */
    PendingCopy copy[COPIES];
    int64_t first, count; /* copies [first, count) are pending */
} guarded;

static const Device *cpu(void) { return __real_device_cpu(); }

static bool is_guarded(const void *memory) {
    const ptrdiff_t offset = (const unsigned char *)memory - guarded.base;
    return guarded.base && offset >= 0 && offset < RESERVED;
}

static void report_touch(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    static const char message[] = "guarded device: the host has touched the device's memory\n";
    if (is_guarded(info->si_addr) && write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(70);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void reserve(void) {
    if (guarded.base) return;
    void *memory = mmap(NULL, (size_t)RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED, "no addresses for the guarded device");
    guarded.base = memory;
    const struct sigaction action = {.sa_sigaction = report_touch, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
}

static void set_access(int access) {
    if (guarded.end > 0)
        CHECK(mprotect(guarded.base, (size_t)guarded.end, access) == 0, "guarded memory cannot be opened or closed");
}
static void open_memory(void) { set_access(PROT_READ | PROT_WRITE); }
static void close_memory(void) { set_access(PROT_NONE); }

/* Allocates from the first gap that is large enough. */
static void *guarded_allocate(int64_t bytes) {
    reserve();
    const int64_t size = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    Block **link = &guarded.blocks, *block = malloc(sizeof *block);
    CHECK(block, "out of memory");
    int64_t offset = 0;
    for (; *link && (*link)->offset - offset < size; link = &(*link)->next) offset = (*link)->offset + (*link)->bytes;
    if (offset + size > RESERVED) {
        free(block);
        return NULL;
    }
    *block = (Block){offset, size, *link};
    *link = block;
    if (offset + size > guarded.end) guarded.end = offset + size;
    open_memory();
    memset(guarded.base + offset, 0, (size_t)size);
    close_memory();
    return guarded.base + offset;
}

static void guarded_release(void *memory, int64_t bytes) {
    Block **link = &guarded.blocks;
    while (*link && guarded.base + (*link)->offset != (unsigned char *)memory) link = &(*link)->next;
    Block *block = *link;
    CHECK(block && bytes <= block->bytes && bytes > block->bytes - ALIGNMENT,
          "released memory that the guarded device did not allocate, or another size than it allocated");
    *link = block->next;
    free(block);
    guarded.end = 0;
    for (block = guarded.blocks; block; block = block->next) guarded.end = block->offset + block->bytes;
}

static void *guarded_allocate_host(int64_t bytes) { return cpu()->allocate(bytes); }
static void guarded_release_host(void *memory, int64_t bytes) { cpu()->release(memory, bytes); }
static int64_t guarded_available(int sharers) { return cpu()->available(sharers); }
static uint64_t guarded_identity(void) { return 0; }

/* Completes the copies [first, end). */
static void deliver(int64_t end) {
    for (; guarded.first < end; guarded.first++) {
        PendingCopy *copy = &guarded.copy[guarded.first % COPIES];
        for (int64_t row = 0; row < copy->rows; row++) {
            unsigned char *host = copy->host + row * copy->stride, *bytes = copy->bytes + row * copy->row_bytes;
            if (copy->to_host)
                memcpy(host, bytes, (size_t)copy->row_bytes);
            else
                CHECK(memcmp(host, bytes, (size_t)copy->row_bytes) == 0,
                      "the host has changed the source of a copy before it waited for the copy");
        }
        free(copy->bytes);
    }
}

/* Records a copy between `host` and `device`, which is accessible now. */
static void add_pending(void *host, int64_t stride, const void *from, int64_t from_stride, int64_t rows, int64_t bytes,
                        bool to_host) {
    if (guarded.count - guarded.first == COPIES) deliver(guarded.first + 1);
    PendingCopy *copy = &guarded.copy[guarded.count++ % COPIES];
    *copy = (PendingCopy){host, malloc((size_t)(rows * bytes) + 1), stride, rows, bytes, to_host};
    CHECK(copy->bytes, "out of memory");
    for (int64_t row = 0; row < rows; row++) {
        memcpy(copy->bytes + row * bytes, (const unsigned char *)from + row * from_stride, (size_t)bytes);
        if (to_host) memset((unsigned char *)host + row * stride, 0xff, (size_t)bytes);
    }
}

static void guarded_fill(void *to, int value, int64_t rows, int64_t bytes, int64_t stride) {
    CHECK(is_guarded(to), "a fill of the host's memory");
    open_memory();
    cpu()->fill(to, value, rows, bytes, stride);
    close_memory();
}

static void guarded_copy(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows,
                         int64_t bytes) {
    CHECK(is_guarded(to) || is_guarded(from), "a copy from the host to the host");
    open_memory();
    if (!is_guarded(to)) {
        add_pending(to, to_stride, from, from_stride, rows, bytes, true);
    } else {
        cpu()->copy(to, to_stride, from, from_stride, rows, bytes);
        if (!is_guarded(from)) add_pending((void *)from, from_stride, from, from_stride, rows, bytes, false);
    }
    close_memory();
}

static void guarded_gemm(const Gemm *gemm) {
    CHECK(is_guarded(gemm->a) && is_guarded(gemm->b) && is_guarded(gemm->c), "a product of the host's memory");
    open_memory();
    cpu()->gemm(gemm);
    close_memory();
}

static void guarded_launch(Kernel kernel, DType type, Grid grid, const void *arguments) {
    open_memory();
    cpu()->launch(kernel, type, grid, arguments);
    close_memory();
}

static void guarded_synchronize(void) { deliver(guarded.count); }

const Device *__wrap_device_cpu(void) {
    static const Device device = {.name = "guarded",
                                  .computes = true,
                                  .allocate = guarded_allocate,
                                  .release = guarded_release,
                                  .allocate_host = guarded_allocate_host,
                                  .release_host = guarded_release_host,
                                  .available = guarded_available,
                                  .identity = guarded_identity,
                                  .fill = guarded_fill,
                                  .copy = guarded_copy,
                                  .gemm = guarded_gemm,
                                  .launch = guarded_launch,
                                  .synchronize = guarded_synchronize};
    return &device;
}
