#include "base/activity.h"

#include <stdatomic.h>

static const char *_Atomic doing_now = "starting";
static _Atomic int64_t advances;

void activity_set(const char *doing) { atomic_store_explicit(&doing_now, doing, memory_order_relaxed); }
const char *activity(void) { return atomic_load_explicit(&doing_now, memory_order_relaxed); }
void activity_advance(void) { atomic_fetch_add_explicit(&advances, 1, memory_order_relaxed); }
int64_t activity_count(void) { return atomic_load_explicit(&advances, memory_order_relaxed); }
