#define _GNU_SOURCE /* syscall */
#include "parallel/comm_watch.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/activity.h"
#include "base/clock.h"
#include "base/log.h"
#include "parallel/comm.h"

enum { LOOK_MILLISECONDS = 250, TEXT = 96 };
static const double warn_seconds = 20;
/* The most time that counts between two looks. If more has passed, this process, and perhaps the whole job, was
 * stopped. */
static const double longest_look = 1;
/* A rank's watching thread gives about four signs of life a second. A rank that gives none for this long counts as
 * stopped. */
static const double quiet_seconds = 5;
/* One rank of a host prints the message for all. The others give it this much time before they end. */
static const double speaker_seconds = 1;
/* A head start for NCCL's watchdog (parallel/watchdog.h), which knows more if both see the same collective hang. */
static const double watchdog_seconds = 0.5;
/* How long a rank waits for the launcher to end the job after another rank has failed. mpirun does so within a second
 * or two; srun may not. */
static const double launcher_seconds = 5;

enum { RUNNING, FAILED, GONE };

/* What a rank tells the others. Written by that rank and read by all. */
typedef struct Slot {
    _Alignas(64) _Atomic int64_t moves; /* collectives entered plus collectives left: odd inside a collective */
    char collective[32], subject[TEXT], ranks[32];
    _Alignas(64) _Atomic int64_t beats, advances; /* signs of life of the watching thread; activity_count() */
    char activity[32];
    atomic_int pid, state;
    int rank;
} Slot;

/* What this rank has seen of another rank. Times in seconds are sums of the intervals between its own looks. */
typedef struct View {
    int64_t moves, beats, advances;
    double still; /* since the rank entered or left a collective, or made progress with a file */
    double quiet; /* since its watching thread gave a sign of life */
    double ended; /* since its process ended; -1: it has not */
    int process;  /* a pidfd; -1: the system has none */
} View;

static struct {
    bool joined;
    WatchedRanks ranks;
    int count, mine; /* number of slots (the ranks of this host, or only this one), and this rank's */
    Slot *slot;
    View *view;
    pthread_t thread;
    int stop;                /* an eventfd */
    int64_t warned;          /* this rank's `moves` when it last warned */
    double entered, seconds; /* when the present collective began, and the time spent in all before it */
} watch = {.stop = -1, .warned = -1};

int64_t comm_watch_bytes(int local_size) { return local_size * (int64_t)sizeof(Slot); }

static void copy_text(char *to, size_t size, const char *from) {
    const size_t length = strnlen(from, size - 1);
    memcpy(to, from, length);
    to[length] = 0;
}

void comm_watch_enter(const char *collective, const char *subject, const char *ranks) {
    if (!watch.joined) return;
    Slot *slot = &watch.slot[watch.mine];
    copy_text(slot->collective, sizeof slot->collective, collective);
    copy_text(slot->subject, sizeof slot->subject, subject ? subject : "");
    copy_text(slot->ranks, sizeof slot->ranks, ranks);
    watch.entered = seconds_now();
    atomic_fetch_add_explicit(&slot->moves, 1, memory_order_release);
}

void comm_watch_exit(void) {
    if (!watch.joined) return;
    watch.seconds += seconds_now() - watch.entered;
    atomic_fetch_add_explicit(&watch.slot[watch.mine].moves, 1, memory_order_release);
}

double comm_watch_seconds(void) { return watch.seconds; }

static bool inside(const View *view) { return view->moves % 2 != 0; }
static bool lives(int i) { return watch.view[i].ended < 0 && atomic_load(&watch.slot[i].state) == RUNNING; }
static bool stopped(int i) { return i != watch.mine && watch.view[i].quiet > quiet_seconds; }
static bool waits(int i) { return lives(i) && inside(&watch.view[i]) && !stopped(i); }

/* The last collective of a rank that does not move: "the all-gather of model.layers.3 over the replicas". */
static const char *collective_of(int i, char text[256]) {
    const Slot *slot = &watch.slot[i];
    if (watch.view[i].moves == 0) return "none";
    snprintf(text, 256, "the %s%s%s%s", slot->collective, slot->subject[0] ? " of " : "", slot->subject, slot->ranks);
    return text;
}

/* A text that is built piece by piece, and cut when it is full. */
typedef struct Line {
    char text[2048];
    size_t length;
} Line;

__attribute__((format(printf, 2, 3))) static void add(Line *line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int added = vsnprintf(line->text + line->length, sizeof line->text - line->length, format, arguments);
    va_end(arguments);
    line->length += added < 0 ? 0 : (size_t)added;
    if (line->length >= sizeof line->text) line->length = sizeof line->text - 1;
}

/* Adds "ranks 0-2, 5 wait in the all-gather of model.layers.3", for all ranks that wait in the same collective as
 * `first`, and marks them in `said`. */
static void add_waiting(Line *line, int first, bool *said) {
    char own[256], other[256];
    collective_of(first, own);
    int last = -2, begin = -2, members = 0;
    Line list = {.length = 0};
    for (int i = first; i <= watch.count; i++) {
        const bool member = i < watch.count && !said[i] && waits(i) && strcmp(own, collective_of(i, other)) == 0;
        if (i < watch.count && member) said[i] = true;
        const int rank = i < watch.count ? watch.slot[i].rank : -1;
        if (member && rank == last + 1) {
            last = rank;
        } else if (member || i == watch.count) {
            if (last > begin) add(&list, "-%d", last);
            if (member) add(&list, "%s%d", list.length ? ", " : "", rank);
            if (member) begin = last = rank;
        }
        members += member;
    }
    add(line, "%s %s %s in %s", members > 1 ? "ranks" : "rank", list.text, members > 1 ? "wait" : "waits", own);
}

static void add_everyone_waiting(Line *line) {
    bool *said = calloc((size_t)watch.count, sizeof *said);
    CHECK_MEMORY(said, "out of memory");
    const char *between = "";
    for (int i = 0; i < watch.count; i++) {
        if (said[i] || !waits(i)) continue;
        add(line, "%s", between);
        add_waiting(line, i, said);
        between = "; ";
    }
    free(said);
}

/* Adds what is known about a rank that the others wait for. */
static void add_missing(Line *line, int i) {
    const Slot *slot = &watch.slot[i];
    char text[256];
    add(line, "rank %d (process %d) %s%s; its last collective was %s; ", slot->rank, atomic_load(&slot->pid),
        stopped(i) ? "is stopped or gets no processor while " : "is missing: it is ", slot->activity,
        collective_of(i, text));
}

/* Describes why this rank waits. */
static void describe(Line *line) {
    bool missing = false;
    for (int i = 0; i < watch.count; i++) {
        if (!lives(i) || waits(i)) continue;
        add_missing(line, i);
        missing = true;
    }
    if (!missing && watch.ranks.size > watch.ranks.local_size)
        add(line, "no rank of this host is missing, so a rank of another host is, or a message was lost: look at the "
                  "hosts that report nothing; ");
    else if (!missing && watch.count < watch.ranks.local_size)
        add(line, "another rank is missing; ");
    else if (!missing)
        add(line, "no rank is missing, but they wait for each other: ");
    add_everyone_waiting(line);
}

/* Seconds since the last progress of this rank and of the ranks that it may be waiting for. */
static double seconds_still(void) {
    double still = watch.view[watch.mine].still;
    for (int i = 0; i < watch.count; i++)
        if (lives(i) && !waits(i) && watch.view[i].still < still) still = watch.view[i].still;
    return still;
}

/* The rank that prints messages for this host: the first for which `candidate` holds. */
static int speaker(bool (*candidate)(int i)) {
    for (int i = 0; i < watch.count; i++)
        if (candidate(i)) return i;
    return watch.mine;
}

/* Whether a rank of this host has failed, and so has already logged the reason. */
static bool any_failed(void) {
    for (int i = 0; i < watch.count; i++)
        if (atomic_load(&watch.slot[i].state) == FAILED) return true;
    return false;
}

static void end_stuck(double still) {
    const double limit = comm_settings().timeout_seconds;
    const bool speaks = speaker(waits) == watch.mine && !any_failed();
    if (still <= limit + watchdog_seconds + (speaks ? 0 : speaker_seconds)) return;
    Line line = {.length = 0};
    describe(&line);
    if (speaks)
        log_error("no progress for %.0f s: %s. The run goes on from its last checkpoint. comm.train_timeout_seconds "
                  "sets the seconds to wait",
                  limit, line.text);
    log_end_job(WATCHDOG);
}

/* Prints a warning at once, on any rank. A buffered message would not be collected from a rank that waits. */
static void warn_at_once(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void warn_at_once(const char *format, ...) {
    Line line = {.length = 0};
    va_list arguments;
    va_start(arguments, format);
    add(&line, "warning: ");
    vsnprintf(line.text + line.length, sizeof line.text - line.length, format, arguments);
    va_end(arguments);
    log_repeat(watch.ranks.rank, line.text);
}

static void look_for_stuck(void) {
    const View *own = &watch.view[watch.mine];
    const double still = seconds_still(), limit = comm_settings().timeout_seconds;
    if (isinf(limit)) return;
    const bool others = watch.ranks.size > watch.ranks.local_size;
    if (inside(own)) {
        end_stuck(still);
        if (still < warn_seconds || watch.warned == own->moves || speaker(waits) != watch.mine) return;
        Line line = {.length = 0};
        describe(&line);
        warn_at_once("no progress for %.0f s: %s", still, line.text);
        watch.warned = own->moves;
    } else if (others && own->still > limit && watch.warned != own->moves) {
        char text[256];
        warn_at_once("no progress for %.0f s: this rank is %s; its last collective was %s", own->still, activity(),
                     collective_of(watch.mine, text));
        watch.warned = own->moves;
    }
}

static bool can_speak(int i) { return lives(i) && !stopped(i); }

/* Ends this rank if another rank of this host has died or failed. */
static void look_for_dead(void) {
    for (int i = 0; i < watch.count; i++) {
        const double ended = watch.view[i].ended;
        const int state = atomic_load(&watch.slot[i].state);
        if (ended < 0 || state == GONE || (state == FAILED && ended < launcher_seconds)) continue;
        const bool spoken = state != FAILED && any_failed();
        const bool speaks = !spoken && speaker(can_speak) == watch.mine;
        if (!speaks && ended < speaker_seconds) continue;
        char text[256];
        if (speaks)
            log_error("rank %d (process %d) has %s while %s; its last collective was %s. The run goes on from its last "
                      "checkpoint%s",
                      watch.slot[i].rank, atomic_load(&watch.slot[i].pid), state == FAILED ? "failed" : "died",
                      watch.slot[i].activity, collective_of(i, text),
                      state == FAILED ? "" : ". If it printed nothing, dmesg may say that memory ran out");
        log_end_job(WATCHDOG);
    }
}

static bool has_ended(int i, const struct pollfd *asked) {
    if (i == watch.mine) return false;
    if (watch.view[i].process >= 0) return asked->revents != 0;
    return kill(atomic_load(&watch.slot[i].pid), 0) != 0 && errno == ESRCH;
}

static void see(int i, double seconds, const struct pollfd *asked) {
    View *view = &watch.view[i];
    Slot *slot = &watch.slot[i];
    const View before = *view;
    view->moves = atomic_load_explicit(&slot->moves, memory_order_acquire);
    view->beats = atomic_load(&slot->beats);
    view->advances = atomic_load(&slot->advances);
    view->quiet = view->beats == before.beats ? before.quiet + seconds : 0;
    view->still = view->moves == before.moves && view->advances == before.advances ? before.still + seconds : 0;
    if (view->ended >= 0)
        view->ended += seconds;
    else if (has_ended(i, asked))
        view->ended = 0;
}

static void show_oneself(void) {
    Slot *slot = &watch.slot[watch.mine];
    copy_text(slot->activity, sizeof slot->activity, activity());
    atomic_store(&slot->advances, activity_count());
    atomic_fetch_add(&slot->beats, 1);
}

static void *look_on(void *argument) {
    struct pollfd *wait_for = argument; /* the processes of the ranks, then `stop` */
    double last = seconds_now();
    for (;;) {
        for (int i = 0; i < watch.count; i++) /* processes that have ended are not polled again */
            wait_for[i] = (struct pollfd){watch.view[i].ended < 0 ? watch.view[i].process : -1, POLLIN, 0};
        wait_for[watch.count] = (struct pollfd){watch.stop, POLLIN, 0};
        if (poll(wait_for, (nfds_t)watch.count + 1, LOOK_MILLISECONDS) < 0) continue;
        if (wait_for[watch.count].revents) break;
        const double now = seconds_now(), seconds = now - last < longest_look ? now - last : longest_look;
        last = now;
        show_oneself();
        for (int i = 0; i < watch.count; i++) see(i, seconds, &wait_for[i]);
        look_for_dead();
        look_for_stuck();
    }
    free(wait_for);
    return NULL;
}

/* Notes that this rank ends because of an error, which it has logged. */
static void fail(void) { atomic_store(&watch.slot[watch.mine].state, FAILED); }

bool comm_watch_join(int file, WatchedRanks ranks) {
    if (watch.joined) return false;
    watch.ranks = ranks;
    watch.count = file < 0 ? 1 : ranks.local_size;
    watch.mine = file < 0 ? 0 : ranks.local_rank;
    watch.slot = mmap(NULL, (size_t)comm_watch_bytes(watch.count), PROT_READ | PROT_WRITE,
                      file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, file, 0);
    CHECK_MEMORY(watch.slot != MAP_FAILED, "no memory to watch the ranks with");
    watch.view = calloc((size_t)watch.count, sizeof *watch.view);
    CHECK_MEMORY(watch.view, "out of memory");
    Slot *own = &watch.slot[watch.mine];
    own->rank = ranks.rank;
    show_oneself();
    atomic_store(&own->pid, (int)getpid());
    watch.warned = -1;
    watch.joined = true;
    log_set_ending(fail);
    return true;
}

void comm_watch_start(void) {
    for (int i = 0; i < watch.count; i++)
        watch.view[i] =
            (View){.ended = -1,
                   .process = i == watch.mine ? -1 : (int)syscall(SYS_pidfd_open, atomic_load(&watch.slot[i].pid), 0)};
    struct pollfd *wait_for = calloc((size_t)watch.count + 1, sizeof *wait_for);
    watch.stop = eventfd(0, EFD_CLOEXEC);
    CHECK_MEMORY(wait_for && watch.stop >= 0, "no memory to watch the ranks with");
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&watch.thread, NULL, look_on, wait_for);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    CHECK_MEMORY(error == 0, "no thread to watch the ranks with");
}

void comm_watch_leave(void) {
    atomic_store(&watch.slot[watch.mine].state, GONE);
    const uint64_t one = 1;
    CHECK(write(watch.stop, &one, sizeof one) == sizeof one, "the watching thread cannot be stopped");
    pthread_join(watch.thread, NULL);
    log_set_ending(NULL);
    watch.joined = false;
    for (int i = 0; i < watch.count; i++)
        if (watch.view[i].process >= 0) close(watch.view[i].process);
    close(watch.stop);
    munmap(watch.slot, (size_t)comm_watch_bytes(watch.count));
    free(watch.view);
}
