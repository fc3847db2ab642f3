/* Shows how the model continues metrics.sample_prompts in the course of training. */
#ifndef FLAME_TRAINING_PREVIEWS_H
#define FLAME_TRAINING_PREVIEWS_H

#include "reporting/metrics.h"
#include "training/progress.h"

typedef struct Previews Previews;

/* Encodes the prompts with the saver's tokenizer; *previews is NULL if there are none. BAD_INPUT (logged) if there is
 * no tokenizer, or if a prompt cannot be used. The session must outlive the previews. Collective. */
Status previews_create(const TrainConfig *config, const Session *session, const Saver *saver, Previews **previews);
void previews_free(Previews *previews);

/* Continues all prompts and reports the texts. Gives up if a rank has received SIGNAL_NOW. Does not affect the
 * training. NULL is fine. Collective. */
void previews_show(const Previews *previews, const Progress *progress, Metrics *metrics);

#endif
