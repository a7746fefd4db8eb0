// Optimizer kernels: elementwise over one flat vector, and the sums the optimizers need.
//
// Every kernel here is a fixed sequence of IEEE-754 operations per element, without contraction
// into fused multiply-adds, and every sum has one fixed order. So the same inputs give the same
// bits on every machine, for every instruction set: a shard server and a worker that apply the same
// step to the same numbers stay identical, bit for bit.
#pragma once
#include <stddef.h>

/// Settings of one AdamW step; `correction1` is 1 - beta1^t and `correction2` is 1 - beta2^t.
typedef struct {
    float learning_rate, beta1, beta2, epsilon, weight_decay, correction1, correction2;
} martlet_adamw_step;

/// AdamW with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), n elements:
/// p -= lr * (weight_decay * p + mhat / (sqrt(vhat) + epsilon)).
void martlet_adamw(size_t n, float *p, const float *dp, float *m, float *v,
                   martlet_adamw_step step);

/// p -= learning_rate * dp.
void martlet_sgd(size_t n, float *p, const float *dp, float learning_rate);

/// x *= factor.
void martlet_scale_in_place(size_t n, float *x, float factor);

/// Sum of x[i]^2 in fp64, in a fixed order: 8 interleaved partial sums, added pairwise at the end.
double martlet_sum_of_squares(size_t n, const float *x);
double martlet_sum_of_squares_f64(size_t n, const double *x);
/// Sum of (anchor[i] - local[i])^2 in fp64, same order.
double martlet_difference_sum_of_squares(size_t n, const float *anchor, const float *local);

/// sum += weight * x, in fp64.
void martlet_accumulate(size_t n, const float *x, double weight, double *sum);
/// sum += weight * (anchor - local), the difference taken in fp64, where it is exact for values
/// whose exponents differ by less than 30.
void martlet_accumulate_difference(size_t n, const float *anchor, const float *local,
                                   double weight, double *sum);

/// One outer step, Nesterov SGD as PyTorch's: b = mu b + g; global -= lr (g + mu b), with
/// g = scale * mean; without `nesterov`, global -= lr b. Arithmetic in fp64, state in fp32. Inputs
/// and outputs may be the same arrays.
typedef struct {
    double learning_rate, momentum, scale;
    int nesterov;
} martlet_outer_step;
void martlet_outer(size_t n, const float *global, const float *momentum, const double *mean,
                   martlet_outer_step step, float *new_global, float *new_momentum);

/// One push of delayed Nesterov (Liu and others 2024, algorithm 3 with c = 0), with
/// g = scale * update and `period` N: B += g; global -= lr g / N. The period's last push,
/// `flushes`, moves momentum too: B += g; m = mu m + B / N; global -= lr (mu m + g / N) with
/// Nesterov and lr (mu m_old + g / N) without, so that N pushes add up to one outer step on their
/// mean. The first push, `begins`, takes B as empty. With N = 1 every push is an outer step, bit
/// for bit. Arithmetic in fp64, state in fp32. `new_momentum` is written only when it flushes,
/// `new_pending` otherwise.
typedef struct {
    double learning_rate, momentum, scale, period;
    int nesterov, begins, flushes;
} martlet_delayed_step;
void martlet_delayed(size_t n, const float *global, const float *momentum, const float *pending,
                     const double *update, martlet_delayed_step step, float *new_global,
                     float *new_momentum, float *new_pending);

/// A worker that has gone on from `settled` [n] to `local` [n] takes in `global` [n]: with `keep` 1
/// local = global + (local - settled), and with less local = keep local + (1 - keep) global. Then
/// settled = global. The arithmetic is fp64, so with local = settled the first gives global, bit
/// for bit but for the sign of 0.
void martlet_rebase(size_t n, const float *global, double keep, float *settled, float *local);

/// x *= factor.
void martlet_scale_in_place_f64(size_t n, double *x, double factor);

/// y[i] = (float)(scale * x[i]).
void martlet_narrow(size_t n, const double *x, double scale, float *y);

/// 1 if every x[i] is finite, else 0.
int martlet_all_finite(size_t n, const float *x);
