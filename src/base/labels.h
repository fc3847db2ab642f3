/* Labels that are no token: a row with one does not count in the loss. */
#ifndef FLAME_BASE_LABELS_H
#define FLAME_BASE_LABELS_H

enum {
    IGNORED_LABEL = -100,
    PADDING_LABEL = -101 /* of all rows of a sequence that only fills a batch: no op's sum over rows may have them */
};

#endif
