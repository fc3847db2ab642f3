#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <unistd.h>

#include "checkpoint/small_model.h"
#include "support/temporary.h"
#include "checkpoint/thread_comm.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/checkpoint_steps.h"
#include "checkpoint/run_lock.h"

/* What the ranks of one job do, and the result on rank 0. */
typedef struct Job {
    const char *folder;
    int64_t steps[8]; /* saved one after another; ends at 0 */
    CheckpointOptions options;
    int64_t load_step, loaded_step;
    int64_t last_update; /* later steps have the weights of this one; 0: each has its own */
    Status status;
    bool equal[THREAD_RANKS]; /* this rank's shard is what was saved */
    json_t *state;
} Job;

static const CheckpointTexts texts = {"{\"model_type\": \"gla\"}\n", "{}\n", "training:\n  steps: 3\n"};

static void save_body(Comm *comm, void *argument) {
    Job *job = argument;
    Unit units[SMALL_UNITS];
    small_model_create(units, comm->rank, comm->size);
    CheckpointOptions options = job->options;
    options.folder = job->folder;
    options.run_name = "test-run";
    Checkpointer *checkpointer;
    Status status = checkpointer_create(comm, units, SMALL_UNITS, &options, &checkpointer);
    for (int i = 0; i < 8 && job->steps[i] && status == OK; i++) {
        small_model_fill(units, job->steps[i]);
        json_t *state = json_pack("{s:I,s:f}", "tokens", (json_int_t)(1000 * job->steps[i]), "best", 0.1);
        if (job->last_update && job->steps[i] > job->last_update)
            json_object_set_new(state, "updated_step", json_integer(job->last_update));
        status = checkpoint_save(checkpointer, job->steps[i], state, &texts);
        json_decref(state);
        /* The save writes the values of the time of its begin, so later changes of the units must not matter. */
        checkpoint_finish_reading(checkpointer);
        if (options.asynchronous) small_model_fill(units, 77);
        if (status == OK) status = checkpoint_poll(checkpointer);
        if (status == OK) status = checkpoint_wait(checkpointer);
    }
    checkpointer_destroy(checkpointer);
    small_model_destroy(units);
    if (comm->rank == 0) job->status = status;
}

static void load_body(Comm *comm, void *argument) {
    Job *job = argument;
    Unit units[SMALL_UNITS];
    small_model_create(units, comm->rank, comm->size);
    json_t *state = NULL;
    int64_t step = -1;
    const Status status = checkpoint_resume(job->folder, job->load_step, comm, units, SMALL_UNITS, &step, &state);
    job->equal[comm->rank] = status == OK && step >= 0 && small_model_is(units, step, false);
    if (comm->rank == 0) {
        job->status = status;
        job->loaded_step = step;
        job->state = state;
    } else {
        json_decref(state);
    }
    small_model_destroy(units);
}

static void save(const char *folder, int ranks, int64_t step, CheckpointOptions options) {
    Job job = {.folder = folder, .steps = {step}, .options = options};
    thread_run(ranks, save_body, &job);
    assert_int_equal(job.status, OK);
}

/* Resumes and returns the step, or -2 after an error. Checks that all values are those of the step. */
static int64_t resume(const char *folder, int ranks, int64_t load_step) {
    Job job = {.folder = folder, .load_step = load_step};
    thread_run(ranks, load_body, &job);
    if (job.status) return -2;
    for (int r = 0; r < ranks && job.loaded_step >= 0; r++) assert_true(job.equal[r]);
    if (job.loaded_step >= 0) {
        assert_int_equal(json_integer_value(json_object_get(job.state, "step")), job.loaded_step);
        assert_int_equal(json_integer_value(json_object_get(job.state, "tokens")), 1000 * job.loaded_step);
        assert_true(json_real_value(json_object_get(job.state, "best")) == 0.1);
    }
    json_decref(job.state);
    return job.loaded_step;
}

static char *fresh_folder(void) {
    static int number = 0;
    char name[32];
    snprintf(name, sizeof name, "run-%d/checkpoint", number++);
    return temporary_path(name);
}

static char *file_in(const char *folder, int64_t step, const char *name) {
    char *path = checkpoint_path(folder, step), *file = path_join(path, name);
    free(path);
    return file;
}

static void test_any_ranks_read_any_ranks(void **unused) {
    (void)unused;
    for (int writers = 1; writers <= 4; writers++)
        for (int variant = 0; variant < 4; variant++) {
            char *folder = fresh_folder();
            save(folder, writers, 5,
                 (CheckpointOptions){.asynchronous = variant & 1, .max_shard_bytes = variant & 2 ? 400 : 0});
            for (int readers = 1; readers <= 4; readers++) assert_int_equal(resume(folder, readers, -1), 5);
            free(folder);
        }
}

/* The files have the same bytes, whatever the number of ranks that wrote them. */
static void test_files_do_not_depend_on_ranks(void **unused) {
    (void)unused;
    static const char *const names[] = {"model.safetensors", "optimizer.safetensors", "state.json", "config.json"};
    char *one = fresh_folder(), *three = fresh_folder();
    save(one, 1, 9, (CheckpointOptions){0});
    save(three, 3, 9, (CheckpointOptions){.asynchronous = true});
    for (int i = 0; i < 4; i++) {
        char *a = file_in(one, 9, names[i]), *b = file_in(three, 9, names[i]), *a_text, *b_text;
        int64_t a_bytes, b_bytes;
        assert_int_equal(file_read_all(a, 1 << 20, &a_text, &a_bytes), 0);
        assert_int_equal(file_read_all(b, 1 << 20, &b_text, &b_bytes), 0);
        assert_int_equal(a_bytes, b_bytes);
        assert_memory_equal(a_text, b_text, (size_t)a_bytes);
        free(a), free(b), free(a_text), free(b_text);
    }
    free(one);
    free(three);
}

static void test_nothing_there(void **unused) {
    (void)unused;
    char *folder = fresh_folder();
    assert_int_equal(resume(folder, 2, -1), -1);
    assert_int_equal(resume(folder, 1, 3), -2);
    free(folder);
}

static bool has_step(const char *folder, int64_t step) {
    char *path = checkpoint_path(folder, step);
    const bool there = folder_exists(path);
    free(path);
    return there;
}

static int64_t entries(const char *folder) {
    char **names;
    int64_t count;
    assert_int_equal(folder_list(folder, &names, &count), 0);
    folder_list_free(names, count);
    return count;
}

static void test_retention(void **unused) {
    (void)unused;
    for (int64_t keep = 0; keep < 4; keep++)
        for (int64_t every = 0; every < 4; every += 3) {
            char *folder = fresh_folder();
            Job job = {.folder = folder,
                       .steps = {1, 2, 3, 4, 5, 6, 7},
                       .options = {.keep_latest_k = keep, .keep_every = every, .asynchronous = keep == 2}};
            thread_run(2, save_body, &job);
            assert_int_equal(job.status, OK);
            int64_t expected = 0;
            for (int64_t step = 1; step <= 7; step++) {
                const bool kept = keep == 0 || step > 7 - keep || (every > 0 && step % every == 0);
                assert_int_equal(has_step(folder, step), kept);
                expected += kept;
            }
            assert_int_equal(entries(folder), expected);
            free(folder);
        }
}

/* Steps whose weights did not change do not cause good ones to be deleted. The newest with a finite loss is kept. */
static void test_retention_of_equal_weights(void **unused) {
    (void)unused;
    static const struct {
        int64_t keep, last_update;
        const char *kept; /* of 1 to 7 */
    } cases[] = {{1, 2, "0100001"}, {1, 6, "0000011"}, {2, 3, "0110001"}, {3, 5, "0011101"}, {2, 1, "1000001"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *folder = fresh_folder();
        Job job = {.folder = folder,
                   .steps = {1, 2, 3, 4, 5, 6, 7},
                   .last_update = cases[i].last_update,
                   .options = {.keep_latest_k = cases[i].keep, .asynchronous = i % 2 == 1}};
        thread_run(2, save_body, &job);
        assert_int_equal(job.status, OK);
        for (int64_t step = 1; step <= 7; step++)
            assert_int_equal(has_step(folder, step), cases[i].kept[step - 1] == '1');
        free(folder);
    }
}

static void test_retention_leaves_incomplete_steps(void **unused) {
    (void)unused;
    char *folder = fresh_folder(), *incomplete = checkpoint_path(folder, 1);
    assert_int_equal(folder_create_all(incomplete), 0);
    Job job = {.folder = folder, .steps = {2, 3, 4}, .options = {.keep_latest_k = 1}};
    thread_run(1, save_body, &job);
    assert_true(has_step(folder, 1) && has_step(folder, 4));
    assert_int_equal(entries(folder), 2);
    free(incomplete);
    free(folder);
}

static void test_retention_leaves_later_steps(void **unused) {
    (void)unused;
    char *folder = fresh_folder();
    save(folder, 1, 100, (CheckpointOptions){0});
    save(folder, 1, 200, (CheckpointOptions){0});
    Job job = {.folder = folder, .steps = {40, 50, 60}, .options = {.keep_latest_k = 2}};
    thread_run(1, save_body, &job);
    assert_false(has_step(folder, 40));
    assert_true(has_step(folder, 50) && has_step(folder, 60) && has_step(folder, 100) && has_step(folder, 200));
    free(folder);
}

static void test_step_is_replaced(void **unused) {
    (void)unused;
    char *folder = fresh_folder();
    save(folder, 1, 8, (CheckpointOptions){0});
    save(folder, 2, 8, (CheckpointOptions){0});
    assert_int_equal(resume(folder, 1, -1), 8);
    assert_int_equal(entries(folder), 1);
    free(folder);
}

/* Also names shorter than the ending that is looked for. */
static void test_a_replaced_step_gets_its_name_back(void **unused) {
    (void)unused;
    char *folder = fresh_folder(), *step = file_in(folder, 8, ""), *tmp = path_join(folder, "x.tmp-");
    char *replaced = path_join(folder, "step-00000008.tmp-1" CHECKPOINT_REPLACED);
    save(folder, 1, 8, (CheckpointOptions){0});
    step[strlen(step) - 1] = 0;
    assert_int_equal(file_rename(step, replaced), 0);
    write_file(tmp, "", 0);
    checkpoint_recover(folder);
    assert_true(has_step(folder, 8) && path_exists(tmp));
    free(step), free(tmp), free(replaced), free(folder);
}

/* Damaged steps are neither skipped nor replaced: each is renamed, to a name of its own. */
static void test_incomplete_step(void **unused) {
    (void)unused;
    char *folder = fresh_folder(), *state = file_in(folder, 8, "state.json");
    save(folder, 1, 4, (CheckpointOptions){0});
    for (int64_t left = 2; left <= 3; left++) {
        save(folder, 1, 8, (CheckpointOptions){0});
        assert_int_equal(file_remove(state), 0);
        assert_int_equal(resume(folder, 2, -1), 4);
        assert_int_equal(entries(folder), left);
    }
    char *last = path_join(folder, "step-00000008.damaged-2"), *trace = checkpoint_trace(folder);
    assert_true(folder_exists(last));
    assert_string_equal(trace, "step-00000008.damaged-2");
    free(last), free(trace), free(state), free(folder);
}

/* Any existing entry blocks the name, even a file or a dangling link. */
static void test_names_aside_are_free(void **unused) {
    (void)unused;
    char *folder = fresh_folder();
    save(folder, 1, 8, (CheckpointOptions){0});
    char *file = path_join(folder, "step-00000008.damaged");
    char *link = path_join(folder, "step-00000008.damaged-2"), *third = path_join(folder, "step-00000008.damaged-3");
    write_file(file, "", 0);
    assert_int_equal(symlink("nowhere", link), 0);
    char *aside = checkpoint_set_aside(folder, 8, "damaged");
    assert_non_null(aside);
    assert_string_equal(aside, third);
    assert_true(folder_exists(third));
    free(file), free(link), free(third), free(aside), free(folder);
}

static void flip_bit(const char *path, int64_t bit) {
    char *text;
    int64_t bytes;
    assert_int_equal(file_read_all(path, 1 << 20, &text, &bytes), 0);
    text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
    write_file(path, text, bytes);
    free(text);
}

/* Flips bits all over one file of step 2: it must not load, unless no load reads that file. */
static void flip_bits_of(const char *folder, const char *name) {
    const bool unused_by_loads = strcmp(name, "config.yaml") == 0 || strcmp(name, "generation_config.json") == 0;
    char *file = file_in(folder, 2, name), *text;
    int64_t bytes;
    assert_int_equal(file_read_all(file, 1 << 20, &text, &bytes), 0);
    free(text);
    for (int64_t bit = 0; bit < 8 * bytes; bit += 1 + bytes / 8) {
        flip_bit(file, bit);
        const int64_t step = resume(folder, 1, 2);
        if (step != (unused_by_loads ? 2 : -2))
            fail_msg("%s, bit %lld: step %lld", name, (long long)bit, (long long)step);
        flip_bit(file, bit);
    }
    free(file);
}

static void test_flipped_bits(void **unused) {
    (void)unused;
    char *folder = fresh_folder();
    save(folder, 2, 2, (CheckpointOptions){.max_shard_bytes = 800});
    char *path = checkpoint_path(folder, 2), **names;
    int64_t count;
    assert_int_equal(folder_list(path, &names, &count), 0);
    assert_in_range(count, 8, 20);
    for (int64_t i = 0; i < count; i++) flip_bits_of(folder, names[i]);
    folder_list_free(names, count);
    assert_int_equal(resume(folder, 1, 2), 2);
    free(path);
    free(folder);
}

static void test_fall_back(void **unused) {
    (void)unused;
    char *folder = fresh_folder();
    for (int64_t step = 1; step <= 3; step++) save(folder, 2, step, (CheckpointOptions){0});
    char *weights = file_in(folder, 3, "model.safetensors"), *optimizer = file_in(folder, 2, "optimizer.safetensors");
    flip_bit(weights, 8 * 900);
    assert_int_equal(file_remove(optimizer), 0);
    assert_int_equal(resume(folder, 3, -1), 1);
    assert_false(has_step(folder, 3));
    char *aside = path_join(folder, "step-00000003.damaged");
    assert_true(folder_exists(aside));
    free(aside);
    free(weights);
    free(optimizer);
    free(folder);
}

/* Rewrites state.json with one key set, and a CRC that fits. */
static void change_state(const char *folder, int64_t step, const char *key, json_t *value) {
    char *path = checkpoint_path(folder, step), *file = file_in(folder, step, "state.json");
    json_t *state;
    int64_t bytes;
    assert_int_equal(checkpoint_state_read(path, &state), OK);
    json_object_del(state, "crc32");
    json_object_set_new(state, key, value);
    char *text = checkpoint_state_encode(state, &bytes);
    write_file(file, text, bytes);
    json_decref(state);
    free(text);
    free(path);
    free(file);
}

static void test_newer_version(void **unused) {
    (void)unused;
    char *folder = fresh_folder();
    save(folder, 1, 1, (CheckpointOptions){0});
    save(folder, 1, 2, (CheckpointOptions){0});
    change_state(folder, 2, "format_version", json_integer(CHECKPOINT_VERSION + 1));
    assert_int_equal(resume(folder, 2, -1), -2); /* no silent loss of the newer work */
    assert_true(has_step(folder, 2));
    assert_int_equal(resume(folder, 2, 1), 1);
    free(folder);
}

static void test_zero_moments(void **unused) {
    (void)unused;
    char *folder = fresh_folder(), *optimizer = file_in(folder, 1, "optimizer.safetensors");
    save(folder, 1, 1, (CheckpointOptions){0});
    change_state(folder, 1, "moments", json_string("zero"));
    assert_int_equal(file_remove(optimizer), 0);
    Unit units[SMALL_UNITS];
    small_model_create(units, 0, 1);
    small_model_fill(units, 50);
    ThreadGroup group;
    pthread_barrier_init(&group.barrier, NULL, 1);
    Comm comm = {.f = &thread_functions, .size = 1, .state = &group};
    int64_t step;
    json_t *state;
    assert_int_equal(checkpoint_resume(folder, -1, &comm, units, SMALL_UNITS, &step, &state), OK);
    assert_int_equal(step, 1);
    assert_true(small_model_is(units, 1, true));
    json_decref(state);

    /* Another model: other names, another shape. Not damage: nothing is moved. */
    snprintf(units[1].parameter[1].name, PARAMETER_NAME, "model.layers.1.k_proj.weight");
    assert_int_equal(checkpoint_resume(folder, -1, &comm, units, SMALL_UNITS, &step, &state), BAD_INPUT);
    snprintf(units[1].parameter[1].name, PARAMETER_NAME, "model.layers.1.q_proj.weight");
    units[1].parameter[1].shape[0] = 7;
    units[1].parameter[1].shape[1] = 11;
    assert_int_equal(checkpoint_resume(folder, -1, &comm, units, SMALL_UNITS, &step, &state), BAD_INPUT);
    assert_true(has_step(folder, 1));
    small_model_destroy(units);
    pthread_barrier_destroy(&group.barrier);
    free(optimizer);
    free(folder);
}

/* A damaged checkpoint may have been read in part before the damage is found. A run that then starts anew must have
 * moments of zero. */
static void test_damaged_moments_are_not_kept(void **unused) {
    (void)unused;
    char *folder = fresh_folder(), *optimizer = file_in(folder, 1, "optimizer.safetensors"), *text;
    save(folder, 1, 1, (CheckpointOptions){0});
    int64_t bytes, step;
    assert_int_equal(file_read_all(optimizer, 1 << 20, &text, &bytes), 0);
    free(text);
    flip_bit(optimizer, 8 * (bytes - 1));
    Unit units[SMALL_UNITS];
    small_model_create(units, 0, 1);
    ThreadGroup group;
    pthread_barrier_init(&group.barrier, NULL, 1);
    Comm comm = {.f = &thread_functions, .size = 1, .state = &group};
    assert_int_equal(checkpoint_resume(folder, -1, &comm, units, SMALL_UNITS, &step, NULL), OK);
    assert_int_equal(step, -1);
    assert_true(small_model_is(units, 1, true));
    small_model_destroy(units);
    pthread_barrier_destroy(&group.barrier);
    free(optimizer);
    free(folder);
}

static void test_strange_names(void **unused) {
    (void)unused;
    static const char *const names[] = {
        "step-abc",      "step-9",        "step-000000009",          "step-00000009.tmp-dead",
        "step--0000009", "step-00000008", "step-1234567890.tmp-dead"};
    char *folder = fresh_folder();
    save(folder, 1, 7, (CheckpointOptions){0});
    for (int i = 0; i < 7; i++) {
        char *path = path_join(folder, names[i]);
        assert_int_equal(folder_create(path), 0);
        free(path);
    }
    assert_int_equal(resume(folder, 2, -1), 7);
    save(folder, 1, 10, (CheckpointOptions){0});
    char *leftover = path_join(folder, names[3]), *longer = path_join(folder, names[6]);
    assert_false(folder_exists(leftover) || folder_exists(longer));
    assert_int_equal(entries(folder), 7);
    char *run = strdup(folder);
    *strrchr(run, '/') = 0;
    char *found = checkpoint_find(run);
    assert_non_null(found);
    assert_string_equal(strrchr(found, '/'), "/step-00000010");
    char *same = checkpoint_find(found);
    assert_string_equal(found, same);
    assert_int_equal(checkpoint_check(found), OK);
    assert_null(checkpoint_find("/dev/null/none"));
    free(same), free(found), free(run), free(leftover), free(longer), free(folder);
}

static void lock_body(Comm *comm, void *argument) {
    RunLock **locks = argument;
    run_lock_acquire(comm, temporary_folder, 0, &locks[comm->rank]);
}

static void test_run_lock(void **unused) {
    (void)unused;
    RunLock *first[THREAD_RANKS] = {NULL}, *second[THREAD_RANKS] = {NULL};
    thread_run(3, lock_body, first);
    assert_non_null(first[0]);
    assert_string_equal(run_lock_name(first[0]), run_lock_name(first[2]));
    thread_run(2, lock_body, second);
    assert_null(second[0]);
    assert_null(second[1]);
    /* The folder stays locked while any rank of the first job lives. */
    run_lock_release(first[0]);
    run_lock_release(first[1]);
    thread_run(1, lock_body, second);
    assert_null(second[0]);
    run_lock_release(first[2]);
    thread_run(2, lock_body, second);
    assert_non_null(second[0]);
    assert_non_null(second[1]);
    run_lock_release(second[0]);
    run_lock_release(second[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_ranks_read_any_ranks),
                                       cmocka_unit_test(test_files_do_not_depend_on_ranks),
                                       cmocka_unit_test(test_nothing_there),
                                       cmocka_unit_test(test_retention),
                                       cmocka_unit_test(test_retention_of_equal_weights),
                                       cmocka_unit_test(test_retention_leaves_incomplete_steps),
                                       cmocka_unit_test(test_retention_leaves_later_steps),
                                       cmocka_unit_test(test_step_is_replaced),
                                       cmocka_unit_test(test_a_replaced_step_gets_its_name_back),
                                       cmocka_unit_test(test_incomplete_step),
                                       cmocka_unit_test(test_names_aside_are_free),
                                       cmocka_unit_test(test_flipped_bits),
                                       cmocka_unit_test(test_fall_back),
                                       cmocka_unit_test(test_newer_version),
                                       cmocka_unit_test(test_zero_moments),
                                       cmocka_unit_test(test_damaged_moments_are_not_kept),
                                       cmocka_unit_test(test_strange_names),
                                       cmocka_unit_test(test_run_lock)};
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
