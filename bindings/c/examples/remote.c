/* A client of a server: tells the changes that a task makes.
 *
 *     remote https://127.0.0.1:8006 'root@pam!ci=…' /var/lib/gpve/pki/ca.crt
 *     [create] TASK OK
 *     ADDED hello
 *     hello is gone
 */
#include <stdio.h>
#include <stdlib.h>

#include <gpve.h>

static const char MACHINE[] = "{\"metadata\": {\"name\": \"hello\"}, \"spec\": {\"memory\": {\"size\": \"64Mi\"}}}";

/* Ends the program when a call has failed. */
static void check(gpve_status status, gpve_error *error) {
    if (status == GPVE_STATUS_OK) return;
    fprintf(stderr, "%s: %s\n", gpve_status_name((int)status), error ? error->message : "no reason was given");
    gpve_error_free(error);
    exit(1);
}

/* Prints the lines of a task's log; `user_data` says of which. */
static void print_line(const char *progress, void *user_data) {
    char *line = NULL;
    if (gpve_document_get(progress, "/line/t", &line, NULL) == GPVE_STATUS_OK) printf("[%s] %s\n", (const char *)user_data, line);
    gpve_string_free(line);
}

/* Prints what has changed. */
static void print_event(const char *event) {
    char *type = NULL, *name = NULL;
    gpve_error *error = NULL;
    check(gpve_document_get(event, "/type", &type, &error), error);
    check(gpve_machine_name(event, &name, &error), error);
    printf("%s %s\n", type, name);
    gpve_string_free(type);
    gpve_string_free(name);
}

/* A file's text; nothing for one that cannot be read. */
static void read_file(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "rb");
    text[file ? fread(text, 1, size - 1, file) : 0] = '\0';
    if (file) fclose(file);
}

int main(int argc, char **argv) {
    static char authority[65536], task_of[] = "create";
    gpve_error *error = NULL;
    gpve_client *client = NULL;
    gpve_machines *machines = NULL;
    gpve_watch *watch = NULL;
    gpve_job *job = NULL;
    char *list = NULL, *version = NULL, *event = NULL;
    if (argc != 4 || !gpve_abi_check(GPVE_ABI_VERSION)) return 2;
    read_file(argv[3], authority, sizeof authority);
    check(gpve_client_new(argv[1], argv[2], authority, &client, &error), error);
    check(gpve_client_machines(client, "default", &machines, &error), error);
    check(gpve_machines_list(machines, NULL, &list, &error), error);
    check(gpve_document_get(list, "/metadata/resourceVersion", &version, &error), error);
    check(gpve_machines_watch(machines, NULL, version, &watch, &error), error);
    check(gpve_machines_create(machines, MACHINE, NULL, &job, &error), error);
    check(gpve_job_wait(job, 60000, print_line, task_of, NULL, &error), error);
    gpve_job_free(job);
    check(gpve_watch_next(watch, 60000, &event, &error), error);
    print_event(event);
    check(gpve_machines_delete(machines, "hello", true, &job, &error), error);
    check(gpve_job_wait(job, 60000, NULL, NULL, NULL, &error), error);
    printf("hello is gone\n");
    gpve_job_free(job);
    gpve_watch_free(watch);
    gpve_string_free(event);
    gpve_string_free(version);
    gpve_string_free(list);
    gpve_machines_free(machines);
    return gpve_client_free(client) != GPVE_STATUS_OK;
}
