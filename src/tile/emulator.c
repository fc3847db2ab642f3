/* The emulator, for tests: the 128 threads of a program are fibers on one host thread. Each warp runs up to its next
 * barrier before another warp starts, in random order, so that a missing barrier shows in the results: a reader that
 * runs too early sees NaN (the initial value of shared memory) or old values, one that runs too late sees newer values.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "base/check.h"
#include "base/dtype.h"
#include "tile/emulator.h"
#include "tile/emulator_memory.h"

enum {
    THREADS = 128,
    LANES = 32,
    WARPS = THREADS / LANES,
    STACK_BYTES = (128 << 10) + 3 * 64, /* the 3 * 64 keep the stacks out of the same cache sets */
    COPY_BYTES = 16,
#if defined(EMULATES_F32)
    SHARED_BYTES = 512 << 10, /* more than a GPU has, so that the widest heads in fp32 are tested too */
#else
    SHARED_BYTES = 227 << 10, /* what one program may use on sm_90 */
#endif
    GUARD_BYTES = 64,
    LINE_BYTES = 64, /* the piece of shared memory that check_writes compares at once */
    SHARED_BLOCKS = 64,
    COPIES = 512, /* the most that one thread may start between two waits */
    SHARED_SIZE = SHARED_BYTES + SHARED_BLOCKS * 2 * GUARD_BYTES,
    POISON = 0xff /* a NaN, as bf16 and as fp32 */
};

typedef enum State { READY, AT_WARP_BARRIER, AT_BARRIER, DONE } State;

typedef struct Fiber {
    void *context[5]; /* of __builtin_setjmp */
    State state;
    const char *file; /* the source line of the barrier at which it waits */
    int line, shared_blocks;
    unsigned exchanges; /* parity: which of the warp's two mailboxes is in use */
} Fiber;

typedef struct SharedBlock {
    const char *name;
    int64_t offset, entry_size;
    int rows, cols, stride;
} SharedBlock;

typedef struct Copy {
    void *to;
    const void *from;
    int bytes, stage;
} Copy;

typedef float ProductRow __attribute__((vector_size(8 * sizeof(float))));

/* What the lanes of a warp pass to each other. A warp has two mailboxes and uses them in turn, so that one barrier per
 * exchange is enough. */
typedef struct Mailbox {
    float a[16][16];
    ProductRow b[16], product[16];
    int arrived; /* how many lanes have put their operands here */
    const void *row[LANES];
    float value[LANES];
} Mailbox;

int emulator_thread;

static struct {
    Fiber fiber[THREADS];
    void *scheduler[5];
    ucontext_t start, born;
    bool fibers_exist;
    uint64_t seed, random;
    unsigned char *shared, *before; /* before: a copy from when the running warp began to run */
    unsigned char *writer;          /* of each byte, the warp + 1 that has changed it since the last barrier, or 0 */
    SharedBlock block[SHARED_BLOCKS];
    int blocks;
    Mailbox mail[WARPS][2];
    float scratch[WARPS];
    Copy copy[THREADS][COPIES]; /* started, not yet done */
    int copies[THREADS], stage[THREADS];
    const char *kernel;
    EmulatorProgram *program;
    const void *arguments;
    int64_t x, y, z;
} machine;

/* The context switch. It takes two functions, because __builtin_longjmp must not be called in the function that called
 * its setjmp. */
static __attribute__((noinline)) void resume(void **context) { __builtin_longjmp(context, 1); }
static void leave_and_resume(void **from, void **to) {
    if (__builtin_setjmp(from) == 0) resume(to);
}
/* Called through a volatile pointer, so that the compiler saves all caller-saved registers. */
static void (*volatile switch_context)(void **from, void **to) = leave_and_resume;

static uint32_t random_below(uint32_t n) {
    machine.random = machine.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(machine.random >> 33) % n;
}

/* order = a random permutation of 0 .. n - 1, n a power of two: one of the n / 2 * n that step by the same odd number
 * each time. */
static void shuffle(int *order, int n) {
    const uint32_t random = random_below(1u << 30), step = random | 1, first = random >> 15;
    for (int i = 0; i < n; i++) order[i] = (int)((first + (uint32_t)i * step) % (uint32_t)n);
}

static void wait_until_ready(State state) {
    Fiber *fiber = &machine.fiber[emulator_thread];
    fiber->state = state;
    switch_context(fiber->context, machine.scheduler);
}

const void *emulator_aligned(const void *address, int bytes) {
    CHECK((uintptr_t)address % (uintptr_t)bytes == 0, "%s accesses %d bytes at an address that is no multiple of that",
          machine.kernel, bytes);
    return address;
}

const void *emulator_global(const void *address, int bytes) {
    const unsigned char *byte = address;
    CHECK(byte < machine.shared || byte >= machine.shared + SHARED_SIZE,
          "%s accesses shared memory with an instruction for global memory", machine.kernel);
    return emulator_aligned(address, bytes);
}

static void copy_now(Copy copy) {
    memset(copy.to, 0, COPY_BYTES);
    if (copy.bytes) memcpy(copy.to, copy.from, (size_t)copy.bytes);
}

/* Half of the copies complete at once, the others as late as possible: a kernel must work with either. */
void emulator_copy_start(void *to, const void *from, int bytes) {
    const Copy copy = {(void *)emulator_aligned(to, COPY_BYTES), emulator_aligned(from, COPY_BYTES), bytes,
                       machine.stage[emulator_thread]};
    CHECK(bytes >= 0 && bytes <= COPY_BYTES, "%s copies %d bytes", machine.kernel, bytes);
    if (random_below(2) == 0) {
        copy_now(copy);
        return;
    }
    CHECK(machine.copies[emulator_thread] < COPIES, "%s starts too many copies before it waits", machine.kernel);
    machine.copy[emulator_thread][machine.copies[emulator_thread]++] = copy;
}

void emulator_copy_commit(void) { machine.stage[emulator_thread]++; }

void emulator_copy_wait_for(int stages) {
    const int last = machine.stage[emulator_thread] - stages; /* the first stage that may be unfinished */
    int left = 0;
    for (int i = 0; i < machine.copies[emulator_thread]; i++) {
        const Copy copy = machine.copy[emulator_thread][i];
        if (copy.stage < last || stages == 0)
            copy_now(copy);
        else
            machine.copy[emulator_thread][left++] = copy;
    }
    machine.copies[emulator_thread] = left;
}

void emulator_sync(int stages, const char *file, int line) {
    emulator_copy_wait_for(stages);
    machine.fiber[emulator_thread].file = file;
    machine.fiber[emulator_thread].line = line;
    wait_until_ready(AT_BARRIER);
}

static Mailbox *next_mailbox(void) {
    return &machine.mail[emulator_thread / LANES][machine.fiber[emulator_thread].exchanges++ % 2];
}

float emulator_shuffle(float x, int lane) {
    Mailbox *mail = next_mailbox();
    mail->value[emulator_thread % LANES] = x;
    wait_until_ready(AT_WARP_BARRIER);
    return mail->value[lane & (LANES - 1)];
}

static float low_half(uint32_t pair) { return bf16_to_float((bf16)pair); }
static float high_half(uint32_t pair) { return bf16_to_float((bf16)(pair >> 16)); }

static void multiply(Mailbox *mail) {
    for (int i = 0; i < 16; i++) {
        mail->product[i] = (ProductRow){0};
        for (int k = 0; k < 16; k++) mail->product[i] += mail->a[i][k] * mail->b[k];
    }
}

/* The lane that arrives last computes the product for all. */
void emulator_mma(float *d, const uint32_t *a, const uint32_t *b) {
    const int lane = emulator_thread % LANES, row = lane / 4, pair = lane % 4 * 2;
    Mailbox *mail = next_mailbox();
    for (int part = 0; part < 4; part++) {
        float *entries = &mail->a[row + part % 2 * 8][pair + part / 2 * 8];
        entries[0] = low_half(a[part]);
        entries[1] = high_half(a[part]);
    }
    for (int part = 0; part < 2; part++) {
        mail->b[pair + part * 8][row] = low_half(b[part]);
        mail->b[pair + part * 8 + 1][row] = high_half(b[part]);
    }
    if (++mail->arrived == LANES) {
        multiply(mail);
        mail->arrived = 0;
    }
    wait_until_ready(AT_WARP_BARRIER);
    for (int entry = 0; entry < 4; entry++) d[entry] += mail->product[row + entry / 2 * 8][pair + entry % 2];
}

void emulator_matrix_read(uint32_t *x, const void *row, int transposed) {
    const int lane = emulator_thread % LANES;
    Mailbox *mail = next_mailbox();
    mail->row[lane] = emulator_aligned(row, 16);
    wait_until_ready(AT_WARP_BARRIER);
    for (int matrix = 0; matrix < 4; matrix++) {
        const bf16 *const *rows = (const bf16 *const *)&mail->row[matrix * 8];
        const int along = lane / 4, pair = lane % 4 * 2;
        const bf16 low = transposed ? rows[pair][along] : rows[along][pair];
        const bf16 high = transposed ? rows[pair + 1][along] : rows[along][pair + 1];
        x[matrix] = (uint32_t)low | (uint32_t)high << 16;
    }
}

float *emulator_scratch(void) { return machine.scratch; }

/* The n-th declaration in every thread is the same block, which the first thread to arrive creates. */
void *emulator_shared_memory(const char *name, int64_t entry_size, int rows, int cols, int stride) {
    const int n = machine.fiber[emulator_thread].shared_blocks++;
    CHECK(n < SHARED_BLOCKS, "%s declares too many tiles, or declares one in a loop", machine.kernel);
    SharedBlock *block = &machine.block[n];
    if (n == machine.blocks) {
        int64_t offset = 0;
        if (n > 0) {
            const int64_t bytes = block[-1].entry_size * block[-1].rows * block[-1].stride;
            offset = (block[-1].offset + bytes + GUARD_BYTES + 15) & ~(int64_t)15;
        }
        *block = (SharedBlock){name, offset, entry_size, rows, cols, stride};
        machine.blocks++;
        const int64_t end = offset + entry_size * rows * stride - (int64_t)n * GUARD_BYTES;
        CHECK(end <= SHARED_BYTES, "the tiles of %s need more than %d bytes", machine.kernel, SHARED_BYTES);
    }
    CHECK(strcmp(block->name, name) == 0 && block->rows == rows && block->stride == stride,
          "the threads of %s declare their tiles in different orders (%s, %s)", machine.kernel, block->name, name);
    return machine.shared + block->offset;
}

static int64_t shared_end(void) {
    if (machine.blocks == 0) return 0;
    const SharedBlock *last = &machine.block[machine.blocks - 1];
    return last->offset + last->entry_size * last->rows * last->stride + GUARD_BYTES;
}

static const char *shared_name(int64_t byte) {
    int n = machine.blocks - 1;
    while (n > 0 && machine.block[n].offset > byte) n--;
    return machine.block[n].name;
}

/* Two warps must not write to the same place between two barriers, because the result would depend on their order. */
static void check_writes(int warp) {
    const int64_t end = shared_end();
    for (int64_t line = 0; line < end; line += LINE_BYTES) {
        if (memcmp(machine.shared + line, machine.before + line, LINE_BYTES) == 0) continue;
        for (int64_t byte = line; byte < line + LINE_BYTES; byte++) {
            if (machine.shared[byte] == machine.before[byte]) continue;
            CHECK(machine.writer[byte] == 0 || machine.writer[byte] == warp + 1,
                  "two warps write %s of %s between the same two barriers, byte %lld (FLAME_EMULATOR_SEED=%llu)",
                  shared_name(byte), machine.kernel, (long long)(byte), (unsigned long long)machine.seed);
            machine.writer[byte] = (unsigned char)(warp + 1);
        }
    }
}

/* Nothing may have been written between a tile's last column and its stride, nor after its last row. */
static void check_shared_memory(void) {
    for (int n = 0; n < machine.blocks; n++) {
        const SharedBlock *block = &machine.block[n];
        const int64_t stride = block->stride * block->entry_size, used = block->cols * block->entry_size;
        for (int row = 0; row < block->rows; row++) {
            const unsigned char *start = machine.shared + block->offset + row * stride;
            const int64_t end = row + 1 < block->rows ? stride : stride + GUARD_BYTES;
            for (int64_t byte = used; byte < end; byte++)
                CHECK(start[byte] == POISON, "%s writes outside of %s, after row %d (FLAME_EMULATOR_SEED=%llu)",
                      machine.kernel, block->name, row, (unsigned long long)machine.seed);
        }
    }
}

static void fiber_main(void) {
    const int me = emulator_thread;
    if (__builtin_setjmp(machine.fiber[me].context) == 0) swapcontext(&machine.born, &machine.start);
    for (;;) {
        machine.program(machine.arguments, machine.x, machine.y, machine.z);
        CHECK(machine.copies[emulator_thread] == 0, "%s ends before its copies have", machine.kernel);
        wait_until_ready(DONE);
    }
}

static void fibers_create(void) {
    unsigned char *stacks = malloc((size_t)STACK_BYTES * THREADS);
    machine.shared = aligned_alloc(64, SHARED_SIZE);
    machine.before = aligned_alloc(64, SHARED_SIZE);
    machine.writer = aligned_alloc(64, SHARED_SIZE);
    CHECK_MEMORY(stacks && machine.shared && machine.before && machine.writer, "no memory for the emulator");
    for (emulator_thread = 0; emulator_thread < THREADS; emulator_thread++) {
        getcontext(&machine.born);
        machine.born.uc_stack.ss_sp = stacks + (size_t)STACK_BYTES * (size_t)emulator_thread;
        machine.born.uc_stack.ss_size = STACK_BYTES;
        machine.born.uc_link = NULL;
        makecontext(&machine.born, fiber_main, 0);
        swapcontext(&machine.start, &machine.born);
    }
    const char *seed = getenv("FLAME_EMULATOR_SEED");
    machine.seed = machine.random = seed ? strtoull(seed, NULL, 10) : 1;
    machine.fibers_exist = true;
}

/* Lets the warp's lanes run until all of them are at the program's barrier or done, or none can move. */
static bool warp_run(int warp) {
    Fiber *fiber = &machine.fiber[warp * LANES];
    bool moved = false;
    for (;;) {
        int order[LANES], waiting = 0;
        shuffle(order, LANES);
        for (int i = 0; i < LANES; i++) {
            if (fiber[order[i]].state != READY) continue;
            emulator_thread = warp * LANES + order[i];
            switch_context(machine.scheduler, fiber[order[i]].context);
            moved = true;
        }
        for (int lane = 0; lane < LANES; lane++) waiting += fiber[lane].state == AT_WARP_BARRIER;
        if (waiting < LANES) return moved;
        for (int lane = 0; lane < LANES; lane++) fiber[lane].state = READY;
    }
}

/* True if every thread waits at the same barrier, which then lets them all go. */
static bool barrier_passes(void) {
    for (int i = 0; i < THREADS; i++) {
        const Fiber *fiber = &machine.fiber[i], *first = &machine.fiber[0];
        if (fiber->state != AT_BARRIER || fiber->line != first->line || strcmp(fiber->file, first->file) != 0)
            return false;
    }
    for (int i = 0; i < THREADS; i++) machine.fiber[i].state = READY;
    memset(machine.writer, 0, (size_t)shared_end());
    return true;
}

static void divergence_report(void) {
    const Fiber *at = NULL;
    int waiting = 0, done = 0;
    for (int i = 0; i < THREADS; i++) {
        waiting += machine.fiber[i].state == AT_BARRIER;
        done += machine.fiber[i].state == DONE;
        if (machine.fiber[i].state == AT_BARRIER) at = &machine.fiber[i];
    }
    CHECK(false,
          "divergent barrier in %s, program %lld %lld %lld: %d threads wait (one at %s:%d), %d have ended, %d are in a "
          "warp operation (FLAME_EMULATOR_SEED=%llu)",
          machine.kernel, (long long)machine.x, (long long)machine.y, (long long)machine.z, waiting,
          at ? at->file : "-", at ? at->line : 0, done, THREADS - waiting - done, (unsigned long long)machine.seed);
}

static void program_run(void) {
    memset(machine.shared, POISON, SHARED_SIZE);
    memset(machine.before, POISON, SHARED_SIZE);
    memset(machine.writer, 0, SHARED_SIZE);
    memset(machine.scratch, POISON, sizeof machine.scratch);
    machine.blocks = 0;
    for (int i = 0; i < THREADS; i++) {
        machine.fiber[i].state = READY;
        machine.fiber[i].shared_blocks = 0;
    }
    for (;;) {
        int order[WARPS], done = 0;
        bool moved = false;
        shuffle(order, WARPS);
        for (int i = 0; i < WARPS; i++) {
            memcpy(machine.before, machine.shared, (size_t)shared_end());
            moved |= warp_run(order[i]);
            check_writes(order[i]);
        }
        for (int i = 0; i < THREADS; i++) done += machine.fiber[i].state == DONE;
        if (done == THREADS) break;
        if (!barrier_passes() && !moved) divergence_report();
    }
    check_shared_memory();
}

/* Runs every program of the grid, starting with a random one: no program may rely on another having run before. */
void emulator_run(const char *name, EmulatorProgram *program, int64_t x, int64_t y, int64_t z, const void *arguments) {
    if (!machine.fibers_exist) fibers_create();
    emulator_memory_lend(name);
    machine.kernel = name;
    machine.program = program;
    machine.arguments = arguments;
    const int64_t count = x * y * z;
    const int64_t first = count > 0 ? (int64_t)random_below((uint32_t)count) : 0;
    for (int64_t n = 0; n < count; n++) {
        const int64_t i = (n + first) % count;
        machine.x = i % x;
        machine.y = i / x % y;
        machine.z = i / (x * y);
        program_run();
    }
    emulator_memory_take_back();
}
