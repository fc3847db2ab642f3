/* Published scores, which are shown beside those of runs. */
#ifndef FLAME_SUITES_PUBLISHED_H
#define FLAME_SUITES_PUBLISHED_H

enum { PUBLISHED_SCORES = 33 };

typedef struct PublishedModel {
    const char *model; /* the mixer's name in this program */
    double score[PUBLISHED_SCORES];
} PublishedModel;

typedef struct Published {
    const char *suite, *source;
    struct {
        const char *task, *split;
    } column[PUBLISHED_SCORES];   /* ended by NULL if there are fewer */
    const PublishedModel *models; /* ended by a NULL model */
} Published;

/* The table of a suite, or NULL. */
const Published *published_find(const char *suite);
/* The score of a model, by the suite's metric; NaN if there is none. `published` may be NULL. */
double published_score(const Published *published, const char *task, const char *split, const char *model);

#endif
