#include "kernels.h"
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    threads_max = 1024,
    // Looks at the gate before a thread sleeps: some 50 microseconds, more than the time between
    // two operations of one training step.
    spins_before_sleep = 2000,
    shares_max = 16,  // runs that tasks are dealt into: a thread looks at each before it leaves
    line = 128,       // bytes that processors move between them at a time, pairs of lines included
};
// Multiply-adds below which waking a helper costs more than it brings (2 to 5 microseconds).
static const double cost_worth_sharing = 200e3;

// The gate of regions: generation << 32 | open | helpers inside.
//
//   empty --open--> open --caller finds no task left--> closed --last helper leaves--> empty
//
// A helper enters only an open region, and the caller goes on only when no helper is inside, so
// `task`, `context` and `count` never outlive their region.
static const uint64_t gate_open = 1ull << 31, gate_inside = gate_open - 1;

// A run of a region's tasks. Neighbours share operands, so a thread takes its own run first, which
// is what it has had in earlier regions of the same kind, and then what is left of the others'.
typedef struct {
    _Alignas(line) atomic_size_t next;
} share;

static struct {
    pthread_mutex_t owner;  // held by the thread whose region runs
    _Alignas(line) _Atomic uint64_t gate;
    martlet_task task;  // the region's, as are the next three; written before the gate opens
    const void *context;
    size_t count, shares;
    _Alignas(line) atomic_int asleep;  // helpers
    atomic_int caller_waits;           // asleep, for helpers to leave
    pthread_mutex_t mutex;  // for sleeping and for ending
    pthread_cond_t work, left;
    int is_ending, helpers;
    struct helper {
        pthread_t handle;
        size_t number;
    } *members;
    atomic_int size;  // helpers + 1, a copy
    share share[shares_max];
} pool = {
    .owner = PTHREAD_MUTEX_INITIALIZER,
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .left = PTHREAD_COND_INITIALIZER,
};

static _Thread_local int is_in_region;

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// ---- Scratch --------------------------------------------------------------------------------

typedef struct {
    void *memory[martlet_scratch_slots];
    size_t bytes[martlet_scratch_slots];
} scratch_set;

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *set) {
    scratch_set *scratch = set;
    for (int slot = 0; scratch && slot < martlet_scratch_slots; slot++) free(scratch->memory[slot]);
    free(scratch);
}

static void scratch_begin(void) {
    if (pthread_key_create(&scratch_key, scratch_free) != 0) abort();
}

void *martlet_scratch(martlet_slot slot, size_t bytes) {
    pthread_once(&scratch_once, scratch_begin);
    scratch_set *scratch = pthread_getspecific(scratch_key);
    if (!scratch) {
        scratch = calloc(1, sizeof *scratch);
        if (!scratch || pthread_setspecific(scratch_key, scratch) != 0) abort();
    }
    if (bytes > scratch->bytes[slot] || !scratch->memory[slot]) {
        const size_t page = 4096, rounded = (bytes + page) / page * page;
        free(scratch->memory[slot]);
        scratch->memory[slot] = aligned_alloc(page, rounded);
        if (!scratch->memory[slot]) abort();
        scratch->bytes[slot] = rounded;
    }
    return scratch->memory[slot];
}

// ---- Regions --------------------------------------------------------------------------------

static void take_tasks(size_t first) {
    const size_t count = pool.count, shares = pool.shares;
    is_in_region = 1;
    for (size_t i = 0; i < shares; i++) {
        const size_t number = (first + i) % shares, end = (number + 1) * count / shares;
        atomic_size_t *next = &pool.share[number].next;
        if (atomic_load_explicit(next, memory_order_relaxed) >= end) continue;
        for (;;) {
            const size_t index = atomic_fetch_add_explicit(next, 1, memory_order_relaxed);
            if (index >= end) break;
            pool.task(pool.context, index);
        }
    }
    is_in_region = 0;
}

static inline uint64_t generation(uint64_t gate) { return gate >> 32; }

// Waits for a generation other than `seen`, awake for a while; 0 when the pool ends.
static int wait_for_work(uint64_t seen) {
    for (int spin = 0; spin < spins_before_sleep; spin++) {
        if (generation(atomic_load_explicit(&pool.gate, memory_order_relaxed)) != seen) return 1;
        pause_briefly();
    }
    pthread_mutex_lock(&pool.mutex);
    atomic_fetch_add(&pool.asleep, 1);
    while (generation(atomic_load(&pool.gate)) == seen && !pool.is_ending)
        pthread_cond_wait(&pool.work, &pool.mutex);
    atomic_fetch_sub(&pool.asleep, 1);
    const int is_ending = pool.is_ending;
    pthread_mutex_unlock(&pool.mutex);
    return !is_ending;
}

// Goes in if the region is open still.
static int enter(uint64_t gate) {
    while (gate & gate_open)
        if (atomic_compare_exchange_weak(&pool.gate, &gate, gate + 1)) return 1;
    return 0;
}

static void leave(void) {
    const uint64_t before = atomic_fetch_sub(&pool.gate, 1);
    if ((before & gate_inside) != 1 || !atomic_load(&pool.caller_waits)) return;
    pthread_mutex_lock(&pool.mutex);
    pthread_cond_signal(&pool.left);
    pthread_mutex_unlock(&pool.mutex);
}

static void *help(void *member) {
    const struct helper *self = member;
    uint64_t seen = 0;
    while (wait_for_work(seen)) {
        const uint64_t gate = atomic_load(&pool.gate);
        seen = generation(gate);
        if (!enter(gate)) continue;
        take_tasks(self->number);
        leave();
    }
    return NULL;
}

static void run_alone(size_t count, martlet_task task, const void *context) {
    for (size_t index = 0; index < count; index++) task(context, index);
}

static void open_region(size_t count, martlet_task task, const void *context) {
    const size_t threads = (size_t)pool.helpers + 1;
    pool.task = task;
    pool.context = context;
    pool.count = count;
    pool.shares = threads < shares_max ? threads : shares_max;
    for (size_t i = 0; i < pool.shares; i++)
        atomic_store_explicit(&pool.share[i].next, i * count / pool.shares, memory_order_relaxed);
    atomic_store(&pool.gate, (generation(atomic_load(&pool.gate)) + 1) << 32 | gate_open);
    if (!atomic_load(&pool.asleep)) return;
    pthread_mutex_lock(&pool.mutex);
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
}

static void close_region(void) {
    uint64_t gate = atomic_fetch_and(&pool.gate, ~gate_open);
    for (int spin = 0; spin < spins_before_sleep && gate & gate_inside; spin++) {
        pause_briefly();
        gate = atomic_load(&pool.gate);
    }
    if (!(gate & gate_inside)) return;
    pthread_mutex_lock(&pool.mutex);
    atomic_store(&pool.caller_waits, 1);
    while (atomic_load(&pool.gate) & gate_inside) pthread_cond_wait(&pool.left, &pool.mutex);
    atomic_store(&pool.caller_waits, 0);
    pthread_mutex_unlock(&pool.mutex);
}

void martlet_parallel(size_t count, double cost, martlet_task task, const void *context) {
    const int is_small = count < 2 || cost < cost_worth_sharing;
    if (is_small || is_in_region || pthread_mutex_trylock(&pool.owner) != 0) {
        run_alone(count, task, context);
        return;
    }
    if (pool.helpers) {
        open_region(count, task, context);
        take_tasks(0);
        close_region();
    } else {
        run_alone(count, task, context);
    }
    pthread_mutex_unlock(&pool.owner);
}

// ---- Size -----------------------------------------------------------------------------------

// Ends every helper; the caller holds `owner`.
static void end_helpers(void) {
    pthread_mutex_lock(&pool.mutex);
    pool.is_ending = 1;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
    for (int i = 0; i < pool.helpers; i++) pthread_join(pool.members[i].handle, NULL);
    free(pool.members);
    pool.members = NULL;
    pool.helpers = 0;
    pool.is_ending = 0;
}

void martlet_threads_set(int count) {
    const int wanted = count < 1 ? 0 : (count > threads_max ? threads_max : count) - 1;
    pthread_mutex_lock(&pool.owner);
    if (wanted != pool.helpers) {
        end_helpers();
        pool.members = calloc((size_t)wanted + 1, sizeof *pool.members);
        // A machine that gives fewer threads than asked is slower, not wrong.
        while (pool.members && pool.helpers < wanted) {
            struct helper *next = &pool.members[pool.helpers];
            next->number = (size_t)pool.helpers + 1;
            if (pthread_create(&next->handle, NULL, help, next) != 0) break;
            pool.helpers++;
        }
    }
    atomic_store(&pool.size, pool.helpers + 1);
    pthread_mutex_unlock(&pool.owner);
}

size_t martlet_pool_size(void) {
    const int size = atomic_load_explicit(&pool.size, memory_order_relaxed);
    return size < 1 ? 1 : (size_t)size;
}

int martlet_threads(void) {
    pthread_mutex_lock(&pool.owner);
    const int count = pool.helpers + 1;
    pthread_mutex_unlock(&pool.owner);
    return count;
}

void martlet_threads_stop(void) {
    pthread_mutex_lock(&pool.owner);
    end_helpers();
    atomic_store(&pool.size, 1);
    pthread_mutex_unlock(&pool.owner);
    pthread_once(&scratch_once, scratch_begin);
    scratch_free(pthread_getspecific(scratch_key));
    pthread_setspecific(scratch_key, NULL);
}
