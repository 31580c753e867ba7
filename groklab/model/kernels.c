/* The arithmetic of a training step for one run on one thread of a CPU: what `fused.py` calls, row by row.

   Compiled by `compiled.py` with the flags of the machine at hand, once for float and once for double (REAL). Matrices are
   row-major with a leading dimension; rows of several positions lie in one matrix, and index arrays say which row an example
   sees. Everything is sequential, so the same inputs give the same bits. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef REAL
#define REAL float
#endif
typedef REAL real;
typedef int64_t count;
typedef const int32_t *restrict rows_of;
#define IN const real *restrict
#define OUT real *restrict

static inline count least(count a, count b) { return a < b ? a : b; }

/* — matrix products — */

#ifdef __APPLE__ /* its own library reaches the matrix unit, which no kernel of ours can */
void cblas_sgemm(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
void cblas_dgemm(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
#endif

#if defined(__AVX512F__) /* 32 registers of 64 bytes: 28 sums, two of B, one of A */
#define BYTES 64
#define MR 14
#elif defined(__AVX__) /* 16 registers of 32 bytes: 12 sums */
#define BYTES 32
#define MR 6
#else
#define BYTES 16
#define MR 8
#endif
#define LANES (BYTES / (int)sizeof(real))
#define NR (2 * LANES)
#define KC 256 /* a panel of B, KC x NR, stays in the first-level cache */
#define NC 512 /* all panels of B, KC x NC, in the second-level cache */
typedef real vector __attribute__((vector_size(BYTES)));
typedef real anywhere __attribute__((vector_size(BYTES), aligned(sizeof(real))));

enum { ACCUMULATE = 1, RELU = 2, MASK = 4 };

/* A tile of C, MR x NR, from MR rows of A (element i, p at a[i * ai + p * ap]) and a panel of B. */
static inline __attribute__((always_inline)) void tile(count k, IN a, count ai, count ap, IN b, OUT c, count ldc, int accumulate) {
  vector sum[MR][2];
  for (int i = 0; i < MR; i++) sum[i][0] = sum[i][1] = (vector){0};
  for (count p = 0; p < k; p++) {
    vector left = *(const anywhere *)(b + p * NR), right = *(const anywhere *)(b + p * NR + LANES);
    for (int i = 0; i < MR; i++) {
      real x = a[i * ai + p * ap];
      sum[i][0] += x * left;
      sum[i][1] += x * right;
    }
  }
  for (int i = 0; i < MR; i++)
    for (int j = 0; j < 2; j++) {
      anywhere *to = (anywhere *)(c + i * ldc + j * LANES);
      *to = accumulate ? *to + sum[i][j] : sum[i][j];
    }
}

static void tile_in_place(count k, IN a, count lda, IN b, OUT c, count ldc, int accumulate) { tile(k, a, lda, 1, b, c, ldc, accumulate); }
static void tile_packed(count k, IN a, IN b, OUT c, count ldc, int accumulate) { tile(k, a, 1, MR, b, c, ldc, accumulate); }

static void pack_b(count k, count n, IN b, count bk, count bn, OUT to) {
  for (count j = 0; j < n; j += NR, to += k * NR) {
    count width = least(NR, n - j);
    IN from = b + j * bn;
    if (bn == 1 && width == NR)
      for (count p = 0; p < k; p++) memcpy(to + p * NR, from + p * bk, NR * sizeof(real));
    else
      for (count i = 0; i < NR; i++)
        for (count p = 0; p < k; p++) to[p * NR + i] = i < width ? from[p * bk + i * bn] : 0;
  }
}

static void pack_a(count k, count m, IN a, count am, count ak, OUT to) {
  for (count p = 0; p < k; p++, to += MR)
    if (am == 1 && m == MR)
      memcpy(to, a + p * ak, MR * sizeof(real));
    else
      for (count i = 0; i < MR; i++) to[i] = i < m ? a[i * am + p * ak] : 0;
}

/* What follows a finished piece of C: + bias, then ReLU, or 0 where the mask is not positive. */
static void finish(count m, count n, OUT c, count ldc, int flags, const real *bias, const real *mask) {
  for (count i = 0; i < m; i++, c += ldc) {
    if (bias)
      for (count j = 0; j < n; j++) c[j] += bias[j];
    if (flags & RELU)
      for (count j = 0; j < n; j++) c[j] = c[j] > 0 || c[j] != c[j] ? c[j] : 0; /* nan stays nan */
    if (flags & MASK) {
      for (count j = 0; j < n; j++) c[j] = mask[j] > 0 ? c[j] : 0;
      mask += ldc;
    }
  }
}

/* C (m x n) = A (m x k) B (k x n), or += with ACCUMULATE. Element (i, p) of A lies at a[i * am + p * ak], (p, j) of B at
   b[p * bk + j * bn]; one of the two steps is 1. The mask has the form of C. */
void matmul(count m, count n, count k, const real *a, count am, count ak, const real *b, count bk, count bn, real *c, count ldc,
            count flags, const real *bias, const real *mask) {
#ifdef __APPLE__
  enum { RowMajor = 101, Plain = 111, Transposed = 112 };
  int ta = ak == 1 ? Plain : Transposed, tb = bn == 1 ? Plain : Transposed;
  int lda = (int)(ak == 1 ? am : ak), ldb = (int)(bn == 1 ? bk : bn);
  real beta = flags & ACCUMULATE ? 1 : 0;
  if (sizeof(real) == 4)
    cblas_sgemm(RowMajor, ta, tb, (int)m, (int)n, (int)k, 1, (const float *)a, lda, (const float *)b, ldb, (float)beta, (float *)c, (int)ldc);
  else
    cblas_dgemm(RowMajor, ta, tb, (int)m, (int)n, (int)k, 1, (const double *)a, lda, (const double *)b, ldb, beta, (double *)c, (int)ldc);
  finish(m, n, c, ldc, (int)flags, bias, mask);
#else
  static _Thread_local real panels[KC * (NC + NR)] __attribute__((aligned(64)));
  static _Thread_local real strip[KC * MR] __attribute__((aligned(64)));
  for (count n0 = 0; n0 < n; n0 += NC) {
    count nc = least(NC, n - n0);
    for (count k0 = 0; k0 < k; k0 += KC) {
      count kc = least(KC, k - k0);
      int accumulate = (flags & ACCUMULATE) || k0 > 0, is_done = k0 + kc == k && (bias || flags & (RELU | MASK));
      pack_b(kc, nc, b + k0 * bk + n0 * bn, bk, bn, panels);
      for (count i = 0; i < m; i += MR) {
        count height = least(MR, m - i);
        int in_place = ak == 1 && height == MR;
        const real *from = a + i * am + k0 * ak;
        if (!in_place) pack_a(kc, height, from, am, ak, strip);
        for (count j = 0; j < nc; j += NR) {
          count width = least(NR, nc - j);
          real *to = c + i * ldc + n0 + j, edge[MR * NR];
          int is_whole = height == MR && width == NR;
          real *into = is_whole ? to : edge;
          count ld = is_whole ? ldc : NR;
          if (in_place) tile_in_place(kc, from, am, panels + j * kc, into, ld, is_whole && accumulate);
          else tile_packed(kc, strip, panels + j * kc, into, ld, is_whole && accumulate);
          if (!is_whole)
            for (count r = 0; r < height; r++)
              for (count s = 0; s < width; s++) to[r * ldc + s] = edge[r * NR + s] + (accumulate ? to[r * ldc + s] : 0);
          if (is_done) finish(height, width, to, ldc, (int)flags, bias ? bias + n0 + j : 0, mask ? mask + i * ldc + n0 + j : 0);
        }
      }
    }
  }
#endif
}

/* — rows — */

/* x[i] = table[token[i]] + positions[place[i]] */
void embed(count m, count width, IN table, rows_of token, const real *positions, rows_of place, OUT x) {
  for (count i = 0; i < m; i++, x += width) {
    IN from = table + token[i] * width;
    if (positions)
      for (count e = 0; e < width; e++) x[e] = from[e] + positions[place[i] * width + e];
    else
      memcpy(x, from, width * sizeof(real));
  }
}

/* to[index[i]] += from[i]; no index: to[i] += from[i] */
void add_rows(count m, count width, IN from, const int32_t *index, OUT to) {
  for (count i = 0; i < m; i++)
    for (count e = 0, r = index ? index[i] : i; e < width; e++) to[r * width + e] += from[i * width + e];
}

void fill_zero(count m, count width, OUT x) { memset(x, 0, m * width * sizeof(real)); }

/* total[e] = the sum of column e */
void sum_rows(count m, count width, IN x, count ld, OUT total) {
  memset(total, 0, width * sizeof(real));
  for (count i = 0; i < m; i++)
    for (count e = 0; e < width; e++) total[e] += x[i * ld + e];
}

/* p[i] += x[index[i]], the residual stream, in place */
void add_stream(count m, count width, IN x, const int32_t *index, OUT p) {
  for (count i = 0; i < m; i++) {
    IN from = x + (index ? index[i] : i) * width;
    for (count e = 0; e < width; e++) p[i * width + e] += from[e];
  }
}

/* LayerNorm of x: y = gain * normalized + bias, where normalized = (x - mean) * scale. */
void layer_norm(count m, count width, IN x, IN gain, IN bias, OUT y, OUT normalized, OUT scale) {
  for (count i = 0; i < m; i++, x += width, y += width, normalized += width) {
    real mean = 0, square = 0;
    for (count e = 0; e < width; e++) mean += x[e];
    mean /= width;
    for (count e = 0; e < width; e++) square += (x[e] - mean) * (x[e] - mean);
    scale[i] = 1 / (real)sqrt(square / width + (real)1e-5);
    for (count e = 0; e < width; e++) {
      normalized[e] = (x[e] - mean) * scale[i];
      y[e] = gain[e] * normalized[e] + bias[e];
    }
  }
}

/* dy becomes dx, in place. */
void layer_norm_backward(count m, count width, OUT dy, IN normalized, IN scale, IN gain, OUT dgain, OUT dbias) {
  memset(dgain, 0, width * sizeof(real));
  memset(dbias, 0, width * sizeof(real));
  for (count i = 0; i < m; i++, dy += width, normalized += width) {
    real mean = 0, along = 0;
    for (count e = 0; e < width; e++) {
      dgain[e] += dy[e] * normalized[e];
      dbias[e] += dy[e];
      real g = dy[e] * gain[e];
      dy[e] = g;
      mean += g;
      along += g * normalized[e];
    }
    mean /= width;
    along /= width;
    for (count e = 0; e < width; e++) dy[e] = scale[i] * (dy[e] - mean - normalized[e] * along);
  }
}

/* gelu (kind 1) or the square (2): x becomes the slope there, y the value */
void activate(count m, count width, count kind, OUT x, OUT y) {
  for (count i = 0; i < m * width; i++) {
    if (kind == 2) {
      y[i] = x[i] * x[i];
      x[i] *= 2;
    } else {
      real below = (real)(0.5 + 0.5 * (sizeof(real) == 4 ? erff((float)(x[i] * (real)M_SQRT1_2)) : erf(x[i] * M_SQRT1_2)));
      real density = (real)((sizeof(real) == 4 ? expf((float)(-x[i] * x[i] / 2)) : exp(-x[i] * x[i] / 2)) * 0.3989422804014327);
      y[i] = x[i] * below;
      x[i] = below + x[i] * density;
    }
  }
}

void multiply(count m, count width, IN x, OUT y) {
  for (count i = 0; i < m * width; i++) y[i] *= x[i];
}

/* — exponentials — */

/* e^x to the last place or two: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2]; loops over it become vector code. */
static inline __attribute__((always_inline)) real exponential(real x) {
#define LN2_HIGH (sizeof(real) == 4 ? (real)0.693359375 : (real)6.93147180369123816490e-01)
#define LN2_LOW (sizeof(real) == 4 ? (real)-2.12194440e-4 : (real)1.90821492927058770002e-10)
  real bound = sizeof(real) == 4 ? (real)-87 : (real)-708;
  real low = x < bound ? bound : x; /* a nan passes */
  real n = sizeof(real) == 4 ? (real)rintf((float)(low * (real)M_LOG2E)) : (real)rint(low * M_LOG2E);
  real r = (low - n * LN2_HIGH) - n * LN2_LOW, sum = 1;
  for (int i = sizeof(real) == 4 ? 7 : 13; i > 0; i--) sum = 1 + sum * r * ((real)1 / i);
  real scale;
  if (sizeof(real) == 4) {
    int32_t bits = ((int32_t)n + 127) << 23;
    memcpy(&scale, &bits, sizeof(real));
  } else {
    int64_t bits = (int64_t)((uint64_t)((int64_t)n + 1023) << 52);
    memcpy(&scale, &bits, sizeof(real));
  }
  return x < bound ? 0 : sum * scale;
}

/* — attention — */

/* out[i] = sum over t < seen[i] of softmax_t(q[at[i]] . k[keys[i][t]]) v[keys[i][t]], per head of `size` numbers; q, k and v lie
   beside each other in rows of `ld` numbers. Without a query the weights are equal. They are kept, (m, heads, most). */
static inline __attribute__((always_inline)) void attend_size(count m, count heads, count size, count most, const real *q, const real *k,
    const real *v, count ld, rows_of at, rows_of seen, rows_of keys, real *out, real *weights) {
  real root = 1 / (real)sqrt((real)size);
  for (count i = 0; i < m; i++, keys += most, weights += heads * most, out += heads * size)
    for (count h = 0; h < heads; h++) {
      real *w = weights + h * most, *to = out + h * size, top = 0, total = 0;
      for (count t = 0; t < seen[i]; t++) {
        real score = 0;
        if (q) {
          IN a = q + at[i] * ld + h * size;
          IN b = k + keys[t] * ld + h * size;
          for (count e = 0; e < size; e++) score += a[e] * b[e];
        }
        w[t] = score * root;
        top = t == 0 || w[t] > top ? w[t] : top;
      }
      for (count t = 0; t < seen[i]; t++) total += w[t] = exponential(w[t] - top);
      for (count t = 0; t < seen[i]; t++) {
        IN b = v + keys[t] * ld + h * size;
        w[t] /= total;
        if (t == 0)
          for (count e = 0; e < size; e++) to[e] = w[0] * b[e];
        else
          for (count e = 0; e < size; e++) to[e] += w[t] * b[e];
      }
    }
}

/* dq, dk and dv, zero at first, gather what reaches their rows. */
static inline __attribute__((always_inline)) void attend_backward_size(count m, count heads, count size, count most, const real *q,
    const real *k, const real *v, count ld, rows_of at, rows_of seen, rows_of keys, const real *dout, const real *weights, real *dq,
    real *dk, real *dv) {
  real root = 1 / (real)sqrt((real)size);
  for (count i = 0; i < m; i++, keys += most, weights += heads * most, dout += heads * size)
    for (count h = 0; h < heads; h++) {
      const real *w = weights + h * most;
      IN d = dout + h * size;
      real slope[8], mean = 0; /* no sequence has more than five tokens */
      for (count t = 0; t < seen[i]; t++) {
        count row = keys[t] * ld + h * size;
        real reached = 0;
        IN b = v + row;
        OUT to = dv + row;
        for (count e = 0; e < size; e++) reached += d[e] * b[e];
        for (count e = 0; e < size; e++) to[e] += w[t] * d[e];
        slope[t] = reached;
        mean += w[t] * reached;
      }
      if (!q || seen[i] == 1) continue;
      IN a = q + at[i] * ld + h * size;
      OUT da = dq + at[i] * ld + h * size;
      for (count t = 0; t < seen[i]; t++) {
        count row = keys[t] * ld + h * size;
        real s = w[t] * (slope[t] - mean) * root;
        IN b = k + row;
        OUT to = dk + row;
        for (count e = 0; e < size; e++) da[e] += s * b[e];
        for (count e = 0; e < size; e++) to[e] += s * a[e];
      }
    }
}

/* The usual sizes of a head as constants, so that the loops over it have no ends to look for. */
#define FOR_SIZE(CALL) if (size == 32) CALL(32); else if (size == 16) CALL(16); else if (size == 64) CALL(64); else CALL(size);

void attend(count m, count heads, count size, count most, const real *q, const real *k, const real *v, count ld, const int32_t *at,
            const int32_t *seen, const int32_t *keys, real *out, real *weights) {
#define CALL(S) attend_size(m, heads, S, most, q, k, v, ld, at, seen, keys, out, weights)
  FOR_SIZE(CALL)
#undef CALL
}

void attend_backward(count m, count heads, count size, count most, const real *q, const real *k, const real *v, count ld,
                     const int32_t *at, const int32_t *seen, const int32_t *keys, const real *dout, const real *weights, real *dq,
                     real *dk, real *dv) {
#define CALL(S) attend_backward_size(m, heads, S, most, q, k, v, ld, at, seen, keys, dout, weights, dq, dk, dv)
  FOR_SIZE(CALL)
#undef CALL
}

/* — loss and update — */

/* Mean over the examples of log sum exp(z) - z[answer], and its gradient to the logits. */
void cross_entropy(count m, count n, IN logits, const int64_t *restrict answer, OUT gradient, OUT mean) {
  double total = 0;
  for (count i = 0; i < m; i++, logits += n, gradient += n) {
    real top = logits[0], sum = 0;
    for (count j = 1; j < n; j++) top = logits[j] > top ? logits[j] : top;
    for (count j = 0; j < n; j++) sum += exponential(logits[j] - top);
    real normalizer = top + (real)log(sum);
    for (count j = 0; j < n; j++) gradient[j] = exponential(logits[j] - normalizer) / m;
    gradient[answer[i]] = (exponential(logits[answer[i]] - normalizer) - 1) / m;
    total += normalizer - logits[answer[i]];
  }
  *mean = (real)(total / m);
}

/* Adam with decoupled decay: w -= pull * w, then w -= rate * (first / correction1) / (sqrt(second) / correction2 + eps). */
void adam(count size, OUT w, IN g, OUT first, OUT second, double rate, double pull, double beta1, double beta2, double eps,
          double correction1, double correction2) {
  real b1 = (real)beta1, c1 = (real)(1 - beta1), b2 = (real)beta2, c2 = (real)(1 - beta2), keep = (real)(1 - pull), e = (real)eps;
  real scale = (real)(rate / correction1), root = (real)(1 / correction2);
  for (count i = 0; i < size; i++) {
    real m = first[i] * b1 + g[i] * c1, v = second[i] * b2 + g[i] * g[i] * c2;
    first[i] = m;
    second[i] = v;
    real s = sizeof(real) == 4 ? (real)sqrtf((float)v) : (real)sqrt(v);
    w[i] = w[i] * keep - scale * m / (s * root + e);
  }
}

/* The different elements of a batch, rising, and each example's place among them; how many there are. */
count distinct(count m, count n, const int64_t *restrict given, int32_t *restrict elements, int32_t *restrict index,
               int32_t *restrict place) {
  count found = 0;
  memset(place, 0, n * sizeof(int32_t));
  for (count i = 0; i < m; i++) place[given[i]] = 1;
  for (count x = 0; x < n; x++)
    if (place[x]) {
      elements[found] = (int32_t)x;
      place[x] = (int32_t)found++;
    }
  for (count i = 0; i < m; i++) index[i] = place[given[i]];
  return found;
}

count vector_bits(void) { return BYTES * 8; }
