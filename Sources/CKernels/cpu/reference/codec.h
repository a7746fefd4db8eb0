// The codecs' loops as plainly as they can be said.

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

void martlet_feedback_ref(size_t n, martlet_feedback_of of, float *x) {
    for (size_t i = 0; i < n; i++) {
        const float update = of.local ? of.anchor[i] - of.local[i] : of.anchor[i];
        const float left = of.residual ? of.beta * of.residual[i] : 0;
        x[i] = of.residual ? left + update : update;
    }
}

uint32_t martlet_largest_ref(size_t n, const float *x) {
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) <= largest)) {
            if (!isfinite(x[i])) return bits_of(INFINITY);
            largest = fabsf(x[i]);
        }
    return bits_of(largest);
}

// ---- Top-k ----------------------------------------------------------------------------------

// The nearest level of 4 bits of precision, the even one of two.
static uint16_t nearest_level(double magnitude) {
    const float x = (float)magnitude;
    uint16_t code = (uint16_t)(bits_of(x) >> 19);
    const double below = (double)x - (double)martlet_level(code);
    const double above = (double)martlet_level((uint16_t)(code + 1)) - (double)x;
    if (below > above || (below == above && code % 2 == 1)) code++;
    return code < 0xff0 ? code : 0xfef;
}

// As Lloyd says: means of both sides of the middle, until they stay.
static void fit_levels(size_t n, const float *m, uint16_t *levels) {
    double low = 0, high = 0, total = 0;
    float threshold = 0;
    size_t before = 0;
    for (int round = 0; round < 16; round++) {
        double lane[8] = {0};
        size_t upper = 0;
        for (size_t i = 0; i < n; i++)
            if (m[i] >= threshold) {
                lane[i % 8] += (double)m[i];
                upper++;
            }
        const double sum = ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
                           ((lane[2] + lane[6]) + (lane[3] + lane[7]));
        if (round == 0) {
            total = sum;
            low = high = total / (double)n;
        } else {
            if (upper == before || upper == 0 || upper == n) break;
            high = sum / (double)upper;
            low = (total - sum) / (double)(n - upper);
        }
        before = upper;
        threshold = (float)(0.5 * (low + high));
    }
    levels[0] = nearest_level(low);
    levels[1] = nearest_level(high);
}

static void code_chunk(size_t kept, float *x, const uint16_t *positions, uint8_t *codes,
                       uint16_t *levels) {
    float *m = malloc(kept * sizeof *m);
    for (size_t j = 0; j < kept; j++) m[j] = fabsf(x[positions[j]]);
    fit_levels(kept, m, levels);
    const float low = martlet_level(levels[0]), high = martlet_level(levels[1]);
    for (size_t j = 0; j < kept; j++) {
        float *const number = &x[positions[j]];
        const int is_negative = signbit(*number) != 0;
        const int is_upper = low < high && m[j] >= 0.5f * low + 0.5f * high;
        codes[j] = (uint8_t)(is_negative + 2 * is_upper);
        *number -= copysignf(is_upper ? high : low, *number);
    }
    free(m);
}

int martlet_topk_ref(size_t n, size_t kept, martlet_feedback_of of, float *next,
                     uint16_t *positions, uint8_t *codes, uint16_t *levels) {
    float *x = malloc((n + 1) * sizeof *x);
    martlet_feedback_ref(n, of, x);
    const int is_finite = martlet_largest_ref(n, x) < bits_of(0x1p126f);
    for (size_t first = 0; is_finite && first < n; first += martlet_chunk) {
        const size_t length = n - first < martlet_chunk ? n - first : martlet_chunk;
        const size_t some = (kept * length + martlet_chunk - 1) / martlet_chunk;
        unsigned char taken[martlet_chunk] = {0};
        for (size_t j = 0; j < some; j++) {
            size_t best = martlet_chunk;
            for (size_t i = 0; i < length; i++)
                if (!taken[i] &&
                    (best == martlet_chunk || fabsf(x[first + i]) > fabsf(x[first + best])))
                    best = i;
            taken[best] = 1;
        }
        size_t out = 0;
        for (size_t i = 0; i < length; i++)
            if (taken[i]) positions[out++] = (uint16_t)i;
        code_chunk(some, x + first, positions, codes, levels);
        positions += some;
        codes += some;
        levels += 2;
    }
    if (is_finite && next) memcpy(next, x, n * sizeof *x);
    free(x);
    return is_finite;
}
