/* What a machine goes through on any node, embedded or on a server, whose guests are simulated. */
#ifndef LIFE_H
#define LIFE_H

#include <pthread.h>

#include "check.h"

#define WEB "{\"metadata\": {\"name\": \"web\", \"labels\": {\"app\": \"web\"}}, \"spec\": {\"memory\": {\"size\": \"64Mi\"}," \
            " \"disks\": [{\"name\": \"scsi0\", \"source\": {\"new\": {\"storage\": \"local\", \"size\": \"64Mi\"}}}]}}"
#define DB "{\"apiVersion\": \"gpve.io/v1\", \"kind\": \"VirtualMachine\", \"metadata\": {}, \"spec\": {\"memory\": {\"size\": \"64Mi\"}}}"
#define DB_BIGGER "{\"apiVersion\": \"gpve.io/v1\", \"kind\": \"VirtualMachine\", \"metadata\": {}, \"spec\": {\"memory\": {\"size\": \"128Mi\"}}}"

struct told {
    int lines, steps;
    const gpve_machines *machines;
};

static inline void on_progress(const char *progress, void *user_data) {
    struct told *told = user_data;
    char *line = NULL;
    if (gpve_document_get(progress, "/line/t", &line, NULL) == GPVE_STATUS_OK) told->lines++;
    else told->steps++;
    gpve_string_free(line);
    /* What is told may ask for more. */
    char *list = NULL;
    OK(gpve_machines_list(told->machines, NULL, &list, &error));
    gpve_string_free(list);
}

static inline void count_machines(const gpve_machines *machines, const char *selector, int expected) {
    char *list = NULL, *item = NULL, pointer[32];
    int count = 0;
    OK(gpve_machines_list(machines, selector, &list, &error));
    for (;; count++) {
        snprintf(pointer, sizeof pointer, "/items/%d", count);
        if (gpve_document_get(list, pointer, &item, NULL) != GPVE_STATUS_OK) break;
        gpve_string_free(item);
    }
    gpve_string_free(list);
    CHECK(count == expected);
}

static inline char *version_of(const gpve_machines *machines) {
    char *list = NULL, *version = NULL;
    OK(gpve_machines_list(machines, NULL, &list, &error));
    OK(gpve_document_get(list, "/metadata/resourceVersion", &version, &error));
    gpve_string_free(list);
    return version;
}

static inline bool is_running(const char *machine, void *user_data) {
    char *phase = NULL;
    gpve_machine_phase(machine, &phase, NULL);
    bool running = phase && strcmp(phase, "Running") == 0;
    gpve_string_free(phase);
    /* What decides may not block. */
    gpve_status status = gpve_machines_list(user_data, NULL, &phase, NULL);
    CHECK(status == GPVE_STATUS_FAILED_PRECONDITION);
    return running;
}

static inline void make_web(const gpve_machines *machines) {
    char *machine = NULL, *name = NULL;
    uint32_t vmid = 0;
    gpve_job *job = NULL;
    OK(gpve_machines_create(machines, WEB, &machine, &job, &error));
    CHECK(gpve_job_id(job) != NULL);
    finish(job);
    OK(gpve_machine_name(machine, &name, &error));
    OK(gpve_machine_vmid(machine, &vmid, &error));
    CHECK(name && strcmp(name, "web") == 0);
    CHECK(vmid >= 100);
    gpve_string_free(name);
    gpve_string_free(machine);
}

static inline void start_web(const gpve_machines *machines) {
    struct told told = {0, 0, machines};
    gpve_job *job = NULL;
    char *task = NULL, *phase = NULL, *machine = NULL;
    OK(gpve_machines_start(machines, "web", &job, &error));
    OK(gpve_job_wait(job, PATIENCE_MS, on_progress, &told, &task, &error));
    OK(gpve_document_get(task, "/phase", &phase, &error));
    CHECK(phase && strcmp(phase, "Succeeded") == 0);
    CHECK(told.lines > 0 && told.steps > 0);
    gpve_string_free(phase);
    gpve_string_free(task);
    gpve_job_free(job);
    OK(gpve_machines_wait_phase(machines, "web", "Running", PATIENCE_MS, NULL, &error));
    OK(gpve_machines_wait_for(machines, "web", is_running, (void *)(uintptr_t)machines, PATIENCE_MS, &machine, &error));
    gpve_string_free(machine);
}

static inline void change_web(const gpve_machines *machines) {
    char *list = NULL, *copy = NULL;
    DONE(gpve_machines_pause(machines, "web", &job, &error));
    expect_phase(machines, "web", "Paused");
    DONE(gpve_machines_resume(machines, "web", &job, &error));
    DONE(gpve_machines_reset(machines, "web", &job, &error));
    DONE(gpve_machines_snapshot(machines, "web", "{\"name\": \"before\", \"description\": \"so far\"}", &job, &error));
    OK(gpve_machines_snapshots(machines, "web", &list, &error));
    EXPECT(list, "/0/description", "so far");
    gpve_string_free(list);
    DONE(gpve_machines_describe_snapshot(machines, "web", "before", "the first", &job, &error));
    OK(gpve_machines_snapshots(machines, "web", &list, &error));
    EXPECT(list, "/0/description", "the first");
    gpve_string_free(list);
    DONE(gpve_machines_resize(machines, "web", "{\"disk\": \"scsi0\", \"size\": \"+64Mi\"}", &job, &error));
    DONE(gpve_machines_rollback(machines, "web", "before", &job, &error));
    DONE(gpve_machines_delete_snapshot(machines, "web", "before", &job, &error));
    DONE(gpve_machines_clone(machines, "web", "{\"name\": \"copy\", \"full\": true}", &job, &error));
    count_machines(machines, NULL, 2);
    DONE(gpve_machines_template(machines, "copy", "scsi0", &job, &error));
    DONE(gpve_machines_template(machines, "copy", NULL, &job, &error));
    OK(gpve_machines_get(machines, "copy", &copy, &error));
    EXPECT(copy, "/spec/template", "true");
    gpve_string_free(copy);
    DONE(gpve_machines_delete(machines, "copy", false, &job, &error));
}

static inline void end_web(const gpve_machines *machines) {
    DONE(gpve_machines_start(machines, "web", &job, &error));
    DONE(gpve_machines_reboot(machines, "web", 0, &job, &error));
    DONE(gpve_machines_shutdown(machines, "web", 5, true, &job, &error));
    expect_phase(machines, "web", "Stopped");
    DONE(gpve_machines_start(machines, "web", &job, &error));
    DONE(gpve_machines_stop(machines, "web", &job, &error));
    DONE(gpve_machines_delete(machines, "web", false, &job, &error));
    count_machines(machines, NULL, 0);
}

/* Every operation on a machine, once. */
static inline void live(const gpve_machines *machines) {
    make_web(machines);
    start_web(machines);
    change_web(machines);
    end_web(machines);
}

/* Documents that are applied and replaced. */
static inline void declare(const gpve_machines *machines) {
    gpve_job *job = NULL;
    char *machine = NULL, *task = NULL;
    DONE(gpve_machines_apply(machines, "db", DB, "ci", false, NULL, &job, &error));
    OK(gpve_machines_apply(machines, "db", DB, "ci", false, NULL, &job, &error));
    CHECK(gpve_job_id(job) == NULL);
    OK(gpve_job_wait(job, 0, NULL, NULL, &task, &error));
    CHECK(task && strcmp(task, "null") == 0);
    OK(gpve_job_cancel(job, &error));
    gpve_string_free(task);
    gpve_job_free(job);
    FAILS(GPVE_STATUS_CONFLICT, gpve_machines_apply(machines, "db", DB_BIGGER, "other", false, NULL, NULL, &error));
    DONE(gpve_machines_apply(machines, "db", DB_BIGGER, "other", true, NULL, &job, &error));
    OK(gpve_machines_get(machines, "db", &machine, &error));
    OK(gpve_machines_replace(machines, "db", machine, NULL, NULL, &error));
    gpve_string_free(machine);
    count_machines(machines, "app=web", 0);
    DONE(gpve_machines_delete(machines, "db", true, &job, &error));
}

/* What a change would do, and that it is not done. */
static inline void plan(const gpve_machines *machines) {
    char *planned = NULL;
    OK(gpve_machines_plan_create(machines, WEB, &planned, &error));
    EXPECT(planned, "/verb", "create");
    EXPECT(planned, "/volumes/0/storage", "local");
    gpve_string_free(planned);
    OK(gpve_machines_plan_apply(machines, "db", DB, "ci", false, &planned, &error));
    EXPECT(planned, "/verb", "create");
    gpve_string_free(planned);
    count_machines(machines, NULL, 0);
    DONE(gpve_machines_apply(machines, "db", DB, "ci", false, NULL, &job, &error));
    OK(gpve_machines_plan_apply(machines, "db", DB_BIGGER, "ci", false, &planned, &error));
    EXPECT(planned, "/changes/0", "spec.memory.size");
    gpve_string_free(planned);
    FAILS(GPVE_STATUS_CONFLICT, gpve_machines_plan_apply(machines, "db", DB_BIGGER, "other", false, &planned, &error));
    DONE(gpve_machines_delete(machines, "db", true, &job, &error));
}

/* A volume that no guest uses is made, listed and deleted; one that a guest uses stays. */
static inline void keep_volumes(const gpve_client *client) {
    gpve_machines *machines = NULL;
    gpve_storage *storage = NULL, *elsewhere = NULL;
    char *list = NULL, *id = NULL;
    OK(gpve_client_machines(client, "default", &machines, &error));
    OK(gpve_client_storage(client, "local", NULL, &storage, &error));
    make_web(machines);
    OK(gpve_storage_volumes(storage, 0, &list, &error));
    OK(gpve_document_get(list, "/0/id", &id, &error));
    FAILS(GPVE_STATUS_FAILED_PRECONDITION, gpve_storage_delete_volume(storage, id, NULL, &error));
    gpve_string_free(id);
    gpve_string_free(list);
    DONE(gpve_storage_create_volume(storage, "{\"vmid\": 4711, \"size\": \"1Gi\", \"format\": \"raw\"}", &job, &error));
    OK(gpve_storage_volumes(storage, 4711, &list, &error));
    EXPECT(list, "/0/size", "1Gi");
    OK(gpve_document_get(list, "/0/id", &id, &error));
    DONE(gpve_storage_delete_volume(storage, id, &job, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_storage_delete_volume(storage, id, NULL, &error));
    gpve_string_free(id);
    gpve_string_free(list);
    OK(gpve_client_storage(client, "local", "elsewhere", &elsewhere, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_storage_volumes(elsewhere, 0, &list, &error));
    CHECK(gpve_storage_free(elsewhere) == GPVE_STATUS_OK && gpve_storage_free(storage) == GPVE_STATUS_OK);
    DONE(gpve_machines_delete(machines, "web", false, &job, &error));
    gpve_machines_free(machines);
}

/* Machines of all namespaces, and a task that is found again by its id. */
static inline void find(const gpve_client *client) {
    gpve_machines *team = NULL;
    gpve_watch *watch = NULL;
    gpve_job *begun = NULL, *again = NULL;
    char *list = NULL, *version = NULL, *event = NULL;
    OK(gpve_client_list(client, NULL, &list, &error));
    OK(gpve_document_get(list, "/metadata/resourceVersion", &version, &error));
    gpve_string_free(list);
    OK(gpve_client_watch(client, NULL, version, &watch, &error));
    OK(gpve_client_machines(client, "team", &team, &error));
    OK(gpve_machines_create(team, WEB, NULL, &begun, &error));
    OK(gpve_client_job(client, gpve_job_id(begun), &again, &error));
    finish(again);
    gpve_job_free(begun);
    OK(gpve_watch_next(watch, PATIENCE_MS, &event, &error));
    EXPECT(event, "/object/metadata/namespace", "team");
    OK(gpve_client_list(client, "app=web", &list, &error));
    EXPECT(list, "/items/0/metadata/namespace", "team");
    DONE(gpve_machines_delete(team, "web", false, &job, &error));
    gpve_string_free(list);
    gpve_string_free(event);
    gpve_string_free(version);
    gpve_watch_free(watch);
    gpve_machines_free(team);
}

struct changes {
    int added, deleted, ended;
    gpve_status why;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static inline void on_event(const char *event, void *user_data) {
    struct changes *changes = user_data;
    char *type = NULL;
    OK(gpve_document_get(event, "/type", &type, &error));
    pthread_mutex_lock(&changes->lock);
    changes->added += type && strcmp(type, "ADDED") == 0;
    changes->deleted += type && strcmp(type, "DELETED") == 0;
    pthread_cond_signal(&changes->changed);
    pthread_mutex_unlock(&changes->lock);
    gpve_string_free(type);
}

static inline void on_end(const gpve_error *error, void *user_data) {
    struct changes *changes = user_data;
    pthread_mutex_lock(&changes->lock);
    changes->ended++;
    changes->why = error->kind;
    pthread_cond_signal(&changes->changed);
    pthread_mutex_unlock(&changes->lock);
}

/* Changes, one by one and by a function. */
static inline void watch(const gpve_machines *machines) {
    struct changes changes = {0, 0, 0, GPVE_STATUS_OK, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
    char *version = version_of(machines), *event = NULL, *name = NULL, *position = NULL;
    gpve_watch *one = NULL, *told = NULL;
    bool gone = false;
    OK(gpve_machines_watch(machines, "app=web", version, &one, &error));
    OK(gpve_machines_watch(machines, NULL, version, &told, &error));
    OK(gpve_watch_start(told, on_event, on_end, &changes, &error));
    FAILS(GPVE_STATUS_TIMEOUT, gpve_watch_next(one, 20, &event, &error));
    make_web(machines);
    OK(gpve_watch_next(one, PATIENCE_MS, &event, &error));
    OK(gpve_machine_name(event, &name, &error));
    CHECK(name && strcmp(name, "web") == 0);
    OK(gpve_watch_position(one, &position, &error));
    CHECK(position && strcmp(position, version) != 0);
    gpve_string_free(position);
    gpve_string_free(name);
    gpve_string_free(event);
    FAILS(GPVE_STATUS_FAILED_PRECONDITION, gpve_watch_next(told, 20, &event, &error));
    FAILS(GPVE_STATUS_FAILED_PRECONDITION, gpve_watch_start(told, on_event, on_end, &changes, &error));
    DONE(gpve_machines_delete(machines, "web", false, &job, &error));
    while (!gone) {
        char *type = NULL;
        OK(gpve_watch_next(one, PATIENCE_MS, &event, &error));
        gone = gpve_document_get(event, "/type", &type, NULL) != GPVE_STATUS_OK || strcmp(type, "DELETED") == 0;
        gpve_string_free(type);
        gpve_string_free(event);
    }
    pthread_mutex_lock(&changes.lock);
    while (!changes.deleted && !changes.ended) pthread_cond_wait(&changes.changed, &changes.lock);
    pthread_mutex_unlock(&changes.lock);
    OK(gpve_watch_stop(one, &error));
    FAILS(GPVE_STATUS_CANCELLED, gpve_watch_next(one, 0, &event, &error));
    CHECK(gpve_watch_free(one) == GPVE_STATUS_OK);
    /* After it was freed nothing is told any more. */
    CHECK(gpve_watch_free(told) == GPVE_STATUS_OK);
    CHECK(changes.ended == 1 && changes.why == GPVE_STATUS_CANCELLED);
    CHECK(changes.added == 1 && changes.deleted == 1);
    gpve_string_free(version);
}

#endif
