/* Results under temporary names, which nobody can use. They are removed where this program ends before they are done,
 * by an error anywhere (log_end_job). */
#ifndef FLAME_BASE_UNFINISHED_H
#define FLAME_BASE_UNFINISHED_H

/* Adds a file or a folder. The text stays the caller's, and must stay until the path is dropped. */
void unfinished_add(const char *path);
/* It is finished, or has been removed. */
void unfinished_drop(const char *path);
/* Removes all. */
void unfinished_remove(void);
/* SIGINT, SIGTERM and SIGHUP, too, remove what is a file before they end the program. */
void unfinished_handle_signals(void);

#endif
