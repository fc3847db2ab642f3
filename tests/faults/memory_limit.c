/* A library to preload that makes one allocation fail. It numbers (0, 1, ...) the allocations of at least MEMORY_BYTES
 * (default 1) by the program itself, not by its libraries, and the creation of threads. Number MEMORY_FAILS fails, and
 * the file MEMORY_REFUSED is created. The file MEMORY_SITES receives the number of each allocation that is the first
 * one from its call site, which is the last eight calls of the stack. With MEMORY_RANK, the library works only on this
 * rank of mpirun. MEMORY_CODE, "FIRST LAST" in hexadecimal, is the range of addresses of the program's own code in its
 * file, if that is not the whole file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static uintptr_t first, last; /* of the program's code */
static atomic_long asked;

/* The first object is the program. */
static int find_program(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    (void)context;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        first = object->dlpi_addr + part->p_vaddr;
        last = first + part->p_memsz;
    }
    const char *code = getenv("MEMORY_CODE");
    unsigned long own_first, own_last;
    if (code && sscanf(code, "%lx %lx", &own_first, &own_last) == 2) {
        first = object->dlpi_addr + own_first;
        last = object->dlpi_addr + own_last;
    }
    return 1;
}

__attribute__((constructor)) static void begin(void) { dl_iterate_phdr(find_program, NULL); }

static uint64_t hash_of_calls(void) {
    enum { CALLS = 8, OWN = 3 };
    void *call[CALLS + OWN];
    const int count = backtrace(call, CALLS + OWN);
    uint64_t hash = 1;
    for (int i = OWN; i < count; i++) hash = (hash ^ ((uintptr_t)call[i] - first)) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* Adds the number to MEMORY_SITES if no earlier allocation came from the same call site. */
static void note_site(long number) {
    enum { PLACES = 1 << 16 };
    static uint64_t seen[PLACES];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const char *path = getenv("MEMORY_SITES");
    static _Thread_local bool inside; /* backtrace allocates memory, too */
    if (!path || inside) return;
    inside = true;
    pthread_mutex_lock(&lock);
    const uint64_t hash = hash_of_calls();
    uint64_t place = hash % PLACES;
    while (seen[place] && seen[place] != hash) place = (place + 1) % PLACES;
    const int file = seen[place] ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    seen[place] = hash;
    if (file >= 0) {
        dprintf(file, "%ld\n", number);
        close(file);
    }
    pthread_mutex_unlock(&lock);
    inside = false;
}

static bool is_chosen(void) {
    const char *chosen = getenv("MEMORY_RANK"), *own = getenv("OMPI_COMM_WORLD_RANK");
    return !chosen || (own && strcmp(chosen, own) == 0);
}

static bool refused(const void *caller, size_t bytes) {
    const char *least = getenv("MEMORY_BYTES"), *wanted = getenv("MEMORY_FAILS"), *note = getenv("MEMORY_REFUSED");
    if ((uintptr_t)caller < first || (uintptr_t)caller >= last || (least && bytes < (size_t)atoll(least))) return false;
    if (!is_chosen()) return false;
    const long number = atomic_fetch_add(&asked, 1);
    note_site(number);
    if (!wanted || !note || number != atol(wanted)) return false;
    close(open(note, O_WRONLY | O_CREAT, 0600));
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes) { return refused(__builtin_return_address(0), bytes) ? NULL : __libc_malloc(bytes); }

void *calloc(size_t count, size_t bytes) {
    return refused(__builtin_return_address(0), count * bytes) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes) {
    return refused(__builtin_return_address(0), bytes) ? NULL : __libc_realloc(memory, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    return refused(__builtin_return_address(0), bytes) ? NULL : __libc_memalign(alignment, bytes);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if (refused(__builtin_return_address(0), bytes)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

char *strdup(const char *text) {
    const size_t bytes = strlen(text) + 1;
    char *copy = refused(__builtin_return_address(0), bytes) ? NULL : __libc_malloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

char *strndup(const char *text, size_t most) {
    const size_t bytes = strnlen(text, most);
    char *copy = refused(__builtin_return_address(0), bytes + 1) ? NULL : __libc_malloc(bytes + 1);
    if (!copy) return NULL;
    copy[bytes] = 0;
    return memcpy(copy, text, bytes);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *), void *argument) {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    return refused(__builtin_return_address(0), 1) ? EAGAIN : create(thread, attributes, function, argument);
}
