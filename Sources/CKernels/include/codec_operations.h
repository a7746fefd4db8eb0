// The loops of the codecs (rules in codec.h), declared once for each instruction set:
// MARTLET_CODEC(topk) stands for martlet_topk, martlet_topk_ref and the instances behind the first.
// Included by codec.h only; on its own it declares nothing.
#ifdef MARTLET_CODEC

/// x [n] = beta * residual [n] + (anchor [n] - local [n]), each operation rounded to fp32.
void MARTLET_CODEC(feedback)(size_t n, martlet_feedback_of of, float *x);

/// The bits of the largest magnitude in x [n]; of infinity or more if a number is not finite.
uint32_t MARTLET_CODEC(largest)(size_t n, const float *x);

// ---- Top-k ----------------------------------------------------------------------------------

/// Chooses of each chunk of x [n], which is feedback's, the `kept` numbers of largest magnitude, of
/// equals the first. next [n] is x less what is sent of it; it may be NULL. Chunks have 4096
/// numbers; a shorter one keeps ceil(kept * length / 4096).
///
/// positions [sum of kept]: within their chunk, ascending. codes [same]: bit 0 the sign, bit 1
/// whether the magnitude is the upper level. levels [chunks, 2]: the lower and the upper one of
/// each chunk (martlet_level). Returns 0, and has written anything, if a magnitude in x is not
/// below 2^126.
int MARTLET_CODEC(topk)(size_t n, size_t kept, martlet_feedback_of of, float *next,
                        uint16_t *positions, uint8_t *codes, uint16_t *levels);

// ---- Blocks of 128 numbers ------------------------------------------------------------------

/// codes [n] = x [n] / scale to nearest, -127 ... 127; scales [blocks] are bf16, rounded up.
void MARTLET_CODEC(int8_from_float)(size_t n, const float *x, uint16_t *scales, int8_t *codes);
void MARTLET_CODEC(float_from_int8)(size_t n, const uint16_t *scales, const int8_t *codes,
                                    float *x);
/// The same with -7 ... 7; byte j of a block of l holds number j in its lower half and number
/// j + ceil(l / 2) in its upper one.
void MARTLET_CODEC(int4_from_float)(size_t n, const float *x, uint16_t *scales, uint8_t *codes);
void MARTLET_CODEC(float_from_int4)(size_t n, const uint16_t *scales, const uint8_t *codes,
                                    float *x);
/// FP4 E3M0: bit 3 of a code is the sign, c = bits 0 ... 2 stand for 2^(scale - 127 + c - 7), and 0
/// for 0; two in a byte as in int4. scales [blocks]: the exponent of code 7, biased by 127.
void MARTLET_CODEC(fp4_from_float)(size_t n, const float *x, uint8_t *scales, uint8_t *codes);
void MARTLET_CODEC(float_from_fp4)(size_t n, const uint8_t *scales, const uint8_t *codes, float *x);

/// The upper and the lower bytes of x [n] rounded to bf16, to nearest, ties to even.
void MARTLET_CODEC(planes_from_float)(size_t n, const float *x, uint8_t *upper, uint8_t *lower);
void MARTLET_CODEC(float_from_planes)(size_t n, const uint8_t *upper, const uint8_t *lower,
                                      float *x);

/// sum [n] += weight * x [n], in fp64.
void MARTLET_CODEC(weigh)(size_t n, double weight, const float *x, double *sum);
#endif
