/* The model whose distribution a run learns in addition to the labels (training.teacher). The run's checkpoints do not
 * contain it. */
#ifndef FLAME_TRAINING_TEACHER_H
#define FLAME_TRAINING_TEACHER_H

#include "config/config.h"
#include "training/session.h"

/* The model in the folder training.teacher; NULL if there is none. It may have another mixer and other sizes than
 * `model`, but must have the same vocabulary. BAD_INPUT, IO_ERROR (logged). Collective. */
Status teacher_read(const TrainConfig *config, const Model *model, Comm *comm, Model **teacher);

/* Shards session->teacher over the mesh, loads its weights and sets session->teacher_fsdp and teacher_fingerprint. Does
 * nothing if there is none. Call it before session_fill, so that the teacher's fp32 weights are freed before that
 * allocates. BAD_INPUT, IO_ERROR (logged). Collective. */
Status teacher_load(const TrainConfig *config, Session *session);

#endif
