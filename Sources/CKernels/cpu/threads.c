#include "kernels.h"
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    threads_max = 1024,
    // Looks at the generation before a helper sleeps: some 50 microseconds, more than the time
    // between two operations of one training step.
    spins_before_sleep = 2000,
};
// Multiply-adds below which waking a helper costs more than it brings (2 to 5 microseconds).
static const double cost_worth_sharing = 200e3;

// The pool: everything but `generation`, `next` and `caller_waits` is guarded by `mutex`.
//
//   idle --open--> running --caller finds no task left--> closed --last helper leaves--> idle
//
// A helper joins only an open region, and the caller leaves only when no helper is in it, so `task`
// and `context` never outlive their region.
static struct {
    pthread_mutex_t owner;  // held by the thread whose region runs
    pthread_mutex_t mutex;
    pthread_cond_t work, left;
    martlet_task task;
    const void *context;
    size_t count;
    int is_open, is_ending, helpers_inside, helpers_asleep, helpers;
    pthread_t *handles;
    atomic_size_t next;
    atomic_uint generation;
    atomic_int size;    // helpers + 1, a copy
    atomic_int inside;  // a copy of helpers_inside the caller may look at without the mutex
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

static void take_tasks(void) {
    is_in_region = 1;
    for (;;) {
        const size_t index = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed);
        if (index >= pool.count) break;
        pool.task(pool.context, index);
    }
    is_in_region = 0;
}

static void *help(void *unused) {
    (void)unused;
    unsigned seen = 0;
    for (;;) {
        for (int spin = 0; spin < spins_before_sleep; spin++) {
            if (atomic_load_explicit(&pool.generation, memory_order_relaxed) != seen) break;
            pause_briefly();
        }
        pthread_mutex_lock(&pool.mutex);
        pool.helpers_asleep++;
        while (atomic_load(&pool.generation) == seen && !pool.is_ending)
            pthread_cond_wait(&pool.work, &pool.mutex);
        pool.helpers_asleep--;
        seen = atomic_load(&pool.generation);
        const int is_ending = pool.is_ending, joins = pool.is_open && !is_ending;
        if (joins) atomic_store(&pool.inside, ++pool.helpers_inside);
        pthread_mutex_unlock(&pool.mutex);
        if (is_ending) return NULL;
        if (!joins) continue;
        take_tasks();
        pthread_mutex_lock(&pool.mutex);
        atomic_store(&pool.inside, --pool.helpers_inside);
        if (pool.helpers_inside == 0) pthread_cond_signal(&pool.left);
        pthread_mutex_unlock(&pool.mutex);
    }
}

static void run_alone(size_t count, martlet_task task, const void *context) {
    for (size_t index = 0; index < count; index++) task(context, index);
}

void martlet_parallel(size_t count, double cost, martlet_task task, const void *context) {
    const int is_small = count < 2 || cost < cost_worth_sharing;
    if (is_small || is_in_region || pthread_mutex_trylock(&pool.owner) != 0) {
        run_alone(count, task, context);
        return;
    }
    if (pool.helpers == 0) {
        pthread_mutex_unlock(&pool.owner);
        run_alone(count, task, context);
        return;
    }
    pthread_mutex_lock(&pool.mutex);
    pool.task = task;
    pool.context = context;
    pool.count = count;
    atomic_store(&pool.next, 0);
    pool.is_open = 1;
    atomic_fetch_add(&pool.generation, 1);
    if (pool.helpers_asleep) pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mutex);

    take_tasks();

    for (int spin = 0; spin < spins_before_sleep && atomic_load(&pool.inside); spin++)
        pause_briefly();
    pthread_mutex_lock(&pool.mutex);
    pool.is_open = 0;
    while (pool.helpers_inside) pthread_cond_wait(&pool.left, &pool.mutex);
    pthread_mutex_unlock(&pool.mutex);
    pthread_mutex_unlock(&pool.owner);
}

// ---- Size -----------------------------------------------------------------------------------

// Ends every helper; the caller holds `owner`.
static void end_helpers(void) {
    pthread_mutex_lock(&pool.mutex);
    pool.is_ending = 1;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
    for (int i = 0; i < pool.helpers; i++) pthread_join(pool.handles[i], NULL);
    free(pool.handles);
    pool.handles = NULL;
    pool.helpers = 0;
    pool.is_ending = 0;
}

void martlet_threads_set(int count) {
    const int wanted = count < 1 ? 0 : (count > threads_max ? threads_max : count) - 1;
    pthread_mutex_lock(&pool.owner);
    if (wanted != pool.helpers) {
        end_helpers();
        pool.handles = calloc((size_t)wanted + 1, sizeof *pool.handles);
        // A machine that gives fewer threads than asked is slower, not wrong.
        while (pool.handles && pool.helpers < wanted &&
               pthread_create(&pool.handles[pool.helpers], NULL, help, NULL) == 0)
            pool.helpers++;
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
