#include "commands/prompts.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "base/number.h"

enum { FILE_LIMIT = 1 << 30 };

typedef struct Reading {
    const PromptOptions *options;
    TokenEncoder *encoder; /* NULL: there is no tokenizer */
    Prompts *prompts;
    const char *name; /* name of the file in messages; NULL: the command line */
    int64_t line;     /* present line of a .jsonl file; otherwise 0 */
} Reading;

/* Logs "FILE line N: ...". */
static Status refuse(const Reading *reading, const char *what) {
    if (reading->line > 0)
        log_error("%s, line %lld: %s", reading->name, (long long)reading->line, what);
    else
        log_error("%s: %s", reading->name ? reading->name : "--prompt", what);
    return BAD_INPUT;
}

static Prompt *new_prompt(Prompts *prompts) {
    prompts->item = realloc(prompts->item, (size_t)(prompts->count + 1) * sizeof *prompts->item);
    CHECK_MEMORY(prompts->item, "no memory for %lld prompts", (long long)prompts->count);
    Prompt *prompt = &prompts->item[prompts->count++];
    *prompt = (Prompt){0};
    return prompt;
}

static Status add_id(const Reading *reading, Prompt *prompt, int64_t id) {
    char message[128];
    if (id >= 0 && id < reading->options->vocabulary) {
        token_ids_add(&prompt->ids, (uint32_t)id);
        return OK;
    }
    snprintf(message, sizeof message, "token %lld: the model's tokens are 0 to %lld", (long long)id,
             (long long)reading->options->vocabulary - 1);
    return refuse(reading, message);
}

/* Reads a prompt of token ids: "17 4 3". */
static Status read_ids(const Reading *reading, Prompt *prompt) {
    const char *const end = prompt->text + prompt->bytes;
    Status status = OK;
    for (const char *at = prompt->text + strspn(prompt->text, " ,\n\t"); at < end && status == OK;
         at += strspn(at, " ,\n\t")) {
        char word[24];
        const size_t length = strcspn(at, " ,\n\t");
        int64_t id = -1;
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), at);
        if (!number_is_integer(word) || !number_to_integer(word, &id))
            return refuse(reading, "a prompt of --ids is token ids: \"17 4 3\"");
        status = add_id(reading, prompt, id);
        at += length;
    }
    return status;
}

static Status add_text(const Reading *reading, const char *text, int64_t bytes, Prompt *prompt) {
    const PromptOptions *options = reading->options;
    Status status;
    prompt->text = calloc((size_t)bytes + 1, 1);
    CHECK_MEMORY(prompt->text, "no memory for a prompt of %lld bytes", (long long)bytes);
    memcpy(prompt->text, text, (size_t)bytes);
    prompt->bytes = bytes;
    status = reading->encoder ? tokenizer_encode(reading->encoder, text, bytes, true, &prompt->ids)
                              : read_ids(reading, prompt);
    if (status != OK && reading->encoder) return refuse(reading, token_encoder_reason(reading->encoder));
    if (status != OK || prompt->ids.count > 0) return status;
    if (options->first_token < 0)
        return refuse(reading, "is empty, and the model has no token that begins a text: give a text");
    return add_id(reading, prompt, options->first_token);
}

static Status add_list(const Reading *reading, const json_t *list, Prompt *prompt) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        const Status status = json_is_integer(id) ? add_id(reading, prompt, json_integer_value(id))
                                                  : refuse(reading, "\"prompt\": a list must be of token ids");
        if (status != OK) return status;
    }
    return prompt->ids.count > 0 ? OK : refuse(reading, "\"prompt\" is an empty list");
}

static Status read_stop(const Reading *reading, const json_t *list, Prompt *prompt) {
    prompt->stop = calloc(json_array_size(list) + 1, sizeof *prompt->stop);
    CHECK_MEMORY(prompt->stop, "out of memory");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !*text) return refuse(reading, "\"stop\" is not a list of texts");
        CHECK_MEMORY((prompt->stop[prompt->stops++] = strdup(text)) != NULL, "no memory for a text");
    }
    return OK;
}

static Status check_keys(const Reading *reading, json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        char message[160];
        if (strcmp(key, "prompt") == 0 || strcmp(key, "stop") == 0 || strcmp(key, "max_new_tokens") == 0) continue;
        snprintf(message, sizeof message, "unknown key \"%.40s\"; known: prompt, stop, max_new_tokens", key);
        return refuse(reading, message);
    }
    return OK;
}

static Status read_object(const Reading *reading, json_t *object) {
    const json_t *prompt = json_object_get(object, "prompt"), *stop = json_object_get(object, "stop"),
                 *count = json_object_get(object, "max_new_tokens");
    Prompt *to = new_prompt(reading->prompts);
    Status status = check_keys(reading, object);
    if (status != OK) return status;
    if (json_is_string(prompt))
        status = add_text(reading, json_string_value(prompt), (int64_t)json_string_length(prompt), to);
    else if (json_is_array(prompt))
        status = add_list(reading, prompt, to);
    else
        status = refuse(reading, "there is no \"prompt\" that is a text or a list of token ids");
    if (status == OK && stop)
        status =
            json_is_array(stop) ? read_stop(reading, stop, to) : refuse(reading, "\"stop\" is not a list of texts");
    if (status == OK && count) {
        to->new_tokens = json_integer_value(count);
        if (to->new_tokens < 1 || to->new_tokens > MOST_NEW_TOKENS)
            status = refuse(reading, "\"max_new_tokens\" is not a whole number from 1 to 1000000000");
    }
    return status;
}

static Status read_line(Reading *reading, const char *line, size_t length) {
    json_error_t error;
    if (strspn(line, " \t\r") >= length) return OK;
    json_t *object = json_loadb(line, length, 0, &error);
    const Status status =
        json_is_object(object) ? read_object(reading, object) : refuse(reading, "is not a JSON object");
    json_decref(object);
    return status;
}

/* Reads the lines of a .jsonl file. text[bytes] is zero. */
static Status read_lines(Reading *reading, const char *text, int64_t bytes) {
    const char *const end = text + bytes;
    Status status = OK;
    for (const char *line = text, *stop; line < end && status == OK; line = stop + 1) {
        stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop) stop = end;
        reading->line++;
        status = read_line(reading, line, (size_t)(stop - line));
    }
    return status;
}

/* Reads all of standard input, whose size is not known. Returns 0 or an errno. */
static int read_input(char **text, int64_t *bytes) {
    char part[4096];
    size_t size = 0;
    FILE *whole = open_memstream(text, &size);
    CHECK_MEMORY(whole, "out of memory");
    for (size_t n; (n = fread(part, 1, sizeof part, stdin)) > 0;) fwrite(part, 1, n, whole);
    const int error = ferror(stdin) ? errno : 0;
    CHECK_MEMORY(fclose(whole) == 0, "out of memory");
    *bytes = (int64_t)size;
    return error;
}

static Status read_file(Reading *reading, const char *path) {
    char *text = NULL;
    int64_t bytes = 0;
    const size_t length = strlen(path);
    const int error =
        strcmp(path, "-") == 0 ? read_input(&text, &bytes) : file_read_all(path, FILE_LIMIT, &text, &bytes);
    if (error) {
        log_error("--prompt-file %s: %s", path, file_read_reason(error));
        free(text);
        return file_is_missing(error) ? BAD_INPUT : IO_ERROR;
    }
    reading->name = path;
    const bool lines = length > 6 && strcmp(path + length - 6, ".jsonl") == 0;
    Status status =
        lines ? read_lines(reading, text, bytes) : add_text(reading, text, bytes, new_prompt(reading->prompts));
    free(text);
    if (status == OK && reading->prompts->count == 0) {
        reading->line = 0;
        status = refuse(reading, "has no prompt");
    }
    return status;
}

Status prompts_read(const Texts *texts, const char *file, const PromptOptions *options, Prompts *prompts) {
    Reading reading = {.options = options,
                       .encoder = options->tokenizer ? token_encoder_create(options->tokenizer) : NULL,
                       .prompts = prompts};
    Status status = OK;
    if (file) status = read_file(&reading, file);
    for (int i = 0; i < texts->count && status == OK; i++)
        status = add_text(&reading, texts->item[i], (int64_t)strlen(texts->item[i]), new_prompt(prompts));
    token_encoder_free(reading.encoder);
    return status;
}

void prompts_free(Prompts *prompts) {
    for (int64_t i = 0; i < prompts->count; i++) {
        Prompt *prompt = &prompts->item[i];
        for (int s = 0; s < prompt->stops; s++) free(prompt->stop[s]);
        free(prompt->stop);
        free(prompt->ids.id);
        free(prompt->text);
    }
    free(prompts->item);
    *prompts = (Prompts){0};
}
