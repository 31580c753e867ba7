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

#include "products.h"

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

/* e^x to the last place or two: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2]; loops over it become vector code. A nan passes. */
#define EXPONENTIAL(NAME, TYPE, WORD, ROUND, TERMS, LOWEST, HIGH, LOW, OFFSET, SHIFT)          \
  static inline __attribute__((always_inline)) TYPE NAME(TYPE x) {                            \
    TYPE held = x < LOWEST ? LOWEST : x, n = ROUND(held * (TYPE)M_LOG2E), sum = 1, scale;     \
    TYPE r = (held - n * HIGH) - n * LOW;                                                     \
    for (int i = TERMS; i > 0; i--) sum = 1 + sum * r * ((TYPE)1 / i);                        \
    WORD bits = (WORD)(((WORD)n + OFFSET) << SHIFT);                                          \
    memcpy(&scale, &bits, sizeof scale);                                                      \
    return x < LOWEST ? 0 : sum * scale;                                                      \
  }
EXPONENTIAL(exponential32, float, int32_t, rintf, 7, -87.0f, 0.693359375f, -2.12194440e-4f, 127, 23)
EXPONENTIAL(exponential64, double, int64_t, rint, 13, -708.0, 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1023, 52)
#define exponential(x) (sizeof(real) == 4 ? (real)exponential32((float)(x)) : (real)exponential64(x))

/* — attention — */

typedef struct {
  count heads, size, most, ld;
  const real *q, *k, *v;
  real root; /* 1 / sqrt(size) */
} heads_of;

/* One row that sees `seen` others; both are constants where this is inlined, so that its loops have no ends to look for. */
static inline __attribute__((always_inline)) void attend_row(const int seen, const count size, const heads_of *of, count at, rows_of keys,
                                                             OUT out, OUT weights) {
  for (count h = 0; h < of->heads; h++, out += size, weights += of->most) {
    real w[5] = {0}, top, total = 0;
    if (of->q) {
      IN a = of->q + at * of->ld + h * size;
      for (int t = 0; t < seen; t++) {
        IN b = of->k + keys[t] * of->ld + h * size;
        real score = 0;
        for (count e = 0; e < size; e++) score += a[e] * b[e];
        w[t] = score * of->root;
      }
    }
    top = w[0];
    for (int t = 1; t < seen; t++) top = w[t] > top ? w[t] : top;
    for (int t = 0; t < seen; t++) total += w[t] = exponential(w[t] - top);
    for (int t = 0; t < seen; t++) {
      IN b = of->v + keys[t] * of->ld + h * size;
      real share = w[t] / total;
      weights[t] = share;
      if (t == 0)
        for (count e = 0; e < size; e++) out[e] = share * b[e];
      else
        for (count e = 0; e < size; e++) out[e] += share * b[e];
    }
  }
}

/* Key by key and not head by head: a row of all heads is contiguous, and several rows ahead are fetched while one is added to. */
static inline __attribute__((always_inline)) void attend_row_backward(const int seen, const count size, const heads_of *of, count at,
    rows_of keys, IN dout, IN weights, real *dq, real *dk, real *dv) {
  real slope[of->heads * 5];
  for (int t = 0; t < seen; t++) {
    IN b = of->v + keys[t] * of->ld;
    OUT to = dv + keys[t] * of->ld;
    for (count h = 0; h < of->heads; h++) {
      real reached = 0, w = weights[h * of->most + t];
      for (count e = h * size; e < (h + 1) * size; e++) {
        reached += dout[e] * b[e];
        to[e] += w * dout[e];
      }
      slope[h * 5 + t] = reached;
    }
  }
  if (!of->q || seen == 1) return;
  for (count h = 0; h < of->heads; h++) {
    IN w = weights + h * of->most;
    real mean = 0;
    for (int t = 0; t < seen; t++) mean += w[t] * slope[h * 5 + t];
    for (int t = 0; t < seen; t++) slope[h * 5 + t] = w[t] * (slope[h * 5 + t] - mean) * of->root;
  }
  IN a = of->q + at * of->ld;
  OUT da = dq + at * of->ld;
  for (int t = 0; t < seen; t++) {
    IN b = of->k + keys[t] * of->ld;
    OUT to = dk + keys[t] * of->ld;
    for (count h = 0; h < of->heads; h++) {
      real s = slope[h * 5 + t];
      for (count e = h * size; e < (h + 1) * size; e++) {
        da[e] += s * b[e];
        to[e] += s * a[e];
      }
    }
  }
}

#define BY_SEEN(ROW, SIZE, ...)                      \
  switch (seen[i]) {                                 \
    case 1: ROW(1, SIZE, __VA_ARGS__); break;        \
    case 2: ROW(2, SIZE, __VA_ARGS__); break;        \
    case 3: ROW(3, SIZE, __VA_ARGS__); break;        \
    case 4: ROW(4, SIZE, __VA_ARGS__); break;        \
    default: ROW(5, SIZE, __VA_ARGS__);              \
  }
#define BY_SIZE(ROW, ...)                            \
  if (size == 32) BY_SEEN(ROW, 32, __VA_ARGS__)      \
  else if (size == 16) BY_SEEN(ROW, 16, __VA_ARGS__) \
  else BY_SEEN(ROW, size, __VA_ARGS__)

/* out[i] = sum over t < seen[i] of softmax_t(q[at[i]] . k[keys[i][t]]) v[keys[i][t]], per head of `size` numbers; q, k and v lie
   beside each other in rows of `ld` numbers. Without a query the weights are equal. They are kept, (m, heads, most). No sequence
   has more than five tokens. */
void attend(count m, count heads, count size, count most, const real *q, const real *k, const real *v, count ld, rows_of at,
            rows_of seen, rows_of keys, OUT out, OUT weights) {
  heads_of of = {heads, size, most, ld, q, k, v, 1 / (real)sqrt((real)size)};
  for (count i = 0; i < m; i++)
    BY_SIZE(attend_row, &of, at[i], keys + i * most, out + i * heads * size, weights + i * heads * most)
}

/* dq, dk and dv, zero at first, gather what reaches their rows. */
void attend_backward(count m, count heads, count size, count most, const real *q, const real *k, const real *v, count ld, rows_of at,
                     rows_of seen, rows_of keys, IN dout, IN weights, real *dq, real *dk, real *dv) {
  heads_of of = {heads, size, most, ld, q, k, v, 1 / (real)sqrt((real)size)};
  for (count i = 0; i < m; i++)
    BY_SIZE(attend_row_backward, &of, at[i], keys + i * most, dout + i * heads * size, weights + i * heads * most, dq, dk, dv)
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

/* The answer of every example, its probability and the loss against a label (nan for none, -1), summed in double. */
void answers(count m, count n, IN logits, const int64_t *restrict label, int64_t *restrict answer, double *restrict probability,
             double *restrict loss) {
  for (count i = 0; i < m; i++, logits += n) {
    count best = 0;
    double sum = 0;
    for (count j = 1; j < n; j++)
      if (logits[j] > logits[best] || logits[best] != logits[best]) best = j;
    double top = logits[best];
    for (count j = 0; j < n; j++) sum += exponential64(logits[j] - top);
    answer[i] = best;
    probability[i] = 1 / sum;
    loss[i] = label[i] < 0 ? (double)NAN : log(sum) + (top - logits[label[i]]);
  }
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
