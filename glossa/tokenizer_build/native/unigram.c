/* The inner loop of unigram tokenizing: UTF-8 text -> ids with offsets, over a file that is mapped, never parsed.
 *
 * It follows the `tokenizers` crate step by step (normalizers/{precompiled,strip,replace}.rs,
 * pre_tokenizers/{whitespace,metaspace}.rs, models/unigram/model.rs: scores are summed in double, the first of equals
 * wins), so that ids and offsets are equal bit for bit. Text in which a border between grapheme clusters could matter and is not plain to see is refused (UNSURE),
 * never guessed. No libc, no allocation, no global state: every buffer comes from the caller, every write is bounded.
 * It must not know Python, files, special tokens or windows.
 */
#include <stdint.h>

enum { UNSURE = -1, FULL = -2 }; /* what encode() returns instead of a number of tokens */
/* classes of a code point; SURE: a cluster of its own beside another SURE */
enum { KEY = 1, OPENS = 2, SURE = 4, EXTENDS = 8, SPACE = 16, CONTROL = 32, LINKS = 64, WHITE = 128 };
/* rules of a tokenizer: SPLITS at white space and drops it, else each space is a mark; MARKS_* say where a mark is
 * put before the first word of a stretch (SPLITS: before each word) */
enum { SPLITS = 1, MERGES_SPACES = 2, STRIPS_LEFT = 4, STRIPS_RIGHT = 8, MARKS_ALL = 16, MARKS_FIRST = 32 };
enum { MERGED = 1 }; /* flag: a span may lack characters that were merged away or deleted */
enum { MAX_CLUSTER_BYTES = 5, MARK_BYTES = 3, REACH_BYTES = 4096 };

/* next: base << 8 | label; id: -1 where no piece ends */
typedef struct { uint32_t next; int32_t id; double score; } Unit;

typedef struct {
    const Unit *units;
    const uint8_t *classes; /* of every code point */
    const uint32_t *map;    /* double array of darts-clone: characters to what replaces them */
    const uint8_t *replacements;
    int64_t n_units, n_map, n_replacements;
    double unk_score;
    int32_t unk_id, rules;
} Model;

typedef struct { double score; int32_t length, unit; } Node; /* the best path to a byte: its last piece */

typedef struct { int32_t start, end; } Span; /* half-open, in code points of the text */

typedef struct { /* buffers and their sizes come from the caller, the rest is set here */
    int32_t *ids;
    Span *spans;
    uint8_t *word_starts;
    uint8_t *word;   /* the word being read, normalized */
    int32_t *places; /* of each byte of it: the code point of the text that it stands for << 1 | is white space */
    Node *nodes;     /* one more than the bytes of a word */
    int64_t capacity, word_capacity; /* in tokens, in bytes */
    int64_t n_tokens, n_word;
    int64_t n_stripped;  /* tokens before the last spaces */
    int32_t cursor;      /* the code point that the next normalized character stands for */
    int32_t is_inserted; /* whether the last normalized character was inserted, as `changes` > 0 in the crate */
    int32_t has_output;
    int32_t has_text;       /* whether any character was no space at the start of the text */
    int32_t is_after_space; /* whether the last normalized character was a space, which is a mark now */
    int32_t trims;          /* whether spans are cut to begin and end with no white space */
    uint32_t flags;
} State;

static int width(uint8_t lead) { return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }

static uint32_t code_point(const uint8_t *at)
{
    switch (width(*at)) {
    case 1: return at[0];
    case 2: return (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu);
    case 3: return (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
    default: return (at[0] & 0x07u) << 18 | (at[1] & 0x3Fu) << 12 | (at[2] & 0x3Fu) << 6 | (at[3] & 0x3Fu);
    }
}

static int64_t step(const Model *m, int64_t unit, uint8_t byte)
{
    int64_t next = (m->units[unit].next >> 8) + byte;
    return byte && next < m->n_units && (m->units[next].next & 0xFF) == byte ? next : 0;
}

static int is_mark(const uint8_t *at) { return at[0] == 0xE2 && at[1] == 0x96 && at[2] == 0x81; } /* U+2581 */

/* White space that the NMT rules delete. Where other rules keep it, spans are trimmed in Python. */
static int is_separator(uint8_t at) { return at == 0x0B || (at >= 0x1C && at <= 0x1F); }

/* ------------------------------------------------------------------ the best path through one word */

static void fill(const Model *m, const uint8_t *word, int64_t size, Node *nodes)
{
    for (int64_t i = 1; i <= size; i++)
        nodes[i].length = 0;
    nodes[0].score = 0;
    for (int64_t start = 0; start < size;) {
        double till_here = nodes[start].score;
        int n_char = width(word[start]), is_known = 0;
        int64_t unit = 0;
        for (int64_t at = start; at < size && (unit = step(m, unit, word[at]));) {
            at++;
            if (m->units[unit].id < 0)
                continue;
            double candidate = m->units[unit].score + till_here;
            if (!nodes[at].length || candidate > nodes[at].score)
                nodes[at] = (Node){candidate, (int32_t)(at - start), (int32_t)unit};
            is_known |= at - start == n_char;
        }
        Node *next = &nodes[start + n_char];
        if (!is_known && (!next->length || m->unk_score + till_here > next->score))
            *next = (Node){m->unk_score + till_here, n_char, 0};
        start += n_char;
    }
}

/* The span in the text of some bytes of a word, without white space at its ends; of white space alone it is empty. */
static Span in_text(const int32_t *places, Span bytes)
{
    int32_t start = bytes.start, end = bytes.end, after = (places[end - 1] >> 1) + 1;
    while (start < end && places[start] & 1)
        start++;
    while (start < end && places[end - 1] & 1)
        end--;
    return start < end ? (Span){places[start] >> 1, (places[end - 1] >> 1) + 1} : (Span){after, after};
}

static int segment(const Model *m, State *s, const uint8_t *word, const int32_t *places, int64_t size)
{
    Node *nodes = s->nodes;
    fill(m, word, size, nodes);
    int64_t first = s->n_tokens, end = size, run_end = 0;
    for (int64_t at = size; at > 0; at = end) { /* backwards; runs of unknown characters are one token */
        int32_t id = nodes[at].unit ? m->units[nodes[at].unit].id : m->unk_id;
        end = at - nodes[at].length;
        if (!(id == m->unk_id && run_end == at && s->n_tokens > first)) {
            if (s->n_tokens >= s->capacity)
                return FULL;
            s->ids[s->n_tokens] = id;
            s->spans[s->n_tokens].end = (int32_t)at;
            s->word_starts[s->n_tokens] = 0;
            s->n_tokens++;
        }
        run_end = id == m->unk_id ? end : 0;
        s->spans[s->n_tokens - 1].start = (int32_t)end;
    }
    for (int64_t i = first, j = s->n_tokens - 1; i < j; i++, j--) {
        int32_t id = s->ids[i];
        Span span = s->spans[i];
        s->ids[i] = s->ids[j], s->spans[i] = s->spans[j];
        s->ids[j] = id, s->spans[j] = span;
    }
    for (int64_t i = first; i < s->n_tokens; i++)
        s->spans[i] = in_text(places, s->spans[i]);
    s->word_starts[first] = 1;
    return 0;
}

/* The word is done: a mark stands before it, where the rules say so, and each mark in it begins a piece of its own. */
static int flush(const Model *m, State *s)
{
    int64_t from = MARK_BYTES, size = s->n_word;
    s->n_word = MARK_BYTES;
    if (size == MARK_BYTES)
        return 0;
    int is_marked = size - from >= MARK_BYTES && is_mark(s->word + from), is_first = s->places[from] >> 1 == 0;
    if (!is_marked && (m->rules & MARKS_ALL || (m->rules & MARKS_FIRST && is_first))) {
        from = 0;
        for (int i = 0; i < MARK_BYTES; i++)
            s->places[i] = s->places[MARK_BYTES];
    }
    for (int64_t at = from + 1; at < size; at++)
        if (s->word[at] == 0xE2 && size - at >= MARK_BYTES && is_mark(s->word + at)) {
            int failed = segment(m, s, s->word + from, s->places + from, at - from);
            if (failed)
                return failed;
            from = at;
        }
    return segment(m, s, s->word + from, s->places + from, size - from);
}

/* ------------------------------------------------------------------ normalized characters, with where they stand */

static int append(State *s, const uint8_t *at, int n_bytes, int32_t place)
{
    if (s->n_word + n_bytes > s->word_capacity)
        return FULL;
    for (int i = 0; i < n_bytes; i++) {
        s->word[s->n_word] = at[i];
        s->places[s->n_word++] = place;
    }
    return 0;
}

/* A space becomes a mark, with which a word begins. Of several that are one, the last one's place counts. */
static int put_space(const Model *m, State *s, int32_t place)
{
    static const uint8_t mark[MARK_BYTES] = {0xE2, 0x96, 0x81};
    if (s->is_after_space && m->rules & MERGES_SPACES) {
        for (int i = 1; i <= MARK_BYTES; i++)
            s->places[s->n_word - i] = place;
        return 0;
    }
    int failed = flush(m, s);
    if (failed)
        return failed;
    if (!s->is_after_space)
        s->n_stripped = s->n_tokens;
    s->is_after_space = 1;
    return append(s, mark, MARK_BYTES, place);
}

/* `class` is that of the normalized character, `old` that of the character at `place`, for which it stands. */
static int put(const Model *m, State *s, const uint8_t *at, int n_bytes, int32_t place, uint8_t class, uint8_t old)
{
    s->has_output = 1;
    place = place << 1 | (s->trims && old & WHITE);
    if (class & SPACE) {
        if (m->rules & SPLITS)
            return flush(m, s);
        if (m->rules & STRIPS_LEFT && !s->has_text)
            return 0;
        if (*at == ' ')
            return put_space(m, s, place);
        if (m->rules & STRIPS_RIGHT)
            return UNSURE; /* it is stripped too, if it is the last */
    }
    s->has_text = 1, s->is_after_space = 0;
    return append(s, at, n_bytes, place);
}

/* The text is done. */
static int finish(const Model *m, State *s)
{
    if (!s->is_after_space || !(m->rules & STRIPS_RIGHT))
        return flush(m, s);
    s->n_tokens = s->n_stripped;
    return 0;
}

/* `n_old` characters of the class `old` are replaced; alignment as `replace` and `transform_range` of the crate make it. */
static int replace(const Model *m, State *s, int32_t n_old, const uint8_t *with, uint8_t old)
{
    int32_t n_new = 0, after = s->cursor + n_old;
    for (const uint8_t *at = with; *at; at += width(*at))
        n_new++;
    if (!n_new) {
        if (!s->has_output)
            return UNSURE; /* the crate shifts the offsets of all that follows */
        if (s->is_inserted && s->n_word > MARK_BYTES) { /* the inserted character takes the deleted one's place */
            int64_t at = s->n_word;
            do
                s->places[--at] = s->cursor << 1;
            while ((s->word[at] & 0xC0) == 0x80);
        }
        s->is_inserted = 0;
        s->flags |= MERGED;
        s->cursor = after;
        return 0;
    }
    if (n_old > 1 && !(old & WHITE))
        s->flags |= MERGED;
    for (int32_t i = 0; i < n_new; i++, with += width(*with)) {
        int32_t place = i < n_old ? s->cursor + i : after - 1;
        int failed = put(m, s, with, width(*with), place, m->classes[code_point(with)], old);
        if (failed)
            return failed;
    }
    s->is_inserted = n_new > n_old;
    s->cursor = after;
    return 0;
}

/* What replaces the shortest key that the bytes begin with, or null. */
static const uint8_t *lookup(const Model *m, const uint8_t *at, int64_t n_bytes)
{
    uint32_t unit = m->n_map ? m->map[0] : 0;
    int64_t node = 0;
    for (int64_t i = 0; i < n_bytes && m->n_map; i++) {
        node ^= (int64_t)(unit >> 10) << ((unit & 0x200) >> 6);
        node ^= at[i];
        if (!at[i] || node >= m->n_map)
            return 0;
        unit = m->map[node];
        if ((unit & 0x800000FFu) != at[i])
            return 0;
        if (unit >> 8 & 1) {
            int64_t leaf = node ^ (int64_t)(unit >> 10) << ((unit & 0x200) >> 6);
            int64_t found = leaf < m->n_map ? (int64_t)(m->map[leaf] & 0x7FFFFFFFu) : m->n_replacements;
            return found < m->n_replacements ? m->replacements + found : 0;
        }
    }
    return 0;
}

static int one(const Model *m, State *s, const uint8_t *at, int n_bytes, uint8_t class)
{
    const uint8_t *with = class & KEY ? lookup(m, at, n_bytes) : 0;
    if (with && class & EXTENDS)
        s->flags |= MERGED;
    if (with)
        return replace(m, s, 1, with, class);
    s->is_inserted = 0;
    if (class & CONTROL && s->trims && is_separator(*at))
        s->flags |= MERGED;
    return put(m, s, at, n_bytes, s->cursor++, class, class);
}

/* Code points from `at` on that may be one cluster, more than one: a base, then what extends it, or anything unsure.
 *
 * How they are cut matters only where a key opens a cluster that is short enough to be replaced whole. */
static int cluster(const Model *m, State *s, const uint8_t *at, const uint8_t *end, int is_simple)
{
    int is_touched = 0;
    int32_t n_chars = 0;
    for (const uint8_t *p = at, *next; p < end; p = next, n_chars++) {
        int64_t rest = end - p < MAX_CLUSTER_BYTES ? end - p : MAX_CLUSTER_BYTES;
        next = p + width(*p);
        if (next < end && next + width(*next) - p <= MAX_CLUSTER_BYTES && m->classes[code_point(p)] & (KEY | OPENS))
            is_touched |= !!lookup(m, p, rest);
    }
    if (is_touched && !is_simple)
        return UNSURE;
    if (is_touched && end - at <= MAX_CLUSTER_BYTES) {
        const uint8_t *with = lookup(m, at, end - at);
        if (with)
            return replace(m, s, n_chars, with, n_chars > 1 && *at != '\r' ? 0 : m->classes[code_point(at)]);
    }
    for (const uint8_t *p = at; p < end; p += width(*p)) {
        int failed = one(m, s, p, width(*p), m->classes[code_point(p)]);
        if (failed)
            return failed;
    }
    return 0;
}

static int read_text(const Model *m, State *s, const uint8_t *at, const uint8_t *end)
{
    uint8_t class = at < end ? m->classes[code_point(at)] : 0;
    for (uint8_t next; at < end; class = next) {
        const uint8_t *stop = at + width(*at);
        next = stop < end ? m->classes[code_point(stop)] : CONTROL;
        if (class & SURE && next & (SURE | CONTROL)) {
            int failed = one(m, s, at, (int)(stop - at), class);
            if (failed)
                return failed;
            at = stop;
            continue;
        }
        if (*at == '\r' && stop < end && *stop == '\n') { /* the one cluster that begins with a control */
            stop++;
            next = stop < end ? m->classes[code_point(stop)] : CONTROL;
        }
        uint8_t before = class;
        int is_simple = !!(class & (SURE | CONTROL | EXTENDS)), is_linked = class & LINKS;
        while (stop < end) {
            if (next & CONTROL || before & CONTROL)
                break;
            if (next & SURE && !is_linked && before & (SURE | EXTENDS) && is_simple)
                break;
            is_simple &= !!(next & EXTENDS);
            is_linked = next & LINKS || (is_linked && next & EXTENDS);
            before = next;
            stop += width(*stop);
            next = stop < end ? m->classes[code_point(stop)] : CONTROL;
            if (!is_simple && before & SURE && !is_linked && next & SURE)
                break;
        }
        int failed = cluster(m, s, at, stop, is_simple);
        if (failed)
            return failed;
        at = stop;
    }
    return finish(m, s);
}

static int encode(const Model *m, State *s, const uint8_t *text, int64_t n_bytes, int32_t cursor, int32_t trims)
{
    s->n_tokens = 0, s->n_word = MARK_BYTES, s->n_stripped = 0, s->cursor = cursor, s->trims = trims;
    s->is_inserted = 0, s->has_output = 0, s->has_text = 0, s->is_after_space = 0, s->flags = 0;
    s->word[0] = 0xE2, s->word[1] = 0x96, s->word[2] = 0x81;
    return read_text(m, s, text, text + n_bytes);
}

/* Encode `n_bytes` of UTF-8 whose first code point has the place `cursor`. Returns the number of tokens, UNSURE, or FULL
 * when a buffer is too small. `flags` of the state gets MERGED or 0. Spans of flagged texts have the white space at their
 * ends, as in the crate. */
int64_t glossa_encode(const Model *m, State *s, const uint8_t *text, int64_t n_bytes, int32_t cursor)
{
    int32_t trims = !(m->rules & SPLITS) && m->n_map;
    int failed = encode(m, s, text, n_bytes, cursor, trims);
    if (!failed && trims && s->flags)
        failed = encode(m, s, text, n_bytes, cursor, 0);
    return failed ? failed : s->n_tokens;
}

/* The id of a piece and its score; -1 when there is none. */
int32_t glossa_find(const Model *m, const uint8_t *piece, int64_t n_bytes, double *score)
{
    int64_t unit = 0;
    for (int64_t i = 0; i < n_bytes; i++)
        if (!(unit = step(m, unit, piece[i])))
            return -1;
    *score = m->units[unit].score;
    return m->units[unit].id;
}

/* The ids of all pieces that stand anywhere in `text`, with repeats. Returns their number, or FULL. */
int64_t glossa_pieces_in(const Model *m, const uint8_t *text, int64_t n_bytes, int32_t *ids, int64_t capacity)
{
    int64_t n = 0;
    for (int64_t start = 0; start < n_bytes; start++) {
        int64_t unit = 0;
        for (int64_t at = start; at < n_bytes && (unit = step(m, unit, text[at])); at++)
            if (m->units[unit].id >= 0) {
                if (n >= capacity)
                    return FULL;
                ids[n++] = m->units[unit].id;
            }
    }
    return n;
}

/* ------------------------------------------------------------------ building, on the machine that makes artifacts */

typedef struct {
    const uint8_t *keys;
    const int64_t *offsets;
    const double *scores;
    const int32_t *key_ids;
    Unit *units;
    uint8_t *bases; /* 1: some node has this base */
    int64_t capacity, n_units, search;
} Builder;

static int fits(const Builder *b, int64_t base, const uint8_t *labels, int n_labels)
{
    if (b->bases[base])
        return 0;
    for (int i = 0; i < n_labels; i++)
        if (b->units[base + labels[i]].next)
            return 0;
    return 1;
}

static int64_t find_base(Builder *b, const uint8_t *labels, int n_labels)
{
    int64_t at = b->search > labels[0] ? b->search : labels[0] + 1, first = 0, n_taken = 0;
    for (; at + 256 < b->capacity; at++) {
        if (b->units[at].next) {
            n_taken++;
            continue;
        }
        if (!first)
            first = at;
        if (fits(b, at - labels[0], labels, n_labels)) {
            /* what lies behind is nearly full: look there no more */
            b->search = n_taken * 20 >= (at - b->search + 1) * 19 || at - first > REACH_BYTES ? at : b->search;
            return at - labels[0];
        }
    }
    return FULL;
}

static int place(Builder *b, int64_t from, int64_t to, int64_t depth, int64_t unit)
{
    uint8_t labels[256];
    int64_t starts[257];
    int n_labels = 0;
    if (b->offsets[from + 1] - b->offsets[from] == depth) { /* keys are sorted, each once */
        b->units[unit].score = b->scores[from];
        b->units[unit].id = b->key_ids[from];
        from++;
    }
    for (int64_t i = from; i < to; i++) {
        uint8_t label = b->keys[b->offsets[i] + depth];
        if (!n_labels || labels[n_labels - 1] != label)
            starts[n_labels] = i, labels[n_labels++] = label;
    }
    if (!n_labels)
        return 0;
    starts[n_labels] = to;
    int64_t base = find_base(b, labels, n_labels);
    if (base < 0)
        return FULL;
    b->bases[base] = 1;
    b->units[unit].next |= (uint32_t)base << 8;
    for (int i = 0; i < n_labels; i++) {
        b->units[base + labels[i]].next = labels[i];
        if (base + labels[i] >= b->n_units)
            b->n_units = base + labels[i] + 1;
    }
    for (int i = 0; i < n_labels; i++)
        if (place(b, starts[i], starts[i + 1], depth + 1, base + labels[i]))
            return FULL;
    return 0;
}

/* Build the double array of sorted, distinct, non-empty keys without zero bytes. `units` and `bases` are zeros.
 * Returns the number of units, or FULL. */
int64_t glossa_build(const uint8_t *keys, const int64_t *offsets, int64_t n_keys, const double *scores,
                     const int32_t *key_ids, Unit *units, uint8_t *bases, int64_t capacity)
{
    Builder b = {keys, offsets, scores, key_ids, units, bases, capacity, 1, 1};
    for (int64_t i = 0; i < capacity; i++)
        units[i].id = -1;
    return place(&b, 0, n_keys, 0, 0) ? FULL : b.n_units;
}
