/* SPDX-License-Identifier: Apache-2.0
 *
 * rANS coder of int32 symbols. The bit stream is described in _rans_twin.py, which gives the same bytes and errors.
 *
 * Tables are trusted: the class Tables has validated them (each slot at least 1 wide, rows end with 65536, outliers
 * stay in int32). Payloads and symbols are not trusted. One row is prepared at a time, so memory is constant.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>

enum { SLOT_BITS = 16, SLOT_TOTAL = 1 << SLOT_BITS, DIGIT_BITS = 4, MAX_DIGITS = 7, STATE_BITS = 63 };
enum { BUCKET_BITS = 8, BUCKETS = 1 << (SLOT_BITS - BUCKET_BITS) };

static const uint64_t LOWER = UINT64_C(1) << 31;
static const int64_t OUTLIER_LIMIT = INT64_C(1) << (DIGIT_BITS * MAX_DIGITS - 1);

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
        for (int32_t i = 0; i <= top; i++)
            slots[i] = make_slot((uint32_t)row[i], (uint32_t)(row[i + 1] - row[i]));
        Py_ssize_t bad = push_plane(encoder, symbols + channel * plane, plane, slots, top, tables->offsets[channel]);
        if (bad >= 0)
            return channel * plane + bad;
    }
    for (int half = 1; half >= 0; half--) {
        encoder->begin -= 4;
        store_word(encoder->begin, encoder->state >> (32 * half));
    }
    return -1;
}

static void refuse_symbol(const int32_t *symbols, Py_ssize_t index, Py_ssize_t plane, const tables_t *tables)
{
    Py_ssize_t channel = index / plane;
    long long low = tables->offsets[channel] - OUTLIER_LIMIT;
    long long high = tables->offsets[channel] + tables->sizes[channel] - 2 + OUTLIER_LIMIT - 1;
    PyErr_Format(PyExc_ValueError, "symbol %d of channel %zd is not in %lld to %lld", (int)symbols[index], channel,
                 low, high);
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
    Py_buffer first, second, cdf, sizes, offsets;
} arguments_t;

static void release(arguments_t *arguments)
{
    Py_buffer *buffers[] = {&arguments->first, &arguments->second, &arguments->cdf, &arguments->sizes,
                            &arguments->offsets};
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
static PyObject *encode_symbols(const Py_buffer *buffer, const tables_t *tables)
{
    const int32_t *symbols = buffer->buf;
    Py_ssize_t count = buffer->len / 4, plane = count / tables->channels, bad;
    if (count > PY_SSIZE_T_MAX / 8 - 2)
        return PyErr_NoMemory();
    size_t room = 8 * (size_t)count + 16;
    uint8_t *words = malloc(room);
    slot_t *slots = calloc((size_t)tables->width, sizeof *slots);
    PyObject *payload = NULL;
    if (words && slots) {
        encoder_t encoder = {.state = LOWER, .begin = words + room};
        Py_BEGIN_ALLOW_THREADS
        bad = push_all(&encoder, symbols, plane, tables, slots);
        Py_END_ALLOW_THREADS
        if (bad >= 0)
            refuse_symbol(symbols, bad, plane, tables);
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

static PyMethodDef methods[] = {
    {"encode", encode, METH_VARARGS, "encode(symbols, cdf, sizes, offsets) -> bytes; see _rans_twin.py"},
    {"decode", decode, METH_VARARGS, "decode(payload, symbols, cdf, sizes, offsets) -> None; see _rans_twin.py"},
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
