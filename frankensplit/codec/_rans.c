/* SPDX-License-Identifier: Apache-2.0
 *
 * rANS coder of int32 symbols. The bit stream is described in _rans_twin.py, which gives the same bytes and errors.
 *
 * Tables are trusted: the class Tables has validated them (each slot at least 1 wide, rows end with 65536, outliers
 * stay in int32). So are contexts: the class Contexts has validated them. Payloads and symbols are not trusted. One row,
 * or the few that contexts share, is prepared at a time, so memory beside the latent is that of one plane.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT_BITS = 16, SLOT_TOTAL = 1 << SLOT_BITS, DIGIT_BITS = 4, MAX_DIGITS = 7, STATE_BITS = 63 };
enum { BUCKET_BITS = 8, BUCKETS = 1 << (SLOT_BITS - BUCKET_BITS) };

enum { MAX_MAGNITUDE = 15, NEARS = 6 * MAX_MAGNITUDE + 1, MAX_CLASSES = 256, MAX_SHARED = 16, LANES = 16 };

static const uint64_t LOWER = UINT64_C(1) << 31;
static const int64_t OUTLIER_LIMIT = INT64_C(1) << (DIGIT_BITS * MAX_DIGITS - 1);

/* Loops over planes exist twice on x86-64; the loader takes the one for AVX2 where the processor has it. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define CLONED __attribute__((target_clones("avx2", "default")))
#else
#define CLONED
#endif

typedef struct {
    const int32_t *cdf, *sizes, *offsets;
    Py_ssize_t channels, width;
} tables_t;

/* ---- words ---- */

static inline void store_word(uint8_t *at, uint64_t word)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(word >> (8 * i));
}

static inline uint64_t load_word(const uint8_t *at)
{
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24;
}

/* ---- encoder ---- */

typedef struct {
    uint64_t state;
    uint8_t *begin; /* of the payload so far, which grows downwards */
} encoder_t;

/* A slot with its division made ready: x / frequency == high_product(x, reciprocal) >> shift for all x < 2^63. */
typedef struct {
    uint64_t limit, reciprocal;
    uint32_t shift, start, complement;
} slot_t;

static inline uint64_t high_product(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    return (uint64_t)(((unsigned __int128)a * b) >> 64);
#else
    uint64_t a_low = (uint32_t)a, a_high = a >> 32, b_low = (uint32_t)b, b_high = b >> 32;
    uint64_t middle = a_high * b_low + (a_low * b_low >> 32);
    uint64_t other = a_low * b_high + (uint32_t)middle;
    return a_high * b_high + (middle >> 32) + (other >> 32);
#endif
}

static slot_t make_slot(uint32_t start, uint32_t frequency)
{
    slot_t slot = {.limit = (uint64_t)frequency << (STATE_BITS - SLOT_BITS),
                   .start = start,
                   .complement = SLOT_TOTAL - frequency};
    if (frequency == 1) { /* no 64-bit reciprocal gives x; this one gives x - 1, and start makes up for it */
        slot.reciprocal = UINT64_MAX;
        slot.start += SLOT_TOTAL - 1;
        return slot;
    }
    while (frequency > UINT32_C(2) << slot.shift)
        slot.shift++;
    /* ceil(2^(64 + shift) / frequency), by long division in two digits of 32 bits */
    uint64_t numerator = UINT64_C(1) << (32 + slot.shift);
    uint64_t rest = ((numerator % frequency) << 32) + frequency - 1;
    slot.reciprocal = ((numerator / frequency) << 32) + rest / frequency;
    return slot;
}

static inline void shed_word(encoder_t *encoder, uint64_t limit)
{
    if (encoder->state >= limit) {
        encoder->begin -= 4;
        store_word(encoder->begin, encoder->state);
        encoder->state >>= 32;
    }
}

static inline void push_slot(encoder_t *encoder, const slot_t *slot)
{
    shed_word(encoder, slot->limit);
    uint64_t quotient = high_product(encoder->state, slot->reciprocal) >> slot->shift;
    encoder->state += slot->start + quotient * slot->complement;
}

static inline void push_digit(encoder_t *encoder, uint64_t digit)
{
    shed_word(encoder, UINT64_C(1) << (STATE_BITS - DIGIT_BITS));
    encoder->state = encoder->state << DIGIT_BITS | digit;
}

/* Pushes what follows the slot `top`; 0 if the value is out of range. */
static int push_outlier(encoder_t *encoder, int64_t value, int64_t top)
{
    if (value < -OUTLIER_LIMIT || value >= top + OUTLIER_LIMIT)
        return 0;
    uint64_t raw = (uint64_t)(value < 0 ? -2 * value - 1 : 2 * (value - top));
    int count = 0;
    while (raw >> (DIGIT_BITS * count))
        count++;
    for (int i = count; i-- > 0;)
        push_digit(encoder, raw >> (DIGIT_BITS * i) & 15);
    push_digit(encoder, (uint64_t)count);
    return 1;
}

static void make_slots(slot_t *slots, const int32_t *cdf, int32_t top)
{
    for (int32_t i = 0; i <= top; i++)
        slots[i] = make_slot((uint32_t)cdf[i], (uint32_t)(cdf[i + 1] - cdf[i]));
}

static void flush(encoder_t *encoder)
{
    for (int half = 1; half >= 0; half--) {
        encoder->begin -= 4;
        store_word(encoder->begin, encoder->state >> (32 * half));
    }
}

/* Pushes a channel, last symbol first; -1, or the index of a symbol out of range. */
static Py_ssize_t push_plane(encoder_t *shared, const int32_t *symbols, Py_ssize_t count, const slot_t *slots,
                             int64_t top, int64_t offset)
{
    encoder_t encoder = *shared;
    for (Py_ssize_t i = count; i-- > 0;) {
        int64_t value = symbols[i] - offset;
        if ((uint64_t)value >= (uint64_t)top) {
            if (!push_outlier(&encoder, value, top))
                return i;
            value = top;
        }
        push_slot(&encoder, &slots[value]);
    }
    *shared = encoder;
    return -1;
}

/* Encodes all channels; -1, or the index of a symbol out of range. */
static Py_ssize_t push_all(encoder_t *encoder, const int32_t *symbols, Py_ssize_t plane, const tables_t *tables,
                           slot_t *slots)
{
    for (Py_ssize_t channel = tables->channels; channel-- > 0;) {
        const int32_t *row = tables->cdf + channel * tables->width;
        int32_t top = tables->sizes[channel] - 2;
        make_slots(slots, row, top);
        Py_ssize_t bad = push_plane(encoder, symbols + channel * plane, plane, slots, top, tables->offsets[channel]);
        if (bad >= 0)
            return channel * plane + bad;
    }
    flush(encoder);
    return -1;
}

static void refuse_symbol(int32_t symbol, Py_ssize_t channel, const tables_t *tables, Py_ssize_t table)
{
    long long low = tables->offsets[table] - OUTLIER_LIMIT;
    long long high = tables->offsets[table] + tables->sizes[table] - 2 + OUTLIER_LIMIT - 1;
    PyErr_Format(PyExc_ValueError, "symbol %d of channel %zd is not in %lld to %lld", (int)symbol, channel, low, high);
}

/* ---- contexts ---- */

/* What chooses the table of a symbol; described in _rans_twin.py. */
typedef struct {
    const uint8_t *map;
    const int32_t *near_limits, *activity_limits;
    Py_ssize_t channels, height, width, near_count, activity_count;
} contexts_t;

/* Planes beside the latent. Magnitudes (of the channel at hand) and activity (of those before it) have a border of zeros,
 * so that neighbours outside need no test; `tables` gives the table for [activity class * NEARS + near]. */
typedef struct {
    Py_ssize_t stride;
    uint8_t *magnitudes, *packed;
    int32_t *activity, *sums;
    uint16_t *places;
    uint8_t tables[MAX_CLASSES * NEARS];
} scene_t;

static void close_scene(scene_t *scene)
{
    if (scene) {
        free(scene->magnitudes);
        free(scene->packed);
        free(scene->activity);
        free(scene->sums);
        free(scene->places);
        free(scene);
    }
}

static scene_t *open_scene(const contexts_t *contexts)
{
    scene_t *scene = calloc(1, sizeof *scene);
    if (!scene)
        return NULL;
    size_t stride = (size_t)contexts->width + 2, rows = (size_t)contexts->height + 2;
    size_t size = rows * stride + LANES;
    scene->stride = (Py_ssize_t)stride;
    scene->magnitudes = calloc(size, sizeof *scene->magnitudes);
    scene->packed = calloc(size, sizeof *scene->packed);
    scene->activity = calloc(size, sizeof *scene->activity);
    scene->sums = calloc(stride + LANES, sizeof *scene->sums);
    scene->places = calloc(stride + LANES, sizeof *scene->places);
    if (scene->magnitudes && scene->packed && scene->activity && scene->sums && scene->places)
        return scene;
    close_scene(scene);
    return NULL;
}

static inline uint8_t magnitude_of(int32_t symbol)
{
    int32_t capped = symbol > MAX_MAGNITUDE ? MAX_MAGNITUDE : symbol < -MAX_MAGNITUDE ? -MAX_MAGNITUDE : symbol;
    return (uint8_t)(capped < 0 ? -capped : capped);
}

CLONED static int is_zero(const int32_t *symbols, Py_ssize_t count)
{
    uint32_t any = 0;
    for (Py_ssize_t i = 0; i < count; i++)
        any |= (uint32_t)symbols[i];
    return any == 0;
}

/* Adds the magnitudes at hand to the activity, or takes them away. */
CLONED static void move_activity(scene_t *scene, const contexts_t *contexts, int32_t sign)
{
    Py_ssize_t size = (contexts->height + 2) * scene->stride;
    int32_t *activity = scene->activity;
    const uint8_t *magnitudes = scene->magnitudes;
    for (Py_ssize_t i = 0; i < size; i++)
        activity[i] += sign * magnitudes[i];
}

/* Brings a plane's magnitudes at hand and adds them to the activity or takes them away; most planes are all zero. */
CLONED static void take_plane(scene_t *scene, const contexts_t *contexts, const int32_t *plane, int32_t sign)
{
    Py_ssize_t height = contexts->height, width = contexts->width;
    if (is_zero(plane, height * width)) {
        memset(scene->magnitudes, 0, (size_t)((height + 2) * scene->stride));
        return;
    }
    uint8_t *restrict packed = scene->packed;
    for (Py_ssize_t i = 0; i < height * width; i++)
        packed[i] = magnitude_of(plane[i]);
    for (Py_ssize_t y = 0; y < height; y++)
        memcpy(scene->magnitudes + (y + 1) * scene->stride + 1, packed + y * width, (size_t)width);
    move_activity(scene, contexts, sign);
}

static void choose_tables(scene_t *scene, const contexts_t *contexts, Py_ssize_t channel)
{
    Py_ssize_t activities = contexts->activity_count + 1;
    const uint8_t *map = contexts->map + channel * (contexts->near_count + 1) * activities;
    for (Py_ssize_t near = 0, class = 0; near < NEARS; near++) {
        if (class < contexts->near_count && near >= contexts->near_limits[class])
            class++;
        for (Py_ssize_t activity = 0; activity < activities; activity++)
            scene->tables[activity * NEARS + near] = map[class * activities + activity];
    }
}

/* Returns the one table of a channel whose classes all share it, as those of dead channels do; else -1. */
static Py_ssize_t only_table(const contexts_t *contexts, Py_ssize_t channel)
{
    Py_ssize_t classes = (contexts->near_count + 1) * (contexts->activity_count + 1);
    const uint8_t *map = contexts->map + channel * classes;
    for (Py_ssize_t i = 1; i < classes; i++)
        if (map[i] != map[0])
            return -1;
    return map[0];
}

/* Fills places[x] with activity class * NEARS + what of `near` lies in the row above. Works on whole LANES: what lies
 * behind the row's end is read too, and its places are never used. */
CLONED static void find_places(scene_t *scene, const contexts_t *contexts, Py_ssize_t channel, Py_ssize_t y)
{
    const uint8_t *above = scene->magnitudes + y * scene->stride + 1;
    const int32_t *activity = scene->activity + (y + 1) * scene->stride + 1;
    const int32_t *limits = contexts->activity_limits + channel * contexts->activity_count;
    Py_ssize_t stride = scene->stride, lanes = (contexts->width + LANES - 1) / LANES * LANES;
    int32_t *restrict sums = scene->sums;
    uint16_t *restrict places = scene->places;
    for (Py_ssize_t x = 0; x < lanes; x++) {
        sums[x] = 2 * activity[x] + activity[x - 1] + activity[x + 1] + activity[x - stride] + activity[x + stride];
        places[x] = (uint16_t)(2 * above[x] + above[x - 1] + above[x + 1]);
    }
    for (Py_ssize_t i = 0; i < contexts->activity_count; i++)
        for (Py_ssize_t x = 0; x < lanes; x++)
            places[x] = (uint16_t)(places[x] + (sums[x] >= limits[i] ? NEARS : 0));
}

/* A shared table made ready for the encoder. */
typedef struct {
    const slot_t *slots;
    int64_t top, offset;
} shared_t;

/* Pushes a row of a plane, last symbol first; -1, or the column of a symbol out of range. */
static Py_ssize_t push_row(encoder_t *shared, const int32_t *symbols, Py_ssize_t width, const scene_t *scene,
                           const uint8_t *magnitudes, const shared_t *tables)
{
    encoder_t encoder = *shared;
    for (Py_ssize_t x = width; x-- > 0;) {
        const shared_t *table = &tables[scene->tables[scene->places[x] + 2 * magnitudes[x - 1]]];
        int64_t value = symbols[x] - table->offset;
        if ((uint64_t)value >= (uint64_t)table->top) {
            if (!push_outlier(&encoder, value, table->top))
                return x;
            value = table->top;
        }
        push_slot(&encoder, &table->slots[value]);
    }
    *shared = encoder;
    return -1;
}

/* Pushes a channel, its magnitudes at hand; -1, or the index of a symbol out of range, whose table is in *refused. */
static Py_ssize_t push_plane_in_context(encoder_t *encoder, const int32_t *symbols, const contexts_t *contexts,
                                        Py_ssize_t channel, scene_t *scene, const shared_t *shared, Py_ssize_t *refused)
{
    choose_tables(scene, contexts, channel);
    for (Py_ssize_t y = contexts->height; y-- > 0;) {
        const uint8_t *magnitudes = scene->magnitudes + (y + 1) * scene->stride + 1;
        find_places(scene, contexts, channel, y);
        Py_ssize_t bad = push_row(encoder, symbols + y * contexts->width, contexts->width, scene, magnitudes, shared);
        if (bad >= 0) {
            *refused = scene->tables[scene->places[bad] + 2 * magnitudes[bad - 1]];
            return y * contexts->width + bad;
        }
    }
    return -1;
}

static void make_shared(shared_t *shared, slot_t *slots, const tables_t *tables)
{
    for (Py_ssize_t table = 0; table < tables->channels; table++) {
        int32_t top = tables->sizes[table] - 2;
        make_slots(slots + table * tables->width, tables->cdf + table * tables->width, top);
        shared[table] = (shared_t){slots + table * tables->width, top, tables->offsets[table]};
    }
}

/* Encodes all channels; -1, or the index of a symbol out of range, whose table is then in *refused. */
static Py_ssize_t push_in_context(encoder_t *encoder, const int32_t *symbols, const contexts_t *contexts,
                                  scene_t *scene, const shared_t *shared, Py_ssize_t *refused)
{
    Py_ssize_t count = contexts->height * contexts->width;
    for (Py_ssize_t channel = 0; channel < contexts->channels; channel++)
        take_plane(scene, contexts, symbols + channel * count, 1);
    for (Py_ssize_t channel = contexts->channels; channel-- > 0;) {
        const int32_t *plane = symbols + channel * count;
        Py_ssize_t bad;
        take_plane(scene, contexts, plane, -1);
        *refused = only_table(contexts, channel);
        if (*refused >= 0) {
            const shared_t *table = &shared[*refused];
            bad = push_plane(encoder, plane, count, table->slots, table->top, table->offset);
        } else {
            bad = push_plane_in_context(encoder, plane, contexts, channel, scene, shared, refused);
        }
        if (bad >= 0)
            return channel * count + bad;
    }
    flush(encoder);
    return -1;
}

/* ---- decoder ---- */

typedef struct {
    uint64_t state;
    const uint8_t *next, *end;
} decoder_t;

typedef enum { WHOLE, ENDED, TOO_LONG_OUTLIER, LEADING_ZERO } verdict_t;

static inline int refill(decoder_t *decoder)
{
    if (decoder->state < LOWER) {
        if (decoder->next == decoder->end)
            return 0;
        decoder->state = decoder->state << 32 | load_word(decoder->next);
        decoder->next += 4;
    }
    return 1;
}

static int pop_digit(decoder_t *decoder, uint64_t *digit)
{
    *digit = decoder->state & 15;
    decoder->state >>= DIGIT_BITS;
    return refill(decoder);
}

static verdict_t pop_outlier(decoder_t *decoder, int64_t top, int64_t *value)
{
    uint64_t count, digit = 0, raw = 0;
    if (!pop_digit(decoder, &count))
        return ENDED;
    if (count > MAX_DIGITS)
        return TOO_LONG_OUTLIER;
    for (uint64_t i = 0; i < count; i++) {
        if (!pop_digit(decoder, &digit))
            return ENDED;
        raw |= digit << (DIGIT_BITS * i);
    }
    if (count > 0 && digit == 0)
        return LEADING_ZERO;
    *value = raw & 1 ? -(int64_t)(raw >> 1) - 1 : (int64_t)(raw >> 1) + top;
    return WHOLE;
}

/* A row made ready: its likeliest slot, and for each bucket of 256 positions the slot of the first one. */
typedef struct {
    const int32_t *cdf;
    int32_t likeliest, start, frequency;
    uint16_t first_slots[BUCKETS];
} row_t;

static void prepare_row(row_t *row, const int32_t *cdf, int32_t top)
{
    int32_t slot = 0;
    for (int32_t bucket = 0; bucket < BUCKETS; bucket++) {
        while (cdf[slot + 1] <= bucket << BUCKET_BITS)
            slot++;
        row->first_slots[bucket] = (uint16_t)slot;
    }
    row->cdf = cdf;
    row->likeliest = row->start = row->frequency = 0;
    for (slot = 0; slot <= top; slot++)
        if (cdf[slot + 1] - cdf[slot] > row->frequency) {
            row->likeliest = slot;
            row->start = cdf[slot];
            row->frequency = cdf[slot + 1] - cdf[slot];
        }
}

/* Removes the slot on top and returns it; refill() must follow. Trying the likeliest slot first lets the processor
 * guess it and go on rather than wait for the table: half the time at the usual half bit a symbol. */
static inline int32_t pop_slot(decoder_t *decoder, const row_t *row)
{
    int32_t position = (int32_t)(decoder->state & (SLOT_TOTAL - 1));
    uint64_t above = decoder->state >> SLOT_BITS;
    if ((uint32_t)(position - row->start) < (uint32_t)row->frequency) {
        decoder->state = (uint64_t)row->frequency * above + (uint64_t)(position - row->start);
        return row->likeliest;
    }
    int32_t slot = row->first_slots[position >> BUCKET_BITS];
    while (row->cdf[slot + 1] <= position)
        slot++;
    decoder->state = (uint64_t)(row->cdf[slot + 1] - row->cdf[slot]) * above + (uint64_t)(position - row->cdf[slot]);
    return slot;
}

/* Pops a channel; *done is the number of its symbols that are whole. */
static verdict_t pop_plane(decoder_t *shared, int32_t *symbols, Py_ssize_t count, const row_t *row, int32_t top,
                           int64_t offset, Py_ssize_t *done)
{
    decoder_t decoder = *shared;
    verdict_t verdict = WHOLE;
    Py_ssize_t i = 0;
    for (; i < count; i++) {
        int64_t value = pop_slot(&decoder, row);
        verdict = refill(&decoder) ? WHOLE : ENDED;
        if (value == top && verdict == WHOLE)
            verdict = pop_outlier(&decoder, top, &value);
        if (verdict != WHOLE)
            break;
        symbols[i] = (int32_t)(value + offset);
    }
    *shared = decoder;
    *done = i;
    return verdict;
}

static verdict_t pop_all(decoder_t *decoder, int32_t *symbols, Py_ssize_t plane, const tables_t *tables,
                         Py_ssize_t *done)
{
    *done = 0;
    for (Py_ssize_t channel = 0; channel < tables->channels; channel++) {
        row_t row;
        Py_ssize_t done_here;
        int32_t top = tables->sizes[channel] - 2;
        prepare_row(&row, tables->cdf + channel * tables->width, top);
        verdict_t verdict = pop_plane(decoder, symbols + channel * plane, plane, &row, top, tables->offsets[channel],
                                      &done_here);
        *done += done_here;
        if (verdict != WHOLE)
            return verdict;
    }
    return WHOLE;
}

/* Pops a row of a plane; *done is the number of its symbols that are whole. */
static verdict_t pop_row(decoder_t *shared, int32_t *symbols, Py_ssize_t width, const scene_t *scene,
                         uint8_t *magnitudes, const row_t *rows, const tables_t *tables, Py_ssize_t *done)
{
    decoder_t decoder = *shared;
    verdict_t verdict = WHOLE;
    Py_ssize_t x = 0;
    uint8_t left = 0;
    for (; x < width; x++) {
        uint8_t table = scene->tables[scene->places[x] + 2 * left];
        int64_t top = tables->sizes[table] - 2, value = pop_slot(&decoder, &rows[table]);
        verdict = refill(&decoder) ? WHOLE : ENDED;
        if (value == top && verdict == WHOLE)
            verdict = pop_outlier(&decoder, top, &value);
        if (verdict != WHOLE)
            break;
        symbols[x] = (int32_t)(value + tables->offsets[table]);
        magnitudes[x] = left = magnitude_of(symbols[x]);
    }
    *shared = decoder;
    *done = x;
    return verdict;
}

/* Pops a channel and leaves its magnitudes at hand; *done is the number of its symbols that are whole. */
static verdict_t pop_plane_in_context(decoder_t *decoder, int32_t *symbols, const tables_t *tables,
                                      const contexts_t *contexts, Py_ssize_t channel, scene_t *scene, const row_t *rows,
                                      Py_ssize_t *done)
{
    verdict_t verdict = WHOLE;
    *done = 0;
    choose_tables(scene, contexts, channel);
    for (Py_ssize_t y = 0; y < contexts->height && verdict == WHOLE; y++) {
        Py_ssize_t done_here;
        find_places(scene, contexts, channel, y);
        verdict = pop_row(decoder, symbols + *done, contexts->width, scene,
                          scene->magnitudes + (y + 1) * scene->stride + 1, rows, tables, &done_here);
        *done += done_here;
    }
    return verdict;
}

static verdict_t pop_in_context(decoder_t *decoder, int32_t *symbols, const tables_t *tables,
                                const contexts_t *contexts, scene_t *scene, Py_ssize_t *done)
{
    row_t rows[MAX_SHARED];
    *done = 0;
    for (Py_ssize_t table = 0; table < tables->channels; table++)
        prepare_row(&rows[table], tables->cdf + table * tables->width, tables->sizes[table] - 2);
    for (Py_ssize_t channel = 0; channel < contexts->channels; channel++) {
        int32_t *plane = symbols + *done;
        Py_ssize_t done_here, only = only_table(contexts, channel);
        verdict_t verdict;
        if (only >= 0) {
            verdict = pop_plane(decoder, plane, contexts->height * contexts->width, &rows[only],
                                tables->sizes[only] - 2, tables->offsets[only], &done_here);
        } else {
            verdict = pop_plane_in_context(decoder, plane, tables, contexts, channel, scene, rows, &done_here);
        }
        *done += done_here;
        if (verdict != WHOLE)
            return verdict;
        take_plane(scene, contexts, plane, 1);
    }
    return WHOLE;
}

static int begin_decoding(decoder_t *decoder, const uint8_t *payload, Py_ssize_t length)
{
    if (length < 8 || length % 4) {
        PyErr_Format(PyExc_ValueError, "payload has %zd bytes, expected a multiple of 4 from 8 on", length);
        return 0;
    }
    decoder->state = load_word(payload) | load_word(payload + 4) << 32;
    decoder->next = payload + 8;
    decoder->end = payload + length;
    if (decoder->state < LOWER || decoder->state >> STATE_BITS) {
        PyErr_SetString(PyExc_ValueError, "payload begins with a state out of range");
        return 0;
    }
    return 1;
}

/* Raises what is wrong with a decoded payload; 1 if nothing is. */
static int check_decoded(const decoder_t *decoder, verdict_t verdict, Py_ssize_t done, Py_ssize_t count)
{
    static const char *const texts[] = {
        [ENDED] = "payload ends within symbol %zd of %zd",
        [TOO_LONG_OUTLIER] = "outlier of symbol %zd of %zd has more than 7 digits",
        [LEADING_ZERO] = "outlier of symbol %zd of %zd has a leading zero",
    };
    if (verdict != WHOLE)
        PyErr_Format(PyExc_ValueError, texts[verdict], done, count);
    else if (decoder->next != decoder->end)
        PyErr_Format(PyExc_ValueError, "payload goes on for %zd words after the last symbol",
                     (Py_ssize_t)(decoder->end - decoder->next) / 4);
    else if (decoder->state != LOWER)
        PyErr_SetString(PyExc_ValueError, "payload ends in a wrong state");
    return !PyErr_Occurred();
}

/* ---- Python ---- */

typedef struct {
    Py_buffer first, second, cdf, sizes, offsets, map, near, activity;
} arguments_t;

static void release(arguments_t *arguments)
{
    Py_buffer *buffers[] = {&arguments->first,   &arguments->second, &arguments->cdf,  &arguments->sizes,
                            &arguments->offsets, &arguments->map,    &arguments->near, &arguments->activity};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (buffers[i]->obj)
            PyBuffer_Release(buffers[i]);
}

/* Views the buffers of the tables; 0 and a TypeError if their lengths and that of the symbols disagree. */
static int view_tables(tables_t *tables, const arguments_t *arguments, const Py_buffer *symbols)
{
    Py_ssize_t channels = arguments->sizes.len / 4;
    if (channels < 1 || arguments->offsets.len != arguments->sizes.len || arguments->cdf.len % (4 * channels) ||
        symbols->len % (4 * channels)) {
        PyErr_SetString(PyExc_TypeError, "symbols, cdf, sizes and offsets must be int32 with as many channels each");
        return 0;
    }
    tables->cdf = arguments->cdf.buf;
    tables->sizes = arguments->sizes.buf;
    tables->offsets = arguments->offsets.buf;
    tables->channels = channels;
    tables->width = arguments->cdf.len / (4 * channels);
    return 1;
}

/* Room for the longest payload: a symbol is 16 + 4 + 28 bits at most, so 2 words each and 4 for the state will do. */
static uint8_t *make_room(Py_ssize_t count, size_t *room)
{
    if (count > PY_SSIZE_T_MAX / 8 - 2)
        return NULL;
    *room = 8 * (size_t)count + 16;
    return malloc(*room);
}

static PyObject *encode_symbols(const Py_buffer *buffer, const tables_t *tables)
{
    const int32_t *symbols = buffer->buf;
    Py_ssize_t count = buffer->len / 4, plane = count / tables->channels, bad;
    size_t room;
    uint8_t *words = make_room(count, &room);
    slot_t *slots = calloc((size_t)tables->width, sizeof *slots);
    PyObject *payload = NULL;
    if (words && slots) {
        encoder_t encoder = {.state = LOWER, .begin = words + room};
        Py_BEGIN_ALLOW_THREADS
        bad = push_all(&encoder, symbols, plane, tables, slots);
        Py_END_ALLOW_THREADS
        if (bad >= 0)
            refuse_symbol(symbols[bad], bad / plane, tables, bad / plane);
        else
            payload = PyBytes_FromStringAndSize((const char *)encoder.begin, words + room - encoder.begin);
    } else {
        PyErr_NoMemory();
    }
    free(slots);
    free(words);
    return payload;
}

static PyObject *encode(PyObject *module, PyObject *args)
{
    arguments_t arguments = {0};
    tables_t tables;
    PyObject *payload = NULL;
    (void)module;
    if (PyArg_ParseTuple(args, "y*y*y*y*:encode", &arguments.first, &arguments.cdf, &arguments.sizes,
                         &arguments.offsets) &&
        view_tables(&tables, &arguments, &arguments.first))
        payload = encode_symbols(&arguments.first, &tables);
    release(&arguments);
    return payload;
}

static int decode_symbols(const Py_buffer *payload, const Py_buffer *symbols, const tables_t *tables)
{
    decoder_t decoder;
    verdict_t verdict;
    Py_ssize_t count = symbols->len / 4, done;
    if (!begin_decoding(&decoder, payload->buf, payload->len))
        return 0;
    Py_BEGIN_ALLOW_THREADS
    verdict = pop_all(&decoder, symbols->buf, count / tables->channels, tables, &done);
    Py_END_ALLOW_THREADS
    return check_decoded(&decoder, verdict, done, count);
}

static PyObject *decode(PyObject *module, PyObject *args)
{
    arguments_t arguments = {0};
    tables_t tables;
    int decoded;
    (void)module;
    decoded = PyArg_ParseTuple(args, "y*w*y*y*y*:decode", &arguments.first, &arguments.second, &arguments.cdf,
                               &arguments.sizes, &arguments.offsets) &&
              view_tables(&tables, &arguments, &arguments.second) &&
              decode_symbols(&arguments.first, &arguments.second, &tables);
    release(&arguments);
    if (!decoded)
        return NULL;
    Py_RETURN_NONE;
}

/* Views the buffers of contexts; 0 and a TypeError if they, the shape and the symbols disagree. */
static int view_contexts(contexts_t *contexts, tables_t *tables, const arguments_t *arguments, const Py_buffer *symbols)
{
    Py_buffer none = {0};
    if (!view_tables(tables, arguments, &none))
        return 0;
    contexts->map = arguments->map.buf;
    contexts->near_limits = arguments->near.buf;
    contexts->activity_limits = arguments->activity.buf;
    Py_ssize_t channels = contexts->channels, height = contexts->height, width = contexts->width;
    Py_ssize_t count = symbols->len / 4, rows = channels > 0 ? count / channels : 0;
    int fits = channels >= 1 && height >= 0 && width >= 0 && tables->channels <= MAX_SHARED &&
               (height && width ? count % channels == 0 && rows % width == 0 && rows / width == height : count == 0) &&
               height <= PY_SSIZE_T_MAX / 64 && width <= PY_SSIZE_T_MAX / 64;
    if (fits) {
        contexts->near_count = arguments->near.len / 4;
        contexts->activity_count = arguments->activity.len / 4 / channels;
        Py_ssize_t near = contexts->near_count + 1, activity = contexts->activity_count + 1;
        fits = arguments->activity.len == 4 * channels * (activity - 1) && near <= MAX_CLASSES &&
               activity <= MAX_CLASSES && near * activity <= MAX_CLASSES &&
               arguments->map.len / channels == near * activity && arguments->map.len % channels == 0;
    }
    if (!fits)
        PyErr_SetString(PyExc_TypeError, "symbols, shape, tables, map and limits do not fit each other");
    return fits;
}

static PyObject *encode_scene(const Py_buffer *buffer, const tables_t *tables, const contexts_t *contexts)
{
    const int32_t *symbols = buffer->buf;
    Py_ssize_t bad, table = -1;
    shared_t shared[MAX_SHARED];
    size_t room;
    uint8_t *words = make_room(buffer->len / 4, &room);
    slot_t *slots = calloc((size_t)(tables->channels * tables->width), sizeof *slots);
    scene_t *scene = open_scene(contexts);
    PyObject *payload = NULL;
    if (words && slots && scene) {
        encoder_t encoder = {.state = LOWER, .begin = words + room};
        Py_BEGIN_ALLOW_THREADS
        make_shared(shared, slots, tables);
        bad = push_in_context(&encoder, symbols, contexts, scene, shared, &table);
        Py_END_ALLOW_THREADS
        if (bad >= 0)
            refuse_symbol(symbols[bad], bad / (contexts->height * contexts->width), tables, table);
        else
            payload = PyBytes_FromStringAndSize((const char *)encoder.begin, words + room - encoder.begin);
    } else {
        PyErr_NoMemory();
    }
    close_scene(scene);
    free(slots);
    free(words);
    return payload;
}

static PyObject *encode_in_context(PyObject *module, PyObject *args)
{
    arguments_t arguments = {0};
    tables_t tables;
    contexts_t contexts;
    PyObject *payload = NULL;
    (void)module;
    if (PyArg_ParseTuple(args, "y*(nnn)y*y*y*y*y*y*:encode_in_context", &arguments.first, &contexts.channels,
                         &contexts.height, &contexts.width, &arguments.cdf, &arguments.sizes, &arguments.offsets,
                         &arguments.map, &arguments.near, &arguments.activity) &&
        view_contexts(&contexts, &tables, &arguments, &arguments.first))
        payload = encode_scene(&arguments.first, &tables, &contexts);
    release(&arguments);
    return payload;
}

static int decode_scene(const Py_buffer *payload, const Py_buffer *symbols, const tables_t *tables,
                        const contexts_t *contexts)
{
    decoder_t decoder;
    verdict_t verdict;
    Py_ssize_t done;
    if (!begin_decoding(&decoder, payload->buf, payload->len))
        return 0;
    scene_t *scene = open_scene(contexts);
    if (!scene) {
        PyErr_NoMemory();
        return 0;
    }
    Py_BEGIN_ALLOW_THREADS
    verdict = pop_in_context(&decoder, symbols->buf, tables, contexts, scene, &done);
    Py_END_ALLOW_THREADS
    close_scene(scene);
    return check_decoded(&decoder, verdict, done, symbols->len / 4);
}

static PyObject *decode_in_context(PyObject *module, PyObject *args)
{
    arguments_t arguments = {0};
    tables_t tables;
    contexts_t contexts;
    int decoded;
    (void)module;
    decoded = PyArg_ParseTuple(args, "y*w*(nnn)y*y*y*y*y*y*:decode_in_context", &arguments.first, &arguments.second,
                               &contexts.channels, &contexts.height, &contexts.width, &arguments.cdf, &arguments.sizes,
                               &arguments.offsets, &arguments.map, &arguments.near, &arguments.activity) &&
              view_contexts(&contexts, &tables, &arguments, &arguments.second) &&
              decode_scene(&arguments.first, &arguments.second, &tables, &contexts);
    release(&arguments);
    if (!decoded)
        return NULL;
    Py_RETURN_NONE;
}

/* Adds up what the slots of all symbols cost; of a plane of zeros, as most are, one symbol tells. */
static int64_t sum_costs(const int32_t *symbols, Py_ssize_t plane, const tables_t *tables)
{
    int64_t sum = 0;
    for (Py_ssize_t channel = 0; channel < tables->channels; channel++) {
        const int32_t *costs = tables->cdf + channel * tables->width;
        uint64_t top = (uint64_t)tables->sizes[channel] - 2;
        int64_t offset = tables->offsets[channel];
        const int32_t *first = symbols + channel * plane;
        Py_ssize_t priced = is_zero(first, plane) ? plane > 0 : plane;
        int64_t sum_here = 0;
        for (Py_ssize_t i = 0; i < priced; i++) {
            uint64_t value = (uint64_t)(first[i] - offset);
            sum_here += costs[value < top ? value : top];
        }
        sum += priced < plane ? sum_here * plane : sum_here;
    }
    return sum;
}

static PyObject *cost(PyObject *module, PyObject *args)
{
    arguments_t arguments = {0};
    tables_t tables;
    PyObject *sum = NULL;
    int64_t value;
    (void)module;
    if (PyArg_ParseTuple(args, "y*y*y*y*:cost", &arguments.first, &arguments.cdf, &arguments.sizes,
                         &arguments.offsets) &&
        view_tables(&tables, &arguments, &arguments.first)) {
        Py_BEGIN_ALLOW_THREADS
        value = sum_costs(arguments.first.buf, arguments.first.len / 4 / tables.channels, &tables);
        Py_END_ALLOW_THREADS
        sum = PyLong_FromLongLong(value);
    }
    release(&arguments);
    return sum;
}

static PyMethodDef methods[] = {
    {"encode", encode, METH_VARARGS, "encode(symbols, cdf, sizes, offsets) -> bytes; see _rans_twin.py"},
    {"decode", decode, METH_VARARGS, "decode(payload, symbols, cdf, sizes, offsets) -> None; see _rans_twin.py"},
    {"encode_in_context", encode_in_context, METH_VARARGS,
     "encode_in_context(symbols, shape, cdf, sizes, offsets, map, near_limits, activity_limits) -> bytes"},
    {"decode_in_context", decode_in_context, METH_VARARGS,
     "decode_in_context(payload, symbols, shape, cdf, sizes, offsets, map, near_limits, activity_limits) -> None"},
    {"cost", cost, METH_VARARGS, "cost(symbols, slot_costs, sizes, offsets) -> int; the sum of the symbols' costs"},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots_of_module[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_rans", .m_methods = methods, .m_slots = slots_of_module,
};

PyMODINIT_FUNC PyInit__rans(void)
{
    return PyModuleDef_Init(&definition);
}
