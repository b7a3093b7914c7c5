/* A real machine. Takes an empty directory, short and reachable by other users, and that of the guest image. */
#include "check.h"

static const char *directory, *guest;

/* Reads until the guest has said `words`. */
static void await_words(const gpve_console *console, const char *words) {
    static char seen[1 << 16];
    size_t length = 0, count = 0;
    while (!check_failed_here && !strstr(seen, words)) {
        /* Keep the end, where the words may have begun. */
        if (length > sizeof seen / 2) length = 0;
        OK(gpve_console_read(console, (uint8_t *)seen + length, sizeof seen - length - 1, PATIENCE_MS, &count, &error));
        if (count == 0) break;
        for (size_t i = 0; i < count; i++) {
            if (seen[length + i] == '\0') seen[length + i] = ' ';
        }
        length += count;
        seen[length] = '\0';
    }
    CHECK(strstr(seen, words) != NULL);
    memset(seen, 0, sizeof seen);
}

static void cancel_it(const char *progress, void *user_data) {
    (void)progress;
    OK(gpve_job_cancel(user_data, &error));
}

/* Nothing in it hears a request to power off: the task goes on until it is cancelled. */
static void a_wait_ends_before_its_task_which_is_then_cancelled(void) {
    gpve_job *job = NULL;
    gpve_node *node = open_node(directory, 0);
    gpve_machines *machines = machines_of(node);
    DONE(gpve_machines_create(machines, "{\"metadata\": {\"name\": \"deaf\"}, \"spec\": {\"memory\": {\"size\": \"64Mi\"}}}", NULL, &job, &error));
    DONE(gpve_machines_start(machines, "deaf", &job, &error));
    OK(gpve_machines_shutdown(machines, "deaf", 600, false, &job, &error));
    FAILS(GPVE_STATUS_TIMEOUT, gpve_job_wait(job, 100, NULL, NULL, NULL, &error));
    FAILS(GPVE_STATUS_CANCELLED, gpve_job_wait(job, PATIENCE_MS, cancel_it, job, NULL, &error));
    gpve_job_free(job);
    DONE(gpve_machines_delete(machines, "deaf", true, &job, &error));
    gpve_machines_free(machines);
    gpve_node_free(node);
}

static void a_real_machine_boots_talks_and_outlives_its_node(void) {
    char document[8192], *list = NULL, *version = NULL, *event = NULL, *phase = NULL;
    gpve_console *console = NULL;
    gpve_watch *watch = NULL;
    gpve_node *node = open_node(directory, 0);
    gpve_machines *machines = machines_of(node);
    snprintf(document, sizeof document,
             "{\"metadata\": {\"name\": \"web\"}, \"spec\": {\"memory\": {\"size\": \"128Mi\"}, \"serials\": {\"0\": \"socket\"},"
             " \"disks\": [{\"name\": \"scsi0\", \"source\": {\"new\": {\"storage\": \"local\", \"size\": \"64Mi\"}}}],"
             " \"kernel\": {\"kernel\": \"%s/vmlinuz\", \"initrd\": \"%s/initrd\", \"cmdline\":"
             " \"console=ttyS0 no_timer_check tsc_early_khz=1000000 lpj=4000000 quiet panic=-1\"}}}",
             guest, guest);
    DONE(gpve_machines_create(machines, document, NULL, &job, &error));
    OK(gpve_machines_list(machines, NULL, &list, &error));
    OK(gpve_document_get(list, "/metadata/resourceVersion", &version, &error));
    gpve_string_free(list);
    OK(gpve_machines_watch(machines, NULL, version, &watch, &error));
    gpve_string_free(version);
    DONE(gpve_machines_start(machines, "web", &job, &error));
    for (bool running = false; !running && !check_failed_here;) {
        OK(gpve_watch_next(watch, PATIENCE_MS, &event, &error));
        OK(gpve_machine_phase(event, &phase, &error));
        running = phase && strcmp(phase, "Running") == 0;
        gpve_string_free(phase);
        gpve_string_free(event);
    }
    gpve_watch_free(watch);
    OK(gpve_machines_console(machines, "web", 0, &console, &error));
    await_words(console, "gpve-guest up");
    static const char ASK[] = "stty -echo\necho answer-$((40 + 2))\n";
    OK(gpve_console_write(console, (const uint8_t *)ASK, sizeof ASK - 1, PATIENCE_MS, &error));
    await_words(console, "answer-42");
    uint8_t byte;
    size_t count;
    gpve_status late = GPVE_STATUS_OK;
    while (late == GPVE_STATUS_OK) late = gpve_console_read(console, &byte, 1, 500, &count, NULL);
    CHECK(late == GPVE_STATUS_TIMEOUT);
    gpve_console_free(console);
    gpve_machines_free(machines);
    CHECK(gpve_node_free(node) == GPVE_STATUS_OK);
    node = open_node(directory, 0);
    machines = machines_of(node);
    expect_phase(machines, "web", "Running");
    DONE(gpve_machines_stop(machines, "web", &job, &error));
    expect_phase(machines, "web", "Stopped");
    DONE(gpve_machines_delete(machines, "web", false, &job, &error));
    FAILS(GPVE_STATUS_NOT_FOUND, gpve_machines_get(machines, "web", &list, &error));
    gpve_machines_free(machines);
    gpve_node_free(node);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    directory = argv[1];
    guest = argv[2];
    check_begin("qemu");
    RUN(a_real_machine_boots_talks_and_outlives_its_node);
    RUN(a_wait_ends_before_its_task_which_is_then_cancelled);
    return check_end();
}
