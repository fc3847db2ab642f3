/* A library to preload: of the pieces of memory of at least MEMORY_BYTES that the program itself asks for, not its
 * libraries, number MEMORY_FAILS (0, 1, ...) is refused, and the file MEMORY_REFUSED is made. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
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
    return 1;
}

__attribute__((constructor)) static void begin(void) { dl_iterate_phdr(find_program, NULL); }

static bool refused(const void *caller, size_t bytes) {
    const char *least = getenv("MEMORY_BYTES"), *wanted = getenv("MEMORY_FAILS"), *note = getenv("MEMORY_REFUSED");
    if (!wanted || !least || !note || (uintptr_t)caller < first || (uintptr_t)caller >= last) return false;
    if (bytes < (size_t)atoll(least) || atomic_fetch_add(&asked, 1) != atol(wanted)) return false;
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
