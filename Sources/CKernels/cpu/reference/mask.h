// Reference: the mask of a router's choices. Included by reference.c for each REAL.

static int PRIVATE(is_counted)(const int32_t *targets, size_t row) {
    return !targets || targets[row] >= 0;
}

martlet_mask_report OP(mask)(martlet_mask_shape s, const REAL *logits, const int32_t *experts,
                             const REAL *weights, const int32_t *targets, REAL *soft, REAL *masked,
                             int32_t *live) {
    martlet_mask_report report = {0};
    for (size_t m = 0; m < s.rows; m++) {
        size_t left = 0;
        double sum = 0;
        for (size_t i = m * s.choices; i < (m + 1) * s.choices; i++) {
            const REAL z = logits[m * s.stride + (size_t)experts[i]] + (REAL)s.bias;
            const int is_live = z >= (REAL)s.threshold;
            soft[i] = PRIVATE(logistic)(z);
            live[i] = is_live ? experts[i] : -1;
            masked[i] = is_live ? weights[i] : 0;
            sum += (double)(s.squares ? soft[i] * soft[i] : soft[i]);
            left += is_live;
            report.invalid += z != z;
        }
        if (!PRIVATE(is_counted)(targets, m)) continue;
        report.rows++;
        report.live += left;
        report.empty += left == 0;
        report.soft += sum;
    }
    return report;
}

void OP(mask_backward)(martlet_mask_shape s, const int32_t *experts, const REAL *weights,
                       const int32_t *targets, const REAL *soft, const int32_t *live,
                       const REAL *dmasked, double dsoft, REAL *dweights, REAL *dlogits) {
    for (size_t m = 0; m < s.rows; m++) {
        REAL *dz = dlogits + m * s.stride;
        const REAL counted = PRIVATE(is_counted)(targets, m) ? (REAL)dsoft : 0;
        for (size_t e = 0; e < s.experts; e++) dz[e] = 0;
        for (size_t i = m * s.choices; i < (m + 1) * s.choices; i++) {
            const REAL mask = soft[i], slope = s.squares ? 2 * mask : 1;
            const REAL dmask = weights[i] * dmasked[i] + counted * slope;
            dz[experts[i]] = dmask * mask * (1 - mask);
            dweights[i] = live[i] < 0 ? 0 : dmasked[i];
        }
    }
}
