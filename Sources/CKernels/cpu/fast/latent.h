// Heads of latent attention.

typedef struct {
    size_t M, H, N, R, W, rows;  // `rows` of one task
    const real *kv, *rotated, *dk, *dv;
    real *k, *v, *dkv, *drotated;
} latent_work;

static void latent_heads_task(const void *context, size_t index) {
    const latent_work *s = context;
    const size_t H = s->H, N = s->N, R = s->R, W = s->W;
    const size_t end = smaller(s->M, (index + 1) * s->rows);
    for (size_t i = index * s->rows * H; i < end * H; i++) {
        const real *kv = s->kv + i * (N + W);
        real *k = s->k + i * (N + R);
        memcpy(k, kv, N * sizeof(real));
        memcpy(k + N, s->rotated + i / H * R, R * sizeof(real));
        memcpy(s->v + i * W, kv + N, W * sizeof(real));
    }
}

void MARTLET_OP(latent_heads)(size_t M, size_t H, size_t N, size_t R, size_t W, const real *kv,
                              const real *rotated, real *k, real *v) {
    const size_t width = H * (N + R + W);
    const latent_work s = {.M = M, .H = H, .N = N, .R = R, .W = W, .rows = rows_per_task(width),
                           .kv = kv, .rotated = rotated, .k = k, .v = v};
    martlet_parallel(ceil_div(M, s.rows), (double)M * (double)width, latent_heads_task, &s);
}

static void latent_heads_backward_task(const void *context, size_t index) {
    const latent_work *s = context;
    const size_t H = s->H, N = s->N, R = s->R, W = s->W;
    const size_t end = smaller(s->M, (index + 1) * s->rows);
    for (size_t m = index * s->rows; m < end; m++) {
        for (size_t i = m * H; i < (m + 1) * H; i++) {
            memcpy(s->dkv + i * (N + W), s->dk + i * (N + R), N * sizeof(real));
            memcpy(s->dkv + i * (N + W) + N, s->dv + i * W, W * sizeof(real));
        }
        for (size_t c = 0; c < R; c += LANES) {
            vec sum = {0};
            for (size_t i = m * H; i < (m + 1) * H; i++)
                sum += r_load(s->dk + i * (N + R) + N + c, R - c, 0);
            r_store(s->drotated + m * R + c, R - c, sum);
        }
    }
}

void MARTLET_OP(latent_heads_backward)(size_t M, size_t H, size_t N, size_t R, size_t W,
                                       const real *dk, const real *dv, real *dkv,
                                       real *drotated) {
    const size_t width = H * (N + R + W);
    const latent_work s = {.M = M, .H = H, .N = N, .R = R, .W = W, .rows = rows_per_task(width),
                           .dk = dk, .dv = dv, .dkv = dkv, .drotated = drotated};
    martlet_parallel(ceil_div(M, s.rows), (double)M * (double)width, latent_heads_backward_task,
                     &s);
}
