#define _GNU_SOURCE
#include "meter/meter.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "meter/latency.h"
#include "meter/samples.h"

enum {
    THREADS = 128,
    LANES = 32,
    WARPS = THREADS / LANES,
    SITES = 16384, /* places in a kernel's code that access memory */
    SECTOR = 32,   /* bytes */
    L1_SETS = 128, /* L1 of a program: 16 KiB of 4-way sets; the oldest sector is evicted */
    L1_WAYS = 4,
    ARGUMENT_BYTES = 4096, /* at most */
    STAGES = 16,           /* stages of asynchronous copies in flight */
};
#define MEMORY_BYTES (INT64_C(1) << 40)

/* Puts the functions that kernels call into one section, so that a call of one of them is recognised by its target. */
#define HOOK __attribute__((section("meter_hooks"), noinline))
extern const unsigned char __start_meter_hooks[], __stop_meter_hooks[];

typedef enum Kind { GLOBAL_READ, GLOBAL_WRITE, GLOBAL_COPY, SHARED_READ, SHARED_WRITE } Kind;

/* An instruction of a warp: the same place in the code, for the n-th time since the warp's last barrier. */
typedef struct Request {
    uintptr_t address[LANES];
    uint32_t lanes;
    int bytes, site; /* bytes: of one lane */
    Kind kind;
    int next; /* the next request of the same site, or -1 */
} Request;

typedef struct Place {
    uint64_t epoch; /* epoch of the warp when `request` was set */
    int request;
} Place;

typedef struct Warp {
    Request *request;
    int requests, room;
    uint64_t epoch; /* changes at each barrier */
    Place first[SITES];
} Warp;

typedef struct Lane {
    int64_t work, chain; /* since the last barrier of the program */
    int64_t code;        /* bytes of the host's instructions since the last barrier of the warp */
    double clock;        /* cycles since the program's start */
    double latency;      /* latency of the loads in flight; 0: none */
    const void *site;    /* the first of these loads */
    int number;
    int repeats;           /* of that site */
    bool stored[2];        /* stores since these loads: to shared, to global memory */
    double copied[STAGES]; /* when the latest copy of each stage, modulo STAGES, will have arrived */
    int stage;             /* the open stage */
    int barriers;          /* barriers of the program that the lane has passed */
    uint64_t exchanges;    /* barriers of the warp that the lane has passed */
    uintptr_t vector;      /* the access of several bytes that an `emulator_aligned` or `emulator_global` announced */
    int vector_bytes, vector_left;
    const void *vector_site;
    Place last[SITES]; /* the lane's last request of each site */
} Lane;

typedef struct Known {
    EmulatorProgram *program;
    Grid grid;
    unsigned char value[ARGUMENT_BYTES];
    Meter meter;
    struct Known *next;
} Known;

static struct {
    unsigned char *memory;
    int64_t allocated;
    Lane lane[THREADS];
    Warp warp[WARPS];
    struct {
        const void *site;
        int number;
    } site[2 * SITES]; /* a hash table */
    int sites;
    MeterLine line[SITES]; /* by the number of the site */
    const char *lines_of;  /* the kernel whose lines are shown, or NULL */
    void (*show_line)(const MeterLine *line, int programs);
    uint64_t epoch;
    uintptr_t shared, shared_end, scratch;
    int64_t shared_blocks;
    uintptr_t l1[L1_SETS][L1_WAYS], near[L1_SETS][L1_WAYS]; /* near: updated by each lane when it reads */
    double global_latency;
    uintptr_t *set; /* hash table of the sectors of the running program */
    int64_t set_room;
    /* the launch */
    EmulatorProgram *program;
    const unsigned char *arguments;
    int64_t argument_bytes;
    Samples samples;
    int first; /* the first sample that runs now */
    int running, started, ended;
    int barriers;
    uint64_t exchanges[WARPS];
    Meter sum;
    Known *known;
} meter;

void *meter_allocate(int64_t bytes) {
    if (!meter.memory) {
        void *memory = mmap(NULL, (size_t)MEMORY_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return NULL;
        meter.memory = memory;
    }
    const int64_t size = (bytes + 511) / 512 * 512 + 512;
    if (meter.allocated + size > MEMORY_BYTES) return NULL;
    meter.allocated += size;
    return meter.memory + meter.allocated - size;
}

void meter_release_all(void) {
    if (meter.memory) munmap(meter.memory, (size_t)MEMORY_BYTES);
    meter.memory = NULL;
    meter.allocated = 0;
}

static bool is_global(uintptr_t address) {
    return address - (uintptr_t)meter.memory < (uintptr_t)meter.allocated && meter.memory;
}
static bool is_shared(uintptr_t address) {
    return (address >= meter.shared && address < meter.shared_end) ||
           (meter.scratch && address - meter.scratch < WARPS * sizeof(float));
}

/* What a program touches. */

static void set_clear(void) { memset(meter.set, 0, (size_t)meter.set_room * sizeof *meter.set); }

static bool set_put(uintptr_t *set, int64_t room, uintptr_t sector) {
    uint64_t at = (sector * UINT64_C(0x9e3779b97f4a7c15)) >> 20;
    while (set[at % (uint64_t)room] && set[at % (uint64_t)room] != sector) at++;
    if (set[at % (uint64_t)room]) return false;
    set[at % (uint64_t)room] = sector;
    return true;
}

static void set_grow(const Sectors *touched) {
    meter.set_room = meter.set_room ? 4 * meter.set_room : 1 << 14;
    free(meter.set);
    meter.set = calloc((size_t)meter.set_room, sizeof *meter.set);
    CHECK(meter.set, "out of memory");
    for (int64_t i = 0; i < touched->count; i++) set_put(meter.set, meter.set_room, touched->sector[i]);
}

static void touch(uintptr_t sector) {
    Sectors *touched = &meter.samples.touched[meter.running];
    if (2 * touched->count >= meter.set_room) set_grow(touched);
    if (!set_put(meter.set, meter.set_room, sector)) return;
    if (touched->count == touched->room) {
        touched->room = touched->room ? 2 * touched->room : 1024;
        touched->sector = realloc(touched->sector, (size_t)touched->room * sizeof *touched->sector);
        CHECK(touched->sector, "out of memory");
    }
    touched->sector[touched->count++] = sector;
}

/* Requests of warps. */

static int lanes_of(uint32_t mask) { return __builtin_popcount(mask); }

/* The sectors of a request, each once. */
static int sectors_of(const Request *r, uintptr_t *sector) {
    int count = 0;
    for (int lane = 0; lane < LANES; lane++) {
        if (!(r->lanes >> lane & 1)) continue;
        const uintptr_t last = (r->address[lane] + (uintptr_t)r->bytes - 1) / SECTOR;
        for (uintptr_t s = r->address[lane] / SECTOR; s <= last; s++) {
            int i = count - 1;
            while (i >= 0 && sector[i] != s) i--;
            if (i < 0) sector[count++] = s;
        }
    }
    return count;
}

/* Whether the cache has the sector. Adds it if not. */
static bool l1_has(uintptr_t l1[L1_SETS][L1_WAYS], uintptr_t sector) {
    uintptr_t *set = l1[(sector * UINT64_C(0x9e3779b97f4a7c15)) >> 57];
    int way = 0;
    while (way < L1_WAYS - 1 && set[way] != sector) way++;
    const bool has = set[way] == sector;
    for (; way > 0; way--) set[way] = set[way - 1];
    set[0] = sector;
    return has;
}

static void account_global(const Request *r) {
    uintptr_t sector[2 * LANES];
    const int sectors = sectors_of(r, sector);
    int missed = 0;
    for (int i = 0; i < sectors; i++) {
        touch(sector[i]);
        if (r->kind != GLOBAL_READ || !l1_has(meter.l1, sector[i])) missed++;
    }
    if (r->kind == GLOBAL_WRITE)
        meter.sum.written_bytes += missed * SECTOR;
    else
        meter.sum.read_bytes += missed * SECTOR;
    meter.sum.moved_bytes += sectors * SECTOR;
    if (r->bytes == 16 && sectors * SECTOR == lanes_of(r->lanes) * 16) meter.sum.vector_bytes += sectors * SECTOR;
}

/* Wavefronts of lanes [first, first + count): the largest number of different words in one bank. */
static int wavefronts_of(const Request *r, int first, int count) {
    uintptr_t word[4 * LANES];
    int banks[32] = {0}, words = 0, most = 0;
    for (int lane = first; lane < first + count; lane++) {
        if (!(r->lanes >> lane & 1)) continue;
        for (uintptr_t w = r->address[lane] / 4; w <= (r->address[lane] + (uintptr_t)r->bytes - 1) / 4; w++) {
            int i = words - 1;
            while (i >= 0 && word[i] != w) i--;
            if (i >= 0) continue;
            word[words++] = w;
            if (++banks[w % 32] > most) most = banks[w % 32];
        }
    }
    return most;
}

/* Accesses of 8 bytes per lane are served for half a warp at a time, those of 16 bytes for a quarter. */
static void account_shared(const Request *r) {
    const int count = r->bytes <= 4 ? LANES : r->bytes == 8 ? LANES / 2 : LANES / 4;
    for (int first = 0; first < LANES; first += count) {
        const int wavefronts = wavefronts_of(r, first, count);
        meter.sum.wavefronts += wavefronts;
        if (wavefronts > 1) meter.sum.extra_wavefronts += wavefronts - 1;
    }
}

static void account(const Request *r) {
    MeterLine *line = &meter.line[r->site];
    const double moved = meter.sum.moved_bytes, extra = meter.sum.extra_wavefronts;
    if (r->kind < SHARED_READ)
        account_global(r);
    else
        account_shared(r);
    line->requests++;
    line->lanes += lanes_of(r->lanes);
    line->sectors += (meter.sum.moved_bytes - moved) / SECTOR;
    line->extra_wavefronts += meter.sum.extra_wavefronts - extra;
}

/* The lanes of a warp execute together. */
static void issue(Lane *lane) {
    int64_t most = 0;
    for (int i = 0; i < LANES; i++) {
        most = lane[i].code > most ? lane[i].code : most;
        lane[i].code = 0;
    }
    meter.sum.instructions += (double)most / CODE_BYTES;
}

static void flush(Warp *warp) {
    issue(&meter.lane[(warp - meter.warp) * LANES]);
    for (int i = 0; i < warp->requests; i++) {
        const Request *r = &warp->request[i];
        meter.sum.requests++;
        account(r);
    }
    warp->requests = 0;
    warp->epoch = ++meter.epoch;
}

static int code_after(const unsigned char *site);

static int site_number(const void *site) {
    uint64_t at = ((uintptr_t)site * UINT64_C(0x9e3779b97f4a7c15)) >> 40;
    while (meter.site[at % (2 * SITES)].site && meter.site[at % (2 * SITES)].site != site) at++;
    if (!meter.site[at % (2 * SITES)].site) {
        CHECK(meter.sites < SITES, "a kernel with more than %d accesses to memory", SITES);
        meter.site[at % (2 * SITES)].site = site;
        meter.line[meter.sites] = (MeterLine){.site = site, .code = code_after(site)};
        meter.site[at % (2 * SITES)].number = meter.sites++;
    }
    return meter.site[at % (2 * SITES)].number;
}

/* How many bytes of instructions follow a call from a kernel up to the next one, in the order of the code: there is one
 * at the start of every branch, so that all of them are executed. */
static int code_after(const unsigned char *site) {
#if defined(__x86_64__)
    enum { CALL = 0xe8, JUMP = 0xe9, MOST = 2048 };
    for (int at = 0; at < MOST; at++) {
        int32_t distance;
        memcpy(&distance, site + at + 1, sizeof distance);
        const unsigned char *target = site + at + 5 + distance;
        if ((site[at] == CALL || site[at] == JUMP) && target >= __start_meter_hooks && target < __stop_meter_hooks)
            return at;
    }
    return 0;
#else
    (void)site;
    return CODE_USUAL;
#endif
}

/* The number of the site. Adds the time of the instructions after it. */
static int site_passed(const void *site) {
    const int number = site_number(site);
    Lane *lane = &meter.lane[emulator_thread];
    lane->code += meter.line[number].code;
    lane->clock += meter.line[number].code * CODE_CYCLES;
    return number;
}

static int new_request(Warp *warp, int site, Kind kind, int bytes) {
    if (warp->requests == warp->room) {
        warp->room = warp->room ? 2 * warp->room : 256;
        warp->request = realloc(warp->request, (size_t)warp->room * sizeof *warp->request);
        CHECK(warp->request, "out of memory");
    }
    Request *r = &warp->request[warp->requests];
    r->lanes = 0;
    r->kind = kind;
    r->bytes = bytes;
    r->site = site;
    r->next = -1;
    return warp->requests++;
}

/* Adds the lane's access to the request of its warp that other lanes made at the same place, at the same repetition. */
static void join_request(const void *site, Kind kind, uintptr_t address, int bytes) {
    const int number = site_number(site), in_warp = emulator_thread % LANES;
    Lane *lane = &meter.lane[emulator_thread];
    Warp *warp = &meter.warp[emulator_thread / LANES];
    Place *last = &lane->last[number], *first = &warp->first[number];
    int at = -1;
    if (last->epoch == warp->epoch)
        at = warp->request[last->request].next;
    else if (first->epoch == warp->epoch)
        at = first->request;
    if (at < 0) {
        at = new_request(warp, number, kind, bytes);
        if (last->epoch == warp->epoch)
            warp->request[last->request].next = at;
        else
            *first = (Place){warp->epoch, at};
    }
    *last = (Place){warp->epoch, at};
    warp->request[at].address[in_warp] = address;
    warp->request[at].lanes |= UINT32_C(1) << in_warp;
}

/* Time of a lane. */

/* Waits for the loads in flight. */
static void wait_for_loads(Lane *lane) {
    lane->stored[false] = lane->stored[true] = false;
    if (lane->latency == 0) return;
    meter.line[lane->number].waited += lane->latency / THREADS;
    lane->clock += lane->latency;
    lane->latency = 0;
    lane->chain++;
}

/* Loads are in flight together until their values are needed: at a barrier, at a product, or at a load after a store to
 * the same kind of memory. Loops count as unrolled. */
static void start_load(Lane *lane, const void *site, bool global, double latency) {
    if (lane->stored[global] || (lane->latency > 0 && lane->site == site && ++lane->repeats == UNROLLED))
        wait_for_loads(lane);
    if (lane->latency == 0) {
        lane->site = site;
        lane->number = site_number(site);
        lane->repeats = 0;
    }
    if (latency > lane->latency) lane->latency = latency;
}

static void start_store(Lane *lane, bool global) { lane->stored[global] = true; }

static double latency_of(uintptr_t address, bool global) {
    return !global || l1_has(meter.near, address / SECTOR) ? SHARED_LATENCY : meter.global_latency;
}

static void access_memory(const void *site, bool write, uintptr_t address, int bytes) {
    Lane *lane = &meter.lane[emulator_thread];
    const bool global = is_global(address);
    if (!global && !is_shared(address)) return;
    join_request(site,
                 global  ? (write ? GLOBAL_WRITE : GLOBAL_READ)
                 : write ? SHARED_WRITE
                         : SHARED_READ,
                 address, bytes);
    lane->work++;
    if (write)
        start_store(lane, global);
    else
        start_load(lane, site, global, latency_of(address, global));
}

/* The functions that the compiler calls (-fsanitize=thread). */

static void observe(const void *site, bool write, void *at, int64_t bytes) {
    const uintptr_t address = (uintptr_t)at;
    Lane *lane = &meter.lane[emulator_thread];
    site_passed(site);
    if (lane->vector_left > 0 && address - lane->vector < (uintptr_t)lane->vector_bytes) {
        if (lane->vector_left == lane->vector_bytes)
            access_memory(lane->vector_site, write, lane->vector, lane->vector_bytes);
        lane->vector_left -= (int)bytes;
        return;
    }
    for (int64_t done = 0; done < bytes; done += 16)
        access_memory(site, write, address + (uintptr_t)done, bytes - done < 16 ? (int)(bytes - done) : 16);
}

#define OBSERVERS(bytes)                                                                                               \
    HOOK void __tsan_read##bytes(void *at);                                                                            \
    HOOK void __tsan_write##bytes(void *at);                                                                           \
    HOOK void __tsan_unaligned_read##bytes(void *at);                                                                  \
    HOOK void __tsan_unaligned_write##bytes(void *at);                                                                 \
    void __tsan_read##bytes(void *at) { observe(__builtin_return_address(0), false, at, bytes); }                      \
    void __tsan_write##bytes(void *at) { observe(__builtin_return_address(0), true, at, bytes); }                      \
    void __tsan_unaligned_read##bytes(void *at) { observe(__builtin_return_address(0), false, at, bytes); }            \
    void __tsan_unaligned_write##bytes(void *at) { observe(__builtin_return_address(0), true, at, bytes); }
OBSERVERS(1)
OBSERVERS(2)
OBSERVERS(4)
OBSERVERS(8)
OBSERVERS(16)
HOOK void __tsan_read_range(void *at, unsigned long bytes);
HOOK void __tsan_write_range(void *at, unsigned long bytes);
HOOK void __tsan_func_entry(void *caller);
HOOK void __tsan_func_exit(void);
HOOK void __sanitizer_cov_trace_pc(void);
void __tsan_init(void);
void __tsan_read_range(void *at, unsigned long bytes) {
    observe(__builtin_return_address(0), false, at, (int64_t)bytes);
}
void __tsan_write_range(void *at, unsigned long bytes) {
    observe(__builtin_return_address(0), true, at, (int64_t)bytes);
}
void __tsan_func_entry(void *caller) {
    (void)caller;
    site_passed(__builtin_return_address(0));
}
void __tsan_func_exit(void) { site_passed(__builtin_return_address(0)); }
void __tsan_init(void) {}
/* Called at the start of each branch. */
void __sanitizer_cov_trace_pc(void) { site_passed(__builtin_return_address(0)); }

/* The emulator's instructions. */

#define WRAPPED(result, name, ...)                                                                                     \
    result __real_##name(__VA_ARGS__);                                                                                 \
    HOOK result __wrap_##name(__VA_ARGS__);                                                                            \
    result __wrap_##name(__VA_ARGS__)

WRAPPED(void *, emulator_shared_memory, const char *name, int64_t entry_size, int rows, int cols, int stride) {
    site_passed(__builtin_return_address(0));
    void *block = __real_emulator_shared_memory(name, entry_size, rows, cols, stride);
    const uintptr_t start = (uintptr_t)block, end = start + (uintptr_t)(rows * stride * entry_size);
    if (!meter.shared) meter.shared = start;
    if (end <= meter.shared_end) return block;
    meter.shared_end = end;
    meter.shared_blocks += (rows * stride * entry_size + 15) / 16 * 16;
    return block;
}

WRAPPED(float *, emulator_scratch, void) {
    site_passed(__builtin_return_address(0));
    float *scratch = __real_emulator_scratch();
    meter.scratch = (uintptr_t)scratch;
    return scratch;
}

static void announce_vector(const void *site, const void *address, int bytes) {
    site_passed(site);
    Lane *lane = &meter.lane[emulator_thread];
    lane->vector = (uintptr_t)address;
    lane->vector_bytes = lane->vector_left = bytes;
    lane->vector_site = site;
}

WRAPPED(const void *, emulator_aligned, const void *address, int bytes) {
    announce_vector(__builtin_return_address(0), address, bytes);
    return __real_emulator_aligned(address, bytes);
}

WRAPPED(const void *, emulator_global, const void *address, int bytes) {
    announce_vector(__builtin_return_address(0), address, bytes);
    return __real_emulator_global(address, bytes);
}

WRAPPED(void, emulator_copy_start, void *to, const void *from, int bytes) {
    site_passed(__builtin_return_address(0));
    Lane *lane = &meter.lane[emulator_thread];
    const char *site = __builtin_return_address(0);
    if (bytes > 0) join_request(site, GLOBAL_COPY, (uintptr_t)from, 16);
    join_request(site + 1, SHARED_WRITE, (uintptr_t)to, 16);
    lane->work++;
    lane->copied[lane->stage % STAGES] = lane->clock + meter.global_latency;
    __real_emulator_copy_start(to, from, bytes);
}

/* Waits for all but the latest `stages` stages; with 0 also for copies of no stage. */
static void wait_for_copies(Lane *lane, int stages) {
    wait_for_loads(lane);
    const int last = lane->stage - stages - (stages > 0);
    for (int stage = lane->stage < STAGES ? 0 : lane->stage - STAGES + 1; stage <= last; stage++) {
        double *copied = &lane->copied[stage % STAGES];
        if (*copied > lane->clock) {
            lane->clock = *copied;
            lane->chain++;
        }
        *copied = 0;
    }
}

WRAPPED(void, emulator_copy_commit, void) {
    site_passed(__builtin_return_address(0));
    Lane *lane = &meter.lane[emulator_thread];
    lane->stage++;
    lane->copied[lane->stage % STAGES] = 0;
    __real_emulator_copy_commit();
}

WRAPPED(void, emulator_copy_wait_for, int stages) {
    site_passed(__builtin_return_address(0));
    wait_for_copies(&meter.lane[emulator_thread], stages);
    __real_emulator_copy_wait_for(stages);
}

/* Called when the lane continues after a barrier of its warp. */
static void exchanged(double cycles) {
    const int warp = emulator_thread / LANES;
    Lane *lane = &meter.lane[warp * LANES];
    if (++meter.lane[emulator_thread].exchanges <= meter.exchanges[warp]) return;
    meter.exchanges[warp]++;
    flush(&meter.warp[warp]);
    double clock = 0;
    for (int i = 0; i < LANES; i++) clock = lane[i].clock > clock ? lane[i].clock : clock;
    for (int i = 0; i < LANES; i++) lane[i].clock = clock + cycles;
}

WRAPPED(float, emulator_shuffle, float x, int other) {
    site_passed(__builtin_return_address(0));
    wait_for_loads(&meter.lane[emulator_thread]);
    const float y = __real_emulator_shuffle(x, other);
    exchanged(SHUFFLE_CYCLES);
    return y;
}

WRAPPED(void, emulator_matrix_read, uint32_t *x, const void *row, int transposed) {
    site_passed(__builtin_return_address(0));
    const void *site = __builtin_return_address(0);
    Lane *lane = &meter.lane[emulator_thread];
    join_request(site, SHARED_READ, (uintptr_t)row, 16);
    lane->work++;
    start_load(lane, site, false, SHARED_LATENCY + MMA_LATENCY);
    __real_emulator_matrix_read(x, row, transposed);
    exchanged(0);
}

WRAPPED(void, emulator_mma, float *d, const uint32_t *a, const uint32_t *b) {
    site_passed(__builtin_return_address(0));
    meter.lane[emulator_thread].work++;
    if (emulator_thread % LANES == 0) meter.sum.mma++;
    __real_emulator_mma(d, a, b);
    exchanged(MMA_CYCLES);
}

/* All threads have reached the program's barrier or its end. */
static void interval_ends(double cycles) {
    int64_t busiest = 0, chain = 0;
    double clock = 0;
    for (int i = 0; i < THREADS; i++) {
        Lane *lane = &meter.lane[i];
        meter.sum.work += (double)lane->work;
        busiest = lane->work > busiest ? lane->work : busiest;
        chain = lane->chain > chain ? lane->chain : chain;
        clock = lane->clock > clock ? lane->clock : clock;
        lane->work = lane->chain = 0;
    }
    for (int i = 0; i < THREADS; i++) meter.lane[i].clock = clock + cycles;
    for (int w = 0; w < WARPS; w++) flush(&meter.warp[w]);
    meter.sum.busiest += (double)(THREADS * busiest);
    meter.sum.chain += (double)chain;
}

WRAPPED(void, emulator_sync, int stages, const char *file, int line) {
    site_passed(__builtin_return_address(0));
    Lane *lane = &meter.lane[emulator_thread];
    wait_for_copies(lane, stages);
    __real_emulator_sync(stages, file, line);
    if (++lane->barriers <= meter.barriers) return;
    meter.barriers++;
    meter.sum.barriers++;
    meter.sum.chain++;
    interval_ends(BARRIER_CYCLES);
}

/* A launch. */

static void program_begins(int sample) {
    meter.running = sample;
    meter.barriers = 0;
    memset(meter.l1, 0, sizeof meter.l1);
    memset(meter.near, 0, sizeof meter.near);
    meter.shared = meter.shared_end = meter.scratch = 0;
    meter.shared_blocks = 0;
    meter.samples.touched[sample].count = 0;
    if (meter.set) set_clear();
    for (int w = 0; w < WARPS; w++) {
        meter.exchanges[w] = 0;
        meter.warp[w].epoch = ++meter.epoch;
    }
    for (int i = 0; i < THREADS; i++) {
        Lane *lane = &meter.lane[i];
        lane->work = lane->chain = lane->barriers = lane->vector_left = 0;
        lane->clock = lane->latency = 0;
        lane->stage = 0;
        lane->stored[0] = lane->stored[1] = false;
        memset(lane->copied, 0, sizeof lane->copied);
        lane->exchanges = 0;
        lane->code = 0;
    }
}

static int compare_lines(const void *a, const void *b) {
    const MeterLine *x = a, *y = b;
    const double p = x->waited + x->extra_wavefronts, q = y->waited + y->extra_wavefronts;
    return (p < q) - (p > q);
}

void meter_show_lines(const char *kernel, void (*show)(const MeterLine *line, int programs)) {
    meter.lines_of = kernel;
    meter.show_line = show;
}

static void program_ends(void) {
    Sectors *touched = &meter.samples.touched[meter.running];
    interval_ends(0);
    meter.sum.cycles += meter.lane[0].clock;
    meter.sum.shared_bytes += (double)meter.shared_blocks;
    sectors_sort(touched->sector, touched->count);
}

/* The program that the emulator runs, with the samples as its grid. */
static void sampled(const void *arguments, int64_t x, int64_t y, int64_t z) {
    (void)y, (void)z;
    if (meter.started++ == 0) program_begins(meter.first + (int)x);
    const Grid at = meter.samples.program[meter.first + x];
    meter.program(arguments, at.x, at.y, at.z);
    wait_for_copies(&meter.lane[emulator_thread], 0);
    if (++meter.ended < THREADS) return;
    meter.started = meter.ended = 0;
    program_ends();
}

/* The first addresses of the arrays among the arguments, in order. */
static int arrays_of(uintptr_t *start) {
    int count = 0;
    for (int64_t at = 0; at + 8 <= meter.argument_bytes; at += 8) {
        uintptr_t value;
        memcpy(&value, meter.arguments + at, sizeof value);
        if (!is_global(value)) continue;
        int i = 0;
        while (i < count && start[i] != value / SECTOR) i++;
        if (i == count) start[count++] = value / SECTOR;
    }
    sectors_sort(start, count);
    return count;
}

static void scale(Meter *m, double factor) {
    double *const values[] = {&m->work,       &m->busiest,          &m->barriers,    &m->chain,
                              &m->cycles,     &m->instructions,     &m->requests,    &m->mma,
                              &m->read_bytes, &m->written_bytes,    &m->moved_bytes, &m->vector_bytes,
                              &m->wavefronts, &m->extra_wavefronts, &m->shared_bytes};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) *values[i] *= factor;
}

/* The arguments as a key, in which an address is reduced to its alignment. */
static void values_of(const void *arguments, int64_t bytes, unsigned char *value) {
    memset(value, 0, ARGUMENT_BYTES);
    memcpy(value, arguments, (size_t)bytes);
    for (int64_t at = 0; at + 8 <= bytes; at += 8) {
        uintptr_t address;
        memcpy(&address, value + at, sizeof address);
        if (!is_global(address)) continue;
        address = (uintptr_t)meter.memory + address % 128;
        memcpy(value + at, &address, sizeof address);
    }
}

static Known *find(EmulatorProgram *program, Grid grid, const unsigned char *value) {
    for (Known *k = meter.known; k; k = k->next)
        if (k->program == program && memcmp(&k->grid, &grid, sizeof grid) == 0 &&
            memcmp(k->value, value, ARGUMENT_BYTES) == 0)
            return k;
    return NULL;
}

/* Runs `count` samples from `first` on. */
static void run_samples(const char *name, int first, int count, const void *arguments, double latency) {
    memset(meter.site, 0, sizeof meter.site);
    meter.sites = 0;
    meter.sum = (Meter){0};
    meter.global_latency = latency;
    meter.first = first;
    emulator_run(name, sampled, count, 1, 1, arguments);
}

static Meter mean_of_samples(const char *name, Grid grid, const void *arguments, double latency) {
    run_samples(name, 0, meter.samples.counted, arguments, latency);
    Meter mean = meter.sum;
    scale(&mean, 1.0 / meter.samples.counted);
    mean.programs = (double)grid.x * (double)grid.y * (double)grid.z;
    uintptr_t start[ARGUMENT_BYTES / 8 + 1];
    mean.distinct_bytes = SECTOR * samples_distinct_sectors(&meter.samples, grid, start, arrays_of(start));
    return mean;
}

/* Data that fit into the L2 cache are in it already: the kernel before wrote them, or the first programs have read
 * them. */
static Meter count(const char *name, Grid grid, const void *arguments) {
    samples_choose(&meter.samples, grid);
    run_samples(name, SAMPLES_COUNTED, meter.samples.neighbouring, arguments, MEMORY_LATENCY);
    const Meter mean = mean_of_samples(name, grid, arguments, MEMORY_LATENCY);
    return mean.distinct_bytes > L2_BYTES ? mean : mean_of_samples(name, grid, arguments, L2_LATENCY);
}

static void prepare(MeterKernel kernel, const void *arguments) {
    meter.arguments = arguments;
    meter.argument_bytes = kernel.argument_bytes;
    meter.program = kernel.program;
}

void meter_run(MeterKernel kernel, Grid grid, const void *arguments) {
    prepare(kernel, arguments);
    for (int64_t n = 0; n < grid.x * grid.y * grid.z; n++) {
        meter.samples.program[0] = (Grid){n % grid.x, n / grid.x % grid.y, n / (grid.x * grid.y)};
        run_samples(kernel.name, 0, 1, arguments, L2_LATENCY);
    }
}

const Meter *meter_launch(MeterKernel kernel, Grid grid, const void *arguments) {
    unsigned char value[ARGUMENT_BYTES];
    CHECK(kernel.argument_bytes <= ARGUMENT_BYTES, "%s has more than %d bytes of arguments", kernel.name,
          ARGUMENT_BYTES);
    values_of(arguments, kernel.argument_bytes, value);
    Known *known = find(kernel.program, grid, value);
    if (known) return &known->meter;
    known = malloc(sizeof *known);
    CHECK(known, "out of memory");
    *known = (Known){.program = kernel.program, .grid = grid, .next = meter.known};
    memcpy(known->value, value, sizeof value);
    prepare(kernel, arguments);
    known->meter = count(kernel.name, grid, arguments);
    meter.known = known;
    if (meter.lines_of && strcmp(meter.lines_of, kernel.name) == 0) {
        qsort(meter.line, (size_t)meter.sites, sizeof meter.line[0], compare_lines);
        for (int i = 0; i < meter.sites; i++) meter.show_line(&meter.line[i], meter.samples.counted);
        meter.lines_of = NULL;
    }
    return &known->meter;
}
