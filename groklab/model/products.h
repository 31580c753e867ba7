/* Matrix products of any shape and order, with what often follows them, for matrices that lie in the caches of one core.

   The usual blocking (Goto & van de Geijn 2008): panels of B that stay in the caches, tiles of C that stay in the registers. */

#ifdef __APPLE__ /* its own library reaches the matrix unit, which no kernel of ours can */
void cblas_sgemm(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
void cblas_dgemm(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
#endif

#if defined(__AVX512F__) /* 32 registers of 64 bytes: 28 sums, two of B, one of A */
#define BYTES 64
#define MR 14
#define HALF 8
#elif defined(__AVX__) /* 16 registers of 32 bytes: 12 sums */
#define BYTES 32
#define MR 6
#define HALF 4
#else
#define BYTES 16
#define MR 8
#define HALF 4
#endif
#define LANES (BYTES / (int)sizeof(real))
#define NR (2 * LANES)
#define KC 256 /* a panel of B, KC x NR, stays in the first-level cache */
#define NC 512 /* all panels of B, KC x NC, in the second-level cache */
typedef real vector __attribute__((vector_size(BYTES)));
typedef __typeof__((vector){0} > (vector){0}) whole;
typedef real anywhere __attribute__((vector_size(BYTES), aligned(sizeof(real))));

enum { ACCUMULATE = 1, RELU = 2, MASK = 4 };

typedef struct {
  int flags;
  const real *bias, *mask;
  count ldm;
} after; /* what follows a finished piece of C: + bias, then ReLU, or 0 where the mask is not positive; a nan stays a nan */

/* A tile of C, `rows` x NR, from as many rows of A (element i, p at a[i * ai + p * ap]) and a panel of B. */
static inline __attribute__((always_inline)) void tile(const int rows, count k, IN a, count ai, count ap, IN b, OUT c, count ldc,
                                                       int accumulate, const after *then) {
  vector sum[MR][2];
  for (int i = 0; i < rows; i++) {
    sum[i][0] = sum[i][1] = (vector){0};
    for (int j = 0; j < NR * (int)sizeof(real); j += 64) __builtin_prefetch((const char *)(c + i * ldc) + j, 1); /* there when the sums are */
    if (then && then->mask) __builtin_prefetch(then->mask + i * then->ldm), __builtin_prefetch(then->mask + i * then->ldm + LANES);
  }
  for (count p = 0; p < k; p++) {
    vector left = *(const anywhere *)(b + p * NR), right = *(const anywhere *)(b + p * NR + LANES);
    for (int i = 0; i < rows; i++) {
      real x = a[i * ai + p * ap];
      sum[i][0] += x * left;
      sum[i][1] += x * right;
    }
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < 2; j++) {
      anywhere *to = (anywhere *)(c + i * ldc + j * LANES);
      vector value = accumulate ? *to + sum[i][j] : sum[i][j];
      if (then && then->bias) value += *(const anywhere *)(then->bias + j * LANES);
      if (then && then->flags & RELU) value = (vector)((whole)value & ~(value <= 0));
      if (then && then->flags & MASK) value = (vector)((whole)value & (*(const anywhere *)(then->mask + i * then->ldm + j * LANES) > 0));
      *to = value;
    }
}

/* Full height, and half of it for the last rows, so that little is computed for nothing. */
static void tile_in_place(count k, IN a, count lda, IN b, OUT c, count ldc, int accumulate, const after *then) {
  tile(MR, k, a, lda, 1, b, c, ldc, accumulate, then);
}
static void tile_packed(count k, IN a, IN b, OUT c, count ldc, int accumulate, const after *then) {
  tile(MR, k, a, 1, MR, b, c, ldc, accumulate, then);
}
static void half_tile(count k, IN a, IN b, OUT c, count ldc) { tile(HALF, k, a, 1, MR, b, c, ldc, 0, 0); }
static void low_tile(count k, IN a, IN b, OUT c, count ldc) { tile(2, k, a, 1, MR, b, c, ldc, 0, 0); }

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

static void finish(count m, count n, OUT c, count ldc, const after *then) {
  for (count i = 0; i < m; i++, c += ldc)
    for (count j = 0; j < n; j++) {
      if (then->bias) c[j] += then->bias[j];
      if (then->flags & RELU && c[j] <= 0) c[j] = 0;
      if (then->flags & MASK && !(then->mask[i * then->ldm + j] > 0)) c[j] = 0;
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
  after then = {(int)flags, bias, mask, ldc};
  finish(m, n, c, ldc, &then);
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
          const real *panel = panels + j * kc;
          after then = {(int)flags, bias ? bias + n0 + j : 0, mask ? mask + i * ldc + n0 + j : 0, ldc};
          if (height == MR && width == NR) {
            if (in_place) tile_in_place(kc, from, am, panel, to, ldc, accumulate, is_done ? &then : 0);
            else tile_packed(kc, strip, panel, to, ldc, accumulate, is_done ? &then : 0);
            continue;
          }
          if (in_place) tile_in_place(kc, from, am, panel, edge, NR, 0, 0);
          else if (height <= 2) low_tile(kc, strip, panel, edge, NR);
          else if (height <= HALF) half_tile(kc, strip, panel, edge, NR);
          else tile_packed(kc, strip, panel, edge, NR, 0, 0);
          for (count r = 0; r < height; r++)
            for (count s = 0; s < width; s++) to[r * ldc + s] = edge[r * NR + s] + (accumulate ? to[r * ldc + s] : 0);
          if (is_done) finish(height, width, to, ldc, &then);
        }
      }
    }
  }
#endif
}

