/* Results that are still under temporary names and of no use to anyone. If an error ends the program before they are
 * finished (log_end_job), they are removed. */
#ifndef FLAME_BASE_UNFINISHED_H
#define FLAME_BASE_UNFINISHED_H

/* Adds a file or a folder. The caller keeps owning the string, which must stay valid until the path is dropped. */
void unfinished_add(const char *path);
/* The result is finished or has been removed. */
void unfinished_drop(const char *path);
/* Removes all results that were added and not dropped. */
void unfinished_remove(void);
/* From now on SIGINT, SIGTERM and SIGHUP also remove unfinished files (not folders) before they end the program. */
void unfinished_handle_signals(void);

#endif
