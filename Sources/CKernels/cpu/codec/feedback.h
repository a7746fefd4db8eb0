// What is to be sent: the update, and what earlier ones left.

// Elements [first, first + n) of it.
INLINE void PRIVATE(feedback)(size_t first, size_t n, martlet_feedback_of of, float *restrict x) {
    const float *restrict anchor = of.anchor + first;
    const float beta = of.beta;
    const float *restrict residual = of.residual ? of.residual + first : NULL;
    const float *restrict local = of.local ? of.local + first : NULL;
    if (residual && local)
        for (size_t i = 0; i < n; i++) x[i] = beta * residual[i] + (anchor[i] - local[i]);
    else if (residual)
        for (size_t i = 0; i < n; i++) x[i] = beta * residual[i] + anchor[i];
    else if (local)
        for (size_t i = 0; i < n; i++) x[i] = anchor[i] - local[i];
    else
        memcpy(x, anchor, n * sizeof *x);
}


// What the chunk from `first` on is made of, if it is a whole one of n; else nothing.
INLINE martlet_feedback_of PRIVATE(ahead)(size_t first, size_t n, martlet_feedback_of of) {
    if (n < first + martlet_chunk) return (martlet_feedback_of){0};
    return (martlet_feedback_of){of.beta, of.residual ? of.residual + first : NULL,
                                 of.anchor + first, of.local ? of.local + first : NULL};
}

// Has 64 numbers of the next chunk come near while this one is searched, which needs no memory.
INLINE void PRIVATE(ask)(size_t first, martlet_feedback_of ahead) {
    enum { line = 16, word = 64 };
    for (size_t i = first; i < first + word; i += line) {
        if (ahead.anchor) __builtin_prefetch(ahead.anchor + i);
        if (ahead.residual) __builtin_prefetch(ahead.residual + i);
        if (ahead.local) __builtin_prefetch(ahead.local + i);
    }
}
