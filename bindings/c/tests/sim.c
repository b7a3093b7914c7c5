/* The whole life of machines on a simulated node in this process. Takes an empty directory. */
#include "life.h"

static const char *directory;
static gpve_node *node;
static gpve_client *client;
static gpve_machines *machines;

static void versions_agree(void) {
    CHECK(gpve_abi_version() == GPVE_ABI_VERSION);
    CHECK(gpve_abi_check(GPVE_ABI_VERSION));
    CHECK(!gpve_abi_check(GPVE_ABI_VERSION + 0x10000u));
    CHECK(gpve_version()[0] >= '0' && gpve_version()[0] <= '9');
    CHECK(strcmp(gpve_status_name(GPVE_STATUS_OK), "ok") == 0);
    CHECK(strcmp(gpve_status_name(GPVE_STATUS_INTERNAL), "internal") == 0);
    CHECK(strcmp(gpve_status_name(-1), "unknown") == 0);
}

static void a_machine_lives_its_whole_life(void) { live(machines); }
static void documents_are_applied_and_replaced(void) { declare(machines); }
static void changes_are_told(void) { watch(machines); }
static void a_plan_does_nothing(void) { plan(machines); }
static void a_spare_volume_is_made_listed_and_deleted(void) { keep_volumes(client); }
static void machines_of_every_namespace_are_told_of(void) { find(client); }

static void a_directory_has_one_owner(void) {
    char options[4096];
    gpve_node *second = NULL;
    snprintf(options, sizeof options, "{\"directory\": \"%s\", \"simulated\": true}", directory);
    FAILS(GPVE_STATUS_UNAVAILABLE, gpve_node_open(options, &second, &error));
    CHECK(second == NULL);
}

static void state_survives_and_clients_of_a_closed_node_are_told(void) {
    char *list = NULL;
    gpve_error *error = NULL;
    DONE(gpve_machines_apply(machines, "db", DB, "ci", false, NULL, &job, &error));
    CHECK(gpve_node_free(node) == GPVE_STATUS_OK);
    CHECK(gpve_machines_start(machines, "db", NULL, &error) != GPVE_STATUS_OK);
    CHECK(error != NULL);
    gpve_error_free(error);
    CHECK(gpve_machines_free(machines) == GPVE_STATUS_OK);
    node = open_node(directory, 1);
    machines = machines_of(node);
    OK(gpve_machines_list(machines, NULL, &list, &error));
    gpve_string_free(list);
    count_machines(machines, NULL, 1);
}

struct freed {
    gpve_watch *watch;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ended;
};

static void free_it(const char *event, void *user_data) {
    (void)event;
    struct freed *freed = user_data;
    CHECK(gpve_watch_free(freed->watch) == GPVE_STATUS_OK);
}

static void tell_end(const gpve_error *error, void *user_data) {
    struct freed *freed = user_data;
    CHECK(error->kind == GPVE_STATUS_CANCELLED);
    pthread_mutex_lock(&freed->lock);
    freed->ended = true;
    pthread_cond_signal(&freed->changed);
    pthread_mutex_unlock(&freed->lock);
}

static void a_watch_may_be_freed_by_its_own_function(void) {
    struct freed freed = {NULL, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    char *version = version_of(machines);
    OK(gpve_machines_watch(machines, NULL, version, &freed.watch, &error));
    OK(gpve_watch_start(freed.watch, free_it, tell_end, &freed, &error));
    DONE(gpve_machines_start(machines, "db", &job, &error));
    pthread_mutex_lock(&freed.lock);
    while (!freed.ended) pthread_cond_wait(&freed.changed, &freed.lock);
    pthread_mutex_unlock(&freed.lock);
    gpve_string_free(version);
}

static void *wait_for_an_event(void *data) {
    char *event = NULL;
    CHECK(gpve_watch_next(data, 0, &event, NULL) == GPVE_STATUS_CANCELLED);
    return NULL;
}

static void a_wait_is_stopped_from_another_thread(void) {
    gpve_watch *waited = NULL;
    pthread_t thread;
    char *version = version_of(machines);
    OK(gpve_machines_watch(machines, NULL, version, &waited, &error));
    pthread_create(&thread, NULL, wait_for_an_event, waited);
    OK(gpve_watch_stop(waited, &error));
    pthread_join(thread, NULL);
    gpve_watch_free(waited);
    gpve_string_free(version);
}

static void cancel_it(const char *progress, void *user_data) {
    (void)progress;
    gpve_job *job = user_data;
    OK(gpve_job_cancel(job, &error));
}

static void a_task_is_cancelled_while_it_is_told(void) {
    gpve_job *job = NULL;
    gpve_error *error = NULL;
    OK(gpve_machines_clone(machines, "db", "{\"name\": \"copy\", \"full\": true}", &job, &error));
    gpve_status status = gpve_job_wait(job, PATIENCE_MS, cancel_it, job, NULL, &error);
    /* It may have been done before it heard. */
    CHECK(status == GPVE_STATUS_CANCELLED || status == GPVE_STATUS_OK);
    gpve_error_free(error);
    gpve_job_free(job);
}

static void *use_the_machines(void *data) {
    for (int i = 0; i < 20; i++) {
        char *machine = NULL;
        OK(gpve_machines_get(data, "db", &machine, &error));
        gpve_string_free(machine);
    }
    return NULL;
}

static void handles_are_used_by_several_threads(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, use_the_machines, machines);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    directory = argv[1];
    check_begin("sim");
    RUN(versions_agree);
    node = open_node(directory, 1);
    machines = machines_of(node);
    RUN(a_machine_lives_its_whole_life);
    RUN(documents_are_applied_and_replaced);
    RUN(changes_are_told);
    client = client_of(node);
    RUN(a_plan_does_nothing);
    RUN(a_spare_volume_is_made_listed_and_deleted);
    RUN(machines_of_every_namespace_are_told_of);
    gpve_client_free(client);
    RUN(a_directory_has_one_owner);
    RUN(state_survives_and_clients_of_a_closed_node_are_told);
    RUN(a_task_is_cancelled_while_it_is_told);
    RUN(a_watch_may_be_freed_by_its_own_function);
    RUN(a_wait_is_stopped_from_another_thread);
    RUN(handles_are_used_by_several_threads);
    gpve_machines_free(machines);
    gpve_node_free(node);
    return check_end();
}
