#define _GNU_SOURCE /* syscall */
#include "parallel/comm_meeting.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPINS = 2000 }; /* about 0.1 ms */

static void relax(void) {
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

void meeting_wait(Meeting *meeting, int ranks) {
    const uint32_t round = atomic_load(&meeting->round);
    if (atomic_fetch_add(&meeting->arrived, 1) + 1 == (uint32_t)ranks) {
        atomic_store(&meeting->arrived, 0);
        atomic_fetch_add(&meeting->round, 1);
        if (atomic_load(&meeting->sleeping) > 0) syscall(SYS_futex, &meeting->round, FUTEX_WAKE, ranks, NULL, NULL, 0);
        return;
    }
    for (int i = 0; i < SPINS && atomic_load(&meeting->round) == round; i++) relax();
    if (atomic_load(&meeting->round) != round) return;
    atomic_fetch_add(&meeting->sleeping, 1);
    while (atomic_load(&meeting->round) == round) syscall(SYS_futex, &meeting->round, FUTEX_WAIT, round, NULL, NULL, 0);
    atomic_fetch_sub(&meeting->sleeping, 1);
}
