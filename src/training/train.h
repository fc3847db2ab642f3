/* A training run, from a checked configuration to its last checkpoint. */
#ifndef FLAME_TRAINING_TRAIN_H
#define FLAME_TRAINING_TRAIN_H

#include "config/config.h"
#include "parallel/comm.h"

/* Trains until training.steps, a signal or job.time_limit; resumes from the newest complete checkpoint of the dump
 * folder. Returns OK also if the run was saved and stopped on request. Takes over `comm`; `device` is the one that the
 * configuration names. Collective. */
Status train(const TrainConfig *config, Comm *comm, const Device *device);

#endif
