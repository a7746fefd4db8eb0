// A page of a mapped file is gone once another process has cut the file off before it, and touching
// it raises SIGBUS. While a thread converts from a mapping, it has a place to land; the jump passes
// over C frames of this file and of scalars.c only, which hold nothing that would have to be freed.
#include "scalars.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>

/// Where this thread lands, and for faults at which addresses.
typedef struct {
    sigjmp_buf place;
    uintptr_t start, end;
} landing;

static _Thread_local landing *volatile current;
static struct sigaction previous;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void caught(int number, siginfo_t *info, void *context) {
    landing *here = current;
    const uintptr_t address = (uintptr_t)info->si_addr;
    if (here && address >= here->start && address < here->end) siglongjmp(here->place, 1);
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
    } else {
        // The instruction runs again, and what would have happened without us happens.
        sigaction(SIGBUS, &previous, 0);
    }
}

static void install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = caught;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous);
}

static int convert(void (*conversion)(size_t, const void *, float *), size_t n, const void *x,
                   float *y) {
    pthread_once(&once, install);
    landing here;
    here.start = (uintptr_t)x;
    here.end = here.start + n * sizeof(uint16_t);
    // The mask is kept, for in the handler SIGBUS is blocked.
    if (sigsetjmp(here.place, 1)) {
        current = 0;
        return 0;
    }
    current = &here;
    conversion(n, x, y);
    current = 0;
    return 1;
}

int martlet_float_from_mapped_bf16(size_t n, const void *x, float *y) {
    return convert(martlet_float_from_bf16, n, x, y);
}

int martlet_float_from_mapped_f16(size_t n, const void *x, float *y) {
    return convert(martlet_float_from_f16, n, x, y);
}
