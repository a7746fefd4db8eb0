// Operations on indices and counts: exact or fp64, too small to be worth a thread.
#include "kernels.h"

void martlet_dispatch(size_t M, size_t K, size_t E, const int32_t *experts, int32_t *offsets,
                      int32_t *row_of_slot, int32_t *slot_of_row) {
    const size_t slots = M * K;
    for (size_t e = 0; e <= E; e++) offsets[e] = 0;
    for (size_t s = 0; s < slots; s++)
        if (experts[s] >= 0) offsets[experts[s] + 1]++;
    for (size_t e = 0; e < E; e++) offsets[e + 1] += offsets[e];
    // While rows are given out, offsets[e] is the next free row of expert e; in the end it is the
    // first row of expert e + 1, so the offsets are shifted back by one.
    for (size_t s = 0; s < slots; s++) {
        row_of_slot[s] = -1;
        if (experts[s] < 0) continue;
        const int32_t row = offsets[experts[s]]++;
        row_of_slot[s] = row;
        slot_of_row[row] = (int32_t)s;
    }
    for (size_t e = E; e > 0; e--) offsets[e] = offsets[e - 1];
    offsets[0] = 0;
}

double martlet_load_balancing(size_t L, size_t M, size_t E, const int32_t *counts,
                              const double *probability_sums, double factor,
                              double *dprobability) {
    const double tokens = (double)L * (double)M;
    double loss = 0;
    for (size_t e = 0; e < E; e++) {
        double count = 0, sum = 0;
        for (size_t l = 0; l < L; l++) {
            count += counts[l * E + e];
            sum += probability_sums[l * E + e];
        }
        const double share = tokens > 0 ? (double)E * count / tokens / tokens : 0;
        loss += share * sum;
        if (dprobability) dprobability[e] = factor * share;
    }
    return loss;
}

size_t martlet_count_targets(size_t M, const int32_t *targets) {
    size_t count = 0;
    for (size_t m = 0; m < M; m++) count += targets[m] >= 0;
    return count;
}
