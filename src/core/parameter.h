/* Parameters and units. A unit is the parameters of one block in one flat buffer; it is sharded, gathered and reduced
 * as a whole. Parameters lie in the order in which they were added. Matrices of the same width follow each other
 * without a gap, so that [q_proj; k_proj; v_proj] is one matrix; every other parameter begins at a multiple of
 * PARAMETER_ALIGNMENT. Gaps hold zeros, take no part in anything but the collectives, and are in no file. */
#ifndef FLAME_CORE_PARAMETER_H
#define FLAME_CORE_PARAMETER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/tape.h"

typedef enum InitKind {
    INIT_NORMAL,
    INIT_UNIFORM,
    INIT_LOG_UNIFORM,
    INIT_INVERSE_SOFTPLUS,
    INIT_CONSTANT,
    INIT_ORTHOGONAL,
    INIT_FORMULA
} InitKind;

/* Element i of a parameter is drawn from a counter-based generator keyed by (seed, name, i): the same on any rank
 * count. */
typedef struct Init {
    InitKind kind;
    /* normal: mean, standard deviation; uniform: low, high; log uniform: ln of a number uniform in low .. high; inverse
     * softplus: x with softplus(x) = t, where ln t is uniform in ln low .. ln high; constant: value; orthogonal: gain,
     * of a matrix whose rows or columns, whichever are fewer, are orthonormal; formula: the parameter's */
    double a, b;
} Init;

/* Element i starts as of(i, argument). */
typedef struct Formula {
    double (*of)(int64_t i, const double argument[3]);
    double argument[3];
} Formula;

enum { PARAMETER_DIMS = 4, PARAMETER_NAME = 128, UNIT_PARAMETERS = 48 };
enum { PARAMETER_ALIGNMENT = 64 }; /* elements: 128 bytes of bf16 */

typedef struct Parameter {
    char name[PARAMETER_NAME]; /* Hugging Face's name */
    int dims;
    int64_t shape[PARAMETER_DIMS], elements;
    Init init;
    Formula formula; /* used by INIT_FORMULA */
    bool decay;      /* weight decay applies (optimizer.decay_all aside) */
    /* > 0: a buffer, which is saved, sharded and gathered like any parameter but not trained. Ops add the values that
     * it averages to its gradient, and an update sets p = a p + (1 - a) gradient, where a is this number: no AdamW, no
     * scaling, no part in the gradient norm. Its moments stay 0. */
    double moving_average;
    int64_t offset; /* of its first element in the unit */
    Tensor
        tensor; /* rows = shape[0], cols = the rest; 1-D: one row. data and gradient are set while the unit has them */
} Parameter;

typedef struct Unit {
    char name[64]; /* "root", "model.layers.3" */
    int parameters;
    Parameter parameter[UNIT_PARAMETERS];
    int64_t elements; /* up to the end of the last parameter: includes the gaps, but not the padding of the shards */
    /* Set by fsdp_create: this rank owns elements [first, first + shard). Elements beyond `elements` are padding. */
    int64_t first, shard;
    const Device *device, *update_device; /* where blocks run, and where the optimizer runs */
    float *gradient_shard;                /* [shard] fp32, `device` */
    float *master, *exp_avg, *exp_avg_sq; /* [shard] fp32, `update_device` */
    float *update_gradient;               /* gradient_shard, or its copy on `update_device` */
    void *gathered;                       /* all elements in the compute type; NULL while resharded */
    float *gradient;                      /* all elements; NULL outside of backward */
} Unit;

/* Elements [first, last) of the unit; empty if last <= first. */
typedef struct UnitRange {
    int64_t first, last;
    int64_t in_parameter, in_shard; /* where `first` lies in the parameter and in this rank's shard */
} UnitRange;

/* Places the unit's last parameter behind the one before it. The caller has set its shape and its tensor's rows and
 * columns. */
static inline void unit_place_last(Unit *unit) {
    Parameter *p = &unit->parameter[unit->parameters - 1];
    const Parameter *before = unit->parameters > 1 ? p - 1 : NULL;
    const bool adjacent = before && p->dims == 2 && before->dims == 2 && p->tensor.cols == before->tensor.cols;
    const int64_t multiple = adjacent ? 1 : PARAMETER_ALIGNMENT;
    p->offset = (unit->elements + multiple - 1) / multiple * multiple;
    unit->elements = p->offset + p->elements;
}

/* The part of a parameter that lies in this rank's shard. */
static inline UnitRange unit_range(const Unit *unit, const Parameter *parameter) {
    const int64_t begin = unit->first, end = begin + unit->shard;
    const int64_t stop = parameter->offset + parameter->elements;
    const int64_t first = parameter->offset > begin ? parameter->offset : begin;
    return (UnitRange){first, stop < end ? stop : end, first - parameter->offset, first - begin};
}

#endif
