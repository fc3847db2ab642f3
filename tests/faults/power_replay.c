/* Makes the folder OUT, which must not exist, as the disk would have it if power was lost after the first N records of
 * a log:
 *
 *   power_replay LOG N BASE MODE OUT
 *
 * BASE is the folder as it was before, all of it on the disk; "" for an empty one. The mode says which changes that
 * were not synced have reached the disk:
 *   synced   nothing: contents as of the last sync of each file, names as of the last sync of each folder
 *   names    all names, no contents
 *   torn     all names, all contents, but of the last write only the first half
 * Prints the number of records of the log. If N is larger, OUT is not made. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/files.h"
#include "power.h"

typedef struct Node Node;

/* The names in a folder. */
typedef struct Names {
    int count;
    char (*name)[256];
    Node **node;
} Names;

typedef struct Content {
    char *data;
    int64_t bytes;
} Content;

struct Node {
    bool folder;
    Names names, synced_names;
    Content content, synced;
};

static Node *new_node(bool folder) {
    Node *node = calloc(1, sizeof *node);
    CHECK(node, "out of memory");
    node->folder = folder;
    return node;
}

static int find_name(const Names *names, const char *name) {
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->name[i], name) == 0) return i;
    return -1;
}

static void set_name(Names *names, const char *name, Node *node) {
    int i = find_name(names, name);
    if (i < 0) {
        i = names->count++;
        names->name = realloc(names->name, (size_t)names->count * sizeof *names->name);
        names->node = realloc(names->node, (size_t)names->count * sizeof *names->node);
        CHECK(names->name && names->node, "out of memory");
        snprintf(names->name[i], sizeof names->name[i], "%s", name);
    }
    names->node[i] = node;
}

static Node *take_name(Names *names, const char *name) {
    const int i = find_name(names, name);
    CHECK(i >= 0, "%s does not exist", name);
    Node *node = names->node[i];
    const int last = --names->count;
    memmove(names->name[i], names->name[last], sizeof names->name[i]);
    names->node[i] = names->node[last];
    return node;
}

static void copy_names(Names *to, const Names *from) {
    to->count = 0;
    for (int i = 0; i < from->count; i++) set_name(to, from->name[i], from->node[i]);
}

static void copy_content(Content *to, const Content *from) {
    free(to->data);
    to->data = malloc((size_t)from->bytes + 1);
    CHECK(to->data, "out of memory");
    if (from->bytes) memcpy(to->data, from->data, (size_t)from->bytes);
    to->bytes = from->bytes;
}

static void sync_node(Node *node) {
    copy_names(&node->synced_names, &node->names);
    copy_content(&node->synced, &node->content);
}

/* The folder of a path below `root`, and the name in it. */
static Names *above(Node *root, const char *path, char name[256]) {
    Node *folder = root;
    const char *slash;
    for (; (slash = strchr(path, '/')); path = slash + 1) {
        snprintf(name, 256, "%.*s", (int)(slash - path), path);
        const int i = find_name(&folder->names, name);
        CHECK(i >= 0, "%s does not exist", path);
        folder = folder->names.node[i];
    }
    snprintf(name, 256, "%s", path);
    return &folder->names;
}

/* NULL if the file was removed while it was open. */
static Node *find_node(Node *root, const char *path) {
    char name[256];
    if (!path[0]) return root;
    const Names *names = above(root, path, name);
    const int i = find_name(names, name);
    return i < 0 ? NULL : names->node[i];
}

static void resize(Content *content, int64_t bytes) {
    content->data = realloc(content->data, (size_t)bytes + 1);
    CHECK(content->data, "out of memory");
    if (bytes > content->bytes) memset(content->data + content->bytes, 0, (size_t)(bytes - content->bytes));
    content->bytes = bytes;
}

static void write_content(Content *content, int64_t offset, const char *data, int64_t bytes) {
    if (offset + bytes > content->bytes) resize(content, offset + bytes);
    memcpy(content->data + offset, data, (size_t)bytes);
}

static void move_name(Node *root, const PowerRecord *record) {
    char name[256], other[256];
    Names *from = above(root, record->path, name), *to = above(root, record->other, other);
    Node *node = take_name(from, name);
    if (record->operation == POWER_EXCHANGE) set_name(from, name, take_name(to, other));
    set_name(to, other, node);
}

static void apply(Node *root, const PowerRecord *record, const char *data, bool half) {
    char name[256];
    Node *node = NULL;
    switch (record->operation) {
    case POWER_CREATE:
    case POWER_FOLDER:
        if (!record->path[0]) return; /* the folder itself, which is there */
        set_name(above(root, record->path, name), name, new_node(record->operation == POWER_FOLDER));
        return;
    case POWER_WRITE:
        node = find_node(root, record->path);
        if (node) write_content(&node->content, record->offset, data, half ? record->bytes / 2 : record->bytes);
        return;
    case POWER_RESIZE:
        node = find_node(root, record->path);
        if (node) resize(&node->content, record->offset);
        return;
    case POWER_GROW:
        node = find_node(root, record->path);
        if (node && record->offset > node->content.bytes) resize(&node->content, record->offset);
        return;
    case POWER_SYNC:
        node = find_node(root, record->path);
        if (node) sync_node(node);
        return;
    case POWER_RENAME:
    case POWER_EXCHANGE:
        move_name(root, record);
        return;
    default:
        take_name(above(root, record->path, name), name);
    }
}

/* What is in the folder, all of it synced. */
static void read_base(Node *folder, const char *path) {
    char **names;
    int64_t count;
    CHECK(folder_list(path, &names, &count) == 0, "%s cannot be read", path);
    for (int64_t i = 0; i < count; i++) {
        char *below = path_join(path, names[i]);
        Node *node = new_node(folder_exists(below));
        set_name(&folder->names, names[i], node);
        if (node->folder)
            read_base(node, below);
        else
            CHECK(file_read_all(below, 1 << 30, &node->content.data, &node->content.bytes) == 0, "%s cannot be read",
                  below);
        sync_node(node);
        free(below);
    }
    sync_node(folder);
    folder_list_free(names, count);
}

static void write_out(const Node *folder, const char *path, bool synced_names, bool synced_contents) {
    const Names *names = synced_names ? &folder->synced_names : &folder->names;
    CHECK(folder_create(path) == 0, "%s cannot be made", path);
    for (int i = 0; i < names->count; i++) {
        char *below = path_join(path, names->name[i]);
        const Node *node = names->node[i];
        const Content *content = synced_contents ? &node->synced : &node->content;
        if (node->folder)
            write_out(node, below, synced_names, synced_contents);
        else
            CHECK(file_write_all(below, content->data ? content->data : "", content->bytes) == 0, "%s", below);
        free(below);
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 6, "LOG N BASE MODE OUT, not %d arguments", argc - 1);
    const int64_t wanted = atoll(argv[2]);
    const bool synced = strcmp(argv[4], "synced") == 0, torn = strcmp(argv[4], "torn") == 0;
    char *log;
    int64_t bytes, count = 0;
    CHECK(file_read_all(argv[1], 1 << 30, &log, &bytes) == 0, "%s cannot be read", argv[1]);
    Node *root = new_node(true);
    if (argv[3][0]) read_base(root, argv[3]);
    PowerRecord record;
    for (int64_t at = 0, data; at < bytes; at = data + record.bytes, count++) {
        memcpy(&record, log + at, sizeof record);
        data = at + (int64_t)sizeof record;
        if (count < wanted) apply(root, &record, log + data, torn && count == wanted - 1);
    }
    if (wanted <= count) write_out(root, argv[5], synced, !torn);
    printf("%lld\n", (long long)count);
    return 0;
}
