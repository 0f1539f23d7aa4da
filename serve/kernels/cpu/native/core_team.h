/* Shares work between threads: each thread takes the next part until none is left. */
#include <stdint.h>

typedef void (*work)(void *);
typedef void (*parallel)(work, void *, unsigned, unsigned); /* GOMP_parallel: all threads of the caller's team do the work */

/* Run `each` on `n_threads` threads of the caller's team, or on the caller alone when there is no team. */
static inline void together(parallel team, int64_t n_threads, work each, void *job) {
    if (team && n_threads > 1)
        team(each, job, (unsigned)n_threads, 0);
    else
        each(job);
}

/* Return the next value of a counter that all threads share. */
static inline int64_t next_of(int64_t *counter) { return __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

/* Take the next rows, at most `most` of them, from `first` to `last`. Returns whether any of `rows` were left. */
static inline int next_rows(int64_t *counter, int64_t rows, int64_t most, int64_t *first, int64_t *last) {
    *first = next_of(counter) * most;
    *last = *first + most < rows ? *first + most : rows;
    return *first < rows;
}
