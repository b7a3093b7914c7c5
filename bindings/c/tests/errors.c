/* Every way in which a call is refused, and misuse. Takes an empty directory. */
#include "life.h"

static gpve_node *node;
static gpve_client *client;
static gpve_machines *machines;
static gpve_storage *storage;
static const char *const BAD_TEXT = "\xff\xfe";

static void options_are_refused_by_name(void) {
    gpve_node *none = NULL;
    REFUSES("options", gpve_node_open(NULL, &none, &error));
    REFUSES("options", gpve_node_open("{", &none, &error));
    REFUSES("options", gpve_node_open(BAD_TEXT, &none, &error));
    REFUSES("options", gpve_node_open("{\"simulated\": true}", &none, &error));
    REFUSES("options", gpve_node_open("{\"directory\": \"/tmp/x\", \"colour\": 1}", &none, &error));
    REFUSES("directory", gpve_node_open("{\"directory\": \"here\"}", &none, &error));
    REFUSES("node", gpve_node_open("{\"directory\": \"/tmp\", \"node\": \"a b\"}", &none, &error));
    FAILS(GPVE_STATUS_UNAVAILABLE, gpve_node_open("{\"directory\": \"/proc/self/status/x\", \"simulated\": true}", &none, &error));
    CHECK(none == NULL);
}

static void addresses_and_authorities_are_refused(void) {
    gpve_client *none = NULL;
    REFUSES("url", gpve_client_new(NULL, NULL, NULL, &none, &error));
    REFUSES("server", gpve_client_new("here", NULL, NULL, &none, &error));
    REFUSES("token", gpve_client_new("https://127.0.0.1:1", BAD_TEXT, NULL, &none, &error));
    REFUSES("authority", gpve_client_new("https://127.0.0.1:1", NULL, "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", &none, &error));
    REFUSES("client", gpve_client_new("https://127.0.0.1:1", NULL, NULL, NULL, &error));
    CHECK(none == NULL);
}

static void a_server_that_is_not_there_is_unavailable(void) {
    gpve_client *nobody = NULL;
    gpve_machines *its = NULL;
    gpve_error *error = NULL;
    char *list = NULL;
    OK(gpve_client_new("http://127.0.0.1:1", "root@pam!ci=x", NULL, &nobody, &error));
    OK(gpve_client_machines(nobody, "default", &its, &error));
    CHECK(gpve_machines_list(its, NULL, &list, &error) == GPVE_STATUS_UNAVAILABLE);
    CHECK(error && error->retry && error->kind == GPVE_STATUS_UNAVAILABLE);
    gpve_error_free(error);
    FAILS(GPVE_STATUS_UNAVAILABLE, gpve_client_login(nobody, "root@pam", "secret", &error));
    gpve_machines_free(its);
    gpve_client_free(nobody);
}

static void nobody_logs_in_to_this_process(void) {
    FAILS(GPVE_STATUS_UNSUPPORTED, gpve_client_login(client, "root@pam", "secret", &error));
}

static void documents_are_refused_by_field(void) {
    char *machine = NULL;
    REFUSES("document", gpve_machines_create(machines, "{", NULL, NULL, &error));
    REFUSES("memory", gpve_machines_create(machines, "{\"metadata\": {\"name\": \"web\"}, \"spec\": {\"memory\": {\"size\": \"1Mi\"}}}", &machine, NULL, &error));
    CHECK(machine == NULL);
    REFUSES("document", gpve_machines_clone(machines, "web", "{\"colour\": 1}", NULL, &error));
    REFUSES("document", gpve_machines_resize(machines, "web", "{}", NULL, &error));
    REFUSES("document", gpve_machines_snapshot(machines, "web", "[]", NULL, &error));
    REFUSES("document", gpve_machines_plan_create(machines, "{", &machine, &error));
    REFUSES("memory", gpve_machines_plan_create(machines, "{\"metadata\": {\"name\": \"web\"}, \"spec\": {\"memory\": {\"size\": \"1Mi\"}}}", &machine, &error));
    REFUSES("document", gpve_storage_create_volume(storage, "{\"size\": \"1Gi\"}", NULL, &error));
    REFUSES("document", gpve_storage_create_volume(storage, "{\"vmid\": 100, \"size\": \"much\"}", NULL, &error));
    REFUSES("volume", gpve_storage_delete_volume(storage, "a b", NULL, &error));
    REFUSES("vmid", gpve_storage_volumes(storage, 7, &machine, &error));
}

static void what_is_not_there_is_not_found(void) {
    char *text = NULL;
    gpve_console *console = NULL;
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_get(machines, "nobody", &text, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_start(machines, "nobody", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_stop(machines, "nobody", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_shutdown(machines, "nobody", 1, false, NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_reboot(machines, "nobody", 1, NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_reset(machines, "nobody", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_pause(machines, "nobody", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_resume(machines, "nobody", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_delete(machines, "nobody", true, NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_replace(machines, "nobody", WEB, NULL, NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_clone(machines, "nobody", "{}", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_resize(machines, "nobody", "{\"disk\": \"scsi0\", \"size\": \"1Gi\"}", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_snapshot(machines, "nobody", "{\"name\": \"s1\"}", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_snapshots(machines, "nobody", &text, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_rollback(machines, "nobody", "s1", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_describe_snapshot(machines, "nobody", "s1", "", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_template(machines, "nobody", NULL, NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_storage_delete_volume(storage, "local:100/vm-100-disk-9.raw", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_delete_snapshot(machines, "nobody", "s1", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_console(machines, "nobody", 0, &console, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_wait_phase(machines, "nobody", "Running", 0, NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_document_get("{}", "/a", &text, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machine_name("{}", &text, &error));
    CHECK(text == NULL && console == NULL);
}

static void states_and_times_are_told(void) {
    gpve_console *console = NULL;
    make_web(machines);
    FAILS(GPVE_STATUS_ALREADY_EXISTS, gpve_machines_create(machines, WEB, NULL, NULL, &error));
    FAILS(GPVE_STATUS_FAILED_PRECONDITION, gpve_machines_console(machines, "web", 0, &console, &error));
    FAILS(GPVE_STATUS_TIMEOUT, gpve_machines_wait_phase(machines, "web", "Running", 20, NULL, &error));
    gpve_watch *old = NULL;
    char *event = NULL;
    OK(gpve_machines_watch(machines, NULL, "x", &old, &error));
    REFUSES("resourceVersion", gpve_watch_next(old, 0, &event, &error));
    gpve_watch_free(old);
}

static void a_missing_argument_is_named(void) {
    char *text = NULL;
    uint32_t vmid = 1;
    size_t count = 1;
    gpve_watch *none = NULL;
    REFUSES("name", gpve_machines_get(machines, NULL, &text, &error));
    REFUSES("name", gpve_machines_get(machines, BAD_TEXT, &text, &error));
    REFUSES("machine", gpve_machines_get(machines, "web", NULL, &error));
    REFUSES("list", gpve_machines_list(machines, NULL, NULL, &error));
    REFUSES("manager", gpve_machines_apply(machines, "web", "{}", NULL, false, NULL, NULL, &error));
    REFUSES("snapshot", gpve_machines_rollback(machines, "web", NULL, NULL, &error));
    REFUSES("description", gpve_machines_describe_snapshot(machines, "web", "s1", NULL, NULL, &error));
    REFUSES("disk", gpve_machines_template(machines, "web", "floppy", NULL, &error));
    REFUSES("manager", gpve_machines_plan_apply(machines, "web", "{}", NULL, false, &text, &error));
    REFUSES("volume", gpve_storage_delete_volume(storage, NULL, NULL, &error));
    REFUSES("list", gpve_client_list(client, NULL, NULL, &error));
    REFUSES("resource_version", gpve_client_watch(client, NULL, NULL, &none, &error));
    REFUSES("is_so", gpve_machines_wait_for(machines, "web", NULL, NULL, 0, NULL, &error));
    REFUSES("resource_version", gpve_machines_watch(machines, NULL, NULL, &none, &error));
    REFUSES("watch", gpve_machines_watch(machines, NULL, "1", NULL, &error));
    REFUSES("vmid", gpve_machine_vmid("{}", NULL, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machine_vmid("{}", &vmid, &error));
    REFUSES("machine", gpve_machine_vmid("{\"status\": {\"vmid\": \"x\"}}", &vmid, &error));
    CHECK(vmid == 0);
    REFUSES("machine", gpve_machine_phase("x", &text, &error));
    REFUSES("pointer", gpve_document_get("{}", NULL, &text, &error));
    REFUSES("count", gpve_console_read(NULL, (uint8_t *)&count, 1, 0, NULL, &error));
}

static void a_missing_handle_is_refused(void) {
    char *text = NULL;
    size_t count = 1;
    uint8_t byte = 0;
    gpve_machines *none = NULL;
    gpve_client *nobody = NULL;
    gpve_job *no_job = NULL;
    gpve_storage *no_storage = NULL;
    REFUSES("machines", gpve_machines_start(NULL, "web", NULL, &error));
    REFUSES("machines", gpve_machines_list(NULL, NULL, &text, &error));
    REFUSES("client", gpve_client_machines(NULL, "default", &none, &error));
    REFUSES("client", gpve_client_login(NULL, "a", "b", &error));
    REFUSES("node", gpve_node_client(NULL, &nobody, &error));
    REFUSES("client", gpve_client_list(NULL, NULL, &text, &error));
    REFUSES("client", gpve_client_job(NULL, "UPID", &no_job, &error));
    REFUSES("id", gpve_client_job(client, NULL, &no_job, &error));
    REFUSES("name", gpve_client_storage(client, NULL, NULL, &no_storage, &error));
    REFUSES("storage", gpve_storage_volumes(NULL, 0, &text, &error));
    REFUSES("storage", gpve_storage_create_volume(NULL, "{}", NULL, &error));
    REFUSES("job", gpve_job_wait(NULL, 0, NULL, NULL, NULL, &error));
    REFUSES("job", gpve_job_cancel(NULL, &error));
    REFUSES("watch", gpve_watch_next(NULL, 0, &text, &error));
    REFUSES("watch", gpve_watch_stop(NULL, &error));
    REFUSES("watch", gpve_watch_start(NULL, on_event, NULL, NULL, &error));
    REFUSES("watch", gpve_watch_position(NULL, &text, &error));
    REFUSES("console", gpve_console_read(NULL, &byte, 1, 0, &count, &error));
    REFUSES("console", gpve_console_write(NULL, &byte, 1, 0, &error));
    CHECK(count == 0 && gpve_job_id(NULL) == NULL);
    /* Whoever does not want the error is not given one. */
    CHECK(gpve_machines_start(NULL, "web", NULL, NULL) == GPVE_STATUS_INVALID_INPUT);
}

static void freeing_nothing_does_nothing(void) {
    gpve_error_free(NULL);
    gpve_string_free(NULL);
    CHECK(gpve_node_free(NULL) == GPVE_STATUS_OK && gpve_client_free(NULL) == GPVE_STATUS_OK);
    CHECK(gpve_machines_free(NULL) == GPVE_STATUS_OK && gpve_job_free(NULL) == GPVE_STATUS_OK);
    CHECK(gpve_watch_free(NULL) == GPVE_STATUS_OK && gpve_console_free(NULL) == GPVE_STATUS_OK && gpve_storage_free(NULL) == GPVE_STATUS_OK);
}

static void a_handle_of_another_kind_is_refused(void) {
    REFUSES("job", gpve_job_cancel((const gpve_job *)(const void *)machines, &error));
    REFUSES("job", gpve_job_cancel((const gpve_job *)(const void *)((const char *)(const void *)machines + 1), &error));
    CHECK(gpve_job_free((gpve_job *)(void *)machines) == GPVE_STATUS_INVALID_INPUT);
    uint64_t words[16] = {0};
    CHECK(gpve_node_free((gpve_node *)(void *)words) == GPVE_STATUS_INVALID_INPUT);
    count_machines(machines, NULL, 1);
}

/* Reads freed memory by intent, which valgrind rightly reports: not run there. */
static void a_freed_handle_is_noticed(void) {
    gpve_machines *freed = NULL;
    OK(gpve_client_machines(client, "default", &freed, &error));
    /* A second pointer, so that the compiler does not see through it. */
    gpve_machines *volatile again = freed;
    CHECK(gpve_machines_free(freed) == GPVE_STATUS_OK);
    REFUSES("machines", gpve_machines_start(again, "web", NULL, &error));
    CHECK(gpve_machines_free(again) == GPVE_STATUS_INVALID_INPUT);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    check_begin("errors");
    RUN(options_are_refused_by_name);
    RUN(addresses_and_authorities_are_refused);
    RUN(a_server_that_is_not_there_is_unavailable);
    node = open_node(argv[1], 1);
    machines = machines_of(node);
    client = client_of(node);
    OK(gpve_client_storage(client, "local", NULL, &storage, &error));
    RUN(nobody_logs_in_to_this_process);
    RUN(documents_are_refused_by_field);
    RUN(what_is_not_there_is_not_found);
    RUN(states_and_times_are_told);
    RUN(a_missing_argument_is_named);
    RUN(a_missing_handle_is_refused);
    RUN(freeing_nothing_does_nothing);
    RUN(a_handle_of_another_kind_is_refused);
    if (!getenv("GPVE_C_VALGRIND")) RUN(a_freed_handle_is_noticed);
    gpve_storage_free(storage);
    gpve_machines_free(machines);
    gpve_client_free(client);
    gpve_node_free(node);
    return check_end();
}
