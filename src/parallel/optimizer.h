/* AdamW over shards (Loshchilov & Hutter, arXiv 1711.05101), as torch.optim.AdamW after clip_grad_norm_:
 *
 *   g = gradient * gradient_scale * min(1, max_norm / (|g| + 1e-6))      |g|: L2 norm over all parameters, fp64
 *   p = p (1 - lr weight_decay)
 *   m = beta1 m + (1 - beta1) g,   s = beta2 s + (1 - beta2) g^2
 *   p = p - lr m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + eps)
 *
 * Buffers (see Parameter.moving_average) do not count in |g| and are updated with their unscaled gradient. */
#ifndef FLAME_PARALLEL_OPTIMIZER_H
#define FLAME_PARALLEL_OPTIMIZER_H

#include "parallel/fsdp.h"

typedef struct OptimizerOptions {
    double beta1, beta2, eps, weight_decay;
    double max_norm; /* 0: no clipping */
    bool decay_all;  /* also decay parameters of one dimension (norms, biases), as flame does */
    int copies; /* how often the gradients of buffers count each token: 1, or the number of ranks if all have the same
                   tokens */
} OptimizerOptions;

/* flame's defaults: 0.9, 0.95, 1e-8, 0.1, 1.0, false; one copy. */
OptimizerOptions optimizer_default_options(void);

typedef struct OptimizerResult {
    double gradient_norm; /* scaled, before clipping */
    bool skipped;         /* the norm is not finite: nothing was changed */
} OptimizerResult;

/* The norm of the gradient over all ranks, times gradient_scale. Collective. */
double optimizer_norm(Fsdp *fsdp, double gradient_scale);
/* Makes update number `update` (t above: 1, 2, ...) with the gradient shards. `norm` is what optimizer_norm has
 * returned, and finite. Collective. */
void optimizer_update(Fsdp *fsdp, const OptimizerOptions *options, int64_t update, double lr, double gradient_scale,
                      double norm);
/* Both of these, with the update only if the norm is finite. Collective. */
OptimizerResult optimizer_step(Fsdp *fsdp, const OptimizerOptions *options, int64_t update, double lr,
                               double gradient_scale);

#endif
